#include <chainrule/graph/derivation/simplify.hpp>

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include <chainrule/core/create.hpp>
#include <chainrule/core/op.hpp>
#include <chainrule/core/random.hpp>
#include <chainrule/graph/derivation/algebra.hpp>
#include <chainrule/graph/derivation/attempt.hpp>
#include <chainrule/graph/derivation/compare.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>

namespace chainrule::derivation {

namespace {

// Rounding of some hundred operations in f64.
constexpr double tolerance = 1e-9;
// A step between has not more symbols and operations than this.
constexpr int largest_step = 40;
// Formulas of other gradients are put in while one has not more than this.
constexpr int largest_with_passing = 20;
constexpr int number_of_points = 2;
// The formula of another gradient is put in where it has not more than this.
constexpr int largest_put_in = 12;
// How far they are, in parts of the parameters' sizes, and how far nearer ones.
constexpr double distances[] = {0.5, 0.05, 5e-3, 5e-4};

// Values near those of the parameters; data stays, as formulas may rest on what it is.
Environment random_point(const Trace& trace, Generator& generator, double distance) {
  std::vector<Tensor> leaves(trace.size());
  const NoGrad guard;
  for (std::uint32_t i = 0; i < trace.size(); ++i) {
    const Node& node = trace.node(i);
    if (!node.is_leaf() || !node.requires_grad()) continue;
    const Tensor noise = uniform(-distance, distance, node.shape(), generator, f64);
    leaves[i] = trace.replay().value(i) * (1 + noise) + noise * 0.1;
  }
  return trace.at(trace.replay().from(std::move(leaves)));
}

bool certified(const Expr& a, const Expr& b, const Trace& trace,
               const std::vector<Environment>& points) {
  const auto same_at = [&](const Environment& point) {
    return attempt([&] { return nearly_equal(evaluate(a, point), evaluate(b, point), tolerance); })
        .value_or(false);
  };
  return same_at(trace.environment()) && std::ranges::all_of(points, same_at);
}

// Whether gradients or products of matrices stand in a formula.
bool needs_others(const Expr& expression) {
  bool found = false;
  visit_parts(expression, [&](const Expr& part) {
    found |= part->kind == Expression::Kind::gradient || part->is(Role::Kind::matrix_product);
  });
  return found;
}

// What a reader has to read for a formula: it, and the lines for the passing gradients in it. Of
// one that is more than a symbol with numbers, its share alone.
int cost_of(const Expr& expression, const Trace& trace) {
  constexpr int left_side = 2;  // dt1 =
  int cost = size_of(expression);
  visit_parts(expression, [&](const Expr& part) {
    if (part->kind != Expression::Kind::gradient || !trace.is_passing(part->node)) return;
    const int line = left_side + size_of(trace.gradient(part->node));
    const bool is_short = trace.is_scaled_symbol(part->node);
    cost += is_short ? line : line / std::max(trace.uses_of_gradient(part->node), 1);
  });
  return cost;
}

// Whether the gradients in a formula are of no other use, and long themselves.
bool saves_lines(const Expr& expression, const Trace& trace) {
  constexpr int long_formula = 12;
  bool alone = true;
  int size = 0;
  visit_parts(expression, [&](const Expr& part) {
    if (part->kind != Expression::Kind::gradient) return;
    alone = alone && trace.uses_of_gradient(part->node) == 1;
    size += size_of(trace.gradient(part->node));
  });
  return alone && size >= long_formula;
}

// On the way to a form that needed the formulas of other gradients: with these put in, and then
// multiplied out, but with the sums of data as they are.
std::vector<Stage> steps_between(const Trace& trace, std::uint32_t i, Rules rules,
                                 const Expr& last) {
  std::vector<Stage> steps;
  if (!rules.substitute_gradients) return steps;
  Algebra substitution(trace, rules);
  const Expr substituted = substitution.substituted(trace.with_comparisons(trace.gradient(i)));
  if (substitution.reasons().empty()) return steps;
  steps.push_back({substituted, substitution.reasons()});
  rules.known_sums = false;
  const Expr expanded = Algebra(trace, rules).simplify(substituted);
  if (key_of(expanded) != key_of(last)) steps.push_back({expanded, {}});
  return steps;
}

}  // namespace

Expr without_unnamed(const Trace& trace, const Expr& formula) {
  // Formulas with others put in become long.
  constexpr int most_levels = 4, largest_form = 120;
  Expr opened = formula;
  for (int level = 0; level < most_levels; ++level) {
    Replacements unnamed;
    visit_parts(opened, [&](const Expr& part) {
      if (part->kind == Expression::Kind::tensor && trace.node(part->node).name().empty() &&
          trace.forward(part->node) && trace.forward(part->node)->shape == part->shape)
        unnamed.emplace(part.get(), trace.forward(part->node));
    });
    if (unnamed.empty()) break;
    opened = replaced(opened, unnamed);
    if (size_of(opened) > largest_form) break;
  }
  return opened;
}

std::vector<Environment> certifying_points(const Trace& trace) {
  Generator generator(0x5eed);
  std::vector<Environment> points;
  for (int k = 0; k < number_of_points; ++k)
    for (const double distance : distances) {
      std::optional<Environment> point =
          attempt([&] { return random_point(trace, generator, distance); });
      if (!point || !is_finite_at(trace, *point)) continue;
      points.push_back(std::move(*point));
      break;
    }
  return points;
}

bool is_finite_at(const Trace& trace, const Environment& point) {
  const auto stays_finite = [](const Tensor& here, const Tensor& there) {
    if (!here.defined() || !is_floating(here.dtype())) return true;
    const std::vector<double> x = numbers(here), y = numbers(there);
    return std::ranges::equal(
        x, y, [](double a, double b) { return !std::isfinite(a) || std::isfinite(b); });
  };
  const Environment& recorded = trace.environment();
  for (std::uint32_t i = 0; i < trace.size(); ++i)
    if (!stays_finite(recorded.tensors[i], point.tensors[i]) ||
        !stays_finite(recorded.gradients[i], point.gradients[i]))
      return false;
  return true;
}

std::vector<Stage> simplified(const Trace& trace, std::uint32_t i,
                              const std::vector<Environment>& points) {
  const Expr given = trace.with_sums_counted(trace.with_comparisons(trace.gradient(i)));
  std::vector<Stage> forms{{given, {}}};
  // Simple rules first; others only where they give something shorter.
  constexpr Rules attempts[] = {{},
                                {.multiplied_out = false},
                                {.substitute_passing = true},
                                {.multiplied_out = false, .substitute_passing = true},
                                {.slopes_written_out = true},
                                {.substitute_gradients = true},
                                {.substitute_gradients = true, .slopes_written_out = true},
                                {.opened = true}};
  for (const Rules& rules : attempts) {
    const bool first = &rules == &attempts[0];
    Algebra algebra(trace, rules);
    // Results without names are looked into in what has been found without that.
    const Expr simpler =
        rules.opened ? algebra.simplify(forms.back().expression) : algebra.simplify(given, i);
    const int before = cost_of(forms.back().expression, trace), after = cost_of(simpler, trace);
    // The first form may be longer than what the rule's own notation hides; one that needs no
    // other gradient is worth two symbols. Rules for tangents hide little.
    const int longest_first = (trace.is_forward() ? 1 : 2) * before + 6;
    const bool independent =
        (!trace.node(i).is_leaf() || saves_lines(forms.back().expression, trace)) &&
        !needs_others(simpler) && needs_others(forms.back().expression);
    // Of forms that cost the same, the one that is factored.
    const bool ties = !rules.multiplied_out && after == before;
    const bool longer = !first && !rules.opened && !ties && after >= before;
    if (rules.opened) {
      const auto cost_when_shown = [&](const Expr& e) {
        return cost_of(e, trace) - size_of(e) + size_of(without_unnamed(trace, e));
      };
      if (cost_when_shown(simpler) >= cost_when_shown(forms.back().expression)) continue;
    } else if (first ? after > longest_first : longer && after >= before + (independent ? 3 : 0)) {
      continue;
    }
    if (rules.substitute_passing && size_of(simpler) > largest_with_passing) continue;
    if (key_of(simpler) == key_of(forms.back().expression)) continue;
    if (!certified(given, simpler, trace, points)) continue;
    // Multiplied out in between tells a reader nothing.
    if (ties && forms.size() > 1 && forms.back().reasons.empty()) forms.pop_back();
    if (key_of(simpler) == key_of(forms.back().expression)) continue;
    const bool is_independent = longer || forms.back().independent;
    std::vector<Reason> reasons = algebra.reasons();
    for (Stage& step : steps_between(trace, i, rules, simpler)) {
      const bool is_new = key_of(step.expression) != key_of(forms.back().expression) &&
                          size_of(step.expression) <= largest_step;
      if (!is_new || !certified(given, step.expression, trace, points)) continue;
      for (const Reason& said : step.reasons) std::erase(reasons, said);
      step.independent = is_independent;
      forms.push_back(std::move(step));
    }
    forms.push_back({simpler, std::move(reasons), is_independent});
  }
  return forms;
}

Expr multiplied_out(const Trace& trace, const Expr& formula) {
  Expr simpler = Algebra(trace, {}).simplify(formula);
  return certified(formula, simpler, trace, {}) ? simpler : formula;
}

std::optional<Stage> shortened(const Trace& trace, std::uint32_t i, const Expr& formula,
                               const std::function<Expr(std::uint32_t)>& formula_of,
                               const std::vector<Environment>& points) {
  std::map<std::uint32_t, Expr> others;
  visit_parts(formula, [&](const Expr& part) {
    if (part->kind != Expression::Kind::gradient || trace.node(part->node).is_leaf()) return;
    const Expr other = formula_of(part->node);
    if (other && size_of(other) <= largest_put_in) others[part->node] = other;
  });
  // What they are made from keeps its name, so that their terms are alike.
  std::set<std::uint32_t> inside;
  for (const auto& [node, other] : others)
    visit_parts(other, [&](const Expr& part) {
      if (part->kind == Expression::Kind::gradient) inside.insert(part->node);
    });
  Replacements formulas;
  std::vector<Reason> reasons;
  visit_parts(formula, [&](const Expr& part) {
    if (part->kind != Expression::Kind::gradient || inside.contains(part->node)) return;
    const auto other = others.find(part->node);
    if (other == others.end()) return;
    formulas[part.get()] = other->second;
    reasons.push_back({"", part->node});
  });
  if (formulas.empty()) return std::nullopt;
  Algebra algebra(trace, {});
  const Expr shorter = algebra.simplify(replaced(formula, formulas));
  // That a gradient is another tensor, v, is worth nothing to a reader where v can stand itself.
  const bool renamed = !needs_others(shorter) && std::ranges::all_of(others, [](const auto& each) {
    return each.second->kind == Expression::Kind::tensor && each.second->node != each.first;
  });
  if (size_of(shorter) >= size_of(formula) + (renamed ? 1 : 0)) return std::nullopt;
  if (!certified(trace.gradient(i), shorter, trace, points)) return std::nullopt;
  reasons.insert(reasons.end(), algebra.reasons().begin(), algebra.reasons().end());
  return Stage{shorter, std::move(reasons)};
}

}  // namespace chainrule::derivation
