#pragma once

/// The umbrella: all of chainrule but core/eigen.hpp, which needs Eigen's headers, and what only
/// the definition of a new operation needs.

#include <chainrule/core/allocator.hpp>
#include <chainrule/core/create.hpp>
#include <chainrule/core/print.hpp>
#include <chainrule/core/random.hpp>
#include <chainrule/core/recording.hpp>
#include <chainrule/core/tensor.hpp>
#include <chainrule/core/threads.hpp>
#include <chainrule/graph/backward.hpp>
#include <chainrule/graph/checking/check_derivation.hpp>
#include <chainrule/graph/derivation/derive.hpp>
#include <chainrule/graph/derivation/derive_forward.hpp>
#include <chainrule/graph/detect_anomaly.hpp>
#include <chainrule/graph/emission/emit.hpp>
#include <chainrule/graph/functional.hpp>
#include <chainrule/graph/gradcheck.hpp>
#include <chainrule/graph/picture/dot.hpp>
#include <chainrule/graph/picture/picture.hpp>
#include <chainrule/graph/teaching/exercise.hpp>
#include <chainrule/graph/teaching/practise.hpp>
#include <chainrule/nn/init/init.hpp>
#include <chainrule/nn/layers/activations.hpp>
#include <chainrule/nn/layers/layer_norm.hpp>
#include <chainrule/nn/layers/linear.hpp>
#include <chainrule/nn/layers/sequential.hpp>
#include <chainrule/nn/losses/losses.hpp>
#include <chainrule/nn/module.hpp>
#include <chainrule/nn/optim/adam.hpp>
#include <chainrule/nn/optim/optimizer.hpp>
#include <chainrule/nn/optim/sgd.hpp>
#include <chainrule/nn/parameter.hpp>
#include <chainrule/nn/print.hpp>
#include <chainrule/ops/elementwise/activations.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/elementwise/convert.hpp>
#include <chainrule/ops/elementwise/functions.hpp>
#include <chainrule/ops/elementwise/log.hpp>
#include <chainrule/ops/elementwise/select.hpp>
#include <chainrule/ops/linalg/matmul.hpp>
#include <chainrule/ops/nn/cross_entropy.hpp>
#include <chainrule/ops/nn/layer_norm.hpp>
#include <chainrule/ops/nn/linear.hpp>
#include <chainrule/ops/nn/loss_reduction.hpp>
#include <chainrule/ops/nn/mse.hpp>
#include <chainrule/ops/nn/softmax.hpp>
#include <chainrule/ops/operand.hpp>
#include <chainrule/ops/reduce/axes.hpp>
#include <chainrule/ops/reduce/reduction.hpp>
#include <chainrule/ops/shape/gather.hpp>
#include <chainrule/ops/shape/indexing.hpp>
#include <chainrule/ops/shape/join.hpp>
#include <chainrule/ops/shape/manipulation.hpp>

namespace cr = chainrule;
