#include <chainrule/graph/derivation/simplify.hpp>

#include <algorithm>
#include <cmath>
#include <string_view>

#include <chainrule/core/op.hpp>
#include <chainrule/graph/derivation/normal_form.hpp>

namespace chainrule::derivation {

namespace {

// Rounding of some hundred operations in f64.
constexpr double tolerance = 1e-9;
// A step between has not more symbols and operations than this.
constexpr int largest_step = 40;

bool equal(const Tensor& a, const Tensor& b) {
  if (a.shape() != b.shape()) return false;
  const std::vector<double> x = a.to_vector<double>(), y = b.to_vector<double>();
  double scale = 0;
  for (const double element : x) scale = std::max(scale, std::abs(element));
  for (std::size_t i = 0; i < x.size(); ++i)
    if (!(std::abs(x[i] - y[i]) <= tolerance * scale)) return false;
  return true;
}

bool certified(const Expr& a, const Expr& b, const Trace& trace,
               const std::vector<Environment>& points) {
  const auto same_at = [&](const Environment& point) {
    return equal(evaluate(a, point), evaluate(b, point));
  };
  return same_at(trace.environment()) && std::ranges::all_of(points, same_at);
}

// Whether gradients or products of matrices stand in a formula.
bool needs_others(const Expr& expression) {
  bool found = false;
  visit_parts(expression, [&](const Expr& part) {
    found |= part->kind == Expression::Kind::gradient ||
             (part->op() && std::string_view(part->op()->name()).starts_with("matmul"));
  });
  return found;
}

std::string joined(const std::vector<std::string>& reasons) {
  std::string text;
  for (const std::string& reason : reasons) text += (text.empty() ? "" : ", ") + reason;
  return text;
}

// On the way to a form that needed the formulas of other gradients: with these put in, and then
// multiplied out, but with the sums of data as they are.
std::vector<Form> steps_between(const Trace& trace, std::uint32_t i, Rules rules,
                                const Expr& last) {
  std::vector<Form> steps;
  if (!rules.substitute_gradients) return steps;
  Algebra substitution(trace, rules);
  const Expr substituted = substitution.substituted(trace.gradient(i));
  if (substitution.reasons().empty()) return steps;
  steps.push_back({substituted, joined(substitution.reasons())});
  rules.known_sums = false;
  const Expr expanded = Algebra(trace, rules).simplify(substituted);
  if (key_of(expanded) != key_of(last)) steps.push_back({expanded, ""});
  return steps;
}

}  // namespace

std::vector<Form> simplified(const Trace& trace, std::uint32_t i,
                             const std::vector<Environment>& points) {
  std::vector<Form> forms{{trace.gradient(i), ""}};
  // Simple rules first; others only where they give something shorter.
  constexpr Rules attempts[] = {{false, false}, {false, true}, {true, false}, {true, true}};
  for (const Rules& rules : attempts) {
    const bool first = &rules == &attempts[0];
    Algebra algebra(trace, rules);
    const Expr simpler = algebra.simplify(trace.gradient(i));
    const int before = size_of(forms.back().expression), after = size_of(simpler);
    // The first form may be longer than what the rule's own notation hides; one that needs no
    // other gradient is worth two symbols.
    const bool independent =
        !trace.node(i).is_leaf() && !needs_others(simpler) && needs_others(forms.back().expression);
    if (first ? after > 2 * before + 8 : after >= before + (independent ? 3 : 0)) continue;
    if (key_of(simpler) == key_of(forms.back().expression)) continue;
    if (!certified(trace.gradient(i), simpler, trace, points)) continue;
    std::vector<std::string> reasons = algebra.reasons();
    for (Form& step : steps_between(trace, i, rules, simpler)) {
      const bool is_new = key_of(step.expression) != key_of(forms.back().expression) &&
                          size_of(step.expression) <= largest_step;
      if (!is_new || !certified(trace.gradient(i), step.expression, trace, points)) continue;
      std::erase(reasons, step.reason);
      forms.push_back(std::move(step));
    }
    forms.push_back({simpler, joined(reasons)});
  }
  return forms;
}

}  // namespace chainrule::derivation
