#pragma once

#include <chainrule/core/tensor.hpp>

namespace chainrule {

/// x̂ ⊗ w + b with x̂ = (x − μ) / √(σ² + ε), where μ and σ² are the mean and the (biased) variance
/// over the trailing axes of x (…, normalized_shape), f32 or f64. Weight w and bias b, either of
/// which may be left out, have the normalized shape. J. L. Ba, J. R. Kiros, G. E. Hinton, "Layer
/// Normalization", arXiv:1607.06450 (2016), as in PyTorch.
///
/// The variance is summed from x − μ, so that a mean that is large beside the deviations costs no
/// digits but those that x itself has lost.
///
/// Gradients, with k = g ⊗ w and means over the trailing axes: (k − mean(k) − x̂ ⊗ mean(k ⊗ x̂)) /
/// √(σ² + ε) for x, Σ g ⊗ x̂ for w, and Σ g for b.
///
/// Throws ShapeError when x does not end in the normalized shape, when that has no axis, and for a
/// weight or bias of another shape; DTypeError for different dtypes; ValueError for an ε that is
/// negative or not finite.
Tensor layer_norm(const Tensor& x, const Shape& normalized_shape, const Tensor& weight = {},
                  const Tensor& bias = {}, double eps = 1e-5, Where where = Where::current());

}  // namespace chainrule
