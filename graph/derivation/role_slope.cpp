#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <optional>
#include <vector>

#include <chainrule/core/create.hpp>
#include <chainrule/core/op.hpp>
#include <chainrule/graph/derivation/attempt.hpp>
#include <chainrule/graph/derivation/compare.hpp>
#include <chainrule/graph/derivation/role_check.hpp>
#include <chainrule/graph/derivation/trace.hpp>
#include <chainrule/graph/in_f64.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/elementwise/functions.hpp>
#include <chainrule/ops/shape/manipulation.hpp>

// Whether an op computes the slope that its role says, on some numbers.

namespace chainrule::derivation {

namespace {

using Kind = Expression::Kind;

bool is_same_tensor(const Expr& a, const Expr& b) {
  return a == b ||
         (a && b && a->kind == Kind::tensor && b->kind == Kind::tensor && a->node == b->node);
}

// A value as it is: of numbers that a program in f32 writes a constant has what is meant by them.
Expr exactly(const Tensor& value) {
  const std::vector<double> elements = numbers(value);
  const bool is_one = !elements.empty() &&
                      std::ranges::all_of(elements, [&](double x) { return x == elements[0]; });
  return is_one ? number_expression(elements[0], value.shape()) : constant_expression(value);
}

}  // namespace

Expr function_of(const Expr& slope, const Trace& trace) {
  const Expr& given = slope->operands[1];
  const Role role = slope->role();
  if (given->kind != Kind::tensor) return nullptr;
  const auto is_function = [&](const Expr& e) {
    return e && e->op() == role.of && e->operands.size() == 1 && e->operands[0];
  };
  if (!role.at_operand)
    if (const Expr& function = trace.forward(given->node); is_function(function)) return function;
  // Several with other parameters may be of one z: the slope has those of its own.
  Expr found;
  bool alike = true;
  const auto same = [](const Expr& a, const Expr& b) {
    return a->application->parameters() == b->application->parameters();
  };
  for (std::uint32_t i = given->node; i < trace.size(); ++i) {
    const Expr& function = trace.forward(i);
    if (!is_function(function) || !is_same_tensor(function->operands[0], given)) continue;
    if (same(function, slope)) return function;
    alike &= !found || same(function, found);
    found = function;
  }
  return alike ? found : nullptr;
}

void check_slope(const Expression& e, const Expression& function, const Trace& trace,
                 bool recorded) {
  const NoGrad guard;
  const Expr& of = function.operands[0];
  // Where φ or its rule is not finite nothing is said of its slope.
  const auto agrees = [&](const Tensor& z) -> std::optional<bool> {
    return attempt([&] {
      const Tensor y = detail::in_f64(apply_again(*function.application, std::span(&z, 1)));
      std::vector<Tensor> operands{signed_numbers(e.operands[0]->shape, 0)};
      for (std::size_t k = 1; k < e.operands.size(); ++k) {
        const Expr& operand = e.operands[k];
        operands.push_back(is_same_tensor(operand, of)              ? z
                           : k == 1                                 ? y
                           : is_same_tensor(operand, e.operands[1]) ? y
                           : operand ? evaluate(operand, trace.environment())
                                     : Tensor());
      }
      const std::optional<Made> made = made_of(e, operands, {f64, f32});
      if (!made) throw GradError("not for these numbers");
      const Tensor said = operands[0] * evaluate(slope_expression(function.application, exactly(z)),
                                                 trace.environment());
      std::vector<double> mine = numbers(made->numbers), rule = numbers(said);
      const std::vector<double> values = numbers(expand(y, e.shape));
      for (std::size_t i = 0; i < values.size(); ++i)
        if (!std::isfinite(values[i]) || !std::isfinite(rule[i])) mine[i] = rule[i] = 0;
      // 1 − y² and the like cancel.
      return are_same({from_vector(mine, e.shape), made->single}, from_vector(rule, e.shape),
                      abs(said) + abs(operands[0]), 1e-10);
    });
  };
  std::optional<bool> right;
  if (!recorded) right = agrees(signed_numbers(of->shape, 1));
  if (!right) right = agrees(evaluate(of, trace.environment()));
  if (right && !*right)
    throw_wrong_role(e, e.role(),
                     fmt::format("it computes something else than g ⊗ {0}'(z) by the rule of {0}",
                                 function.op()->name()));
}

}  // namespace chainrule::derivation
