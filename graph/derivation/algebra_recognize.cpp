#include <algorithm>
#include <climits>
#include <cmath>
#include <utility>
#include <vector>

#include <chainrule/core/op.hpp>
#include <chainrule/graph/derivation/algebra.hpp>
#include <chainrule/graph/derivation/build.hpp>
#include <chainrule/graph/derivation/compare.hpp>
#include <chainrule/graph/derivation/known_data.hpp>
#include <chainrule/graph/derivation/role_check.hpp>
#include <chainrule/ops/elementwise/activations.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/elementwise/functions.hpp>
#include <chainrule/ops/elementwise/select.hpp>
#include <chainrule/ops/reduce/reduction.hpp>

// What a person would see in a normal form: a result that has a name, a mean, a sigmoid, one
// selection where several have the same condition.

namespace chainrule::derivation {

using Kind = Expression::Kind;

namespace {

// Whether a term has all factors of another one, each as a part of its power.
bool contains(const Term& term, const Term& part) {
  return std::ranges::all_of(part.factors, [&](const Factor& f) {
    return std::ranges::any_of(term.factors, [&](const Factor& mine) {
      return mine.key == f.key && mine.exponent * f.exponent > 0 &&
             std::abs(mine.exponent) >= std::abs(f.exponent);
    });
  });
}

// Whether a formula shows a number by its name.
bool has_named_numbers(const Expr& e, const Trace& trace) {
  bool found = false;
  visit_parts(e, [&](const Expr& part) {
    found = found || (part->kind == Kind::tensor && part->shape.rank() == 0 &&
                      !trace.node(part->node).requires_grad());
  });
  return found;
}

// where(c, x, y), which is x between bounds where c is |x| ≤ δ and y is δ sign(x).
Tensor chosen_from(const Tensor& condition, const Tensor& x, const Tensor& y) {
  const std::vector<double> outside = y.to_vector<double>();
  const double bound = outside.empty() ? 0 : std::abs(outside[0]);
  const auto is_bound = [&](double element) {
    return std::abs(std::abs(element) - bound) <= 1e-12 * bound;
  };
  const Tensor chosen = where(condition, x, y);
  if (bound == 0 || x.shape() != y.shape() || !std::ranges::all_of(outside, is_bound))
    return chosen;
  const Tensor clipped = clamp(x, -bound, bound);
  return nearly_equal(clipped, chosen, 1e-12) ? clipped : chosen;
}

}  // namespace

// A sum that is to be multiplied, as one factor, with what its terms have in common beside it. Its
// sign does not depend on the order in which it was written.
Polynomial Algebra::as_factor(const Polynomial& sum, const Shape& shape) {
  if (sum.terms.size() < 2) return sum;
  Polynomial rest = sum;
  Term common = take_common(rest);
  const auto key = [](const Term& term) {
    std::vector<std::string> keys;
    for (const Factor& factor : term.factors) keys.push_back(factor.key);
    std::ranges::sort(keys);
    return keys;
  };
  if (std::ranges::min_element(rest.terms, {}, key)->coefficient < 0) {
    common.coefficient = -common.coefficient;
    for (Term& term : rest.terms) term.coefficient = -term.coefficient;
  }
  return product({{common}}, atom(expression_of(rest, shape)));
}

// c ⊘ s is u where the graph has that.
Polynomial Algebra::with_named_results(Polynomial sum) {
  if (!named_products_) {
    named_products_.emplace();
    for (const std::uint32_t i : trace_.named_products()) {
      const Expr& formula = trace_.forward(i);
      const Polynomial product = polynomial(formula);
      if (product.terms.size() != 1 || product.terms[0].factors.size() < 2) continue;
      named_products_->push_back({product.terms[0], tensor_expression(i, formula->shape)});
    }
  }
  for (Term& term : sum.terms)
    for (const NamedProduct& named : *named_products_)
      if (contains(term, named.factors)) {
        divide(term, named.factors);
        multiply_into(term, atom(named.result).terms[0].factors[0]);
      }
  return sum;
}

// Σ x / n over n elements is their mean.
Polynomial Algebra::with_means(Polynomial sum) {
  for (Term& term : sum.terms)
    for (Factor& factor : term.factors) {
      if (factor.exponent != 1 || !factor.base->is(Role::Kind::total)) continue;
      const Shape &from = factor.base->operands[0]->shape, &to = factor.base->shape;
      const double count = static_cast<double>(from.numel()) / static_cast<double>(to.numel());
      // Where they are reduced but stay, their axes can be told by the shapes.
      if (!(count >= 2) || from.rank() != to.rank()) continue;
      if (!(std::abs(std::abs(term.coefficient) * count - 1) <= 1e-12)) continue;
      std::uint32_t axes = 0;
      for (int axis = 0; axis < from.rank(); ++axis)
        if (from[axis] != to[axis]) axes |= std::uint32_t{1} << axis;
      Builder builder(trace_.environment());
      const Tensor x = builder.value(factor.base->operands[0]);
      const Expr mean =
          builder.build([&] { return chainrule::mean(x, Axes::of_mask(axes), true); });
      factor = atom(mean).terms[0].factors[0];
      term.coefficient *= count;
      break;
    }
  return sum;
}

// (√v)² is v, and v ⊘ √v is √v.
Polynomial Algebra::with_roots_squared(Polynomial sum) {
  constexpr std::size_t most_inside = 4;
  const auto power = [&](const Polynomial& of, const Expr& e, int exponent) {
    Polynomial result = exponent < 0 && of.terms.size() != 1 ? atom(e, exponent) : number(1);
    for (int k = 0; k < exponent; ++k) result = product(result, of);
    for (int k = exponent; k < 0 && of.terms.size() == 1; ++k) divide(result.terms[0], of.terms[0]);
    return result;
  };
  const auto squared = [&](const Term& term) -> std::optional<Polynomial> {
    for (const Factor& factor : term.factors) {
      const Expr& root = shown(factor.base);
      if (!is_function(*root)) continue;
      const Polynomial inside = polynomial(root->operands[0]);
      const bool is_one = inside.terms.size() == 1 && inside.terms[0].factors.size() == 1 &&
                          inside.terms[0].coefficient == 1;
      const int beside = is_one && inside.terms[0].factors[0].exponent == 1
                             ? exponent_in(term, inside.terms[0].factors[0].key)
                             : 0;
      const bool cancels = beside * factor.exponent < 0;
      // c ⊘ √v ⊘ √v may be u ⊘ √v of a result with a name.
      const int fewest = factor.exponent < 0 && !rules_.opened ? INT_MAX : 2;
      if ((std::abs(factor.exponent) < fewest && !cancels) || inside.terms.empty() ||
          inside.terms.size() > most_inside || !is_square_root(root))
        continue;
      const int halves = factor.exponent + 2 * beside;
      Term rest = term;
      divide(rest, {1, {factor}});
      if (beside != 0)
        divide(rest,
               {1, {{inside.terms[0].factors[0].base, inside.terms[0].factors[0].key, beside}}});
      if (halves % 2 != 0) multiply_into(rest, {factor.base, factor.key, halves % 2});
      return product({{rest}}, power(inside, root->operands[0], halves / 2));
    }
    return std::nullopt;
  };
  Polynomial result;
  for (const Term& term : sum.terms) {
    const std::optional<Polynomial> other = squared(term);
    add_into(result, other ? with_roots_squared(*other) : Polynomial{{term}});
  }
  return result;
}

// eᵃ ⊘ (1 + eᵃ) is σ(a).
Polynomial Algebra::with_sigmoids(Polynomial sum) {
  for (Term& term : sum.terms) {
    const auto is_exponential = [&](const Factor& f) {
      return f.exponent == 1 && shown(f.base)->is(Role::Kind::exponential);
    };
    const auto e = std::ranges::find_if(term.factors, is_exponential);
    if (e == term.factors.end()) continue;
    const auto is_one_or_e = [&](const Term& t) {
      return t.coefficient == 1 &&
             (t.factors.empty() ||
              (t.factors.size() == 1 && t.factors[0].key == e->key && t.factors[0].exponent == 1));
    };
    const auto is_denominator = [&](const Factor& f) {
      if (f.exponent != -1) return false;
      const Polynomial below = polynomial(f.base);
      return below.terms.size() == 2 && std::ranges::all_of(below.terms, is_one_or_e);
    };
    const auto below = std::ranges::find_if(term.factors, is_denominator);
    if (below == term.factors.end()) continue;
    Builder builder(trace_.environment());
    const Tensor a = builder.value(shown(e->base)->operands[0]);
    const Expr sigmoid = builder.build([&] { return chainrule::sigmoid(a); });
    divide(term, {1, {*e, {below->base, below->key, -1}}});
    multiply_into(term, atom(sigmoid).terms[0].factors[0]);
  }
  return sum;
}

// 1 / N and 1 / √d in the places of their numbers: where a mean divides by N on every way to the
// loss, and where only one extent has that root.
Polynomial Algebra::with_extents(Polynomial sum, std::uint32_t of) {
  if (trace_.extents().empty()) return sum;
  const auto divide_by = [&](Term& term, const Expr& extent, double value) {
    term.coefficient *= value;
    Factor factor = atom(extent).terms[0].factors[0];
    factor.exponent = -1;
    multiply_into(term, factor);
  };
  const auto is_simple = [](double x) {
    const double quarters = std::abs(x) * 4;
    return std::round(quarters) > 0 && std::abs(quarters - std::round(quarters)) < 1e-9 * quarters;
  };
  for (Term& term : sum.terms) {
    // What another gradient is divided by stands in its own formula.
    bool has_gradient = false;
    for (const Factor& factor : term.factors)
      visit_parts(factor.base,
                  [&](const Expr& part) { has_gradient |= part->kind == Kind::gradient; });
    if (!has_gradient)
      for (const Extent& extent : trace_.divided_by(of))
        divide_by(term, extent_expression(extent.count, extent.name),
                  static_cast<double>(extent.count));
    if (is_simple(term.coefficient)) continue;
    const Extent* root = nullptr;
    int fitting = 0;
    for (const Extent& extent : trace_.extents())
      if (is_simple(term.coefficient * std::sqrt(static_cast<double>(extent.count)))) {
        root = &extent;
        ++fitting;
      }
    if (fitting != 1) continue;
    Builder builder(trace_.environment());
    const Tensor d = builder.value(extent_expression(root->count, root->name));
    divide_by(term, builder.build([&] { return sqrt(d); }),
              std::sqrt(static_cast<double>(root->count)));
  }
  return sum;
}

// −(a − b) ⊗ c is (b − a) ⊗ c.
Polynomial Algebra::with_signs_inside(Polynomial sum) {
  for (Term& term : sum.terms) {
    if (term.coefficient >= 0) continue;
    const auto is_difference = [](const Factor& f) {
      return std::abs(f.exponent) == 1 && f.base->is(Role::Kind::difference);
    };
    const auto factor = std::ranges::find_if(term.factors, is_difference);
    if (factor == term.factors.end()) continue;
    Builder builder(trace_.environment());
    const Tensor a = builder.value(factor->base->operands[0]);
    const Tensor b = builder.value(factor->base->operands[1]);
    const Expr turned = builder.build([&] { return b - a; });
    *factor = {turned, key_of(turned), factor->exponent};
    term.coefficient = -term.coefficient;
  }
  return sum;
}

// dh ⊗ c + a − dh ⊗ h is dh ⊗ (c − h) + a. What all terms have in common is taken out elsewhere.
Polynomial Algebra::with_gradients_collected(const Polynomial& sum) {
  Polynomial result = sum;
  for (std::size_t i = 0; i < result.terms.size(); ++i)
    for (const Factor& gradient : std::vector<Factor>(result.terms[i].factors)) {
      if (gradient.base->kind != Kind::gradient || gradient.exponent != 1) continue;
      const auto has_it = [&](const Term& term) { return exponent_in(term, gradient.key) == 1; };
      const auto alike = static_cast<std::size_t>(std::ranges::count_if(result.terms, has_it));
      if (alike < 2 || alike == result.terms.size()) continue;
      Polynomial inside;
      std::optional<Shape> shape = Shape();
      for (const Term& term : result.terms) {
        if (!has_it(term)) continue;
        inside.terms.push_back(term);
        divide(inside.terms.back(), {1, {gradient}});
        for (const Factor& factor : inside.terms.back().factors)
          shape = broadcast(shape, factor.base->shape);
      }
      Term whole = product({{{1, {gradient}}}}, as_factor(inside, *shape)).terms[0];
      result.terms[i] = std::move(whole);
      const auto rest = result.terms.begin() + static_cast<std::ptrdiff_t>(i) + 1;
      result.terms.erase(std::remove_if(rest, result.terms.end(), has_it), result.terms.end());
      break;
    }
  return result;
}

// where(c, 0, a) ⊗ x + where(c, b, 0) ⊗ y is where(c, b ⊗ y, a ⊗ x), where that is shorter.
Polynomial Algebra::with_selections_joined(const Polynomial& sum, const Shape& shape) {
  const auto selection_in = [](const Term& term) -> const Expression* {
    for (const Factor& factor : term.factors)
      if (factor.exponent == 1 && factor.base->is(Role::Kind::selection)) return factor.base.get();
    return nullptr;
  };
  Polynomial result;
  std::vector<bool> done(sum.terms.size());
  for (std::size_t i = 0; i < sum.terms.size(); ++i) {
    if (done[i]) continue;
    const Expression* first = selection_in(sum.terms[i]);
    Polynomial holds, elsewhere;
    std::vector<std::size_t> alike;
    const std::string condition = first ? key_of(first->operands[0]) : "";
    for (std::size_t j = i; first && j < sum.terms.size(); ++j) {
      const Expression* selection = selection_in(sum.terms[j]);
      if (done[j] || !selection || key_of(selection->operands[0]) != condition) continue;
      Term rest = sum.terms[j];
      std::erase_if(rest.factors, [&](const Factor& f) { return f.base.get() == selection; });
      add_into(holds, product({{rest}}, polynomial(selection->operands[1])));
      add_into(elsewhere, product({{rest}}, polynomial(selection->operands[2])));
      alike.push_back(j);
    }
    if (alike.size() < 2) {
      result.terms.push_back(sum.terms[i]);
      continue;
    }
    for (const std::size_t j : alike) done[j] = true;
    add_into(result, joined(first->operands[0], holds, elsewhere, shape));
  }
  return result;
}

Polynomial Algebra::joined(const Expr& condition, const Polynomial& where_it_holds,
                           const Polynomial& elsewhere, const Shape& shape) {
  // What both have in common stands in front: scalars, and a number.
  Polynomial a = where_it_holds, b = elsewhere, both = a;
  both.terms.insert(both.terms.end(), b.terms.begin(), b.terms.end());
  Term common = both.terms.empty() ? Term() : take_scalars(both);
  common.coefficient = a.terms.size() == 1 ? a.terms[0].coefficient : 1;
  for (Polynomial* side : {&a, &b})
    for (Term& term : side->terms) divide(term, common);
  const Expr yes = expression_of(a, shape), no = expression_of(b, shape);
  const bool clips = !has_named_numbers(no, trace_);  // a clip's bounds have no names
  Builder builder(trace_.environment());
  const Tensor mask = builder.value(condition);
  const Tensor x = builder.value(yes), y = builder.value(no);
  const Expr chosen =
      builder.build([&] { return clips ? chosen_from(mask, x, y) : where(mask, x, y); });
  return product({{common}}, polynomial(chosen));
}

}  // namespace chainrule::derivation
