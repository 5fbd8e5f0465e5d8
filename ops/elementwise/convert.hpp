#pragma once

#include <chainrule/core/tensor.hpp>

namespace chainrule {

/// x with another element type; x itself when it has that already. To f32 and f64 numbers are
/// rounded to the nearest; to i64 they are cut towards 0; to boolean everything but 0 is true; true
/// becomes 1. Gradient between f32 and f64: g in the dtype of x; none from or to i64 and boolean.
/// Throws ValueError for NaN, infinities and numbers beyond i64 to i64, and names the first.
Tensor to(const Tensor& x, DType dtype, Where where = Where::current());

}  // namespace chainrule
