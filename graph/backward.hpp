#pragma once

#include <initializer_list>
#include <span>
#include <vector>

#include <chainrule/core/tensor.hpp>

namespace chainrule {

/// Gradients of the scalar `output` for every parameter (leaf that requires gradients) that it
/// depends on, added in place to their grad(). If an exception leaves, parameters without a grad()
/// still have none, but one that was there may have got some of its parts: zero_grad(), and again.
/// The saved values of the graph are released unless options.retain_graph (or create_graph). Throws
/// GradError when output is not a scalar, has no graph, or its graph is released. Threads that
/// share parameters use grad() instead: backward() writes into the parameters.
void backward(const Tensor& output, BackwardOptions options = {}, Where where = Where::current());

/// The same for an output of any shape: the gradients of ⟨seed, output⟩.
void backward(const Tensor& output, const Tensor& seed, BackwardOptions options = {},
              Where where = Where::current());

/// Options of grad().
struct GradOptions {
  bool retain_graph = false;  ///< keep saved values, so that another traversal can follow
  bool create_graph = false;  ///< record the gradients, for higher derivatives; keeps saved values
  bool allow_unused = false;  ///< give zeros for inputs that the outputs do not depend on
};

/// Gradients of the sum of scalar outputs with respect to leaves or intermediate results, in the
/// order of `inputs`. Writes nothing; visits only the part of the graph between outputs and inputs.
/// Throws GradError as backward() does, and for an input that the outputs do not depend on.
std::vector<Tensor> grad(std::span<const Tensor> outputs, std::span<const Tensor> inputs,
                         GradOptions options = {}, Where where = Where::current());
std::vector<Tensor> grad(std::initializer_list<Tensor> outputs,
                         std::initializer_list<Tensor> inputs, GradOptions options = {},
                         Where where = Where::current());
std::vector<Tensor> grad(const Tensor& output, std::initializer_list<Tensor> inputs,
                         GradOptions options = {}, Where where = Where::current());
std::vector<Tensor> grad(const Tensor& output, std::span<const Tensor> inputs,
                         GradOptions options = {}, Where where = Where::current());
/// The gradient of one output with respect to one input.
Tensor grad(const Tensor& output, const Tensor& input, GradOptions options = {},
            Where where = Where::current());

/// Gradients of Σᵢ ⟨seedsᵢ, outputsᵢ⟩, for outputs of any shape. A seed has its output's shape and
/// dtype.
std::vector<Tensor> grad(std::span<const Tensor> outputs, std::span<const Tensor> seeds,
                         std::span<const Tensor> inputs, GradOptions options = {},
                         Where where = Where::current());

}  // namespace chainrule
