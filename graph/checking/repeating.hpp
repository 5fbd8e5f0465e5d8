#pragma once

#include <chainrule/graph/derivation/trace.hpp>

namespace chainrule::derivation {

/// Throws ValueError, beginning with `caller`, where an operation of a recorded program, or one of
/// a gradient, gives other numbers when it is computed again from the same ones: differences then
/// say nothing.
void check_repeats(const Trace& trace, const char* caller, const Where& where);

}  // namespace chainrule::derivation
