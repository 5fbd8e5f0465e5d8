#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

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

namespace {

// The terms that stand over one denominator, together; in the order of the first of each.
std::vector<std::vector<Term>> by_denominator(const Polynomial& sum) {
  std::vector<std::vector<Term>> groups;
  for (const Term& term : sum.terms) {
    const Term below = denominator_of(term);
    const auto group = std::ranges::find_if(groups, [&](const std::vector<Term>& g) {
      return !below.factors.empty() && same_factors(denominator_of(g[0]), below);
    });
    if (group == groups.end())
      groups.push_back({term});
    else
      group->push_back(term);
  }
  return groups;
}

// Computes what a formula shows, so that a Builder sees how it is made.
struct Writer {
  Builder& builder;
  Tensor total{};

  Tensor power(const Factor& factor) {
    const Tensor x = builder.value(factor.base);
    const int times = std::abs(factor.exponent);
    if (times == 2) return square(x);
    Tensor result = x;
    for (int i = 1; i < times; ++i) result = result * x;
    return result;
  }

  // start ⊗ factors above ⊘ factors below ⊗ coefficient; undefined for a bare number.
  Tensor with_factors(Tensor start, const Term& term, bool with_coefficient) {
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
  }

  void add(const Tensor& value, bool subtracted) {
    if (!total.defined())
      total = subtracted ? -value : value;
    else
      total = subtracted ? total - value : total + value;
  }

  void multiply_by(const Term& common) {
    if (common.factors.empty() && common.coefficient == 1) return;
    Term front, behind = common;
    behind.factors.clear();
    for (const Factor& factor : common.factors)
      (factor.exponent > 0 ? front : behind).factors.push_back(factor);
    if (!front.factors.empty()) total = with_factors({}, front, true) * total;
    total = with_factors(total, behind, true);
  }
};

// The sum of what stands above a common denominator, and whether it is to be subtracted.
std::pair<Polynomial, bool> numerators(const std::vector<Term>& group) {
  Polynomial above;
  for (Term term : group) {
    std::erase_if(term.factors, [](const Factor& f) { return f.exponent < 0; });
    above.terms.push_back(std::move(term));
  }
  const bool subtracted =
      std::ranges::all_of(above.terms, [](const Term& t) { return t.coefficient < 0; });
  if (subtracted)
    for (Term& term : above.terms) term.coefficient = -term.coefficient;
  return {std::move(above), subtracted};
}

}  // namespace

Expr Algebra::expression_of(const Polynomial& sum, const Shape& shape) {
  if (sum.terms.empty()) return number_expression(0, shape);
  Polynomial rest = with_selections_joined(with_sums_joined(sum), shape);
  rest = with_means(with_named_results(with_sigmoids(std::move(rest))));
  if (!rules_.multiplied_out) rest = with_signs_inside(std::move(rest));
  const Term common = take_common(rest);
  Builder builder(trace_.environment());
  return builder.build([&] {
    Writer writer{builder};
    for (const std::vector<Term>& group : by_denominator(rest)) {
      if (group.size() > 1) {
        const auto [above, subtracted] = numerators(group);
        const Tensor over = builder.value(expression_of(above, shape));
        writer.add(writer.with_factors(over, denominator_of(group[0]), true), subtracted);
        continue;
      }
      Term term = group[0];
      const bool subtracted = writer.total.defined() && term.coefficient < 0;
      if (subtracted) term.coefficient = -term.coefficient;
      Tensor value = writer.with_factors({}, term, true);
      if (!value.defined()) {  // a bare number
        const bool alone = rest.terms.size() == 1;
        value = builder.value(number_expression(term.coefficient, alone ? shape : Shape()));
      }
      writer.add(value, subtracted);
    }
    if (rest.terms.size() > 1) writer.multiply_by(common);
    return writer.total.shape() == shape ? writer.total : expand(writer.total, shape);
  });
}

}  // namespace chainrule::derivation
