#include <chainrule/graph/checking/rules.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include <chainrule/core/op.hpp>
#include <chainrule/core/random.hpp>
#include <chainrule/graph/backward.hpp>
#include <chainrule/graph/checking/differences.hpp>
#include <chainrule/graph/checking/rounding.hpp>
#include <chainrule/graph/derivation/attempt.hpp>
#include <chainrule/graph/derivation/compare.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/elementwise/convert.hpp>
#include <chainrule/ops/reduce/reduction.hpp>

namespace chainrule::derivation {

namespace {

// Σ |x y|: what roundings of ⟨x, y⟩ are a part of.
double size_of_inner(const Tensor& x, const Tensor& y) {
  const std::vector<double> a = numbers(x), b = numbers(y);
  double size = 0;
  for (std::size_t e = 0; e < a.size(); ++e) size += std::abs(a[e] * b[e]);
  return size;
}

enum class Verdict { agrees, disagrees, rounds };

// Whether ⟨g, J d⟩ by the rule is not that by differences, for a random g and a random direction d
// of the operands that have gradients; or is it but for the rounding to f32 of a result in f64.
Verdict judged(const Trace& trace, const Environment& point, const Expression& operation) {
  if (operation.is(Role::Kind::conversion)) return Verdict::agrees;  // everything is f64 here
  std::vector<Tensor> operands;
  std::vector<std::size_t> with_gradient;
  for (const Expr& operand : operation.operands) {
    const bool has_gradient = operand && operand->kind == Expression::Kind::tensor &&
                              trace.node(operand->node).requires_grad();
    if (has_gradient) with_gradient.push_back(operands.size());
    operands.push_back(operand ? evaluate(operand, point).detach() : Tensor());
    if (has_gradient) operands.back().requires_grad_();
  }
  std::vector<Tensor> asked;
  for (const std::size_t k : with_gradient) asked.push_back(operands[k]);

  Generator generator(1);
  const EnableGrad recording;
  const Tensor made = apply_again(*operation.application, operands, operation.output);
  if (!made.requires_grad()) return Verdict::agrees;
  const Tensor result = to(made, f64);
  const Tensor g = randn(result.shape(), generator, f64);
  const std::vector<Tensor> gradients =
      grad(std::span(&result, 1), std::span(&g, 1), asked, {.allow_unused = true});

  const NoGrad guard;
  double by_rule = 0, size = 0;
  std::vector<Tensor> directions;
  for (std::size_t k = 0; k < asked.size(); ++k) {
    directions.push_back(randn(asked[k].shape(), generator, f64) * steps_of(asked[k].detach()));
    by_rule += sum(directions[k] * gradients[k]).item<double>();
    size += size_of_inner(directions[k], gradients[k]);
  }
  const auto along = [&](double h) {
    std::vector<Tensor> moved = operands;
    for (std::size_t k = 0; k < asked.size(); ++k)
      moved[with_gradient[k]] = asked[k].detach() + directions[k] * h;
    const Tensor there = apply_again(*operation.application, moved, operation.output);
    return sum(g * to(there, f64)).item<double>();
  };
  const double half_unit = made.dtype() == f32 ? half_unit_f32 : half_unit_f64;
  const double here = sum(g * result.detach()).item<double>(), scale = size_of_inner(g, result);
  const auto moved = [&](double h) {
    return attempt([&] { return along(h); }).value_or(std::nan(""));
  };
  const auto contradicts = [&](double unit) {
    const Difference d = differentiate(moved, here, 64 * unit * scale);
    return d.finite() && !d.kink && !d.agrees(by_rule, 1e-6 * size) &&
           !passes_over(d, by_rule, moved);
  };
  if (!contradicts(half_unit)) return Verdict::agrees;
  // A step that f64 can tell apart, and after which the result is the very same.
  constexpr double tiny = 1e-11;
  const bool stands_still = std::abs(by_rule) * tiny > 64 * half_unit_f64 * scale &&
                            attempt([&] { return along(tiny); }) == here;
  return stands_still && !contradicts(half_unit_f32) ? Verdict::rounds : Verdict::disagrees;
}

}  // namespace

namespace {

// Of the operations between node i and the loss the one nearest to the loss of this verdict.
std::string nearest(Verdict verdict, const Trace& trace, const Environment& point,
                    std::uint32_t i) {
  std::vector<bool> follows(trace.size());
  follows[i] = true;
  for (std::uint32_t j = i + 1; j < trace.size(); ++j)
    follows[j] = std::ranges::any_of(trace.traversal().edges(j), [&](std::uint32_t edge) {
      return edge != Traversal::none && follows[edge];
    });
  for (auto j = static_cast<std::uint32_t>(trace.size()); j-- > i + 1;) {
    const Expr& operation = trace.forward(j);
    if (!follows[j] || !operation) continue;
    if (attempt([&] { return judged(trace, point, *operation); }) != verdict) continue;
    const Where& where = operation->application->where();
    return fmt::format("{} at {}:{}", operation->op()->name(), where.file_name(), where.line());
  }
  return "";
}

}  // namespace

std::string wrong_rule(const Trace& trace, const Environment& point, std::uint32_t i) {
  return nearest(Verdict::disagrees, trace, point, i);
}

std::string rounding_operation(const Trace& trace, const Environment& point, std::uint32_t i) {
  return nearest(Verdict::rounds, trace, point, i);
}

}  // namespace chainrule::derivation
