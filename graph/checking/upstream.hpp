#pragma once

#include <string>

#include <chainrule/graph/checking/candidate.hpp>

namespace chainrule::derivation {

/// Whether tensors of the time step or layer before or behind stand in a formula, or the same
/// mistake is in all its terms of a sum over steps.
std::string shifted_index(const Trace& trace, const Comparison& comparison, const Text& text);

/// At which step of the chain above a formula a mistake must have been made, if one explains it:
/// one in the formula of a single gradient, or the same one in all of a kind, such as those of all
/// time steps. "" where none does.
std::string mistake_above(const Trace& trace, const Comparison& comparison, const Text& text);

}  // namespace chainrule::derivation
