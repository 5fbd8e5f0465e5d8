#include <chainrule/examples/digits_mlp/model.hpp>

#include <chainrule/chainrule.hpp>
#include <chainrule/examples/common/confusion.hpp>

namespace digits_mlp {

namespace nn = cr::nn;
using cr::Tensor;

nn::Sequential make_model(const std::vector<std::int64_t>& units, cr::DType dtype,
                          cr::Generator& generator) {
  nn::Sequential model;
  for (std::size_t l = 1; l < units.size(); ++l) {
    const bool hidden = l + 1 < units.size();
    nn::Linear layer(units[l - 1], units[l], {.dtype = dtype});
    // Four times Xavier's range where a sigmoid follows, whose slope at 0 is 1/4.
    const Tensor weight =
        nn::xavier_uniform(layer.weight.shape(),
                           {.gain = hidden ? 4.0 : 1.0, .dtype = cr::f64, .generator = &generator});
    layer.weight.set(cr::to(weight, dtype));
    layer.bias.set(zeros_like(layer.bias));
    model.append(std::move(layer));
    if (hidden) model.append(nn::Sigmoid());
  }
  return model;
}

double step(nn::Sequential& model, nn::SGD& sgd, const examples::Digits& batch) {
  constexpr nn::CrossEntropyLoss loss;
  const Tensor error = loss(model(batch.pixels), batch.labels);
  sgd.zero_grad();
  error.backward();
  sgd.step();
  return error.item();
}

examples::Score score(nn::Sequential& model, const examples::Digits& digits) {
  const cr::NoGrad guard;
  const Tensor logits = model(digits.pixels);
  return {.loss = cross_entropy(logits, digits.labels).item(),
          .accuracy = examples::accuracy(digits.labels, argmax(logits, 1))};
}

void train(nn::Sequential& model, nn::SGD& sgd, const examples::Split& digits,
           examples::Batches& batches, std::int64_t epochs, examples::Progress& progress) {
  for (std::int64_t epoch = 1; epoch <= epochs; ++epoch) {
    for (const Tensor& batch : batches.next_epoch()) {
      const double loss = step(model, sgd, digits.train.pick(batch));
      progress.batch(batch.numel(), loss);
    }
    progress.epoch(score(model, digits.train), score(model, digits.test));
  }
}

}  // namespace digits_mlp
