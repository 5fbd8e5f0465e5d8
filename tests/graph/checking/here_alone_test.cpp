#include <doctest/doctest.h>

#include <chainrule/chainrule.hpp>
#include <chainrule/tests/graph/checking/diagnosed.hpp>

using namespace chainrule;

TEST_SUITE_BEGIN("graph");

TEST_CASE("check_derivation: why a formula is asked at the recorded values alone") {
  const Tensor x = tensor({0.3, -0.7, 0.9}, f64).named("x").requires_grad_();
  const Tensor h = sigmoid(x).named("h"), t = h.detach().named("t");
  const auto text = [&](const Tensor& loss, const Tensor& dx) {
    return check_derivation(loss, {{"dx", x, dx}}).text();
  };
  CHECK(text(sum(square(x)), (2.0 * x).detach())
            .find("dx is checked at the recorded values alone: formulas in recorded tensors") !=
        std::string::npos);
  CHECK(text(sum(t * h), t * h * (1.0 - h))
            .find("dx is checked at the recorded values alone: the loss was computed from a result "
                  "that was detached") != std::string::npos);
}

TEST_CASE("check_derivation: formulas that are asked here alone stand together by their reasons") {
  const Tensor x = tensor({0.3, -0.7, 0.9, 0.2}, f64).named("x").requires_grad_();
  const Tensor s = tensor(0.7312, f64).named("s").requires_grad_();
  const Tensor a = (s * x).named("a"), b = sin(a).named("b"), loss = sum(square(b));
  const Tensor db = 2.0 * b, da = db * cos(a);
  const auto text = [&](const Tensor& dx) {
    const DerivationReport report =
        check_derivation(loss, {{"db", b, db.detach()}, {"dx", x, dx}, {"da", a, da.detach()}});
    CHECK(report.ok());
    CHECK(has(report.json(), "\"here_alone\": true, \"why_here_alone\": \"formulas in recorded "));
    CHECK(
        has(report.markdown(), "are checked at the recorded values alone: formulas in recorded "));
    return report.text();
  };
  const std::string read = text(0.7312 * da);
  CAPTURE(read);
  CHECK(
      has(read, "\ndb, da are checked at the recorded values alone: formulas in recorded tensors"));
  CHECK(has(read,
            "\ndx is checked at the recorded values alone: at others it is right only if 0.7312"));
  const std::string one = text((s * da).detach());
  CAPTURE(one);
  CHECK(has(one, "\nall are checked at the recorded values alone: formulas in recorded tensors"));
  const std::string recorded = text(s * da);
  CAPTURE(recorded);
  CHECK(!has(recorded, "dx is checked"));
}

TEST_CASE("check_derivation: a step behind a wrong formula that is asked here alone says why") {
  const Tensor x = tensor({0.3, -0.7, 0.9, 0.2}, f64).named("x").requires_grad_();
  const Tensor s = tensor(0.7312, f64).named("s").requires_grad_();
  const Tensor a = (s * x).named("a"), loss = sum(sin(a)), wrong = -cos(a);
  const auto step = [&](const Tensor& dx) {
    return check_derivation(loss, {{"da", a, wrong}, {"dx", x, dx}}).verdicts()[1];
  };
  const FormulaVerdict read = step(0.7312 * wrong), recorded = step(s * wrong);
  CHECK(read.inherited);
  CHECK(read.here_alone);
  CHECK(has(read.why_here_alone, "as if read from a tensor"));
  CHECK(recorded.inherited);
  CHECK(!recorded.here_alone);
  CHECK(recorded.why_here_alone.empty());
}

TEST_CASE("check_derivation: a function that computes differences is asked here alone") {
  const Tensor x = tensor({1.0, 2.0, 3.0}, f64).named("x").requires_grad_();
  const Tensor loss = sum(x * x * x);
  const auto by_differences = [](std::span<const Tensor> at) { return 3.0 * square(at[0]) + 1e-9; };
  const FormulaVerdict verdict =
      check_derivation(loss, {{"dx", x, {}, {x}, by_differences}}).verdicts()[0];
  CHECK(verdict.ok);
  CHECK(verdict.here_alone);
  CHECK(has(verdict.why_here_alone, "it has too few digits"));
}

TEST_CASE("check_derivation: what goes on from numbers that are all the same is asked here alone") {
  // A softmax that is uniform here, as numbers.
  const Tensor M = from_vector(std::vector<double>(9, 0.0), {3, 3}).named("M").requires_grad_();
  const Tensor a = logsumexp(M, 0).named("a"), loss = logsumexp(a);
  const auto report = [&](const Tensor& da) {
    return check_derivation(loss, {{"da", a, da}, {"dM", M, softmax(M, 0) * da}});
  };
  for (const Tensor& da : {full({3}, 1.0 / 3.0, f64), ones({3}, f64) / 3.0}) {
    const DerivationReport uniform = report(da);
    INFO(uniform.text());
    CHECK(uniform.ok());
    CHECK(has(uniform.verdicts()[1].why_here_alone, "as if read from a tensor"));
  }
  CHECK(report(softmax(a, 0)).ok());
  // Residuals that are all one number, and a slope behind them.
  const Tensor X = normal({5, 2}, "X", 1), w = tensor({0.0, 0.0}, f64).named("w").requires_grad_();
  const Tensor z = matmul(X, w).named("z"), p = sigmoid(z).named("p"), dp = full({5}, 0.5, f64);
  const DerivationReport residuals = check_derivation(
      0.5 * sum(square(p)), {{"dp", p, dp}, {"dw", w, matmul(X.T(), dp * p * (1 - p))}});
  INFO(residuals.text());
  CHECK(residuals.ok());
  // Nobody gave this number: it is no reading.
  const DerivationReport alone = check_derivation(loss, {{"dM", M, softmax(M, 0) / 3.0}});
  CHECK(!alone.ok());
  // A gradient that is one number wherever the parameters are is not read either.
  const Tensor S = square(M).named("S");
  CHECK(!check_derivation(sum(S), {{"dS", S, ones({3, 3}, f64)}, {"dM", M, 2 * M + M * 0.5}}).ok());
}

TEST_CASE("check_derivation: the 1 of a formula was not read from a gradient that is 1 here") {
  const Tensor s = tensor(1.0, f64).named("s").requires_grad_(), p = parameter({3}, "p", 1),
               q = parameter({3}, "q", 2);
  const Tensor loss = sum(s * p - 0.5 * square(p)) + sum(s * q);
  const auto report = [&](const Tensor& dp) {
    return check_derivation(loss, {{"dq", q, ones({3}, f64)}, {"dp", p, dp}});
  };
  const DerivationReport one = report(1 - p);
  INFO(one.text());
  CHECK(!one.verdicts()[1].ok);
  CHECK(report(s - p).ok());
}

TEST_SUITE_END();
