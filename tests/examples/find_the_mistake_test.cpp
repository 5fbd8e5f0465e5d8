#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <string>

#include <chainrule/examples/find_the_mistake/mistakes.hpp>
#include <chainrule/graph/backward.hpp>
#include <chainrule/graph/derivation/derive.hpp>
#include <chainrule/graph/derivation/simplify.hpp>

using namespace chainrule;

TEST_SUITE_BEGIN("examples");

TEST_CASE("find_the_mistake: every planted mistake is found and named") {
  const std::vector<mistakes::Planted> planted = mistakes::planted_mistakes();
  CHECK(planted.size() == 25);
  for (const mistakes::Planted& each : planted) {
    CAPTURE(each.what);
    const DerivationReport report =
        check_derivation(each.derivation.loss, each.derivation.formulas);
    REQUIRE(report.first_wrong() != nullptr);
    CHECK(report.first_wrong()->name == each.formula);
    CAPTURE(report.first_wrong()->diagnosis);
    CHECK(report.first_wrong()->diagnosis.starts_with(each.expected));
    // All others are right, or wrong only because of this one.
    for (const FormulaVerdict& verdict : report.verdicts()) {
      CAPTURE(verdict.name);
      CHECK((verdict.ok || verdict.inherited || verdict.name == each.formula));
      CHECK(verdict.autograd_ok);
    }
  }
}

TEST_CASE("find_the_mistake: no false alarm on right derivations") {
  const std::vector<mistakes::Derived> right = mistakes::right_derivations();
  CHECK(right.size() == 50);
  for (const mistakes::Derived& each : right) {
    CAPTURE(each.model);
    const DerivationReport report = check_derivation(each.loss, each.formulas);
    CAPTURE(report.text());
    CHECK(report.ok());
  }
}

// What derive() prints is evaluated from the same expressions, and compared with the engine.
TEST_CASE("find_the_mistake: the derived formulas of every model give the engine's gradients") {
  for (const mistakes::Derived& each : mistakes::right_derivations()) {
    CAPTURE(each.model);
    std::vector<Tensor> tensors;
    for (const Formula& formula : each.formulas) tensors.push_back(formula.of);
    const std::vector<Tensor> gradients =
        grad(std::span(&each.loss, 1), tensors, {.retain_graph = true});
    const derivation::Trace trace(each.loss, tensors, "test", Where::current());
    for (std::size_t k = 0; k < tensors.size(); ++k) {
      const std::uint32_t i = trace.find(tensors[k]);
      for (const derivation::Stage& form : derivation::simplified(trace, i, {})) {
        const Tensor value = evaluate(form.expression, trace.environment());
        REQUIRE(value.shape() == gradients[k].shape());
        const std::vector<double> a = value.to_vector<double>(),
                                  b = gradients[k].to_vector<double>();
        double largest = 0, difference = 0;
        for (std::size_t e = 0; e < a.size(); ++e) {
          largest = std::max(largest, std::abs(b[e]));
          difference = std::max(difference, std::abs(a[e] - b[e]));
        }
        CAPTURE(each.formulas[k].name);
        CHECK(difference <= 1e-12 * largest);
      }
    }
    const Derivation derivation = derive(each.loss);
    CHECK(derivation.steps().size() >= 2);
    for (const Derivation::Step& step : derivation.steps())
      CHECK_FALSE(step.formula().text.empty());
  }
}

TEST_SUITE_END();
