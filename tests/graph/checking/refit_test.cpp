#include <chainrule/graph/checking/refit.hpp>

#include <doctest/doctest.h>

#include <vector>

#include <chainrule/chainrule.hpp>
#include <chainrule/graph/derivation/compare.hpp>
#include <chainrule/graph/derivation/trace.hpp>

using namespace chainrule;

TEST_SUITE_BEGIN("graph");

TEST_CASE("refitted: the number with which a formula comes nearest, also first with roundings") {
  const Tensor x = tensor({0.5, -1.0, 2.0}, f64).named("x").requires_grad_();
  const Tensor loss = 1.5 * sum(square(x));
  const derivation::Trace trace(loss, std::vector<Tensor>{x}, "test", Where::current());
  const std::uint32_t i = trace.find(x);
  const derivation::Expr number = derivation::number_expression(0.7, x.shape());
  const auto as_is = [](const Tensor& value) { return value; };
  for (const bool rounded : {false, true}) {
    CAPTURE(rounded);
    const auto formula =
        derivation::refitted(number, std::vector{derivation::number_expression(0.7, {})}, i);
    REQUIRE(formula);
    const Tensor value =
        rounded ? formula(trace.environment(), as_is, {}) : formula(trace.environment(), {}, {});
    // The mean of 3 x is what a number comes nearest to.
    for (const double element : derivation::numbers(value)) CHECK(element == doctest::Approx(1.5));
  }
}

TEST_CASE("refitted: as many numbers as elements say nothing") {
  const derivation::Expr number = derivation::number_expression(0.7, {});
  CHECK_FALSE(derivation::refitted(number, std::vector{number}, 0));
  // A tensor of equal elements.
  const derivation::Expr tensor = derivation::number_expression(0.7, {3});
  CHECK_FALSE(derivation::refitted(tensor, std::vector{tensor}, 0));
}

TEST_SUITE_END();
