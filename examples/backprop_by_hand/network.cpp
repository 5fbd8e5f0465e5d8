#include <chainrule/examples/backprop_by_hand/network.hpp>

#include <fmt/format.h>

#include <cmath>

#include <chainrule/chainrule.hpp>

namespace by_hand {

using cr::Tensor;

namespace {

std::string name(char letter, int layer) { return fmt::format("{}{}", letter, layer); }

}  // namespace

std::vector<Tensor> Network::parameters() const {
  std::vector<Tensor> all;
  for (int l = 1; l <= layers(); ++l) {
    all.push_back(W[l]);
    all.push_back(b[l]);
  }
  return all;
}

void Network::set_parameters(const std::vector<Tensor>& values) {
  const int count = static_cast<int>(values.size()) / 2;
  W.resize(1);
  b.resize(1);
  for (int l = 1; l <= count; ++l) {
    W.push_back(values[2 * l - 2].detach().named(name('W', l)).requires_grad_());
    b.push_back(values[2 * l - 1].detach().named(name('b', l)).requires_grad_());
  }
}

Network Network::converted(cr::DType dtype) const {
  std::vector<Tensor> values;
  for (const Tensor& parameter : parameters()) values.push_back(cr::to(parameter, dtype));
  Network network;
  network.set_parameters(values);
  return network;
}

Network random_network(const std::vector<std::int64_t>& units, cr::DType dtype,
                       cr::Generator& generator) {
  std::vector<Tensor> values;
  for (std::size_t l = 1; l < units.size(); ++l) {
    const bool hidden = l + 1 < units.size();
    const double a =
        (hidden ? 4 : 1) * std::sqrt(6.0 / static_cast<double>(units[l - 1] + units[l]));
    values.push_back(
        cr::to(cr::uniform(-a, a, {units[l], units[l - 1]}, generator, cr::f64), dtype));
    values.push_back(cr::zeros({units[l], 1}, dtype));
  }
  Network network;
  network.set_parameters(values);
  return network;
}

Pass forward(const Network& network, const Tensor& x) {
  const auto& [W, b] = network;
  const int output = network.layers();

  Pass pass{.z = {Tensor()}, .h = {x.named("x")}, .p = {}};
  auto& [z, h, p] = pass;
  for (int l = 1; l <= output; ++l) {
    z.push_back((matmul(W[l], h[l - 1]) + b[l]).named(name('z', l)));
    if (l < output) h.push_back(sigmoid(z[l]).named(name('h', l)));
  }
  p = softmax(z[output], 0).named("p");
  return pass;
}

Tensor predict(const Network& network, const Tensor& x) {
  const cr::NoGrad guard;
  return from_h(network, 0, x);
}

Tensor loss(const Tensor& p, const Tensor& y) {
  if (p.size(1) == 1) return -matmul(y.T(), log(p));
  return mean(-sum(y * log(p), 0));
}

Tensor from_z(const Network& network, int layer, Tensor z) {
  if (layer == network.layers()) return softmax(z, 0);
  return from_h(network, layer, sigmoid(z));
}

Tensor from_h(const Network& network, int layer, Tensor h) {
  const auto& [W, b] = network;
  const int output = network.layers();
  for (int l = layer + 1; l < output; ++l) h = sigmoid(matmul(W[l], h) + b[l]);
  return softmax(matmul(W[output], h) + b[output], 0);
}

}  // namespace by_hand
