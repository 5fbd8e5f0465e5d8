#include <chainrule/core/recording.hpp>

namespace chainrule::detail {

thread_local constinit Mode mode;

}  // namespace chainrule::detail
