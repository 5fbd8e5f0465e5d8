#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include <chainrule/core/create.hpp>
#include <chainrule/graph/backward.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/nn/cross_entropy.hpp>
#include <chainrule/ops/shape/manipulation.hpp>
#include <chainrule/tests/core/error_of.hpp>
#include <chainrule/tests/ops/samples/samples.hpp>

using namespace chainrule;
using reference::Array;
using reference::Real;
using samples::array_of;
using samples::compare;

TEST_SUITE_BEGIN("ops");

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

Array scores(const Shape& shape, std::uint64_t seed) { return samples::scattered(shape, seed, 8); }

// The loss of every sample and its gradient for the logits, straight from the definition, in long
// double, for logits (samples, classes).
struct Definition {
  Array losses, slopes;
  Definition(const Array& z, const Array& q) : losses({z.shape[0]}), slopes(z.shape) {
    for (std::int64_t i = 0; i < z.shape[0]; ++i) {
      Real sum = 0, all = 0;
      for (std::int64_t c = 0; c < z.shape[1]; ++c) {
        sum += std::exp(z.at({i, c}));
        all += q.at({i, c});
      }
      for (std::int64_t c = 0; c < z.shape[1]; ++c) {
        losses.at({i}) -= q.at({i, c}) * (z.at({i, c}) - std::log(sum));
        slopes.at({i, c}) = std::exp(z.at({i, c})) / sum * all - q.at({i, c});
      }
    }
  }
};

Array one_hot(const std::vector<std::int64_t>& labels, std::int64_t classes) {
  Array q({static_cast<std::int64_t>(labels.size()), classes});
  for (std::size_t i = 0; i < labels.size(); ++i)
    q.at({static_cast<std::int64_t>(i), labels[i]}) = 1;
  return q;
}

Real mean_of(const Array& a) {
  Real sum = 0;
  for (const Real e : a.v) sum += e;
  return sum / static_cast<Real>(a.v.size());
}

}  // namespace

TEST_CASE("cross_entropy: values and gradients against the definition, rows and columns") {
  for (const DType dtype : {f64, f32})
    for (const auto& [n, classes] : {std::pair<std::int64_t, std::int64_t>{1, 1},
                                     {5, 3},
                                     {300, 10},
                                     {33, 70},
                                     {2, 1500},
                                     {700, 4}}) {
      CAPTURE(name_of(dtype));
      CAPTURE(n);
      CAPTURE(classes);
      // Losses are of size 10; f64 and f32 have 2e-16 and 6e-8.
      const Real tolerance = dtype == f64 ? 1e-14L : 4e-6L;
      std::vector<std::int64_t> labels;
      for (std::int64_t i = 0; i < n; ++i) labels.push_back(i * 31 % classes);
      const Tensor z = samples::tensor_of(scores({n, classes}, 3), dtype).requires_grad_();
      const Tensor label = from_vector(labels);
      const Tensor q = samples::tensor_of(
          reference::map(scores({n, classes}, 9), [](Real e) { return std::abs(e) / 16; }), dtype);
      const Array exact_z = array_of(z);
      for (const bool hard : {true, false}) {
        const Tensor& target = hard ? label : q;
        const Definition want(exact_z, hard ? one_hot(labels, classes) : array_of(q));
        const Real mean = mean_of(want.losses);
        const Tensor each = cross_entropy(z, target, Reduction::none);
        CHECK(compare("losses", each, want.losses, tolerance) == "");
        const Tensor loss = cross_entropy(z, target);
        CHECK(std::abs(loss.item() - mean) < tolerance * (1 + mean));
        const Real total = cross_entropy(z, target, Reduction::sum).item();
        CHECK(std::abs(total - mean * n) < tolerance * n * (1 + mean));
        const Array scaled = reference::map(want.slopes, [&](Real e) { return e / n; });
        CHECK(compare("gradient", grad(loss, z), scaled, tolerance) == "");

        // The same with samples as columns, in memory of its own and as a view.
        const Tensor turned = hard ? label : target.T();
        for (const bool view : {false, true}) {
          const Tensor columns = view ? z.T() : contiguous(z.T());
          const Tensor by_column = cross_entropy(columns, turned, Reduction::none, 0);
          CHECK(compare("columns", by_column, want.losses, tolerance) == "");
          const Tensor slope = grad(cross_entropy(columns, turned, Reduction::mean, 0), z);
          CHECK(compare("gradient of columns", slope, scaled, tolerance) == "");
        }
      }
    }
}

TEST_CASE("cross_entropy: classes along the middle axis") {
  const Array a = scores({2, 3, 4}, 7);
  const Tensor z = samples::tensor_of(a, f64);
  const Tensor labels = tensor({{0, 1, 2, 0}, {2, 2, 1, 0}});
  const Tensor losses = cross_entropy(z, labels, Reduction::none, 1);
  CHECK(losses.shape() == Shape{2, 4});
  for (std::int64_t i = 0; i < 2; ++i)
    for (std::int64_t j = 0; j < 4; ++j) {
      Real sum = 0;
      for (std::int64_t c = 0; c < 3; ++c) sum += std::exp(a.at({i, c, j}));
      const Real want = std::log(sum) - a.at({i, labels.at<std::int64_t>({i, j}), j});
      CHECK(std::abs(losses.at({i, j}) - want) < 1e-14L);
    }
  CHECK(cross_entropy(z, labels, Reduction::mean, -2).item() ==
        doctest::Approx(static_cast<double>(mean_of(array_of(losses)))).epsilon(1e-15));
}

TEST_CASE("cross_entropy: extremes") {
  const auto loss = [](std::initializer_list<double> z, int label) {
    return cross_entropy(tensor(z, f64), tensor(label)).item();
  };
  CHECK(loss({1000, -1000}, 0) == 0);
  CHECK(loss({1000, -1000}, 1) == 2000);
  CHECK(loss({-1000, -1000}, 1) == doctest::Approx(std::log(2.0)).epsilon(1e-15));
  CHECK(loss({-infinity, 1, 1}, 1) == doctest::Approx(std::log(2.0)).epsilon(1e-15));
  CHECK(loss({-infinity, 1}, 0) == infinity);
  CHECK(std::isnan(loss({-infinity, -infinity}, 0)));
  CHECK(std::isnan(loss({0, std::numeric_limits<double>::quiet_NaN()}, 0)));
  // In f32 a large common shift costs nothing but its own rounding.
  CHECK(cross_entropy(tensor({10000.0, 10000.25}), tensor(0)).item() ==
        doctest::Approx(std::log1p(std::exp(0.25))).epsilon(1e-6));
  // A probability of 0 counts nothing, whatever the logit.
  Tensor z = tensor({{-infinity, 0.0, 0.0}}, f64).requires_grad_();
  const Tensor q = tensor({{0.0, 1.0, 0.0}}, f64);
  const Tensor masked = cross_entropy(z, q);
  CHECK(masked.item() == doctest::Approx(std::log(2.0)).epsilon(1e-15));
  CHECK(grad(masked, z).to_vector<double>() == std::vector<double>{0, -0.5, 0.5});
  // The gradient of a sure and right answer is not lost in 1 − 1.
  Tensor sure = tensor({{0.0, -50.0}}, f64).requires_grad_();
  CHECK(grad(cross_entropy(sure, tensor({0})), sure).at({0, 1}) ==
        doctest::Approx(std::exp(-50.0)).epsilon(1e-13));
}

TEST_CASE("cross_entropy: the gradient for probabilities is −log softmax") {
  const Tensor z = tensor({{1.0, 2.0}, {0.0, 0.0}}, f64);
  Tensor q = tensor({{0.25, 0.75}, {0.5, 0.5}}, f64).requires_grad_();
  const std::vector<double> g = grad(cross_entropy(z, q), q).to_vector<double>();
  CHECK(g[0] == doctest::Approx(std::log1p(std::exp(1.0)) / 2).epsilon(1e-15));
  CHECK(g[1] == doctest::Approx(std::log1p(std::exp(-1.0)) / 2).epsilon(1e-15));
  CHECK(g[2] == doctest::Approx(std::log(2.0) / 2).epsilon(1e-15));
}

TEST_CASE("cross_entropy: no samples") {
  Tensor z = zeros({0, 3}, f64).requires_grad_();
  const Tensor labels = zeros({0}, i64);
  const Tensor total = cross_entropy(z, labels, Reduction::sum);
  CHECK(total.item() == 0);
  CHECK(grad(total, z).shape() == Shape{0, 3});
  CHECK(cross_entropy(z, labels, Reduction::none).shape() == Shape{0});
  CHECK(error_of<ShapeError>([&] { cross_entropy(z, labels); }) ==
        "cross_entropy: the mean over no samples: logits (0, 3)\n  at HERE\n  hint: "
        "Reduction::sum of no samples is 0");
}

TEST_CASE("cross_entropy: a label that is no class") {
  const Tensor z = zeros({2, 2, 3}).named("z");
  CHECK(error_of<IndexError>([&] { cross_entropy(z, tensor({{0, 1}, {3, 7}})); }) ==
        "cross_entropy: label 3 at (1, 0) is not one of the 3 classes of logits z (2, 2, 3)\n  at "
        "HERE\n  hint: labels count from 0");
  CHECK(error_of<IndexError>([&] { cross_entropy(z, tensor({{0, 1}, {2, -1}})); }) ==
        "cross_entropy: label -1 at (1, 1) is not one of the 3 classes of logits z (2, 2, 3)\n  at "
        "HERE\n  hint: take out the samples without a label first: take(x, index)");
  CHECK_THROWS_AS(cross_entropy(zeros({1, 0}), tensor({0})), IndexError);
}

TEST_CASE("cross_entropy: targets that do not fit") {
  const Tensor z = zeros({4, 3}).named("z");
  const auto shape_error = [&](const Tensor& target, int axis = -1) {
    return error_of<ShapeError>([&] { cross_entropy(z, target, Reduction::mean, axis); });
  };
  CHECK(shape_error(zeros({4, 1}, i64)) ==
        "cross_entropy: labels do not fit the logits: (4, 1) for z (4, 3) with the classes along "
        "axis 1, expected (4,)\n  at HERE\n  hint: drop the axis of extent 1: squeeze(target, 1)");
  CHECK(shape_error(zeros({3}, i64)) ==
        "cross_entropy: labels do not fit the logits: (3,) for z (4, 3) with the classes along "
        "axis 1, expected (4,)\n  at HERE\n  hint: if the classes stand along axis 0, pass axis 0");
  CHECK(shape_error(zeros({4, 3}, i64)) ==
        "cross_entropy: labels do not fit the logits: (4, 3) for z (4, 3) with the classes along "
        "axis 1, expected (4,)\n  at HERE\n  hint: one-hot targets are probabilities: convert them "
        "with to(target, f32)");
  CHECK(shape_error(zeros({4}).named("y")) ==
        "cross_entropy: probabilities do not fit the logits: y (4,) for z (4, 3) with the classes "
        "along axis 1, expected (4, 3)\n  at HERE\n  hint: class labels are i64: convert them with "
        "to(target, i64)");
  CHECK(
      shape_error(zeros({3, 4})) ==
      "cross_entropy: probabilities do not fit the logits: (3, 4) for z (4, 3) with the classes "
      "along axis 1, expected (4, 3)\n  at HERE\n  hint: there is one probability for each logit");
  CHECK(shape_error(zeros({}, i64), 0).find("expected (3,)") != std::string::npos);
  CHECK(error_of<DTypeError>([&] { cross_entropy(z, zeros({4, 3}, f64)); }) ==
        "cross_entropy: target (4, 3) is f64, logits z (4, 3) are f32\n  at HERE\n  hint: class "
        "labels are i64, probabilities of the logits' dtype: to(target, f32)");
  CHECK(error_of<DTypeError>([&] { cross_entropy(z, zeros({4}, boolean)); }) ==
        "cross_entropy: target (4,) is boolean, logits z (4, 3) are f32\n  at HERE\n  hint: class "
        "labels are i64, probabilities of the logits' dtype: to(target, i64)");
  CHECK_THROWS_AS(cross_entropy(zeros({4, 3}, i64), zeros({4}, i64)), DTypeError);
  CHECK(error_of<ValueError>([&] {
          cross_entropy(z, Tensor());
        }).starts_with("cross_entropy: the target is undefined\n  at HERE"));
  CHECK_THROWS_AS(cross_entropy(Tensor(), z), ValueError);
  CHECK(error_of<IndexError>([&] { cross_entropy(tensor(1.0), tensor(0)); }) ==
        "cross_entropy: axis -1 of (), which has 0 axes\n  at HERE\n  hint: there are no axes");
}

TEST_SUITE_END();
