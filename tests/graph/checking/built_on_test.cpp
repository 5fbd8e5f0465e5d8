#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <chainrule/chainrule.hpp>
#include <chainrule/tests/graph/checking/diagnosed.hpp>

using namespace chainrule;

TEST_SUITE_BEGIN("graph");

TEST_CASE("check_derivation: what goes on from a wrong formula that is a tensor builds on it") {
  const Tensor U = parameter({2, 3}, "U", 1), V = parameter({4, 3}, "V", 2),
               O = tensor({{1.0, 0.0, 1.0, 1.0}, {0.0, 1.0, 1.0, 0.0}}, f64).named("O");
  const Tensor E = (matmul(U, V.T()) - normal({2, 4}, "Y", 3)).named("E");
  // The name of the one that is wrong, where all others are right or build on it.
  const auto wrong = [](const Tensor& loss,
                        std::initializer_list<Formula> formulas) -> std::string {
    const DerivationReport report = check_derivation(loss, formulas);
    INFO(report.text());
    REQUIRE(report.first_wrong());
    for (const FormulaVerdict& verdict : report.verdicts())
      CHECK(verdict.inherited == (!verdict.ok && &verdict != report.first_wrong()));
    return report.first_wrong()->name;
  };
  // The mask is forgotten, and the gradient is E itself.
  const Tensor loss = 0.5 * sum(square(O * E));
  CHECK(wrong(loss, {{"dE", E, E}, {"dU", U, matmul(E, V)}, {"dV", V, matmul(E.T(), U)}}) == "dE");
  // Masks, of which nothing is recorded.
  const Tensor P = matmul(U, V.T()).named("P"), m = (sum(square(P), 1) - 0.5).named("m");
  for (const Tensor& dm : {to(m < 0.0, f64), full({2}, 2.0, f64)})
    CHECK(wrong(sum(relu(m)), {{"dm", m, dm}, {"dP", P, 2 * unsqueeze(dm, 1) * P}}) == "dm");
  // The gradient for another tensor, where the slope is forgotten; and once more the same.
  const Tensor z = (P * 3.0).named("z"), h = tanh(z).named("h"), dh = 2 * (h - 0.3);
  CHECK(wrong(sum(square(h - 0.3)), {{"dh", h, dh}, {"dz", z, dh}, {"dP", P, dh * 3.0}}) == "dz");
  // A gradient that the rules call by another's name, as it is passed on: dr = ds of s = r − L.
  const Tensor r = sqrt(sum(square(P), 1) + 0.1).named("r"), s = (r - 0.3).named("s"),
               k = tensor({0.4, 1.3}, f64).named("k");
  for (const Tensor& dr : {s, s.detach() * 1.0})
    CHECK(wrong(0.5 * sum(k * square(s)), {{"dr", r, dr}, {"dP", P, unsqueeze(dr / r, 1) * P}}) ==
          "dr");
  // Nothing is recorded of the one that is wrong, and what goes on from it is 0 today.
  const Tensor x = full({3}, 0.7, f64).named("x").requires_grad_();
  const Tensor D = tensor({{1.0, -1.0, 0.0}, {0.0, 1.0, -1.0}}, f64).named("D");
  const Tensor G = matmul(D, x).named("G"), q = sqrt(square(G) + 0.04).named("q");
  for (const Tensor& dq : {ones_like(q), tensor({0.3, 0.4}, f64)}) {
    const Tensor dG = dq * G / q;
    CHECK(wrong(0.3 * sum(q) + 0.5 * sum(square(x)),
                {{"dq", q, dq}, {"dG", G, dG}, {"dx", x, matmul(D.T(), dG) + x}}) == "dq");
  }
  // The gradient of a leaf comes before that of r in the chain, and was written with it.
  const Tensor sigma = tensor(1.3, f64).named("σ").requires_grad_();
  const Tensor e =
      (normal({3}, "y", 4) - matmul(normal({3, 2}, "X", 5), parameter({2}, "w", 6))).named("r");
  const Tensor u = (square(e / sigma) / 4.0).named("u"), du = 2.5 / (1 + u) / 3.0;
  const Tensor likelihood = mean(2.5 * log1p(u) + log(sigma));
  for (const Tensor& dr : {2 * e * du / (4.0 * sigma), e * du / (4.0 * square(sigma))})
    CHECK(wrong(likelihood,
                {{"du", u, du}, {"dr", e, dr}, {"dσ", sigma, 1 / sigma - sum(dr * e) / sigma}}) ==
          "dr");
  // A mistake of its own builds on none.
  const DerivationReport two = check_derivation(loss, {{"dE", E, E}, {"dU", U, -matmul(E, V)}});
  CHECK(!two.verdicts()[1].inherited);
}

TEST_CASE("check_derivation: bare numbers build on the gradient that tells what nobody gave") {
  // As numbers alone: the name of the one that is wrong, where all others are right or build on it.
  const auto wrong = [](const Tensor& loss, std::vector<Formula> formulas) -> std::string {
    for (Formula& formula : formulas) formula.by_hand = formula.by_hand.detach() * 1.0;
    const DerivationReport report = check_derivation(loss, formulas);
    INFO(report.text());
    for (const FormulaVerdict& verdict : report.verdicts())
      CHECK(verdict.inherited == (!verdict.ok && &verdict != report.first_wrong()));
    return report.first_wrong() ? report.first_wrong()->name : "none";
  };
  // Student's t: nobody gave the gradient of r / σ.
  const Tensor X = normal({7, 3}, "X", 1), w = parameter({3}, "w", 2),
               sigma = tensor(1.3, f64).named("σ").requires_grad_();
  const Tensor r = (normal({7}, "y", 3) - matmul(X, w)).named("r"),
               u = square(r / sigma).named("u");
  const Tensor student = mean(2.5 * log1p(u / 4.0) + log(sigma));
  const auto students = [&](double in_du, double in_dr) {
    const Tensor du = in_du * 2.5 / 7.0 / (4.0 + u), dr = in_dr * r * du / square(sigma);
    return wrong(student, {{"du", u, du},
                           {"dr", r, dr},
                           {"dw", w, -matmul(X.T(), dr)},
                           {"dσ", sigma, 1 / sigma - sum(dr * r) / sigma}});
  };
  CHECK(students(1, 2) == "none");
  CHECK(students(1, 1) == "dr");
  CHECK(students(2, 2) == "du");
  // A temperature, which is no leaf and was computed after the scores.
  const Tensor A = parameter({4, 3}, "A", 4), S = matmul(A, normal({3, 5}, "B", 5)).named("S");
  const Tensor rho = tensor(0.4, f64).named("ρ").requires_grad_(), tau = exp(rho).named("τ");
  const Tensor p = softmax(S / tau, 1).named("p"), v = normal({4, 5}, "v", 6);
  const Tensor cooled = 0.5 * sum(square(p - v)), dp = p - v;
  const auto temperatures = [&](bool right) {
    const Tensor dS = p * (dp - sum(right ? dp * p : dp, 1, true)) / tau, dt = -sum(dS * S) / tau;
    return wrong(cooled, {{"dp", p, dp}, {"dS", S, dS}, {"dτ", tau, dt}, {"dρ", rho, dt * tau}});
  };
  CHECK(temperatures(true) == "none");
  CHECK(temperatures(false) == "dS");
  // A gain for each element, which tells it as well: that of the leaf comes behind.
  const Tensor g = parameter({5}, "g", 7), h = (0.5 * parameter({5}, "c", 8)).named("h");
  const Tensor y = tanh(g * h).named("y"), dy = y - normal({5}, "t", 9);
  const Tensor gained = 0.5 * sum(square(dy));
  for (const bool right : {true, false}) {
    const Tensor dh = right ? dy * g * (1 - y * y) : dy * g;
    CHECK(wrong(gained, {{"dy", y, dy}, {"dh", h, dh}, {"dg", g, dh * h / g}}) ==
          (right ? "none" : "dh"));
  }
  // What the loss gives at once is not asked of others: Cox's events δ, behind risks that are
  // wrong.
  const Tensor event = tensor({1.0, 0.0, 1.0, 1.0, 0.0}, f64).named("δ"),
               R = to(unsqueeze(arange(0, 5), 0) >= unsqueeze(arange(0, 5), 1), f64).named("R");
  const Tensor beta = parameter({3}, "β", 12), Q = normal({5, 3}, "Q", 13);
  const Tensor eta = matmul(Q, beta).named("η"), e = exp(eta).named("e"),
               risk = matmul(R, e).named("S");
  for (const bool right : {true, false}) {
    const Tensor dS = right ? event / risk : 1 / risk, de = matmul(R.T(), dS),
                 deta = de * e - event;
    CHECK(wrong(-sum(event * (eta - log(risk))), {{"dS", risk, dS},
                                                  {"de", e, de},
                                                  {"dη", eta, deta},
                                                  {"dβ", beta, matmul(Q.T(), deta)}}) ==
          (right ? "none" : "dS"));
  }
  // In another shape, and with axes in another order.
  const Tensor K = parameter({5, 3}, "K", 14), q = parameter({3}, "q", 15),
               V = normal({5, 2}, "V", 16);
  const Tensor d = (matmul(K, q) + 4.0).named("d");
  const Tensor weighted = (V / unsqueeze(d, 1)).named("O"),
               aside = (V / reshape(d, {5, 1})).named("O");
  for (const Tensor& O : {weighted, aside})
    for (const bool right : {true, false}) {
      const Tensor dd = (right ? -1.0 : 2.0) * sum(O * O, 1) / d;
      CHECK(wrong(0.5 * sum(square(O)), {{"dO", O, O},
                                         {"dd", d, dd},
                                         {"dq", q, matmul(K.T(), dd)},
                                         {"dK", K, outer(dd, q)}}) == (right ? "none" : "dd"));
    }
  const Tensor B = parameter({2, 3}, "B", 17), C = parameter({3, 4}, "C", 18);
  const Tensor M = matmul(B, C).named("M");
  const Tensor turned = tanh(M.T() * normal({4, 2}, "T", 19)).named("R");
  for (const bool right : {true, false}) {
    const Tensor slope = (normal({4, 2}, "T", 19) * (1 - turned * turned)).T();
    const Tensor dM = right ? turned.T() * slope : slope;
    CHECK(wrong(0.5 * sum(square(turned)),
                {{"dM", M, dM}, {"dB", B, matmul(dM, C.T())}, {"dC", C, matmul(B.T(), dM)}}) ==
          (right ? "none" : "dM"));
  }
  // One leaf beside another, whose gradient the person went on from.
  const Tensor head = parameter({4}, "h", 20), way = parameter({4}, "r", 21),
               tail = normal({4}, "t", 22);
  const Tensor off = (head + way - tail).named("e"), far = tanh(head * 0.5 + 0.5 * way).named("f");
  for (const double sign : {1.0, -1.0, 0.0}) {
    const Tensor de = off, df = far;
    const Tensor dhead = de + 0.5 * sign * df * (1 - far * far);
    CHECK(wrong(0.5 * sum(square(off)) + 0.5 * sum(square(far)) + 0.15 * sum(square(way)),
                {{"de", off, de},
                 {"df", far, df},
                 {"dh", head, dhead},
                 {"dr", way, dhead + 0.3 * way}}) == (sign == 1 ? "none" : "dh"));
  }
  // What says no more than a sum tells nothing.
  const Tensor b = parameter({3}, "b", 10), z = tanh(matmul(A, parameter({3, 3}, "W", 11)) + b);
  const Tensor dz = 2 * z * (1 - z * z);
  CHECK(wrong(sum(square(z)), {{"dA", A, matmul(dz, parameter({3, 3}, "W", 11).T())},
                               {"db", b, sum(2 * z, 0)}}) == "db");
}

TEST_CASE(
    "check_derivation: what a step in f32 rounds behind a wrong one that is large is no mistake") {
  for (std::uint64_t seed = 0; seed < 12; ++seed) {
    CAPTURE(seed);
    const Tensor z =
        (normal({2, 3}, "", seed) * 3.0 + tensor({{1.0, -20.0, -2.0}, {0.4, 0.3, 0.2}}, f64));
    const Tensor Z = to(z, f32).detach().named("Z").requires_grad_();
    const Tensor Y = to(tensor({{0.0, 1.0, 0.0}, {0.0, 1.0, 0.0}}, f64), f32).named("Y");
    const Tensor P = softmax(Z, 1).named("P"), p = sum(P * Y, 1).named("p");
    // The labels are forgotten, and what is the same in a row cancels in the softmax's rule.
    const Tensor dP = expand(unsqueeze(-0.5 / p, 1), {2, 3}).detach() * 1.0F;
    const Tensor dZ = (P * (dP - sum(P * dP, 1, true))).detach() * 1.0F;
    const DerivationReport report =
        check_derivation(-sum(log(p)) / 2.0, {{"dP", P, dP}, {"dZ", Z, dZ}});
    CHECK_MESSAGE(report.verdicts()[1].inherited, report.text());
  }
}

TEST_CASE("diagnose: a mistake of a formula that goes on from what tells a gradient") {
  const Tensor sigma = tensor(1.3, f64).named("σ").requires_grad_();
  const Tensor r =
      (normal({7}, "y", 1) - matmul(normal({7, 3}, "X", 2), parameter({3}, "w", 3))).named("r");
  const Tensor u = square(r / sigma).named("u"), loss = mean(2.5 * log1p(u / 4.0) + log(sigma));
  const Tensor du = 2.5 / 7.0 / (4.0 + u), dr = 2 * r * du / square(sigma);
  const auto with = [&](const Tensor& ds) {
    return said(loss, {{"du", u, du}, {"dr", r, dr}, {"dσ", sigma, ds}});
  };
  CHECK(with(1 / sigma + sum(dr * r) / sigma).starts_with("the sign of Σ(dr ⊗ r) / σ is wrong; "));
  CHECK(with(-sum(dr * r) / sigma).starts_with("the term 1 is missing at −Σ(dr ⊗ r); "));
}

TEST_SUITE_END();
