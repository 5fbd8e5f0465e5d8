#pragma once

#include <functional>
#include <span>
#include <utility>
#include <vector>

#include <chainrule/graph/backward.hpp>

/// Derivatives of functions of tensors. Each makes fresh leaves of its arguments, runs the function
/// with recording on, and leaves the arguments as they are. Where recording is on outside, too, the
/// results keep a graph to whatever requires gradients that they depend on: arguments, seeds, and
/// tensors that the function captured. So all of them nest. Results share no memory with arguments,
/// seeds, or parameters.
namespace chainrule {

/// A function of several tensors.
using Function = std::function<Tensor(std::span<const Tensor>)>;
/// A function of one tensor.
using UnaryFunction = std::function<Tensor(const Tensor&)>;

/// f(inputs), a scalar, and its gradient for each input.
struct ValueAndGrad {
  Tensor value;
  std::vector<Tensor> grads;
};
ValueAndGrad value_and_grad(const Function& f, std::span<const Tensor> inputs,
                            Where where = Where::current());
ValueAndGrad value_and_grad(const Function& f, std::initializer_list<Tensor> inputs,
                            Where where = Where::current());
/// The same for one input: {value, gradient}.
std::pair<Tensor, Tensor> value_and_grad(const UnaryFunction& f, const Tensor& input,
                                         Where where = Where::current());

/// f(inputs) and the vector-Jacobian product vᵀJ: the gradient of ⟨v, f(inputs)⟩ for each input.
/// `cotangent` v has the shape of the output.
ValueAndGrad vjp(const Function& f, std::span<const Tensor> inputs, const Tensor& cotangent,
                 Where where = Where::current());
ValueAndGrad vjp(const Function& f, std::initializer_list<Tensor> inputs, const Tensor& cotangent,
                 Where where = Where::current());
std::pair<Tensor, Tensor> vjp(const UnaryFunction& f, const Tensor& input, const Tensor& cotangent,
                              Where where = Where::current());

/// f(inputs) and the Jacobian-vector product J·t in forward mode: each op's jvp rule once, in the
/// order of the computation. `tangents` have the shapes of the inputs.
std::pair<Tensor, Tensor> jvp(const Function& f, std::span<const Tensor> inputs,
                              std::span<const Tensor> tangents, Where where = Where::current());
std::pair<Tensor, Tensor> jvp(const Function& f, std::initializer_list<Tensor> inputs,
                              std::initializer_list<Tensor> tangents,
                              Where where = Where::current());
std::pair<Tensor, Tensor> jvp(const UnaryFunction& f, const Tensor& input, const Tensor& tangent,
                              Where where = Where::current());

}  // namespace chainrule
