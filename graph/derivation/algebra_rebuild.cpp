#include <algorithm>
#include <cmath>

#include <chainrule/core/op.hpp>
#include <chainrule/graph/derivation/algebra.hpp>
#include <chainrule/graph/derivation/build.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/elementwise/functions.hpp>
#include <chainrule/ops/shape/manipulation.hpp>

// From the normal form back to a formula that a person would write.

namespace chainrule::derivation {

// Σ a ⊗ c + Σ b ⊗ c is Σ (a + b) ⊗ c, where that is shorter.
Polynomial Algebra::with_sums_joined(const Polynomial& sum) {
  const auto sum_in = [](const Term& term) -> const Expression* {
    const bool alone = term.factors.size() == 1 && term.factors[0].exponent == 1;
    return alone && term.factors[0].base->is(Role::Kind::total) ? term.factors[0].base.get()
                                                                : nullptr;
  };
  Polynomial joined = sum;
  for (std::size_t i = 0; i < joined.terms.size(); ++i) {
    const Expression* first = sum_in(joined.terms[i]);
    if (!first) continue;
    const Shape& from = first->operands[0]->shape;
    std::vector<std::size_t> alike;
    Polynomial inside;
    int size = 0;
    for (std::size_t j = i; j < joined.terms.size(); ++j) {
      const Expression* other = sum_in(joined.terms[j]);
      if (!other || other->shape != first->shape || other->operands[0]->shape != from ||
          other->written() != first->written())
        continue;
      alike.push_back(j);
      add_into(inside, polynomial(other->operands[0]), joined.terms[j].coefficient);
      size += size_of(joined.terms[j].factors[0].base) + 1;
    }
    if (alike.size() < 2 || inside.terms.empty()) continue;
    Builder builder(trace_.environment());
    const Tensor summand = builder.value(expression_of(inside, from));
    const Expr whole =
        builder.build([&] { return apply_again(*first->application, std::span(&summand, 1)); });
    if (size_of(whole) >= size - 1) continue;
    for (std::size_t k = alike.size(); k-- > 1;)
      joined.terms.erase(joined.terms.begin() + static_cast<std::ptrdiff_t>(alike[k]));
    joined.terms[i] = atom(whole).terms[0];
  }
  return joined;
}

Expr Algebra::expression_of(const Polynomial& sum, const Shape& shape) {
  if (sum.terms.empty()) return number_expression(0, shape);
  // Factors that all terms share go in front: numbers of one size, and powers.
  Polynomial rest = with_sums_joined(sum);
  Term common;
  if (rest.terms.size() > 1) {
    const double size = std::abs(rest.terms[0].coefficient);
    if (std::ranges::all_of(rest.terms,
                            [&](const Term& t) { return std::abs(t.coefficient) == size; }))
      common.coefficient = size;
    for (const Factor& factor : Term(rest.terms[0]).factors) {
      int exponent = factor.exponent;
      for (const Term& term : rest.terms) {
        const auto mine = std::ranges::find(term.factors, factor.key, &Factor::key);
        const int e = mine == term.factors.end() ? 0 : mine->exponent;
        exponent = e > 0 && exponent > 0   ? std::min(exponent, e)
                   : e < 0 && exponent < 0 ? std::max(exponent, e)
                                           : 0;
      }
      if (exponent != 0) common.factors.push_back({factor.base, factor.key, exponent});
    }
    for (Term& term : rest.terms) {
      term.coefficient /= common.coefficient;
      for (Factor factor : common.factors) {
        factor.exponent = -factor.exponent;
        multiply_into(term, factor);
      }
      drop_ones(term);
    }
    std::ranges::stable_partition(rest.terms, [](const Term& t) { return t.coefficient > 0; });
  }

  Builder builder(trace_.environment());
  const auto power = [&](const Factor& factor) {
    Tensor x = builder.value(factor.base);
    const int times = std::abs(factor.exponent);
    if (times == 2) return square(x);
    Tensor result = x;
    for (int i = 1; i < times; ++i) result = result * x;
    return result;
  };
  // numerator ⊘ denominator ⊗ coefficient; undefined for a bare number.
  const auto apply_factors = [&](Tensor start, const Term& term, bool with_coefficient) {
    Tensor above = std::move(start), below;
    for (const Factor& factor : term.factors) {
      Tensor& side = factor.exponent > 0 ? above : below;
      const Tensor x = power(factor);
      side = side.defined() ? side * x : x;
    }
    const double c = term.coefficient;
    if (below.defined())
      above = above.defined() ? above / below : (with_coefficient ? c : 1.0) / below;
    const bool used = below.defined() && term.factors.size() == 1 && term.factors[0].exponent < 0;
    if (!with_coefficient || c == 1 || used || !above.defined()) return above;
    return c == -1 ? -above : above * c;
  };
  return builder.build([&] {
    const auto term_value = [&](const Term& term) {
      const Tensor value = apply_factors({}, term, true);
      if (value.defined()) return value;
      const bool alone = rest.terms.size() == 1;  // a bare number
      return builder.value(number_expression(term.coefficient, alone ? shape : Shape()));
    };
    // Terms over one denominator stand over it together.
    std::vector<bool> done(rest.terms.size());
    Tensor total;
    const auto add_to_total = [&](const Tensor& value, bool subtracted) {
      if (!total.defined())
        total = subtracted ? -value : value;
      else
        total = subtracted ? total - value : total + value;
    };
    for (std::size_t i = 0; i < rest.terms.size(); ++i) {
      if (done[i]) continue;
      const Term below = denominator_of(rest.terms[i]);
      std::vector<Term> group;
      for (std::size_t j = i; j < rest.terms.size(); ++j)
        if (!done[j] && same_factors(denominator_of(rest.terms[j]), below)) {
          done[j] = true;
          group.push_back(rest.terms[j]);
        }
      if (group.size() == 1 || below.factors.empty()) {
        for (Term& term : group) {
          const bool subtracted = total.defined() && term.coefficient < 0;
          if (subtracted) term.coefficient = -term.coefficient;
          add_to_total(term_value(term), subtracted);
        }
        continue;
      }
      Polynomial above;
      for (const Term& term : group) {
        Term numerator = term;
        std::erase_if(numerator.factors, [](const Factor& f) { return f.exponent < 0; });
        above.terms.push_back(std::move(numerator));
      }
      const bool subtracted =
          std::ranges::all_of(above.terms, [](const Term& t) { return t.coefficient < 0; });
      if (subtracted)
        for (Term& term : above.terms) term.coefficient = -term.coefficient;
      Term over = below;
      add_to_total(apply_factors(builder.value(expression_of(above, shape)), over, true),
                   subtracted);
    }
    if (rest.terms.size() > 1 && !(common.factors.empty() && common.coefficient == 1)) {
      Term front, behind = common;
      behind.factors.clear();
      for (const Factor& factor : common.factors)
        (factor.exponent > 0 ? front : behind).factors.push_back(factor);
      if (!front.factors.empty()) total = apply_factors({}, front, true) * total;
      total = apply_factors(total, behind, true);
    }
    if (total.shape() != shape) total = expand(total, shape);
    return total;
  });
}

}  // namespace chainrule::derivation
