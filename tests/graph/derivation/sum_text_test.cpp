#include <chainrule/core/create.hpp>
#include <chainrule/core/random.hpp>
#include <chainrule/graph/derivation/derive.hpp>

#include <doctest/doctest.h>

#include <string>

#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/elementwise/functions.hpp>
#include <chainrule/ops/shape/indexing.hpp>

// Sums over the steps of a sequence.

using namespace chainrule;

TEST_SUITE_BEGIN("graph");

TEST_CASE("sums over steps: one that begins with a minus has all its terms") {
  Generator generator{7};
  const Tensor x = uniform(-1, 1, {5}, generator, f64).named("x");
  const Tensor phi = tensor(0.5, f64).named("φ").requires_grad_();
  const Tensor c = tensor(0.1, f64).named("c").requires_grad_();
  Tensor loss;
  for (int t = 1; t < 5; ++t) {
    const Tensor e = (x[t] - c - phi * x[t - 1]).named("e" + std::to_string(t));
    loss = loss.defined() ? loss + 0.5 * square(e) : 0.5 * square(e);
  }
  const Derivation derivation = derive(loss);
  const std::string text = derivation.text();
  CHECK(text.find("dφ  = −Σₜ₌₁⁴ deₜ x[t-1]\n") != std::string::npos);
  CHECK(text.find("dc  = −Σₜ₌₁⁴ deₜ\n") != std::string::npos);
  CHECK(derivation.latex().find(" x[t-1]") != std::string::npos);
  CHECK(derivation.latex().find("operatorname") == std::string::npos);
}

TEST_SUITE_END();
