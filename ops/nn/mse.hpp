#pragma once

#include <chainrule/core/tensor.hpp>
#include <chainrule/ops/nn/loss_reduction.hpp>

namespace chainrule {

/// (y − t)² for predictions y and targets t of one shape, f32 or f64: their mean over all elements,
/// their sum (pairwise), or each of them, in the shape of y. Gradients: 2 (y − t) g / N and its
/// negative, with N elements for the mean, else 1.
///
/// Throws ShapeError for different shapes: (N, 1) against (N) would broadcast to (N, N), and train
/// towards the mean of all targets. Throws DTypeError for different dtypes, and ShapeError for the
/// mean of no elements.
Tensor mse_loss(const Tensor& prediction, const Tensor& target,
                Reduction reduction = Reduction::mean, Where where = Where::current());

}  // namespace chainrule
