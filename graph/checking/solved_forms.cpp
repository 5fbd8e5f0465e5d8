#include <chainrule/graph/checking/solved_forms.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <utility>

#include <chainrule/graph/derivation/build.hpp>
#include <chainrule/graph/derivation/compare.hpp>
#include <chainrule/graph/derivation/simplify.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>

namespace chainrule::derivation {

namespace {

using Kind = Expression::Kind;

constexpr int most_steps = 4, largest_form = 60;
constexpr std::size_t most_forms = 12;

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

// Tensors by the results that they are operands of.
class Solved {
 public:
  Solved(const Trace& trace, const Comparison& comparison)
      : trace_(trace), comparison_(comparison), users_(trace.size()) {
    constexpr double work_of_node = 50;
    comparison_.spend(work_of_node * static_cast<double>(trace_.size()));
    for (std::uint32_t user = 0; user < trace_.size(); ++user)
      if (const Expr& operation = trace_.forward(user);
          operation && can_be_solved(operation->role()))
        for (std::size_t k = 0; k < operation->operands.size(); ++k)
          if (const Expr& operand = operation->operands[k];
              is_tensor(operand) && operation->shape == trace_.node(operand->node).shape() &&
              std::ranges::count_if(operation->operands, [&](const Expr& other) {
                return is_tensor(other) && other->node == operand->node;
              }) == 1)
            users_[operand->node].push_back({user, k});
  }

  // Tensor i by a result with a name, in a few steps; null without one.
  Expr tensor(std::uint32_t i, int steps = most_steps) {
    if (steps == 0) return nullptr;
    const auto [known, is_new] = known_.try_emplace({i, steps});
    if (!is_new) return known->second;
    Expr by;
    for (const auto& [user, k] : users_[i]) {
      if (by || comparison_.exhausted()) break;
      by = by_user(i, user, k, steps);
    }
    return known_[{i, steps}] = by;
  }

 private:
  struct User {
    std::uint32_t node;
    std::size_t operand;
  };

  static bool is_tensor(const Expr& e) { return e && e->kind == Kind::tensor; }
  static bool can_be_solved(const Role& role) {
    using enum Role::Kind;
    return role.is(negation) || role.is(sum) || role.is(difference) || role.is(product) ||
           role.is(quotient);
  }

  Expr by_user(std::uint32_t i, std::uint32_t user, std::size_t k, int steps) {
    const Environment& point = comparison_.point(0);
    const Expr& operation = trace_.forward(user);
    const Expr result = has_name(trace_, user) ? tensor_expression(user, operation->shape)
                                               : tensor(user, steps - 1);
    if (!result) return nullptr;
    Expr by = operand_of(point, operation, k, result);
    if (!by || by->shape != trace_.node(i).shape()) return nullptr;
    comparison_.count(by);
    // Where something is 0 nothing can be solved for.
    const Tensor value = evaluate(tensor_expression(i, by->shape), point);
    return nearly_equal(evaluate(by, point), value, 1e-9) ? by : nullptr;
  }

  const Trace& trace_;
  const Comparison& comparison_;
  std::vector<std::vector<User>> users_;  // by node
  std::map<std::pair<std::uint32_t, int>, Expr> known_;
};

}  // namespace

std::vector<Expr> solved_forms(const Trace& trace, const Comparison& comparison) {
  Solved solved(trace, comparison);
  std::vector<Expr> of_unnamed, of_named;
  for (const Expr& form : comparison.right_forms()) {
    if (of_unnamed.size() + of_named.size() >= most_forms || comparison.exhausted()) break;
    if (size_of(form) > largest_form) continue;
    std::map<std::uint32_t, std::vector<Expr>> places;
    visit_parts(form, [&](const Expr& part) {
      if (part->kind == Kind::tensor) places[part->node].push_back(part);
    });
    Replacements unnamed;
    for (const auto& [i, parts] : places) {
      const bool is_named = has_name(trace, i);
      if (is_named && of_unnamed.size() + of_named.size() >= most_forms) continue;
      const Expr by = solved.tensor(i);
      if (!by) continue;
      Replacements alone;
      for (const Expr& part : parts) (is_named ? alone : unnamed)[part.get()] = by;
      if (is_named) of_named.push_back(replaced(form, alone));
    }
    if (!unnamed.empty()) of_unnamed.push_back(replaced(form, unnamed));
  }
  std::vector<Expr> forms = std::move(of_unnamed);
  forms.insert(forms.end(), of_named.begin(), of_named.end());
  if (forms.size() > most_forms) forms.resize(most_forms);
  std::erase_if(forms, [](const Expr& form) { return size_of(form) > 2 * largest_form; });
  return forms;
}

}  // namespace chainrule::derivation
