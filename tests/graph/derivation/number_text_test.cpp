#include <chainrule/core/create.hpp>
#include <chainrule/core/random.hpp>
#include <chainrule/graph/derivation/derive.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <string>

#include <chainrule/ops/elementwise/activations.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/elementwise/functions.hpp>
#include <chainrule/ops/linalg/matmul.hpp>
#include <chainrule/ops/reduce/reduction.hpp>

// Numbers in formulas: where they stand, and how many digits they have.

using namespace chainrule;

TEST_SUITE_BEGIN("graph");

namespace {

struct Symbols {
  Generator generator{7};
  Tensor a = parameter("a", {}), b = parameter("b", {}), w = parameter("w", {4});

  Tensor parameter(const char* name, const Shape& shape) {
    return uniform(0.5, 1, shape, generator, f64).named(name).requires_grad_();
  }
};

std::string formulas(const Tensor& loss, std::initializer_list<Tensor> of) {
  return derive(loss, of).text({.limits = false});
}

}  // namespace

TEST_CASE("numbers in formulas: what stands behind a fraction is not under its line") {
  const Symbols s;
  CHECK(formulas(sum(sin(tanh(0.5 * exp(s.a) * s.w))), {s.w}).ends_with(" = (exp(a) / 2) w\n"));
}

TEST_CASE("numbers in formulas: they cancel across results without names") {
  const Symbols s;
  CHECK(formulas(0.5 * exp(s.a) * square(s.b), {s.b}) == "db = exp(a) b\n");
  CHECK(formulas(0.5 * exp(s.a) * sum(square(s.w)), {s.w}) == "dw = exp(a) w\n");
  CHECK(formulas(exp(s.a) / 2.0 * square(s.b) * s.a, {s.b}) == "db = a exp(a) b\n");
}

TEST_CASE("numbers in formulas: as fractions, or with the digits that they need") {
  const Symbols s;
  const auto scaled = [&](double factor) { return formulas(s.a * s.b * factor, {s.b}); };
  CHECK(scaled(0.5) == "db = a / 2\n");
  CHECK(scaled(0.1) == "db = a / 10\n");
  CHECK(scaled(0.123456) == "db = 0.123456 a\n");
  CHECK(scaled(0.1234567) == "db = 0.1234567 a\n");
  CHECK(scaled(0.12345678901234) == "db = 0.123456789 a\n");
  CHECK(scaled(7.0 / 90) == "db = 7 a / 90\n");
}

TEST_CASE("numbers in formulas: the same in f32 as in f64") {
  for (const DType dtype : {f32, f64}) {
    CAPTURE(dtype == f32);
    Generator g{3};
    const auto data = [&](const char* name, const Shape& shape) {
      return randn(shape, g, dtype).named(name);
    };
    const auto text = [](const Tensor& loss) { return derive(loss).text({.limits = false}); };
    const Tensor X = data("X", {4, 8}), W = data("W", {8, 8}).requires_grad_();
    const Tensor Z = (matmul(X, W) / std::sqrt(8.0)).named("Z");
    CHECK(text(sum(square(Z))) ==
          "dZ = 2 Z\n"
          "dW = Xᵀ·dZ / √8\n");
    const Tensor w = data("w", {7}).requires_grad_();
    CHECK(text(sum(exp(w) / 7) + 0.1 * sum(square(w))) == "dw = w / 5 + exp(w) / 7\n");
    CHECK(text(mean(square(w) * 0.3)) == "dw = 3 w / 35\n");
    CHECK(text(1e-3 * sum(abs(w)) / 3) == "dw = sign(w) / 3000\n");
    CHECK(text(0.123456 * sum(exp(w))) == "dw = 0.123456 exp(w)\n");
    CHECK(text(-std::sqrt(2.0) * sum(exp(w))) == "dw = −√2 exp(w)\n");
    // A number that was measured, not written, keeps its digits.
    const std::string measured = text(0.43217683 * sum(exp(w)));
    CHECK(measured.starts_with("dw = 0.4321768"));
  }
}

TEST_CASE("numbers in formulas: arithmetic with a named number keeps its name") {
  const Symbols s;
  const Tensor lambda = tensor(0.1, f64).named("λ"), nu = tensor(3.0, f64).named("ν");
  const auto weighted = [&](const Tensor& by) { return formulas(by * sum(square(s.w)), {s.w}); };
  CHECK(weighted(0.5 * lambda) == "dw = λ w\n");
  CHECK(weighted(lambda / 2.0) == "dw = λ w\n");
  CHECK(weighted(lambda * 0.5) == "dw = λ w\n");
  CHECK(weighted(lambda * lambda) == "dw = 2 λ² w\n");
  CHECK(weighted(1.0 - lambda) == "dw = 2 (1 − λ) w\n");
  CHECK(weighted(0.5 * (nu + 1.0)) == "dw = (ν + 1) w\n");
  CHECK(formulas(sum(square(s.w)) / (2.0 * lambda), {s.w}) == "dw = w / λ\n");
  CHECK(weighted(sqrt(lambda)) == "dw = 2 √λ w\n");
  CHECK(weighted(square(lambda)) == "dw = 2 λ² w\n");
  CHECK(weighted(pow(lambda, 3.0)) == "dw = 2 λ³ w\n");
  CHECK(weighted(exp(-lambda)) == "dw = 2 exp(−λ) w\n");
  CHECK(formulas(sum(square(s.w / sqrt(lambda))), {s.w}) == "dw = 2 w / λ\n");
}

TEST_CASE("numbers in formulas: what a loop carries on has no history, and large data has none") {
  Tensor rate = tensor(0.1, f64).named("η");
  for (int step = 0; step < 10; ++step) rate = rate * 0.5;
  CHECK(rate.node() == nullptr);
  for (int step = 0; step < 10; ++step) rate = sqrt(rate);
  CHECK(rate.node() == nullptr);
  Tensor x = ones({3}, f64).named("x");
  CHECK((x * tensor(2.0, f64).named("τ")).node() != nullptr);
  for (int step = 0; step < 10; ++step) x = x * 0.5;
  CHECK(x.node() == nullptr);
  const Tensor large = ones({1 << 17}, f64).named("X");
  CHECK((large * 2.0).node() == nullptr);
  CHECK(sqrt(large).node() == nullptr);
}

TEST_SUITE_END();
