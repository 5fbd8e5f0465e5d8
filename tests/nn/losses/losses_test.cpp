#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include <chainrule/core/create.hpp>
#include <chainrule/graph/gradcheck.hpp>
#include <chainrule/nn/losses/losses.hpp>
#include <chainrule/tests/core/error_of.hpp>

using namespace chainrule;

TEST_SUITE_BEGIN("nn");

namespace {

// A few roundings of numbers of the size of 10.
constexpr double tolerance = 1e-14;

}  // namespace

TEST_CASE("losses: mean squared error") {
  const std::vector<double> y = {0.5, -1.25, 2.0, 0.0, 3.5, -0.75},
                            t = {1.0, -1.0, 0.5, 0.25, 3.5, 2.0};
  const Tensor prediction = from_vector(y, {2, 3}).requires_grad_();
  const Tensor target = from_vector(t, {2, 3});
  double sum = 0;
  for (std::size_t i = 0; i < 6; ++i) sum += (y[i] - t[i]) * (y[i] - t[i]);
  const Tensor mean = nn::MSELoss()(prediction, target);
  CHECK(mean.shape() == Shape{});
  CHECK(mean.item() == doctest::Approx(sum / 6).epsilon(tolerance));
  CHECK(nn::MSELoss(Reduction::sum)(prediction, target).item() ==
        doctest::Approx(sum).epsilon(tolerance));
  const Tensor each = nn::MSELoss{.reduction = Reduction::none}(prediction, target);
  CHECK(each.shape() == Shape{2, 3});
  mean.backward();
  for (std::int64_t i = 0; i < 6; ++i) {
    const auto at = static_cast<std::size_t>(i);
    const double difference = y[at] - t[at];
    CHECK(each.at({i / 3, i % 3}) == doctest::Approx(difference * difference).epsilon(tolerance));
    CHECK(std::abs(prediction.grad().at({i / 3, i % 3}) - 2 * difference / 6) <= tolerance);
  }
  for (const Reduction reduction : {Reduction::none, Reduction::mean, Reduction::sum}) {
    const GradcheckReport report =
        gradcheck([&](std::span<const Tensor> in) { return nn::MSELoss(reduction)(in[0], in[1]); },
                  {prediction.detach(), target}, {.order = 2});
    CHECK_MESSAGE(report.ok(), report.to_string());
  }
}

TEST_CASE("losses: errors name the line of the call") {
  CHECK(error_of<ShapeError>([] { nn::MSELoss()(zeros({2, 3}), zeros({3})); }) ==
        "mse_loss: the shapes differ: prediction (2, 3) and target (3,)\n  at HERE"
        "\n  hint: there is one target for each element of the prediction");
}

TEST_CASE("losses: cross-entropy of logits") {
  const std::vector<double> z = {1.5, -0.5, 0.25, -2.0, 3.0, 0.5};
  const Tensor logits = from_vector(z, {2, 3}).requires_grad_();
  const std::vector<std::int64_t> labels = {2, 0};
  long double sum = 0;
  for (std::size_t i = 0; i < 2; ++i) {
    long double all = 0;
    for (std::size_t k = 0; k < 3; ++k) all += std::exp(static_cast<long double>(z[i * 3 + k]));
    sum += std::log(all) - z[i * 3 + static_cast<std::size_t>(labels[i])];
  }
  const auto total = static_cast<double>(sum);
  const nn::CrossEntropyLoss loss;
  CHECK(loss(logits, from_vector(labels)).item() == doctest::Approx(total / 2).epsilon(tolerance));
  const Tensor probabilities = tensor({{0.0, 0.0, 1.0}, {1.0, 0.0, 0.0}}, f64);
  CHECK(loss(logits, probabilities).item() == doctest::Approx(total / 2).epsilon(tolerance));
  CHECK(nn::CrossEntropyLoss{.reduction = Reduction::sum}(logits, from_vector(labels)).item() ==
        doctest::Approx(total).epsilon(tolerance));
  CHECK(nn::CrossEntropyLoss{.reduction = Reduction::none}(logits, probabilities).shape() ==
        Shape{2});
  const nn::CrossEntropyLoss columns{.axis = 0};
  CHECK(columns(logits.T(), from_vector(labels)).item() ==
        doctest::Approx(total / 2).epsilon(tolerance));
  CHECK_THROWS_AS(loss(logits, tensor({0, 1, 2})), ShapeError);
  CHECK_THROWS_AS(loss(logits, tensor({0, 3})), IndexError);
}

TEST_SUITE_END();
