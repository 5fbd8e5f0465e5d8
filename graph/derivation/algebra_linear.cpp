#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include <chainrule/core/op.hpp>
#include <chainrule/graph/derivation/algebra.hpp>
#include <chainrule/graph/derivation/build.hpp>
#include <chainrule/ops/linalg/matmul.hpp>

// Linear maps: products of matrices, transposes, other shapes. Scalars stand in front of them.

namespace chainrule::derivation {

using Kind = Expression::Kind;

namespace {

bool is_one(const Term& term) { return term.coefficient == 1 && term.factors.empty(); }

}  // namespace

// The symbol of this shape that a reshape was made of; null for what it was not. Products of
// matrices stay, which are written without the axes that they need.
Expr Algebra::before_reshape(const Expr& e, const Shape& shape) const {
  const Expr& made = shown(e);
  if (!made->is(Role::Kind::reshape)) return nullptr;
  const Expr& of = made->operands[0];
  return of->shape == shape && of->is_symbol() && &shown(of) == &of ? of : nullptr;
}

// The elements in another shape: scalars stand in front.
Polynomial Algebra::reshaped(const Expr& e) {
  Polynomial sum = polynomial(e->operands[0]);
  if (sum.terms.empty()) return {};
  const Term scalars = take_scalars(sum);
  if (sum.terms.size() == 1 && sum.terms[0].factors.size() == 1) {
    const Factor& only = sum.terms[0].factors[0];
    if (const Expr back = before_reshape(only.base, e->shape); back && only.exponent == 1)
      return product({{scalars}}, product(number(sum.terms[0].coefficient), polynomial(back)));
  }
  const bool is_number = sum.terms.size() == 1 && sum.terms[0].factors.empty();
  if (is_number && !scalars.factors.empty()) return {{scalars}};
  if (is_number || is_one(scalars)) return atom(rebuilt(e));
  std::vector<Expr> operands = e->operands;
  operands[0] = expression_of(sum, operands[0]->shape);
  return product({{scalars}}, atom(operation_expression(e->application, std::move(operands),
                                                        e->shape, e->output)));
}

// A choice between two formulas: scalars stand in front of the only one that is not 0, and what the
// same mask has chosen before is not chosen again.
Polynomial Algebra::selected(const Expr& e) {
  if (const Expr& chosen = trace_.chosen_everywhere(e)) return polynomial(chosen);
  const std::string condition = key_of(e->operands[0]);
  const auto side = [&](const auto& self, const Expr& operand, std::size_t k) -> Polynomial {
    Polynomial sum = polynomial(operand);
    if (sum.terms.size() != 1) return sum;
    for (const Factor& factor : sum.terms[0].factors) {
      const Expr& chosen = shown(factor.base);
      if (factor.exponent != 1 || !chosen->is(Role::Kind::selection) ||
          key_of(chosen->operands[0]) != condition)
        continue;
      Term rest = sum.terms[0];
      divide(rest, {1, {factor}});
      return product({{rest}}, self(self, chosen->operands[k], k));
    }
    return sum;
  };
  Polynomial where_it_holds = side(side, e->operands[1], 1),
             elsewhere = side(side, e->operands[2], 2);
  Polynomial difference = elsewhere;
  add_into(difference, where_it_holds, -1);
  // Of one formula in two forms each is exact where the other is not.
  if (difference.terms.empty()) return where_it_holds;
  if (where_it_holds.terms.empty() == elsewhere.terms.empty()) return atom(rebuilt(e));
  const Term scalars = take_scalars(where_it_holds.terms.empty() ? elsewhere : where_it_holds);
  std::vector<Expr> operands{e->operands[0], expression_of(where_it_holds, e->operands[1]->shape),
                             expression_of(elsewhere, e->operands[2]->shape)};
  return product({{scalars}}, atom(rebuilt(operation_expression(e->application, std::move(operands),
                                                                e->shape, e->output))));
}

// A product of matrices: scalars stand in front of it.
Polynomial Algebra::matrix_product(const Expr& e) {
  Polynomial scalars = number(1);
  std::vector<Expr> operands;
  for (const Expr& operand : e->operands) {
    Polynomial sum = polynomial(operand);
    if (sum.terms.empty()) return {};
    scalars = product(scalars, {{take_scalars(sum)}});
    operands.push_back(expression_of(sum, operand->shape));
  }
  const Expr simpler = without_double_transposes(e, std::move(operands));
  // A matrix of one number is that number.
  const Role role = simpler->role();
  for (std::size_t k = 0; k < 2 && role.is(Role::Kind::matrix_product); ++k) {
    const Expr &one = simpler->operands[k], &other = simpler->operands[1 - k];
    if (one->kind == Kind::number && one->shape.numel() == 1 && !role.transposed[1 - k] &&
        other->shape == e->shape)
      return product(product(scalars, number(one->number)), polynomial(other));
  }
  return product(scalars, atom(simpler));
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
