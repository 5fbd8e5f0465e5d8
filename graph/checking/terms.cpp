#include <chainrule/graph/checking/terms.hpp>

#include <algorithm>

#include <chainrule/graph/derivation/attempt.hpp>
#include <chainrule/graph/derivation/build.hpp>
#include <chainrule/graph/derivation/compare.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/shape/manipulation.hpp>

namespace chainrule::derivation {

namespace {

constexpr std::size_t most_terms_of_a_formula = 12;
constexpr int most_levels = 4;

// The operands in which an operation is linear, one at a time.
std::vector<std::size_t> linear_operands(const Expression& e) {
  using enum Role::Kind;
  switch (e.role().kind) {
    case product:
    case matrix_product:
    case outer_product:
    case inner_product:
      return {0, 1};
    case negation:
    case quotient:
    case slope:
    case conversion:
    case copy:
    case permutation:
    case reshape:
    case slice:
    case scatter:
    case total:
    case mean:
      return {0};
    default:
      return {};
  }
}

// The first sum or difference that the formula is linear in.
Expr linear_sum(const Expr& e) {
  if (e->kind != Expression::Kind::operation) return nullptr;
  if (e->is(Role::Kind::sum) || e->is(Role::Kind::difference)) return e;
  for (const std::size_t k : linear_operands(*e))
    if (k < e->operands.size() && e->operands[k])
      if (const Expr found = linear_sum(e->operands[k])) return found;
  return nullptr;
}

// An operand of a sum in its shape, and with its sign.
Expr summand(const Expr& sum, std::size_t k, const Environment& point) {
  const Expr& operand = sum->operands[k];
  const bool negative = k == 1 && sum->is(Role::Kind::difference);
  if (!negative && operand->shape == sum->shape) return operand;
  Builder builder(point);
  return builder.build([&] {
    const Tensor value = builder.value(operand);
    const Tensor wide = operand->shape == sum->shape ? value : expand(value, sum->shape);
    return negative ? -wide : wide;
  });
}

bool split(const Expr& e, const Environment& point, std::vector<Expr>& terms) {
  if (terms.size() > most_terms_of_a_formula) return false;
  const Expr sum = linear_sum(e);
  if (!sum) {
    terms.push_back(e);
    return true;
  }
  for (std::size_t k = 0; k < 2; ++k) {
    Expr one = summand(sum, k, point);
    if (!split(sum == e ? one : replaced(e, {{sum.get(), std::move(one)}}), point, terms))
      return false;
  }
  return true;
}

}  // namespace

Expr written_out(const Expr& formula, const Environment& point, bool slopes) {
  Expr result = formula;
  for (int level = 0; level < most_levels; ++level) {
    Replacements simpler;
    Values values;  // of all operands, so that none is computed again for each part above it
    for (const Expr& operand : result->operands)
      if (operand) add_values_of_parts(values, operand, point);
    visit_parts(result, [&](const Expr& part) {
      if (part->kind != Expression::Kind::operation || (!slopes && part->is(Role::Kind::slope)))
        return;
      if (Expr other = in_simpler_operations(part, point, &values);
          other && other->shape == part->shape)
        simpler.emplace(part.get(), std::move(other));
    });
    if (simpler.empty()) break;
    result = replaced(result, simpler);
  }
  return result;
}

Expr without_unnamed_gradients(const Trace& trace, const Expr& formula) {
  constexpr int largest = 200;
  Expr result = formula;
  for (int level = 0; level < most_levels; ++level) {
    Replacements formulas;
    visit_parts(result, [&](const Expr& part) {
      if (part->kind == Expression::Kind::gradient && trace.node(part->node).name().empty() &&
          trace.gradient(part->node))
        formulas.emplace(part.get(), trace.gradient(part->node));
    });
    if (formulas.empty()) break;
    Expr other = replaced(result, formulas);
    if (size_of(other) > largest) break;
    result = std::move(other);
  }
  return result;
}

std::vector<Expr> terms_of(const Expr& formula, const Environment& point) {
  std::vector<Expr> terms;
  const auto is_sum_of_terms = [&] {
    if (!split(written_out(formula, point), point, terms) || terms.size() < 2) return false;
    // A sum that stands in two places is not a sum of its parts; these may cancel.
    constexpr double of_the_sum = 1e-9, of_its_parts = 1e-13;
    Tensor together = evaluate(terms[0], point);
    double size = largest(numbers(together));
    for (std::size_t k = 1; k < terms.size(); ++k) {
      const Tensor term = evaluate(terms[k], point);
      size = std::max(size, largest(numbers(term)));
      together = together + term;
    }
    return nearly_equal(evaluate(formula, point), together, of_the_sum, of_its_parts * size);
  };
  return attempt(is_sum_of_terms).value_or(false) ? terms : std::vector<Expr>();
}

}  // namespace chainrule::derivation
