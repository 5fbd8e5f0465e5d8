// Right formulas where kinks meet: the largest of the largest, with ties in each.
#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <initializer_list>
#include <utility>
#include <vector>

#include <chainrule/core/create.hpp>
#include <chainrule/core/random.hpp>
#include <chainrule/graph/checking/check_derivation.hpp>
#include <chainrule/ops/elementwise/activations.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/elementwise/convert.hpp>
#include <chainrule/ops/elementwise/functions.hpp>
#include <chainrule/ops/elementwise/select.hpp>
#include <chainrule/ops/linalg/matmul.hpp>
#include <chainrule/ops/reduce/reduction.hpp>
#include <chainrule/ops/shape/gather.hpp>
#include <chainrule/ops/shape/manipulation.hpp>

using namespace chainrule;

TEST_SUITE_BEGIN("graph");

namespace {

// Whole numbers, of which many are equal.
Tensor whole(const Shape& shape, Generator& generator, DType dtype) {
  std::vector<double> elements = randn(shape, generator, f64).to_vector<double>();
  for (double& x : elements) x = std::round(x);
  return to(from_vector(elements, shape), dtype);
}

}  // namespace

TEST_CASE("check_derivation: right subgradients where ties of maxima meet are no mistakes") {
  Generator generator(1);
  for (int k = 0; k < 400; ++k) {
    const DType dt = k % 4 == 0 ? f32 : f64;
    const auto drawn = [&](const char* name, const Shape& shape, bool zero = false) {
      const Tensor numbers = whole(shape, generator, dt);
      return (zero ? numbers * 0.0 : numbers).detach().named(name);
    };
    const bool zero = k % 8 == 1;
    const Tensor x = drawn("X", {2, 2}), y = drawn("y", {2});
    const Tensor a = drawn("A", {2, 2}, zero).requires_grad_(),
                 b = drawn("B", {2, 2}, zero).requires_grad_(),
                 v = drawn("v", {2}).requires_grad_();
    const Tensor p = matmul(x, a).named("P"), q = matmul(x, b).named("Q"),
                 h = maximum(p, q).named("H");
    Tensor g = max(h, 1);
    if (k % 3 != 0) g = g.named("g");
    const Tensor r = matmul(h, v) + g - y, loss = sum(square(r));
    const Tensor dr = 2.0 * r;
    const Tensor dh = outer(dr, v) + unsqueeze(dr, 1) * one_hot(argmax(h, 1), 2, dt),
                 dp = dh * to(p > q, dt), dq = dh * to(q >= p, dt);
    std::vector<Formula> formulas{{"dH", h, dh},
                                  {"dP", p, dp},
                                  {"dQ", q, dq},
                                  {"dA", a, matmul(x.T(), dp)},
                                  {"dB", b, matmul(x.T(), dq)}};
    if (k % 2 == 1)
      for (Formula& formula : formulas) formula.by_hand = formula.by_hand.detach();
    const DerivationReport report = check_derivation(loss, formulas);
    CAPTURE(k);
    CHECK_MESSAGE(report.ok(), report.text());
  }
}

TEST_CASE("check_derivation: at ties that meet each is on a side of its own") {
  // Whole numbers, so that columns of W are often opposite: what moves the parameters moves two
  // units to sides that make up for each other, as of relu(a) − relu(−a).
  for (int seed = 0; seed < 60; ++seed) {
    CAPTURE(seed);
    Generator generator(static_cast<std::uint64_t>(seed));
    const auto drawn = [&](const char* name, const Shape& shape) {
      return to(randint(-1, 2, shape, generator), f64).named(name);
    };
    const Tensor x = drawn("X", {3, 2}), w = drawn("W", {2, 4}).requires_grad_(),
                 v = drawn("v", {4}).requires_grad_(), y = drawn("y", {3});
    const Tensor a = matmul(x, w).named("a"), one = ones_like(a), fifth = full_like(a, 0.2);
    const auto check = [&](const Tensor& h, std::initializer_list<Tensor> slopes) {
      const Tensor r = matmul(h, v) - y, loss = mean(square(r));
      const Tensor dh = 2.0 / 3.0 * outer(r, v);
      for (const Tensor& slope : slopes) {
        const Tensor dw = matmul(x.T(), dh * slope);
        for (const Tensor& by_hand : {dw, dw.detach()}) {
          const DerivationReport report = check_derivation(loss, {{"dW", w, by_hand}});
          CHECK_MESSAGE(report.ok(), report.text());
        }
      }
    };
    check(relu(a).named("h"), {to(a > 0.0, f64), to(a >= 0.0, f64)});
    check(abs(a).named("h"), {sign(a), where(a >= 0.0, one, -one)});
    check(maximum(a, 0.2 * a).named("h"),
          {where(a > 0.0, one, fifth), where(a >= 0.0, one, fifth)});
  }
}

TEST_CASE("check_derivation: a factor that is 1 is asked for beside a kink in another element") {
  const Tensor x = tensor({{0.5, 1.0, 1.2}, {0.7, 0.3, 0.9}}, f64).named("x");
  const Tensor b = tensor({0.1, 0.0, -0.1}, f64).named("b");
  const auto check = [&](auto f) {
    const Tensor s = tensor(1.0, f64).named("s").requires_grad_();
    const Tensor d = (s * x + b).named("d");
    const Tensor loss = f(d).first, dd = f(d).second;
    CHECK(check_derivation(loss, {{"dd", d, dd}}).ok());
    CHECK_FALSE(check_derivation(loss, {{"dd", d, dd * s}}).ok());
  };
  // At the bound, and with two that are the largest of a row.
  check([](const Tensor& d) {
    const Tensor n = clamp(d, 0.4, 1.1);
    return std::pair(sum(square(n)), 2.0 * n * to(d >= 0.4, f64) * to(d <= 1.1, f64));
  });
  check([](const Tensor& d) {
    const Tensor m = max(d, 1, true), top = to(d == m, f64);
    return std::pair(sum(square(m)), 2.0 * m * top / sum(top, 1, true));
  });
}

TEST_CASE("check_derivation: at a tie of what a program compares both subgradients are right") {
  for (const DType dt : {f32, f64}) {
    CAPTURE(name_of(dt));
    const auto numbers = [&](const char* name, std::vector<double> elements) {
      return to(from_vector(elements, {8}), dt).named(name);
    };
    const Tensor a = numbers("a", {0, 1.2, -2, 0.7, -0.3, 2.2, 1.1, -1.7}).requires_grad_();
    const Tensor b = numbers("b", {0, 2.1, -3, 0.1, 0.9, -0.2, 1.4, -1.1}).requires_grad_();
    const Tensor t = numbers("t", {1, 0.5, 0.7, 0.2, -0.6, 0.8, -0.4, 1.3});
    const auto is_right = [&](const Tensor& u, const auto& slope) {
      const Tensor loss = mean(square(u.named("u") - t));
      const Tensor by_hand = (u - t) / 4.0 * slope;
      CHECK(check_derivation(loss, {{"da", a, by_hand}}).ok());
      CHECK(check_derivation(loss, {{"da", a, by_hand.detach()}}).ok());
      CHECK_FALSE(check_derivation(loss, {{"da", a, 1.1 * by_hand}}).ok());
    };
    const auto one_if = [&](const Tensor& mask) { return to(mask, dt); };
    for (const bool at_tie : {false, true}) {
      const auto above = [&](const Tensor& x, const Operand& y) {
        return one_if(at_tie ? ge(x, y) : gt(x, y));
      };
      CAPTURE(at_tie);
      is_right(where(a > 0.0, a, 0.0), above(a, 0.0));
      is_right(where(a >= 0.0, a, 0.1 * a), 0.1 + 0.9 * above(a, 0.0));
      is_right(where(a >= 0.0, a, -a), 2.0 * above(a, 0.0) - 1.0);
      is_right(where(a >= b, a, b), above(a, b));
      is_right(where(1.0 - a > 1.0, -a, 0.0), above(a, 0.0) - 1.0);
    }
  }
}

TEST_CASE("check_derivation: of what turns often within a step the rules are not blamed") {
  Generator generator(3);
  for (int k = 0; k < 20; ++k) {
    const Tensor z = (rand({8}, generator, f64) * 1e6).named("z").requires_grad_();
    const Tensor loss = sum(square(sin(z).named("h")));
    const DerivationReport report = check_derivation(loss, {{"dz", z, 2.0 * sin(z) * cos(z)}});
    CAPTURE(report.text());
    CHECK(report.ok());
  }
}

TEST_SUITE_END();
