// Numbers and constants that a formula was not recorded with: natural ones and those of the program
// are what they are everywhere, others may have been read from tensors.
#include <doctest/doctest.h>

#include <cmath>
#include <numbers>
#include <string>

#include <chainrule/core/create.hpp>
#include <chainrule/core/random.hpp>
#include <chainrule/graph/checking/check_derivation.hpp>
#include <chainrule/ops/elementwise/activations.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/elementwise/convert.hpp>
#include <chainrule/ops/elementwise/functions.hpp>
#include <chainrule/ops/elementwise/log.hpp>
#include <chainrule/ops/linalg/matmul.hpp>
#include <chainrule/ops/reduce/reduction.hpp>

using namespace chainrule;

TEST_SUITE_BEGIN("graph");

namespace {

const double pi = std::numbers::pi;

FormulaVerdict verdict(const Tensor& loss, const Tensor& of, const Tensor& formula) {
  return check_derivation(loss, {{"d", of, formula}}).verdicts()[0];
}

// A right formula, and one that is right where γ is 1 alone.
void check(const Tensor& loss, const Tensor& of, const Tensor& right, const Tensor& wrong) {
  const FormulaVerdict good = verdict(loss, of, right);
  CAPTURE(good.why_here_alone);
  CAPTURE(good.diagnosis);
  CHECK(good.ok);
  CHECK_FALSE(good.here_alone);
  const FormulaVerdict bad = verdict(loss, of, wrong);
  CAPTURE(bad.why_here_alone);
  CHECK_FALSE(bad.ok);
  CHECK(bad.note.find("right for these values alone") != std::string::npos);
}

}  // namespace

TEST_CASE(
    "check_derivation: beside any number a γ that is 1, a b that is 0, a W that is symmetric") {
  for (const DType dt : {f64, f32})
    for (const double a : {0.5, 0.3712, 9.81, 1 / std::sqrt(2 * pi), 0.012345678, 273.15})
      for (const double c : {2 * a * a, a / 3.3, std::log(2.0) * a, std::sin(a)}) {
        CAPTURE(std::string(name_of(dt)));
        CAPTURE(a);
        CAPTURE(c);
        const Tensor x = to(tensor({0.52, 1.03, -1.27}, f64), dt).named("x");
        const Tensor gamma = ones({3}, dt).named("γ").requires_grad_();
        const Tensor b = zeros({3}, dt).named("b").requires_grad_();
        const Tensor w = to(tensor({{1.0, 0.2, 0.3}, {0.2, -1.0, 0.4}, {0.3, 0.4, 0.6}}, f64), dt)
                             .named("W")
                             .requires_grad_();
        const Tensor h = matmul(w, x).named("h"), u = (gamma * h + b).named("u");
        const Tensor loss = c / 2 * sum(square(u));
        check(loss, h, c * u * gamma, c * u);
        check(loss, h, c * u * gamma, c * (gamma * h) * gamma);
        const Tensor t = tanh(matmul(w, u)), dt_ = c * t * (1.0 - square(t));
        check(c / 2 * sum(square(t)), u, matmul(w.T(), dt_), matmul(w, dt_));
      }
}

TEST_CASE(
    "check_derivation: a scalar that is 1 beside natural constants and numbers of the program") {
  for (const DType dt : {f64, f32}) {
    CAPTURE(std::string(name_of(dt)));
    const Tensor x = to(tensor({0.5, 1.0, 1.2}, f64), dt).named("x");
    const Tensor s = tensor(1.0, dt).named("s").requires_grad_();
    const Tensor d = (s * x).named("d");
    const Tensor cdf = (0.5 * (1.0 + erf(d / std::sqrt(2.0)))).named("N");
    const Tensor dd = 2.0 * cdf * (1 / std::sqrt(2 * pi)) * exp(-square(d) / 2.0);
    check(sum(square(cdf)), d, dd, dd * s);
    const Tensor plain = 2.0 * erf(d) * (2 / std::sqrt(pi)) * exp(-square(d));
    check(sum(square(erf(d))), d, plain, plain * s);
    for (const double a : {9.81, 0.3712, 273.15, 0.012})
      for (const double b : {0.35, 2.3, 1.7}) {
        CAPTURE(a);
        CAPTURE(b);
        const Tensor right = 2.0 * a * d - b * b, power = 2.0 * a / (b * b) * d;
        check(a * sum(square(d)) - b * (b * sum(d)), d, right, right * s);
        check(a * sum(square(d / b)), d, power, power * s);
        check(sum(square(a * d)), d, 2.0 * a * a * d, 2.0 * a * a * d * s);
        check(sum(log(d) / std::log(3.7)), d, 1.0 / (d * std::log(3.7)), s / (d * std::log(3.7)));
      }
    const double ln2 = std::log(2.0);
    check(sum(exp(ln2 * d)), d, ln2 * exp(ln2 * d), ln2 * exp(ln2 * x));
  }
}

TEST_CASE("check_derivation: a number that was read from a tensor is no alarm, and is said") {
  for (const DType dt : {f64, f32})
    for (std::uint64_t seed = 1; seed <= 8; ++seed) {
      CAPTURE(std::string(name_of(dt)));
      CAPTURE(seed);
      Generator generator(seed);
      const Tensor x = randn({5}, generator, dt).named("x");
      const Tensor w = (0.3 * randn({5}, generator, dt)).detach().named("w").requires_grad_();
      const auto number = [](const Tensor& scalar) {
        return to(scalar.detach(), f64).item<double>();
      };
      // Once, in a root, and as one of several.
      const Tensor z = dot(x, w), e = tanh(z), u = (w * x).named("u");
      const double slope = 1 - std::pow(number(e), 2), total = number(sum(u));
      const FormulaVerdict once = verdict(e, w, slope * x);
      CAPTURE(once.diagnosis);
      CHECK(once.ok);
      // In f32 what is nearly 1 may change by less than it is rounded.
      CHECK((once.here_alone || dt == f32));
      if (once.here_alone)
        CHECK(once.why_here_alone.find("as if read from a tensor") != std::string::npos);
      CHECK_FALSE(verdict(e, w, -slope * x).ok);
      const Tensor loss = sqrt(1.0 + square(sum(u)));
      CHECK(verdict(loss, w, total * x / std::sqrt(1 + total * total)).ok);
      const Tensor mixed = sum(square(u)) * z;
      CHECK(verdict(mixed, w, 2.0 * u * x * number(z) + number(sum(square(u))) * x).ok);
      // A tensor that was detached, where it says more than one element.
      const Tensor m = randn({3, 5}, generator, dt).named("M").requires_grad_();
      const Tensor h = matmul(m, x).named("h"), dh = tanh(h) * (1.0 - square(tanh(h)));
      const FormulaVerdict detached = verdict(0.5 * sum(square(tanh(h))), m, outer(dh.detach(), x));
      CHECK(detached.ok);
      CHECK(detached.here_alone);
      CHECK_FALSE(verdict(0.5 * sum(square(tanh(h))), m, outer(dh.detach() + 0.1, x)).ok);
    }
}

TEST_CASE(
    "check_derivation: constants that were made without the program are asked elsewhere, too") {
  const Tensor x = tensor({{0.5, 1.0, 1.2}, {-0.3, 0.7, 2.0}}, f64).named("x");
  const Tensor weights = tensor({0.1234, 2.345, 0.777}, f64).named("v");
  const auto with = [&](const Shape& shape, const Tensor& made_of_weights) {
    const Tensor gamma = ones(shape, f64).named("γ").requires_grad_();
    const Tensor u = (gamma * x).named("u"), h = (gamma * u).named("h");
    const Tensor dh = made_of_weights * h;
    check(sum(weights * square(h)), u, dh * gamma, dh);
  };
  with({2, 1}, 2.0 * square(sqrt(weights)));
  with({2, 1}, from_vector(weights.to_vector<double>(), {3}) * 2.0);
  // What is a multiple of data is no other number elsewhere, whatever would explain it.
  with({3}, 2.0 * weights);
  with({3}, square(sqrt(weights)) / 0.5);
}

TEST_SUITE_END();
