#include <initializer_list>
#include <string>

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

TEST_SUITE_END();
