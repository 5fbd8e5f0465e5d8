#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include <chainrule/chainrule.hpp>
#include <chainrule/tests/graph/checking/diagnosed.hpp>

using namespace chainrule;

// Functions and axes that do not belong there, as they were recorded and as bare numbers.
TEST_SUITE_BEGIN("graph");

namespace {

std::vector<Tensor> both(const Tensor& by_hand) { return {by_hand, by_hand.detach()}; }

}  // namespace

TEST_CASE("diagnose: the slope of another function") {
  const Tensor X = normal({5, 2}, "X", 1), w = parameter({2}, "w", 2), y = normal({5}, "y", 3);
  const Tensor z = matmul(X, w).named("z"), h = tanh(z).named("h"), dh = 2 * (h - y);
  for (const Tensor& by_hand : both(dh / (1 + square(z))))
    CHECK(said(sum(square(h - y)), {{"dh", h, dh}, {"dz", z, by_hand}})
              .starts_with("arctan' in the place of tanh': of z; "));
  const Tensor p = (0.01 + 0.98 * 0.5 * (1 + erf(z / std::sqrt(2.0)))).named("p"), dp = 2 * (p - y);
  for (const Tensor& by_hand : both(dp * 0.98 * sigmoid(z) * (1 - sigmoid(z))))
    CHECK(has(said(sum(square(p - y)), {{"dp", p, dp}, {"dz", z, by_hand}}),
              "σ'(z) stands in the place of the derivative of erf(z / √2)"));
  for (const Tensor& by_hand : both(dp * (1 - square(p))))
    CHECK(said(sum(square(p - y)), {{"dp", p, dp}, {"dz", z, by_hand}})
              .starts_with("1 − y², as of tanh, stands in the place of the derivative of "));
  // A mean of slopes, and the slope of a mean.
  const Tensor Z = parameter({4, 3}, "Q", 5), S = sigmoid(Z).named("S"), s = mean(S, 0).named("s");
  const Tensor dS = 2 * (S - 0.3) + s / 2.0;
  for (const Tensor& by_hand : both(dS * s * (1 - s)))
    CHECK(said(sum(square(S - 0.3)) + sum(square(s)), {{"dS", S, dS}, {"dQ", Z, by_hand}})
              .starts_with("in σ'(Q), s stands in the place of σ(Q); "));
}

TEST_CASE("diagnose: two functions of one operand are exchanged") {
  const Tensor th = parameter({}, "θ", 1), c = cos(th).named("c"), s = sin(th).named("s");
  const Tensor dc = 0.6 * c + 1.7 * s, ds = 1.7 * c;
  for (const Tensor& by_hand : both(s * ds - c * dc))
    CHECK(said(0.3 * square(c) + 1.7 * s * c, {{"dc", c, dc}, {"ds", s, ds}, {"dθ", th, by_hand}})
              .starts_with("cos(θ) and sin(θ) are exchanged; "));
}

TEST_CASE("diagnose: the same mistake twice") {
  const Tensor m = sigmoid(parameter({3}, "z", 1)).named("m");
  for (const Tensor& by_hand : both(-0.1 * log(m) + 0.9 * log(1 - m)))
    CHECK(has(said(-sum(0.1 * log(m) + 0.9 * log(1 - m)), {{"dm", m, by_hand}}),
              "twice: log in the place of the inverse"));
  const Tensor L = parameter({2}, "L", 2), a = exp(L[0]).named("a"), g = exp(L[1]).named("g");
  const Tensor da = 2 * a * g + 1, dg = square(a);
  for (const Tensor& by_hand : both(stack({da, dg})))
    CHECK(has(said(square(a) * g + a, {{"da", a, da}, {"dg", g, dg}, {"dL", L, by_hand}}),
              "twice: a factor is missing"));
  // Of a large gradient some elements are looked at first.
  const Tensor M = sigmoid(parameter({40, 50}, "Z", 3)).named("M");
  for (const Tensor& by_hand : both(-0.1 * log(M) + 0.9 * log(1 - M)))
    CHECK(has(said(-sum(0.1 * log(M) + 0.9 * log(1 - M)), {{"dM", M, by_hand}}),
              "twice: log in the place of the inverse"));
}

TEST_CASE("diagnose: a log or a factor for what is divided by") {
  const Tensor t = parameter({4}, "t", 1), r = (square(t) + 0.7).named("r"),
               y = normal({4}, "y", 2);
  const Tensor loss = sum(y * log(r));
  for (const Tensor& by_hand : both(y * log(r)))
    CHECK(said(loss, {{"dr", r, by_hand}}).starts_with("log in the place of the inverse: "));
  CHECK(said(loss, {{"dr", r, y * r}}).starts_with("a product in the place of a quotient: "));
}

TEST_CASE("diagnose: vectors along the wrong axis, other axes, and one summand for all") {
  const Tensor M = parameter({3, 3}, "M", 1), v = normal({3}, "v", 2);
  const Tensor a = logsumexp(M, 0).named("a"), da = 2 * v * a;
  for (const Tensor& by_hand : both(softmax(M, 0) * unsqueeze(da, 1)))
    CHECK(has(said(sum(v * square(a)), {{"da", a, da}, {"dM", M, by_hand}}),
              "broadcast along the wrong axis: "));
  const Tensor q = softmax(M, 1).named("q"), Y = eye(3, f64).named("Y");
  CHECK(has(said(-sum(Y * log(q)), {{"dM", M, (softmax(M, 0) - Y).detach()}}),
            "over the wrong axis: softmax₁(M) is taken over the other one"));
  const Tensor b = parameter({3}, "b", 3), Z = (matmul(normal({4, 3}, "X", 4), M) + b).named("Z");
  const Tensor dZ = 2 * Z;
  CHECK(said(sum(square(Z)), {{"dZ", Z, dZ}, {"db", b, dZ[0].detach()}})
            .starts_with("the first of the summands alone stands in the place of "));
}

TEST_CASE("diagnose: symmetrised, outside of a product, and one element") {
  const Tensor J = parameter({3, 3}, "J", 1), x = normal({3}, "x", 2), k = parameter({3}, "k", 3);
  const Tensor a = matmul(J, x).named("a"), da = 2 * a, dJ = outer(da, x);
  for (const Tensor& by_hand : both((dJ + dJ.T()) / 2))
    CHECK(said(sum(square(a)), {{"da", a, da}, {"dJ", J, by_hand}})
              .starts_with("symmetrised: this is the mean of it and its transpose, of "));
  const Tensor A = normal({3, 3}, "A", 4), u = parameter({3}, "u", 5),
               f = (k * matmul(A, u)).named("f"), o = (u + f).named("o"), d = 2 * o;
  for (const Tensor& by_hand : both(d + k * matmul(A.T(), d)))
    CHECK(said(sum(square(o)), {{"do", o, d}, {"du", u, by_hand}})
              .starts_with("a factor stands outside of a matrix product: "));
  const Tensor right = 2 * matmul(A, u);
  const std::vector<double> numbers = right.to_vector<double>();
  const Tensor h = matmul(A, u).named("h");
  const Tensor one = from_vector(std::vector{numbers[0], -numbers[1], numbers[2]}, {3});
  CHECK(said(sum(square(h)), {{"dh", h, one}})
            .starts_with("right but for the element (1,), whose sign is wrong; "));
}

TEST_CASE("diagnose: a term of a sum that has a name") {
  const Tensor X = normal({6, 3}, "X", 1), w = parameter({3}, "w", 2), y = normal({6}, "y", 3);
  const Tensor r = (matmul(X, w) - y).named("r"),
               loss = 0.5 * sum(square(r)) + 0.1 * sum(square(w));
  const Tensor wrong = matmul(X.T(), matmul(X, w)) + matmul(X.T(), y) + 0.2 * w;
  CHECK(
      said(loss, {{"dw", w, wrong.detach()}}).starts_with("the sign of the term −Xᵀ·y is wrong; "));
}

TEST_CASE("diagnose: a tensor that is compared alone was not computed by another function") {
  const Tensor X = normal({5, 4}, "X", 1), W = parameter({4, 3}, "W", 2), v = normal({3}, "v", 3),
               y = normal({5}, "y", 4);
  const Tensor Z = matmul(X, W).named("Z"), H = relu(Z).named("H"), o = matmul(H, v).named("o");
  const Tensor dZ = outer(o - y, v) * to(Z < 0.0, f64);
  const std::string text = said(0.5 * sum(square(o - y)), {{"dW", W, matmul(X.T(), dZ).detach()}});
  CAPTURE(text);
  CHECK(has(text, "reversed: 1 − relu'"));
  CHECK(!has(text, "sin"));
}

TEST_SUITE_END();
