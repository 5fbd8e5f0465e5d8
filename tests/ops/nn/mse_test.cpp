#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include <chainrule/core/create.hpp>
#include <chainrule/core/random.hpp>
#include <chainrule/graph/backward.hpp>
#include <chainrule/ops/nn/mse.hpp>
#include <chainrule/ops/shape/manipulation.hpp>
#include <chainrule/tests/core/error_of.hpp>
#include <chainrule/tests/ops/samples/samples.hpp>

using namespace chainrule;
using reference::Array;
using reference::Real;
using samples::array_of;
using samples::compare;

TEST_SUITE_BEGIN("ops");

TEST_CASE("mse_loss: values and gradients of many sizes, around those of blocks") {
  Generator generator(2);
  for (const DType dtype : {f64, f32})
    for (const std::int64_t n : {1, 3, 64, 1023, 1024, 1025, 5000, 100'001}) {
      CAPTURE(name_of(dtype));
      CAPTURE(n);
      // Pairwise sums lose a digit or so to 2e-16 and 6e-8.
      const Real tolerance = dtype == f64 ? 1e-14L : 2e-6L;
      const Tensor y = randn({n}, generator, dtype).requires_grad_();
      const Tensor t = randn({n}, generator, dtype).requires_grad_();
      const Array each = reference::map(array_of(y), array_of(t),
                                        [](Real a, Real b) { return (a - b) * (a - b); });
      Real sum = 0;
      for (const Real e : each.v) sum += e;
      CHECK(compare("each", mse_loss(y, t, Reduction::none), each, tolerance) == "");
      const Tensor total = mse_loss(y, t, Reduction::sum), loss = mse_loss(y, t);
      CHECK(std::abs(total.item() - sum) <= tolerance * sum);
      CHECK(std::abs(loss.item() - sum / n) <= tolerance * (sum / n));
      const Array slope =
          reference::map(array_of(y), array_of(t), [n](Real a, Real b) { return 2 * (a - b) / n; });
      const std::vector<Tensor> g = grad(loss, {y, t});
      CHECK(compare("gradient for y", g[0], slope, tolerance) == "");
      CHECK(compare("gradient for t", g[1], reference::map(slope, [](Real e) { return -e; }),
                    tolerance) == "");
    }
}

TEST_CASE("mse_loss: a seed for each element that is a view") {
  const Tensor y = tensor({{1.0, 2.0}, {3.0, 4.0}}, f64).requires_grad_();
  const Tensor t = zeros({2, 2}, f64);
  const Tensor out = mse_loss(y, t, Reduction::none), seed = tensor({{1.0, 2.0}, {3.0, 4.0}}, f64);
  CHECK(grad(std::span(&out, 1), std::span(&seed, 1), std::span(&y, 1), {.retain_graph = true})[0]
            .to_vector<double>() == std::vector<double>{2, 8, 18, 32});
  const Tensor turned = seed.T(), same = expand(tensor(1.0, f64), {2, 2});
  CHECK(grad(std::span(&out, 1), std::span(&turned, 1), std::span(&y, 1), {.retain_graph = true})[0]
            .to_vector<double>() == std::vector<double>{2, 12, 12, 32});
  CHECK(grad(std::span(&out, 1), std::span(&same, 1), std::span(&y, 1))[0].to_vector<double>() ==
        std::vector<double>{2, 4, 6, 8});
}

TEST_CASE("mse_loss: NaN and infinity propagate") {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  const Tensor zero = zeros({2}, f64);
  CHECK(mse_loss(tensor({1.0, infinity}, f64), zero).item() == infinity);
  CHECK(std::isnan(
      mse_loss(tensor({1.0, std::numeric_limits<double>::quiet_NaN()}, f64), zero).item()));
  CHECK(mse_loss(tensor({1e200, 0.0}, f64), zero).item() == infinity);
}

TEST_CASE("mse_loss: what does not fit") {
  CHECK(error_of<ShapeError>([&] { mse_loss(zeros({5, 1}).named("y"), zeros({5})); }) ==
        "mse_loss: the shapes differ: prediction y (5, 1) and target (5,)\n"
        "  at HERE\n"
        "  hint: give the target the shape of the prediction, unsqueeze(target, -1), or drop the "
        "last axis of the prediction, squeeze(prediction, -1)");
  CHECK(error_of<ShapeError>([&] { mse_loss(zeros({5}), zeros({5, 1})); }) ==
        "mse_loss: the shapes differ: prediction (5,) and target (5, 1)\n"
        "  at HERE\n"
        "  hint: drop the last axis of the target: squeeze(target, -1)");
  CHECK(error_of<ShapeError>([&] { mse_loss(zeros({2, 3}), zeros({3, 2})); }) ==
        "mse_loss: the shapes differ: prediction (2, 3) and target (3, 2)\n"
        "  at HERE\n"
        "  hint: reshape one of them");
  CHECK(error_of<ShapeError>([&] { mse_loss(zeros({2, 3}), zeros({3})); }) ==
        "mse_loss: the shapes differ: prediction (2, 3) and target (3,)\n  at HERE"
        "\n  hint: there is one target for each element of the prediction");
  CHECK(error_of<DTypeError>([&] { mse_loss(zeros({2}), zeros({2}, f64)); }) ==
        "mse_loss: dtypes differ: prediction (2,) is f32, target (2,) is f64\n  at HERE\n  hint: "
        "convert one of them: to(target, f32)");
  CHECK_THROWS_AS(mse_loss(zeros({2}, i64), zeros({2}, i64)), DTypeError);
  CHECK(error_of<ShapeError>([&] { mse_loss(zeros({0, 2}), zeros({0, 2})); }) ==
        "mse_loss: the mean of no elements: (0, 2)\n  at HERE\n  hint: Reduction::sum of no "
        "elements is 0");
  CHECK(mse_loss(zeros({0}), zeros({0}), Reduction::sum).item() == 0);
  CHECK_THROWS_AS(mse_loss(Tensor(), zeros({2})), ValueError);
  CHECK(error_of<ValueError>([&] {
          mse_loss(zeros({2}), Tensor());
        }).starts_with("mse_loss: the target is undefined\n  at HERE"));
}

TEST_SUITE_END();
