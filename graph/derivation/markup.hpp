#pragma once

#include <string>
#include <string_view>

namespace chainrule::derivation {

/// Text as it stands in HTML, SVG and MathML, in elements and in quoted attributes.
std::string in_markup(std::string_view text);

}  // namespace chainrule::derivation
