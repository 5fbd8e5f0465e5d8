#pragma once

#include <vector>

#include <chainrule/graph/checking/candidate.hpp>

namespace chainrule::derivation {

/// The right formula in others of its tensors, as people write it who solve for them: t of
/// p = s ⊗ t + a is (p − a) ⊘ s. In one form all results without a name are solved for, in each of
/// the others one tensor that has a name.
std::vector<Expr> solved_forms(const Trace& trace, const Comparison& comparison);

}  // namespace chainrule::derivation
