#include <cmath>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <chainrule/chainrule.hpp>
#include <chainrule/tests/graph/checking/diagnosed.hpp>

using namespace chainrule;

// Formulas that were written in other tensors than the rules': mistakes in these, recorded and as
// numbers.
TEST_SUITE_BEGIN("graph");

namespace {

std::vector<Tensor> recorded_and_bare(const Tensor& x) { return {x, x.detach() * 1.0}; }

}  // namespace

TEST_CASE("diagnose: what was forgotten where a formula solves for a tensor") {
  // A pose in the plane: the points before they were moved are (p − a) / s.
  const Tensor x = normal({5}, "x", 1), y = normal({5}, "y", 2), u = normal({5}, "u", 3),
               v = normal({5}, "v", 4);
  const auto number = [](const char* name, double value) {
    return tensor(value, f64).named(name).requires_grad_();
  };
  const Tensor angle = number("θ", 0.4), s = number("s", 1.3), a = number("a", 0.2),
               b = number("b", -0.7);
  const Tensor p = (s * (x * cos(angle) - y * sin(angle)) + a).named("p"),
               q = (s * (x * sin(angle) + y * cos(angle)) + b).named("q");
  const Tensor dp = 2 * (p - u) / 5.0, dq = 2 * (q - v) / 5.0;
  const auto pose = [&](const Tensor& ds) {
    return said(mean(square(p - u) + square(q - v)), {{"dp", p, dp}, {"dq", q, dq}, {"ds", s, ds}});
  };
  for (const Tensor& ds : recorded_and_bare(sum(dp * p + dq * q) / s)) {
    const std::string text = pose(ds);
    CAPTURE(text);
    CHECK(text.starts_with("the terms "));
    CHECK(has(text, "−a Σ dp / s"));
    CHECK(has(text, "−b Σ dq / s"));
  }
  for (const Tensor& ds : recorded_and_bare(sum(dp * (p - a) + dq * (q - b)) / s))
    CHECK(pose(ds) == "nothing");
  CHECK(pose((sum(dp * (p - a) + dq * (q - b))).detach() * 1.0)
            .starts_with("the factor s does not belong there; "));
  CHECK(pose(sum(dp * (p - a) + dq * (q - b))).starts_with("the factor 1 / s is missing at "));
  // A gain and an offset, of which the offset is forgotten.
  const Tensor k = number("k", 0.8), c = parameter({5}, "c", 5), t = tanh(x * number("w", 0.6)),
               z = (k * t + c).named("z"), dz = z - u;
  for (const Tensor& dk : recorded_and_bare(sum(dz * z) / k))
    CHECK(said(0.5 * sum(square(z - u)), {{"dz", z, dz}, {"dk", k, dk}})
              .starts_with(dk.requires_grad() ? "the term −c is missing at z; "
                                              : "the term −Σ(dz ⊗ c) / k is missing; "));
}

TEST_CASE("diagnose: a result that is left out wherever a formula has it") {
  const Tensor X = parameter({4, 5}, "X", 1), g = parameter({5}, "g", 2),
               Y = normal({4, 5}, "Y", 3);
  const Tensor q = sqrt(mean(square(X), 1, true) + 1e-3).named("q"), U = (X / q).named("U");
  const Tensor V = (g * U).named("V"), dU = (V - Y) * g, loss = 0.5 * sum(square(V - Y));
  const auto with = [&](const Tensor& dX) { return said(loss, {{"dU", U, dU}, {"dX", X, dX}}); };
  for (const Tensor& dX : recorded_and_bare((dU - mean(dU, 1, true)) / q))
    CHECK(with(dX).starts_with("the factor U is missing wherever it stands; "));
  for (const Tensor& dX : recorded_and_bare((dU - U * mean(dU * U, 1, true)) / q))
    CHECK(with(dX) == "nothing");
  // A unit vector.
  const Tensor w = parameter({4}, "w", 4), n = sqrt(sum(square(w))).named("n"),
               e = (w / n).named("e"), de = exp(e);
  for (const Tensor& dw : recorded_and_bare((de - sum(de)) / n))
    CHECK(said(sum(exp(e)), {{"de", e, de}, {"dw", w, dw}})
              .starts_with("the factor e is missing wherever it stands; "));
}

TEST_CASE("diagnose: the residual of another model behind a product with a matrix") {
  const Tensor X = normal({6, 3}, "X", 1), w = parameter({3}, "w", 2), b = parameter({}, "b", 3),
               y = tensor({1.0, 0.0, 0.0, 1.0, 1.0, 0.0}, f64).named("y");
  const Tensor z = (matmul(X, w) + b).named("z"),
               F = (0.5 * (1 + erf(z / std::sqrt(2.0)))).named("F");
  const Tensor dF = (F - y) / (F * (1 - F)) / 6.0,
               dz = dF * exp(-0.5 * z * z) / std::sqrt(2 * std::acos(-1.0));
  const Tensor loss = -mean(y * log(F) + (1 - y) * log(1 - F));
  const auto with = [&](const Tensor& dw) {
    return said(loss, {{"dF", F, dF}, {"dz", z, dz}, {"dw", w, dw}});
  };
  CHECK(with(matmul(X.T(), F - y) / 6.0)
            .starts_with("the mistake is above, at dz: y ⊗ (1 − y), as of a sigmoid, stands in the "
                         "place of the derivative of (1 + erf(z / √2)) / 2; "));
  CHECK(with(matmul(X.T(), (F - y) / 6.0)).starts_with("(F − y) / 6 stands in the place of "));
  CHECK(with(matmul(X.T(), dz)) == "nothing");
}

TEST_CASE("diagnose: the slope of another step, which is known by its result") {
  const Tensor W = parameter({3, 3}, "W", 1), b = parameter({3}, "b", 2), x = normal({3}, "x0", 3);
  const Tensor k1 = tanh(matmul(W, x) + b).named("k1"), m = (x + 0.1 * k1).named("m"),
               k2 = tanh(matmul(W, m) + b).named("k2"), x1 = (x + 0.2 * k2).named("x1");
  const Tensor dx1 = x1 - 0.5, dk2 = 0.2 * dx1;
  const auto with = [&](const Tensor& k) {
    const Tensor dm = matmul(W.T(), dk2 * (1 - square(k)));
    return said(0.5 * sum(square(x1 - 0.5)),
                {{"dx1", x1, dx1}, {"dk2", k2, dk2}, {"dm", m, dm.detach() * 1.0}});
  };
  CHECK(has(with(k1), "dk2 ⊗ tanh'(a1) for dk2 ⊗ tanh'(a2)"));
  CHECK(with(k2) == "nothing");
}

TEST_SUITE_END();
