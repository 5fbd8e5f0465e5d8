#include <chainrule/examples/backprop_by_hand/train.hpp>

#include <chainrule/chainrule.hpp>
#include <chainrule/examples/common/confusion.hpp>

namespace by_hand {

using cr::Tensor;

Columns columns(const examples::Digits& digits) {
  const cr::DType dtype = digits.pixels.dtype();
  return {.x = digits.pixels.T(),
          .y = cr::one_hot(digits.labels, examples::Digits::classes, dtype).T()};
}

double step(Network& network, const Columns& batch, double rate) {
  const Pass pass = forward(network, batch.x);
  const Tensor error = loss(pass.p, batch.y);
  const std::vector<Tensor> gradients = cr::grad(error, network.parameters());

  const cr::NoGrad guard;
  std::vector<Tensor> values = network.parameters();
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = values[i] - rate * gradients[i];
  network.set_parameters(values);
  return error.item();
}

examples::Score score(const Network& network, const examples::Digits& digits) {
  const cr::NoGrad guard;
  const Columns samples = columns(digits);
  const Tensor p = predict(network, samples.x);
  return {.loss = loss(p, samples.y).item(),
          .accuracy = examples::accuracy(digits.labels, argmax(p, 0))};
}

void train(Network& network, const examples::Split& digits, examples::Batches& batches,
           std::int64_t epochs, double rate, examples::Progress& progress) {
  for (std::int64_t epoch = 1; epoch <= epochs; ++epoch) {
    for (const Tensor& batch : batches.next_epoch()) {
      const double loss = step(network, columns(digits.train.pick(batch)), rate);
      progress.batch(batch.numel(), loss);
    }
    progress.epoch(score(network, digits.train), score(network, digits.test));
  }
}

}  // namespace by_hand
