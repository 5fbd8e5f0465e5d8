#pragma once

#include <string>

#include <chainrule/graph/checking/candidate.hpp>

namespace chainrule::derivation {

/// The same mistake in two terms of the right formula: log m for 1/m, and log(1 − m) for 1/(1 − m).
/// "" where none explains the numbers.
std::string same_mistake_twice(const Trace& trace, const Comparison& comparison, const Text& text);

}  // namespace chainrule::derivation
