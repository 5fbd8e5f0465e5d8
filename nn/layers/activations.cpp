#include <chainrule/nn/layers/activations.hpp>

#include <fmt/format.h>

#include <chainrule/ops/elementwise/activations.hpp>
#include <chainrule/ops/nn/softmax.hpp>
#include <chainrule/ops/shape/manipulation.hpp>

namespace chainrule::nn {

Tensor Sigmoid::forward(const Tensor& x) {
  return forward_as_call(x, [&] { return sigmoid(x, where()); });
}
Tensor Tanh::forward(const Tensor& x) {
  return forward_as_call(x, [&] { return tanh(x, where()); });
}
Tensor ReLU::forward(const Tensor& x) {
  return forward_as_call(x, [&] { return relu(x, where()); });
}
Tensor Softplus::forward(const Tensor& x) {
  return forward_as_call(x, [&] { return softplus(x, where()); });
}

Tensor Softmax::forward(const Tensor& x) {
  return forward_as_call(x, [&] { return softmax(x, axis_, where()); });
}
std::string Softmax::description() const { return fmt::format("Softmax({})", axis_); }

Tensor LogSoftmax::forward(const Tensor& x) {
  return forward_as_call(x, [&] { return log_softmax(x, axis_, where()); });
}
std::string LogSoftmax::description() const { return fmt::format("LogSoftmax({})", axis_); }

Tensor Flatten::forward(const Tensor& x) {
  return forward_as_call(x, [&] { return flatten(x, start_, end_, where()); });
}
std::string Flatten::description() const { return fmt::format("Flatten({}, {})", start_, end_); }

Tensor Identity::forward(const Tensor& x) {
  return forward_as_call(x, [&] { return x; });
}

}  // namespace chainrule::nn
