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
#include <chainrule/graph/check_derivation.hpp>
#include <chainrule/graph/derive.hpp>
#include <chainrule/graph/dot.hpp>
#include <chainrule/graph/emit.hpp>
#include <chainrule/graph/functional.hpp>
#include <chainrule/graph/gradcheck.hpp>
#include <chainrule/graph/picture.hpp>
#include <chainrule/nn/activations.hpp>
#include <chainrule/nn/adam.hpp>
#include <chainrule/nn/init.hpp>
#include <chainrule/nn/layer_norm.hpp>
#include <chainrule/nn/linear.hpp>
#include <chainrule/nn/losses.hpp>
#include <chainrule/nn/module.hpp>
#include <chainrule/nn/optimizer.hpp>
#include <chainrule/nn/parameter.hpp>
#include <chainrule/nn/sequential.hpp>
#include <chainrule/nn/sgd.hpp>
#include <chainrule/ops/activations.hpp>
#include <chainrule/ops/arithmetic.hpp>
#include <chainrule/ops/axes.hpp>
#include <chainrule/ops/convert.hpp>
#include <chainrule/ops/cross_entropy.hpp>
#include <chainrule/ops/elementwise.hpp>
#include <chainrule/ops/gather.hpp>
#include <chainrule/ops/indexing.hpp>
#include <chainrule/ops/join.hpp>
#include <chainrule/ops/layer_norm.hpp>
#include <chainrule/ops/linear.hpp>
#include <chainrule/ops/log.hpp>
#include <chainrule/ops/loss_reduction.hpp>
#include <chainrule/ops/manipulation.hpp>
#include <chainrule/ops/matmul.hpp>
#include <chainrule/ops/mse.hpp>
#include <chainrule/ops/operand.hpp>
#include <chainrule/ops/reduction.hpp>
#include <chainrule/ops/select.hpp>
#include <chainrule/ops/softmax.hpp>

namespace cr = chainrule;
