#pragma once

#include <vector>

#include <chainrule/graph/derivation/trace.hpp>

namespace chainrule::derivation {

/// The summands of a formula: a·(b + c) has a·b and a·c, wherever the formula is linear in a sum,
/// and operations that do several steps in one are taken apart. Empty where they are too many, or
/// where there is one alone.
std::vector<Expr> terms_of(const Expr& formula, const Environment& point);

/// The formula with operations that do several steps in one written in simpler ones; g ⊗ φ'(z) as
/// g ⊗ y ⊗ (1 − y) and the like, too, if `slopes` says so.
Expr written_out(const Expr& formula, const Environment& point, bool slopes = false);

/// The formula with those of gradients of tensors without a name in their places, as far as it does
/// not become long.
Expr without_unnamed_gradients(const Trace& trace, const Expr& formula);

}  // namespace chainrule::derivation
