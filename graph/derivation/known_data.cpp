#include <chainrule/graph/derivation/known_data.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <optional>
#include <utility>

#include <chainrule/core/create.hpp>
#include <chainrule/core/op.hpp>
#include <chainrule/graph/derivation/attempt.hpp>
#include <chainrule/graph/derivation/compare.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>

namespace chainrule::derivation {

namespace {

// The only constant among the factors, to the power 1.
const Factor* constant_in(const Term& term) {
  const Factor* found = nullptr;
  for (const Factor& factor : term.factors) {
    if (factor.base->kind != Expression::Kind::constant) continue;
    if (found || factor.exponent != 1) return nullptr;
    found = &factor;
  }
  return found;
}

Term without(const Term& term, const Factor& one) {
  Term rest = term;
  rest.coefficient = 1;
  std::erase_if(rest.factors, [&](const Factor& factor) { return factor.key == one.key; });
  return rest;
}

// a · x + b · y where that is one number; constants are in f64.
std::optional<double> joined(double a, const Expr& x, double b, const Expr& y) {
  if (x->shape != y->shape || x->value.dtype() != f64 || y->value.dtype() != f64)
    return std::nullopt;
  const std::vector<double> left = numbers(x->value), right = numbers(y->value);
  const double first = left.empty() ? 0 : a * left[0] + b * right[0];
  const double size = std::abs(a) * largest(left) + std::abs(b) * largest(right);
  for (std::size_t i = 0; i < left.size(); ++i)
    if (!(std::abs(a * left[i] + b * right[i] - first) <= 1e-12 * size)) return std::nullopt;
  const double nearest = std::round(first);
  return std::abs(first - nearest) <= 1e-12 * size ? nearest : first;
}

}  // namespace

Polynomial with_constants_joined(const Polynomial& sum) {
  Polynomial result = sum;
  for (std::size_t i = 0; i < result.terms.size(); ++i)
    for (std::size_t j = i + 1; j < result.terms.size(); ++j) {
      const Term first = result.terms[i], second = result.terms[j];
      const Factor *x = constant_in(first), *y = constant_in(second);
      if (!x || !y) continue;
      Term rest = without(first, *x);
      if (!same_factors(rest, without(second, *y))) continue;
      const auto number = joined(first.coefficient, x->base, second.coefficient, y->base);
      if (!number) continue;
      result.terms.erase(result.terms.begin() + static_cast<std::ptrdiff_t>(j));
      result.terms.erase(result.terms.begin() + static_cast<std::ptrdiff_t>(i));
      rest.coefficient = *number;
      add_into(result, {{std::move(rest)}});
      return with_constants_joined(result);
    }
  return result;
}

Expr without_sign(const Expr& slope, const Trace& trace) {
  Expr at = slope->operands[0];
  if (at->kind == Expression::Kind::tensor && trace.forward(at->node) &&
      trace.node(at->node).name().empty())
    at = trace.forward(at->node);
  if (!at->is(Role::Kind::negation)) return slope;
  const auto value = [&](const Tensor& x) {
    return evaluate(slope_expression(slope->application, constant_expression(x)), {});
  };
  const Tensor right = tensor({0.3, 1.1, 2.7}, f64), left = tensor({-0.3, -1.1, -2.7}, f64);
  // At numbers that the operation may refuse.
  const bool even =
      attempt([&] { return nearly_equal(value(right), value(left), 1e-12); }).value_or(false);
  if (!even) return slope;
  return slope_expression(slope->application, at->operands[0]);
}

bool is_function(const Expression& e) {
  return e.kind == Expression::Kind::operation && e.operands.size() == 1 && e.operands[0] &&
         e.op()->elementwise();
}

bool is_square_root(const Expr& function) {
  const Tensor x = tensor({0.3, 1.1, 2.7}, f64);
  return attempt([&] {
           const Tensor y = apply_again(*function->application, std::span(&x, 1));
           return nearly_equal(y * y, x, 1e-12);
         })
      .value_or(false);
}

}  // namespace chainrule::derivation
