#pragma once

#include <chainrule/ops/operand.hpp>

namespace chainrule {

/// Activation functions of every element, for f32 and f64; DTypeError for other dtypes. The result
/// has the shape and dtype of x. NaN gives NaN.

/// 1 / (1 + e⁻ˣ), without overflow for any x. Gradient: g ⊗ s ⊗ (1 − s) with s = sigmoid(x),
/// computed as g ⊗ σ(x) ⊗ σ(−x), which is exact where s rounds to 1. The logarithm of the result is
/// computed as log_sigmoid; see log().
Tensor sigmoid(const Tensor& x, Where where = Where::current());
/// tanh x. Gradient: g ⊗ (1 − tanh²(x)), computed as g ⊗ sech²(x), which is exact where tanh x
/// rounds to ±1.
Tensor tanh(const Tensor& x, Where where = Where::current());
/// max(x, 0). Gradient: g where x > 0, and 0 elsewhere: at 0 as in PyTorch and JAX, at NaN as in
/// JAX.
Tensor relu(const Tensor& x, Where where = Where::current());
/// ln(1 + eˣ), computed as max(x, 0) + ln(1 + e^−|x|). Gradient: g ⊗ sigmoid(x).
Tensor softplus(const Tensor& x, Where where = Where::current());
/// ln(sigmoid(x)) = −softplus(−x). Gradient: g ⊗ sigmoid(−x).
Tensor log_sigmoid(const Tensor& x, Where where = Where::current());

namespace detail {

/// g ⊗ s ⊗ (1 − s): the gradient of sigmoid in one pass, where s is its result for x. Computed from
/// x, so that it has all digits where s is near 1.
Tensor sigmoid_slope(Tensor g, const Tensor& s, const Tensor& x, Where where = Where::current());
/// g ⊗ (1 − t²): the gradient of tanh in one pass, where t is its result for x. Computed from x.
Tensor tanh_slope(Tensor g, const Tensor& t, const Tensor& x, Where where = Where::current());
/// g where y > 0, else 0: the gradient of relu in one pass, where y is its result or its operand.
Tensor relu_slope(Tensor g, const Tensor& y, Where where = Where::current());

}  // namespace detail
}  // namespace chainrule
