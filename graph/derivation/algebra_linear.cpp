#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include <chainrule/core/op.hpp>
#include <chainrule/graph/derivation/algebra.hpp>
#include <chainrule/graph/derivation/build.hpp>
#include <chainrule/ops/linalg/matmul.hpp>

// Linear maps: products of matrices, transposes, other shapes. Numbers stand in front of them.

namespace chainrule::derivation {

using Kind = Expression::Kind;

namespace {

// The number that all terms have in common, which is taken out of them; with the sign of one alone.
double take_number(Polynomial& sum) {
  const double size = std::abs(sum.terms[0].coefficient);
  const bool common = std::ranges::all_of(
      sum.terms, [&](const Term& t) { return std::abs(t.coefficient) == size; });
  const double number = !common ? 1 : sum.terms.size() == 1 ? sum.terms[0].coefficient : size;
  for (Term& term : sum.terms) term.coefficient /= number;
  return number;
}

}  // namespace

// The elements in another shape: a number stands in front.
Polynomial Algebra::reshaped(const Expr& e) {
  Polynomial sum = polynomial(e->operands[0]);
  if (sum.terms.empty()) return {};
  const double factor = take_number(sum);
  if (factor == 1 || (sum.terms.size() == 1 && sum.terms[0].factors.empty()))
    return atom(rebuilt(e));
  std::vector<Expr> operands = e->operands;
  operands[0] = expression_of(sum, operands[0]->shape);
  return product(number(factor), atom(operation_expression(e->application, std::move(operands),
                                                           e->shape, e->output)));
}

// A product of matrices: numbers stand in front of it.
Polynomial Algebra::matrix_product(const Expr& e) {
  double factor = 1;
  std::vector<Expr> operands;
  for (const Expr& operand : e->operands) {
    Polynomial sum = polynomial(operand);
    if (sum.terms.empty()) return {};
    factor *= take_number(sum);
    operands.push_back(expression_of(sum, operand->shape));
  }
  const Expr simpler = without_double_transposes(e, std::move(operands));
  // A matrix of one number is that number.
  const Role role = simpler->role();
  for (std::size_t k = 0; k < 2 && role.is(Role::Kind::matrix_product); ++k) {
    const Expr &one = simpler->operands[k], &other = simpler->operands[1 - k];
    if (one->kind == Kind::number && one->shape.numel() == 1 && !role.transposed[1 - k] &&
        other->shape == e->shape)
      return product(number(factor * one->number), polynomial(other));
  }
  return product(number(factor), atom(simpler));
}

// (Wᵀ)ᵀ·x is W·x: the product of what was transposed.
Expr Algebra::without_double_transposes(const Expr& e, std::vector<Expr> operands) {
  const Role role = e->role();
  bool transposed[2];  // of a vector there is nothing to transpose
  for (std::size_t k = 0; k < 2; ++k)
    transposed[k] = role.transposed[k] && operands.size() > k && operands[k]->shape.rank() > 1;
  bool changed = false;
  for (std::size_t k = 0; k < 2 && role.is(Role::Kind::matrix_product); ++k)
    while (operands[k]->role().swaps_axes) {
      operands[k] = operands[k]->operands[0];
      transposed[k] = !transposed[k];
      changed = true;
    }
  if (!changed) return operation_expression(e->application, std::move(operands));
  Builder builder(trace_.environment());
  const Tensor a = builder.value(operands[0]), b = builder.value(operands[1]);
  return builder.build(
      [&] { return detail::product(a, transposed[0], b, transposed[1], e->application->where()); });
}

// (2 aᵀ ⊗ (bᵀ)²)ᵀ is 2 a ⊗ b². No terms where something in it is not a transpose.
Polynomial Algebra::transposed_back(const Polynomial& inside, const Shape& shape) {
  Polynomial back;
  for (const Term& term : inside.terms) {
    Polynomial turned = number(term.coefficient);
    for (const Factor& factor : term.factors) {
      const Expr& base = factor.base;
      if (base->shape != shape || !base->role().swaps_axes) return {};
      const Expr& x = base->operands[0];
      turned = product(turned, factor.exponent == 1 ? polynomial(x) : atom(x, factor.exponent));
    }
    if (term.factors.empty()) return {};
    add_into(back, turned);
  }
  return back.terms.size() <= most_terms ? back : Polynomial();
}

}  // namespace chainrule::derivation
