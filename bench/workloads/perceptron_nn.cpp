#include <chainrule/bench/workloads/perceptron_nn.hpp>

#include <chainrule/nn/optim/adam.hpp>

namespace workloads {

using chainrule::Tensor;
namespace nn = chainrule::nn;

Batches::Batches(const Data& data) {
  const auto rows = static_cast<std::size_t>(data.batch);
  const auto inputs = static_cast<std::size_t>(data.inputs);
  for (std::size_t i = 0; i < Data::batches; ++i) {
    x.push_back(
        chainrule::borrow(std::span(data.x_at(i), rows * inputs), {data.batch, data.inputs}));
    labels.push_back(chainrule::borrow(std::span(data.labels_at(i), rows), {data.batch}));
  }
}

WithNn::WithNn(const Network& network, const Data& data, const Start& start) : data_(data) {
  for (std::size_t l = 0; l < network.layers(); ++l) {
    nn::Linear linear(network.sizes[l], network.sizes[l + 1]);
    const chainrule::Shape rows_are_inputs{network.sizes[l], network.sizes[l + 1]};
    linear.weight.set(chainrule::from_vector(start.weights[l], rows_are_inputs).T());
    linear.bias.set(chainrule::from_vector(start.biases[l], {network.sizes[l + 1]}));
    model_.append(std::move(linear));
    if (l + 1 == network.layers()) break;
    if (network.relu)
      model_.append(nn::ReLU());
    else
      model_.append(nn::Sigmoid());
  }
  const double rate = static_cast<double>(network.rate());
  if (network.adam)
    optimizer_ = std::make_unique<nn::Adam>(model_.parameters(), rate);
  else
    optimizer_ = std::make_unique<nn::SGD>(model_.parameters(), rate);
}

const nn::Linear& WithNn::layer(std::size_t l) const {
  return model_.get<nn::Linear>(static_cast<std::ptrdiff_t>(2 * l));
}

float WithNn::gradients(std::size_t i) {
  const Tensor error = loss(i);
  optimizer_->zero_grad();
  error.backward();
  return error.item<float>();
}

float WithNn::step(std::size_t i) {
  const float loss = gradients(i);
  optimizer_->step();
  return loss;
}

std::vector<float> WithNn::gradient(std::size_t l) const {
  std::vector<float> all = layer(l).weight.grad().T().to_vector<float>();
  const std::vector<float> db = layer(l).bias.grad().to_vector<float>();
  all.insert(all.end(), db.begin(), db.end());
  return all;
}

}  // namespace workloads
