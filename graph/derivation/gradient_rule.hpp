#pragma once

#include <vector>

#include <chainrule/graph/derivation/expression.hpp>

namespace chainrule::derivation {

/// Throws GradError, which names the op, its line and the remedy, where the gradient rule of an
/// operation, or its jvp rule where `forward`, computes with numbers that it takes out of what it
/// reads, which a formula would keep, or does not repeat. It is asked at `operands`, in f64, and a
/// little away from them in those that `change`; where one of these is 0, at small numbers, too.
/// Whether anything could be told: not where the rule gives nothing finite, or where the op takes
/// no other operands.
bool check_gradient_rule(const Expression& operation, const std::vector<Tensor>& operands,
                         const std::vector<bool>& change, bool forward);

}  // namespace chainrule::derivation
