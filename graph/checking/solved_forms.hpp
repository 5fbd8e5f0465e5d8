#pragma once

#include <vector>

#include <chainrule/graph/checking/candidate.hpp>

namespace chainrule::derivation {

/// The forms of the right formula in others of its tensors, as people write them who solve for
/// these: t of p = s ⊗ t + a is (p − a) ⊘ s. First those in which all results without a name are
/// solved for, one for each form that has some; then those in each of which one tensor is that has
/// a name.
std::vector<Expr> solved_forms(const Trace& trace, const Comparison& comparison);

}  // namespace chainrule::derivation
