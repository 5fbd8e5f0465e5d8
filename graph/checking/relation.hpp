#pragma once

#include <string>

#include <chainrule/graph/checking/candidate.hpp>

namespace chainrule::derivation {

/// Of a formula that has `e` as an operand: the factor or term that is missing where e stands
/// alone, in words; "" where it does not have e.
std::string missing_beside(const Comparison& comparison, const Text& text, const Expr& formula,
                           const Expr& e);

/// What a tensor or a gradient has to do with another in whose place it stands: "the function tanh
/// is missing", "the factor M is missing"; "" where nothing is known.
std::string relation(const Trace& trace, const Comparison& comparison, const Text& text,
                     const Expr& e, const Expr& other);

}  // namespace chainrule::derivation
