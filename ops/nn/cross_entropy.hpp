#pragma once

#include <chainrule/core/tensor.hpp>
#include <chainrule/ops/nn/loss_reduction.hpp>

namespace chainrule {

/// −Σ q ⊗ log softmax(z) over the classes, from logits z of f32 or f64 and a target that is either
///
/// - class labels: i64 in the shape of the logits without `axis`, so that q is 1 for the label; or
/// - probabilities q in the shape and dtype of the logits. They need not add up to 1.
///
/// The classes stand along `axis`: the last one for logits (batch, classes), 0 for (classes,
/// batch). Further axes count as further samples, and the mean is over all samples. Nothing
/// overflows: a loss is exact where the softmax itself underflows, and a probability of 0 gives 0
/// also where the logit is −∞. A result with Reduction::none has the shape of the logits without
/// `axis`.
///
/// Gradients: (softmax(z) Σq − q) g / N for the logits and −log_softmax(z) g / N for probabilities,
/// with N samples for the mean, else 1.
///
/// Throws ShapeError when target and logits do not fit, and for the mean of no samples; DTypeError
/// for a target that is neither i64 nor of the logits' dtype; IndexError for a label that is not a
/// class, and for an axis out of range.
Tensor cross_entropy(const Tensor& logits, const Tensor& target,
                     Reduction reduction = Reduction::mean, int axis = -1,
                     Where where = Where::current());

}  // namespace chainrule
