// The two programs on digits learn, and do the same step by step.

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <string_view>
#include <vector>

#include <chainrule/chainrule.hpp>
#include <chainrule/examples/backprop_by_hand/train.hpp>
#include <chainrule/examples/common/batches.hpp>
#include <chainrule/examples/common/digits.hpp>
#include <chainrule/examples/common/options.hpp>
#include <chainrule/examples/digits_mlp/model.hpp>

namespace {

namespace nn = cr::nn;
using cr::Tensor;

const examples::Split& digits() {
  static const examples::Split split =
      examples::hold_out(examples::read_digits(examples::Options::default_data(), cr::f64));
  return split;
}

examples::Progress silent(std::int64_t epochs) {
  return {epochs, digits().train.size(), 0, [](std::string_view) {}};
}

}  // namespace

TEST_SUITE_BEGIN("examples");

TEST_CASE("training: one step by hand is W − η dW") {
  cr::Generator generator(2);
  by_hand::Network network = by_hand::random_network({64, 6, 10}, cr::f64, generator);
  const by_hand::Columns batch = by_hand::columns(digits().train.pick(cr::arange(8)));
  CHECK(batch.x.shape() == cr::Shape{64, 8});
  CHECK(batch.y.shape() == cr::Shape{10, 8});

  const std::vector<Tensor> before = network.parameters();
  const Tensor loss = by_hand::loss(by_hand::forward(network, batch.x).p, batch.y);
  const std::vector<Tensor> gradients = cr::grad(loss, before);
  CHECK(by_hand::step(network, batch, 0.25) == loss.item());
  const std::vector<Tensor> after = network.parameters();
  for (std::size_t i = 0; i < after.size(); ++i) {
    CHECK(after[i].requires_grad());
    CHECK(after[i].is_leaf());
    CHECK(after[i].name() == before[i].name());
    const auto w = before[i].to_vector<double>(), g = gradients[i].to_vector<double>();
    const auto now = after[i].to_vector<double>();
    for (std::size_t k = 0; k < w.size(); ++k)  // one rounding more or less, as compilers fuse
      CHECK(std::fabs(now[k] - (w[k] - 0.25 * g[k])) <= 1e-15);
  }
}

TEST_CASE("training: by hand and through nn the losses are the same, step by step") {
  const std::vector<std::vector<std::int64_t>> networks = {
      {64, 32, 16, 10}, {64, 10}, {64, 12, 11, 10}};
  for (const auto& units : networks) {
    cr::Generator generator(4), other(99);
    by_hand::Network network = by_hand::random_network(units, cr::f64, generator);
    nn::Sequential model = digits_mlp::make_model(units, cr::f64, other);
    for (int l = 1; l <= network.layers(); ++l) {
      auto& linear = model.get<nn::Linear>(2 * (l - 1));
      linear.weight.set(network.W[l]);
      linear.bias.set(squeeze(network.b[l], 1));
    }
    nn::SGD sgd(model.parameters(), 0.5);

    examples::Batches batches(digits().train.size(), 32, 1);
    double worst = 0, first = 0, last = 0;
    for (int epoch = 0; epoch < 3; ++epoch)
      for (const Tensor& which : batches.next_epoch()) {
        const examples::Digits batch = digits().train.pick(which);
        const double by_hand = by_hand::step(network, by_hand::columns(batch), 0.5);
        const double by_nn = digits_mlp::step(model, sgd, batch);
        worst = std::max(worst, std::fabs(by_hand - by_nn));
        last = by_nn;
        if (first == 0) first = by_nn;
      }
    // Roundings of 1e-16 that 135 steps carry on; the losses are near 1.
    CHECK(worst < 1e-12);
    CHECK(last < 0.8 * first);

    const examples::Score a = by_hand::score(network, digits().test);
    const examples::Score b = digits_mlp::score(model, digits().test);
    CHECK(std::fabs(a.loss - b.loss) < 1e-12);
    CHECK(a.accuracy == b.accuracy);
  }
}

TEST_CASE("training: both programs begin with the same weights") {
  for (const cr::DType dtype : {cr::f64, cr::f32}) {
    cr::Generator a(6), b(6);
    const auto network = by_hand::random_network({64, 5, 10}, dtype, a).parameters();
    const auto model = digits_mlp::make_model({64, 5, 10}, dtype, b).parameters();
    REQUIRE(network.size() == model.size());
    for (std::size_t i = 0; i < network.size(); ++i)
      // The bounds of the uniform numbers, near 1, may be rounded differently.
      CHECK(max(abs(reshape(network[i], model[i].shape()) - model[i])).item() <=
            (dtype == cr::f64 ? 4e-16 : 2.4e-7));
  }
}

TEST_CASE("training: with the defaults at least 95 % of the test are right") {
  const examples::Options options;
  cr::Generator generator(options.seed);
  by_hand::Network network = by_hand::random_network(options.layers(), options.dtype, generator);
  examples::Batches batches(digits().train.size(), options.batch, options.seed);
  examples::Progress progress = silent(options.epochs);
  by_hand::train(network, digits(), batches, options.epochs, options.rate, progress);
  CHECK(progress.samples_done() == options.epochs * digits().train.size());
  const examples::Score score = by_hand::score(network, digits().test);
  CHECK(score.accuracy >= 0.95);
  CHECK(score.loss < 0.2);
}

TEST_CASE("training: through nn, in f32") {
  const examples::Split split =
      examples::hold_out(examples::read_digits(examples::Options::default_data(), cr::f32));
  cr::Generator generator(1);
  nn::Sequential model = digits_mlp::make_model({64, 32, 16, 10}, cr::f32, generator);
  nn::SGD sgd(model.parameters(), 1);
  examples::Batches batches(split.train.size(), 32, 1);
  examples::Progress progress = silent(15);
  digits_mlp::train(model, sgd, split, batches, 15, progress);
  CHECK(digits_mlp::score(model, split.test).accuracy > 0.9);
}

TEST_CASE("training: a rate that is far too high is said to be so or survived") {
  cr::Generator generator(1);
  by_hand::Network network = by_hand::random_network({64, 10}, cr::f64, generator);
  const std::vector<Tensor> values = {cr::full({10, 64}, INFINITY, cr::f64), network.b[1]};
  network.set_parameters(values);
  examples::Batches batches(digits().train.size(), 32, 1);
  examples::Progress progress = silent(1);
  CHECK_THROWS_AS(by_hand::train(network, digits(), batches, 1, 1, progress), cr::ValueError);
}

TEST_SUITE_END();
