#pragma once

#include <cstdint>

#include <chainrule/core/tensor.hpp>

namespace chainrule {

/// What linear() applies to every element of its result.
enum class Activation : std::uint8_t { none, sigmoid, tanh, relu };

/// φ(x·Wᵀ + b), a layer of a network in one operation: samples in rows x (…, in), weights W
/// (out, in), and, unless undefined, a bias b (out). The result is (…, out); one sample (in) gives
/// (out). φ is the activation.
///
/// Gradients, with dz = g ⊗ φ'(z): dx = dz·W, dW = dzᵀ·x, db = Σ dz over the samples.
///
/// Throws ShapeError for other shapes, DTypeError unless all have the same floating dtype. The
/// logarithm of a result with Activation::sigmoid is not taken in the stable form of
/// log(sigmoid(z)).
Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias = {},
              Activation activation = Activation::none, Where where = Where::current());

}  // namespace chainrule
