#include <fmt/format.h>

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

namespace {

// What a term without other factors is a linear map of: one operand, beside which the others, and
// what the map is, are the key.
struct LinearMap {
  const Expression* map;
  std::size_t operand;
  std::string key;
};

std::vector<LinearMap> maps_in(const Term& term) {
  using enum Role::Kind;
  if (term.factors.size() != 1 || term.factors[0].exponent != 1) return {};
  const Expression& e = *term.factors[0].base;
  const Role role = e.role();
  const bool of_two = role.is(matrix_product) || role.is(outer_product);
  if (!of_two && !role.is(total) && !role.is(reshape) && !role.is(permutation)) return {};
  std::vector<LinearMap> maps;
  for (std::size_t k = 0; k < (of_two ? 2U : 1U); ++k) {
    std::string key = fmt::format("{} {} {} {} {}", e.op()->name(), e.written(), k,
                                  to_string(e.shape), to_string(e.operands[k]->shape));
    for (std::size_t other = 0; other < e.operands.size(); ++other)
      if (other != k) key += e.operands[other] ? key_of(e.operands[other]) : "none";
    maps.push_back({&e, k, std::move(key)});
  }
  return maps;
}

}  // namespace

// Xᵀ·a − Xᵀ·b is Xᵀ·(a − b), and Σ a ⊗ c + Σ b ⊗ c is Σ (a + b) ⊗ c, where that is shorter.
Polynomial Algebra::with_maps_joined(const Polynomial& sum) {
  Polynomial joined = sum;
  std::vector<std::vector<LinearMap>> maps;
  if (sum.terms.size() > 1)
    for (const Term& term : sum.terms) maps.push_back(maps_in(term));
  for (std::size_t i = 0; i < maps.size(); ++i)
    for (const LinearMap& map : std::vector<LinearMap>(maps[i])) {
      std::vector<std::size_t> alike;
      Polynomial inside;
      int size = 0;
      for (std::size_t j = i; j < maps.size(); ++j) {
        const auto same = std::ranges::find(maps[j], map.key, &LinearMap::key);
        if (same == maps[j].end()) continue;
        alike.push_back(j);
        add_into(inside, polynomial(same->map->operands[map.operand]), joined.terms[j].coefficient);
        size += size_of(joined.terms[j].factors[0].base) + 1;
      }
      if (alike.size() < 2 || inside.terms.empty()) continue;
      Builder builder(trace_.environment());
      std::vector<Tensor> operands;
      for (std::size_t k = 0; k < map.map->operands.size(); ++k) {
        const Expr& operand = map.map->operands[k];
        operands.push_back(k == map.operand ? builder.value(expression_of(inside, operand->shape))
                                            : builder.value(operand));
      }
      const Expr whole =
          builder.build([&] { return apply_again(*map.map->application, operands); });
      if (size_of(whole) >= size - 1) continue;
      const Term term = atom(whole).terms[0];
      for (std::size_t k = alike.size(); k-- > 1;) {
        joined.terms.erase(joined.terms.begin() + static_cast<std::ptrdiff_t>(alike[k]));
        maps.erase(maps.begin() + static_cast<std::ptrdiff_t>(alike[k]));
      }
      joined.terms[i] = term;
      maps[i] = maps_in(term);
      break;
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
    return times == 1 ? x : pow(x, times);
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
  Polynomial rest = with_selections_joined(with_maps_joined(sum), shape);
  rest = with_means(with_named_results(with_sigmoids(std::move(rest))));
  if (!rules_.multiplied_out) rest = with_gradients_collected(with_signs_inside(std::move(rest)));
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
