#pragma once

#include <string_view>

#include <chainrule/core/error.hpp>

namespace chainrule::detail {

/// The GradError about an op whose infer() says another result for the same operands, that was
/// recorded at `where`: "it said {said}, and says {says}".
[[noreturn]] void throw_other_result(std::string_view op, std::string_view said,
                                     std::string_view says, const Where& where);

}  // namespace chainrule::detail
