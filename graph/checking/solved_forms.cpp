#include <chainrule/graph/checking/solved_forms.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>

#include <chainrule/graph/derivation/build.hpp>
#include <chainrule/graph/derivation/compare.hpp>
#include <chainrule/graph/derivation/simplify.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>

namespace chainrule::derivation {

namespace {

using Kind = Expression::Kind;

constexpr int most_steps = 4, largest_form = 60;
constexpr std::size_t most_forms = 6;

bool has_name(const Trace& trace, std::uint32_t i) { return !trace.node(i).name().empty(); }

// Operand k of an operation, by its result.
Expr operand_of(const Environment& point, const Expr& operation, std::size_t k,
                const Expr& result) {
  const Role role = operation->role();
  if (role.is(Role::Kind::negation))
    return built(point, [&](Builder& builder) { return -builder.value(result); });
  if (operation->operands.size() != 2 || !operation->operands[1 - k]) return nullptr;
  // Without what spreads it, which the operation does as well.
  Expr other_operand = operation->operands[1 - k];
  while (other_operand->is(Role::Kind::copy) && other_operand->operands[0])
    other_operand = other_operand->operands[0];
  return built(point, [&](Builder& builder) {
    const Tensor all = builder.value(result), other = builder.value(other_operand);
    if (role.is(Role::Kind::sum)) return all - other;
    if (role.is(Role::Kind::difference)) return k == 0 ? all + other : other - all;
    if (role.is(Role::Kind::product)) return all / other;
    if (role.is(Role::Kind::quotient)) return k == 0 ? all * other : other / all;
    return Tensor();
  });
}

// A tensor by a result with a name that it is an operand of, in a few steps; null without one.
Expr solved(const Trace& trace, const Environment& point, std::uint32_t i, int steps = most_steps) {
  for (std::uint32_t user = i + 1; user < trace.size() && steps > 0; ++user) {
    const Expr& operation = trace.forward(user);
    if (!operation || operation->shape != trace.node(i).shape()) continue;
    const auto is_this = [&](const Expr& operand) {
      return operand && operand->kind == Kind::tensor && operand->node == i;
    };
    if (std::ranges::count_if(operation->operands, is_this) != 1) continue;
    const Expr result = has_name(trace, user) ? tensor_expression(user, operation->shape)
                                              : solved(trace, point, user, steps - 1);
    if (!result) continue;
    const auto k = static_cast<std::size_t>(std::ranges::find_if(operation->operands, is_this) -
                                            operation->operands.begin());
    const Expr by = operand_of(point, operation, k, result);
    // Where something is 0 nothing can be solved for.
    if (by && by->shape == trace.node(i).shape() &&
        nearly_equal(evaluate(by, point), evaluate(tensor_expression(i, by->shape), point), 1e-9))
      return by;
  }
  return nullptr;
}

}  // namespace

std::vector<Expr> solved_forms(const Trace& trace, const Comparison& comparison) {
  const Environment& point = comparison.point(0);
  std::vector<Expr> forms;
  std::size_t of_unnamed = 0;  // which come first
  for (const Expr& form : comparison.right_forms()) {
    if (size_of(form) > largest_form) continue;
    std::map<std::uint32_t, std::vector<Expr>> places;
    visit_parts(form, [&](const Expr& part) {
      if (part->kind == Kind::tensor) places[part->node].push_back(part);
    });
    Replacements unnamed;
    for (const auto& [i, parts] : places) {
      const Expr by = solved(trace, point, i);
      if (!by) continue;
      Replacements alone;
      for (const Expr& part : parts) (has_name(trace, i) ? alone : unnamed)[part.get()] = by;
      if (!alone.empty()) forms.push_back(replaced(form, alone));
    }
    if (!unnamed.empty()) {
      const auto behind = forms.begin() + static_cast<std::ptrdiff_t>(of_unnamed++);
      forms.insert(behind, replaced(form, unnamed));
    }
    if (forms.size() > most_forms) break;
  }
  std::erase_if(forms, [](const Expr& form) { return size_of(form) > 2 * largest_form; });
  return forms;
}

}  // namespace chainrule::derivation
