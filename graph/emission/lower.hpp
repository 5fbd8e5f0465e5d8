#pragma once

#include <chainrule/graph/derivation/trace.hpp>
#include <chainrule/graph/emission/eigen.hpp>

namespace chainrule::emission {

/// The expression with operations that Eigen has, or one of the helpers: what an op does in one
/// pass is written out, a logarithm of a softmax is taken of its logits.
Expr lowered(const Expr& expression, const derivation::Trace& trace);

/// The derivative of an elementwise op as its own gradient rule computes it at `at`, for which the
/// symbol stands.
struct Slope {
  Expr symbol;
  Expr formula;
};
Slope slope_formula(const Expression& slope, const Tensor& at);

}  // namespace chainrule::emission
