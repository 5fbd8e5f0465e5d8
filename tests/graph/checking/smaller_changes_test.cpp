#include <cmath>

#include <doctest/doctest.h>

#include <chainrule/chainrule.hpp>
#include <chainrule/tests/graph/checking/diagnosed.hpp>

using namespace chainrule;

// Of several explanations of the same numbers that which changes least, and none that needs what
// neither the program nor the formula has.
TEST_SUITE_BEGIN("graph");

namespace {

Tensor bare(const Tensor& x) { return x.detach() * 1.0; }

}  // namespace

TEST_CASE("diagnose: a function that is 1 everywhere is a factor that is missing") {
  const Tensor S = exp(normal({6}, "s", 1)).detach().named("S"), v = normal({6}, "v", 2),
               n = tensor(1.4, f64).named("n").requires_grad_();
  const Tensor a = pow(S, n).named("a"), da = 2 * (a - v);
  CHECK(said(sum(square(a - v)), {{"da", a, bare(da)}, {"dn", n, bare(sum(da * a))}})
            .starts_with("a factor is missing: this is Σ(da ⊗ a); "));
  const Tensor angle = tensor({0.3, 0.8, 1.2, 0.1}, f64).named("θ"),
               k = tensor(0.7, f64).named("k").requires_grad_();
  const Tensor q = (k * cos(angle)).named("q"), dq = 2 * q - 0.3;
  CHECK(said(sum(square(q) - 0.3 * q), {{"dq", q, bare(dq)}, {"dk", k, bare(sum(dq))}})
            .starts_with("a factor is missing: "));
  // One that is not 1 everywhere was written.
  const Tensor t = tensor({0.3, -0.8, 1.2, -0.1}, f64).named("t").requires_grad_();
  CHECK(said(sum(abs(t) * angle), {{"dt", t, bare(angle * t)}})
            .starts_with("the function sign is missing: "));
}

TEST_CASE("diagnose: a sign that was forgotten is no other gradient") {
  const Tensor u = parameter({4}, "u", 1), q = parameter({4}, "q", 2),
               b = tensor(0.3, f64).named("b").requires_grad_(),
               c = tensor(0.1, f64).named("c").requires_grad_();
  const Tensor x = (b - dot(u, q) - c).named("x"), dx = -sigmoid(-x);
  const Tensor loss = 0.05 * sum(square(q)) - log_sigmoid(x);
  CHECK(said(loss, {{"dx", x, bare(dx)}, {"dc", c, bare(-dx)}, {"dq", q, bare(dx * u + 0.1 * q)}})
            .starts_with("the sign of the term −dx u is wrong; "));
  // Of two scores.
  const Tensor X = normal({5, 3}, "X", 3), Z = normal({5, 3}, "Z", 4), w = parameter({3}, "w", 5);
  const Tensor s = matmul(X, w).named("s"), t = matmul(Z, w).named("t"), ds = -sigmoid(t - s);
  CHECK(has(said(sum(softplus(t - s)), {{"ds", s, bare(ds)},
                                        {"dt", t, bare(-ds)},
                                        {"dw", w, bare(matmul(X.T(), ds) + matmul(Z.T(), ds))}}),
            "the sign of the term "));
  // A formula that has the other one is said to have it.
  const Tensor y = (2.0 * b).named("y"), z = (1.5 * c - 0.2).named("z"), dy = 2 * (y - z);
  const FormulaVerdict verdict =
      check_derivation(square(y - z), {{"dy", y, dy}, {"dz", z, -dy}, {"db", b, 2 * -dy}})
          .verdicts()[2];
  CHECK(!verdict.ok);
  CHECK(has(verdict.diagnosis, "sign"));
}

TEST_CASE("diagnose: what the right formula does not have came to numbers") {
  const Tensor W = parameter({4, 3}, "W", 1), U = parameter({5, 3}, "U", 2);
  const Tensor J = (matmul(W, U.T()) - normal({4, 5}, "M", 3)).named("J"), dJ = 2 * J;
  CHECK(said(sum(square(J)), {{"dJ", J, bare(dJ)}, {"dW", W, bare(matmul(dJ, U) + W)}})
            .starts_with("the term W does not belong there; "));
  CHECK(said(sum(square(J)), {{"dJ", J, bare(dJ)}, {"dW", W, bare(matmul(dJ, U) - W)}})
            .starts_with("the term −W does not belong there; "));
  CHECK(has(said(sum(square(J)) + 0.5 * sum(square(W)),
                 {{"dJ", J, bare(dJ)}, {"dW", W, bare(matmul(dJ, U))}}),
            "term is missing"));
}

TEST_CASE("diagnose: a factor that labels have at a term makes no other labels of them") {
  const Tensor z = parameter({7}, "z", 1),
               y = tensor({1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0}, f64).named("y");
  const Tensor p = sigmoid(z).named("p"), I = sum(p * y).named("I"),
               U = (sum(p) + sum(y)).named("U");
  const Tensor dI = -2 / (U + 1), dU = (2 * I + 1) / square(U + 1);
  const std::string dice =
      said(1 - (2 * I + 1) / (U + 1),
           {{"dI", I, bare(dI)}, {"dU", U, bare(dU)}, {"dp", p, bare((dI + dU) * y)}});
  CAPTURE(dice);
  CHECK(!has(dice, "labels"));
  CHECK(has(dice, "the factor y does not belong"));
  // Where they are meant otherwise it is said.
  const Tensor r = (2 * y - 1 - z).named("r");
  CHECK(said(0.5 * sum(square(r)), {{"dr", r, bare(y - z)}})
            .starts_with("labels of 0 and 1 in the place of −1 and 1: "));
}

TEST_CASE("diagnose: x for 1 − x goes before two terms that are missing") {
  const auto positive = [](const char* name, double x) {
    return tensor(x, f64).named(name).requires_grad_();
  };
  const Tensor A = positive("A", 0.8), Q = positive("Q", 0.7), R = positive("R", 1.2);
  const Tensor V = (square(A) + Q).named("V"), S = (V + R).named("S"), K = (V / S).named("K"),
               P = ((1 - K) * V).named("P"), T = (square(A) * P + Q + R).named("T");
  const Tensor loss = 0.5 * (log(T) + 2 / T) + 0.1 * S;
  const Tensor dP = square(A) * 0.5 * (1 / T - 2 / square(T)), dK = -dP * V, dS = 0.1 - dK * K / S;
  const Tensor dV = dP * K + dK / S + dS;
  const std::string words = "K stands in the place of 1 − K; ";
  CHECK(said(loss, {{"dV", V, dV}}).starts_with(words));
  CHECK(said(loss,
             {{"dP", P, bare(dP)}, {"dK", K, bare(dK)}, {"dS", S, bare(dS)}, {"dV", V, bare(dV)}})
            .starts_with(words));
  // A gate that leaks.
  const Tensor g = sigmoid(parameter({4}, "b", 1)).named("g"), h = parameter({4}, "h", 2),
               c = normal({4}, "c", 3), m = (g * c + (1 - g) * h).named("m");
  CHECK(said(sum(square(m)), {{"dm", m, bare(2 * m)}, {"dh", h, bare(2 * m * g)}})
            .starts_with("g stands in the place of 1 − g; "));
}

TEST_CASE("diagnose: x (1 − x) is no slope in a program that has no sigmoid") {
  const Tensor r = tensor(1.3, f64).named("r").requires_grad_(),
               x0 = tensor(0.4, f64).named("x0").requires_grad_();
  const Tensor x1 = (r * x0 * (1 - x0)).named("x1"), x2 = (r * x1 * (1 - x1)).named("x2");
  const Tensor d2 = 2 * (x2 - 0.9), d1 = d2 * r * (1 - 2 * x1);
  const Tensor late = d2 * x2 * (1 - x2) + d1 * x1 * (1 - x1);
  const std::string map =
      said(square(x2 - 0.9), {{"dx2", x2, d2}, {"dx1", x1, d1}, {"dr", r, late}});
  CAPTURE(map);
  CHECK(!has(map, "σ'"));
  CHECK(has(map, "x2"));
  // A density is one whatever it is taken of.
  const Tensor d = parameter({4}, "d", 4), S = parameter({4}, "S", 5),
               C = (S * (0.5 * (1 + erf(d / std::sqrt(2.0))))).named("C");
  const Tensor density = exp(-0.5 * square(d)) / std::sqrt(2 * std::acos(-1.0));
  CHECK(has(said(sum(square(C)), {{"dC", C, 2 * C}, {"dS", S, 2 * C * density}}), "which is Φ'"));
  // A Hardy-Weinberg share.
  const Tensor p = parameter({3}, "p", 2), H = (2 * p * (1 - p)).named("H"), dH = H - 0.4,
               k = parameter({3}, "k", 3), v = (k * p * (1 - p)).named("v"), dv = 2 * v;
  const std::string share = said(0.5 * sum(square(H - 0.4)) + sum(square(v)),
                                 {{"dH", H, dH}, {"dv", v, dv}, {"dk", k, dv * k * (1 - k)}});
  CAPTURE(share);
  CHECK(!has(share, "σ'"));
}

TEST_CASE("diagnose: of tensors that serve alike, the one that was written; of numbers, all") {
  const Tensor x = parameter({6}, "x", 1), b = tensor(0.5, f64).named("b").requires_grad_(),
               t = normal({6}, "t", 2), q = linspace(-1, 2, 6, f64).named("q");
  const Tensor v = (x + b * q + q).named("v"), e = (v - mean(v)).named("e"),
               S = sqrt(sum(square(e)) + 0.1);
  const Tensor de = t / S - sum(e * t) * e / (S * S * S), dv = de - mean(de);
  const auto with = [&](const Tensor& other) {
    return said(sum(e * t) / S, {{"db", b, sum(dv * other)}});
  };
  CHECK(has(with(e), "this is Σ(dv ⊗ e); "));
  CHECK(has(with(v), "v stands in the place of q"));
  CHECK(said(sum(e * t) / S, {{"db", b, bare(sum(dv * e))}})
            .starts_with("e or v stands in the place of q; "));
}

TEST_CASE("diagnose: numbers of two losses in the place of each other") {
  const Tensor z = parameter({4, 5}, "z", 1), Y = one_hot(tensor({1, 0, 3, 2}), 5, f64).named("Y"),
               Q = softmax(normal({4, 5}, "t", 2), 1).detach().named("Q");
  const double alpha = 0.3, tau = 2.0;
  const Tensor loss = -alpha * sum(Y * log_softmax(z, 1)) / 4.0 -
                      (1 - alpha) * tau * tau * sum(Q * log_softmax(z / tau, 1)) / 4.0;
  const auto with = [&](double a, bool recorded) {
    const Tensor dz =
        a * (softmax(z, 1) - Y) / 4.0 + (1 - a) * tau * (softmax(z / tau, 1) - Q) / 4.0;
    return said(loss, {{"dz", z, recorded ? dz : bare(dz)}});
  };
  for (const bool recorded : {true, false}) {
    CHECK(with(alpha, recorded) == "nothing");
    CHECK(with(1 - alpha, recorded).starts_with("two numbers are exchanged, as of 0.3 and 0.7: "));
  }
  // Weights that are no shares of 1, and a term that both have.
  const Tensor x = parameter({6}, "x", 3), u = normal({6}, "u", 4), v = normal({6}, "v", 5);
  const Tensor both = 2.0 * sum(x * u) + 5.0 * sum(square(x) * v);
  CHECK(said(both, {{"dx", x, bare(5.0 * u + 4.0 * x * v)}})
            .starts_with("two numbers are exchanged: "));
  const Tensor mixed = 0.2 * sum(exp(x)) + 0.8 * sum(cos(x)) - sum(x * u);
  CHECK(said(mixed, {{"dx", x, bare(0.8 * exp(x) - 0.2 * sin(x) - u)}})
            .starts_with("two numbers are exchanged, as of 0.2 and 0.8: "));
  CHECK(has(said(mixed, {{"dx", x, bare(0.8 * exp(x) - 0.8 * sin(x) - u)}}),
            "too large by a factor of 4"));
}

TEST_CASE("diagnose: the tensors of a later step in a sum over steps, also as numbers") {
  const Tensor r = tensor(1.3, f64).named("r").requires_grad_(),
               x0 = tensor(0.4, f64).named("x0").requires_grad_();
  const auto next = [&](const Tensor& x, const char* name) {
    return (r * x * (1 - x)).named(name);
  };
  const Tensor x1 = next(x0, "x1"), x2 = next(x1, "x2"), x3 = next(x2, "x3");
  const Tensor d3 = 2 * (x3 - 0.9), d2 = d3 * r * (1 - 2 * x2), d1 = d2 * r * (1 - 2 * x1);
  const auto with = [&](const Tensor& a, const Tensor& b, const Tensor& c) {
    const Tensor dr = d3 * a * (1 - a) + d2 * b * (1 - b) + d1 * c * (1 - c);
    return said(square(x3 - 0.9), {{"dr", r, bare(dr)}});
  };
  CHECK(with(x2, x1, x0) == "nothing");
  CHECK(with(x3, x2, x1).starts_with("x3 stands in the place of x2, in every step; "));
}

TEST_SUITE_END();
