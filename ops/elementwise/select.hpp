#pragma once

#include <chainrule/core/create.hpp>
#include <chainrule/ops/operand.hpp>

/// Comparing, and choosing between operands. Operands broadcast, and a number adapts to the other
/// operand's dtype. All throw ShapeError for shapes that do not broadcast and DTypeError for dtypes
/// that differ or do not fit.
namespace chainrule {

// --- comparisons ---

/// Elementwise comparisons of any dtype, with boolean results and no gradient. NaN is unequal to
/// everything, and neither less nor greater. Whether two tensors are equal as a whole says
/// all(x == y), if they have one shape.
Tensor operator==(const Operand& a, const Operand& b);
Tensor operator!=(const Operand& a, const Operand& b);
Tensor operator<(const Operand& a, const Operand& b);
Tensor operator<=(const Operand& a, const Operand& b);
Tensor operator>(const Operand& a, const Operand& b);
Tensor operator>=(const Operand& a, const Operand& b);
Tensor eq(const Operand& a, const Operand& b, Where where = Where::current());
Tensor ne(const Operand& a, const Operand& b, Where where = Where::current());
Tensor lt(const Operand& a, const Operand& b, Where where = Where::current());
Tensor le(const Operand& a, const Operand& b, Where where = Where::current());
Tensor gt(const Operand& a, const Operand& b, Where where = Where::current());
Tensor ge(const Operand& a, const Operand& b, Where where = Where::current());

/// Of boolean tensors. There are no operators: those of C++ would not look at both operands.
Tensor logical_and(const Tensor& a, const Tensor& b, Where where = Where::current());
Tensor logical_or(const Tensor& a, const Tensor& b, Where where = Where::current());
Tensor logical_not(const Tensor& a, Where where = Where::current());

/// Which elements are NaN, infinite (of either sign), or neither; for every dtype.
Tensor isnan(const Tensor& x, Where where = Where::current());
Tensor isinf(const Tensor& x, Where where = Where::current());
Tensor isfinite(const Tensor& x, Where where = Where::current());

// --- choosing ---

/// The larger of a and b, for f32, f64 and i64; NaN if one of them is NaN. Gradient: g for the
/// larger one, half of it for each of equals, as in PyTorch and JAX; NaN where the result is NaN.
Tensor maximum(const Operand& a, const Operand& b, Where where = Where::current());
/// The smaller of a and b; all else as maximum().
Tensor minimum(const Operand& a, const Operand& b, Where where = Where::current());

/// a where the boolean `condition` is true, b elsewhere, for every dtype. Gradients: g where it was
/// taken, 0 elsewhere. A NaN that is not taken does no harm here, but the gradient of what made it
/// may: keep the argument of log or sqrt inside of its domain instead of discarding the result.
Tensor where(const Tensor& condition, const Operand& a, const Operand& b,
             Where where = Where::current());

namespace detail {
Tensor clamp(const Tensor& x, const Operand& low, const Operand& high, const Where& where);
}

/// min(max(x, low), high), for f32, f64 and i64; bounds may be infinite. NaN gives NaN. Gradient: g
/// inside and at the bounds, 0 outside, as in PyTorch. Throws ValueError unless low ≤ high.
template <Number L, Number H>
Tensor clamp(const Tensor& x, L low, H high, Where where = Where::current()) {
  return detail::clamp(x, Operand(low, where), Operand(high, where), where);
}

}  // namespace chainrule
