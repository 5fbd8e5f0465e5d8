#include <doctest/doctest.h>

#include <cmath>

#include <chainrule/chainrule.hpp>
#include <chainrule/tests/graph/checking/diagnosed.hpp>

using namespace chainrule;

// Mistakes in programs where several explanations agree in numbers, as something is antisymmetric,
// sums to a number, or is the identity.
TEST_SUITE_BEGIN("graph");

TEST_CASE("diagnose: a sign that is forgotten in an antisymmetric gradient is no transpose") {
  const Tensor x = parameter({4}, "x", 1);
  const Tensor D = (unsqueeze(x, 1) - unsqueeze(x, 0)).named("D"),
               q = (1 / (square(D) + 1.0)).named("q");
  const Tensor dq = 2 * q, dD = 2 * dq * square(q) * D;
  for (const Tensor& by_hand : {dD, dD.detach()})
    CHECK(said(sum(square(q)), {{"dq", q, dq}, {"dD", D, by_hand}})
              .starts_with("the sign is wrong: "));
  // Inside of a function, too.
  const Tensor p = softplus(D * -2.0).named("p"), dp = 2 * p;
  CHECK(has(said(sum(square(p)), {{"dp", p, dp}, {"dD", D, (-2 * dp * sigmoid(2 * D)).detach()}}),
            "the sign of what the function is taken of is wrong"));
}

TEST_CASE("diagnose: a path that is missing is no factor of 1 beside a number") {
  const Tensor w = parameter({2}, "w", 1), X = normal({3, 2}, "X", 2) + 5.0;
  const Tensor z = matmul(X, w).named("z"), m = mean(z).named("m"),
               v = (mean(square(z)) - square(m)).named("v");
  const Tensor loss = square(v - 1.0) + 0.1 * square(m), dv = 2 * (v - 1), dm = 0.2 * m;
  for (const Tensor& by_hand : {dm, dm.detach()})
    CHECK(
        said(loss, {{"dv", v, dv}, {"dm", m, by_hand}}).starts_with("the term −2 dv m is missing"));
}

TEST_CASE("diagnose: what was written goes before what agrees by an identity") {
  // A gradient that sums to −1 by theory.
  const Tensor pi = parameter({3}, "π", 1), b = normal({3}, "b", 2);
  const Tensor a = (log_softmax(pi, 0) + b).named("a"), da = -softmax(a, 0);
  CHECK(said(-logsumexp(a, 0), {{"da", a, da}, {"dπ", pi, da + softmax(pi, 0) * sum(da)}})
            .starts_with("the sign of softmax(π) ⊗ Σ da is wrong; "));
  // Prices of options: D φ(d2) = φ(d1), so that the gradient for d1 is 0.
  const Tensor k = normal({3}, "k", 3), T = (square(normal({3}, "t", 4)) + 0.5).named("T"),
               y = normal({3}, "y", 5), s = parameter({}, "s", 6), r = parameter({}, "r", 7);
  const Tensor sg = (exp(s) * sqrt(T)).named("σ"), d1 = ((r * T - k) / sg + 0.5 * sg).named("d1"),
               d2 = (d1 - sg).named("d2"), D = exp(k - r * T).named("D");
  const auto cdf = [](const Tensor& d) { return 0.5 * (1 + erf(d / std::sqrt(2.0))); };
  const auto density = [](const Tensor& d) {
    return exp(-square(d) / 2) / std::sqrt(2 * std::acos(-1.0));
  };
  const Tensor C = (cdf(d1) - D * cdf(d2)).named("C"), dC = 2 * (C - y);
  const Tensor path = -dC * D * density(d2), direct = dC * density(d1);
  const auto with = [&](const Tensor& dd1) {
    return said(sum(square(C - y)), {{"dC", C, dC}, {"dd2", d2, path}, {"dd1", d1, dd1}});
  };
  CHECK(with(direct).starts_with("a term is missing: "));
  CHECK(with(direct - path).starts_with("the sign of the term dd2 is wrong; "));
}

TEST_CASE("diagnose: labels that are the identity are not another tensor that was written") {
  const Tensor A = normal({3, 3}, "A", 1), Y = eye(3, f64).named("Y"),
               W = parameter({3, 3}, "W", 2);
  const Tensor H = tanh(matmul(A, W) * (Y + 1.0)).named("H"), G = matmul(A, H).named("G");
  const Tensor dG = softmax(G, 1) - Y;
  CHECK(said(-sum(Y * log_softmax(G, 1)), {{"dG", G, dG}, {"dH", H, dG * 1.0}})
            .starts_with("this is dG, the gradient for G; "));
}

TEST_SUITE_END();
