#pragma once

#include <string>

#include <chainrule/core/tensor.hpp>

namespace chainrule {

class Op;

/// exp(xᵢ) / Σⱼ exp(xⱼ) along one axis, for f32 and f64, computed as exp(xᵢ − m) / Σⱼ exp(xⱼ − m)
/// with m = max x. An element of −∞ gives 0; a line with +∞ or NaN, or of −∞ alone, gives NaN, as
/// in PyTorch. Gradient: p ⊗ (g − Σ p⊗g) with p = softmax(x). The logarithm of the result is
/// computed as log_softmax. Throws IndexError for an axis out of range, DTypeError for other
/// dtypes.
Tensor softmax(const Tensor& x, int axis = -1, Where where = Where::current());

/// xᵢ − log Σⱼ exp(xⱼ) along one axis, computed as (xᵢ − m) − log Σⱼ exp(xⱼ − m), so that it is
/// exact where softmax() underflows. An element of −∞ gives −∞. Gradient: g − softmax(x) Σ g.
/// Throws as softmax().
Tensor log_softmax(const Tensor& x, int axis = -1, Where where = Where::current());

namespace detail {

/// The parameters of the ops of this family.
struct SoftmaxParameters {
  int axis = 0;  // counted from 0
};

/// "softmax" as formulas show it, with the axis as a subscript where others have more than one
/// element: "softmax₁".
std::string softmax_text(const Shape& shape, int axis);

/// p ⊗ (g − Σ p⊗g) along one axis: the gradient of softmax, where p is its result.
Tensor softmax_slope(const Tensor& g, const Tensor& p, int axis, const Where& where);

}  // namespace detail
}  // namespace chainrule
