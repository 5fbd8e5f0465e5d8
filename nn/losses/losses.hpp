#pragma once

#include <chainrule/core/tensor.hpp>
#include <chainrule/ops/nn/cross_entropy.hpp>
#include <chainrule/ops/nn/mse.hpp>

/// Losses compare what a model gives with what it should give. They have no parameters and no
/// state; so they are functions with options, not modules.
namespace chainrule::nn {

/// −Σ q ⊗ log softmax(z) over the classes, for logits z (batch, classes) and a target that is
/// either class labels, i64 (batch), or probabilities q (batch, classes). The softmax is part of
/// it: the model ends with the logits. See cross_entropy() for gradients, further axes and errors.
///
///     nn::CrossEntropyLoss loss;
///     loss(model(x), labels).backward();
struct CrossEntropyLoss {
  Reduction reduction = Reduction::mean;
  int axis = -1;  ///< of the classes

  Tensor operator()(const Tensor& logits, const Tensor& target,
                    Where where = Where::current()) const {
    return cross_entropy(logits, target, reduction, axis, where);
  }
};

/// (y − t)² for predictions y and targets t of one shape. See mse_loss() for gradients and errors.
struct MSELoss {
  Reduction reduction = Reduction::mean;

  Tensor operator()(const Tensor& prediction, const Tensor& target,
                    Where where = Where::current()) const {
    return mse_loss(prediction, target, reduction, where);
  }
};

}  // namespace chainrule::nn
