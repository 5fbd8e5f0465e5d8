#include <chainrule/graph/derivation/op_check.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <optional>
#include <string_view>

#include <chainrule/core/create.hpp>
#include <chainrule/core/op.hpp>
#include <chainrule/core/random.hpp>
#include <chainrule/graph/derivation/attempt.hpp>
#include <chainrule/graph/derivation/build.hpp>
#include <chainrule/graph/derivation/compare.hpp>
#include <chainrule/graph/derivation/repeating.hpp>
#include <chainrule/graph/derivation/role_check.hpp>
#include <chainrule/graph/derivation/trace.hpp>
#include <chainrule/graph/derivation/tried.hpp>
#include <chainrule/graph/in_f64.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/elementwise/convert.hpp>

namespace chainrule::derivation {

namespace {

using Kind = Expression::Kind;

// Simpler operations within simpler operations: more of them do not come to an end.
constexpr std::size_t most_within = 64;

// What two applications have in common that do the same with their operands' numbers.
std::string application_key(const Expression& e) {
  const std::span<const std::byte> bytes = e.application->parameters().bytes();
  std::string key =
      fmt::format("{} {} {} ", static_cast<const void*>(e.op()), e.output, to_string(e.shape));
  key += std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  for (const Expr& operand : e.operands) key += operand ? to_string(operand->shape) : "nothing";
  return key;
}

[[noreturn]] void fail(const Expression& e, std::string_view what) {
  const char* function =
      e.application->output_count() > 1 ? "output_written_out()" : "written_out()";
  throw GradError(fmt::format("{}: its {} {}", e.op()->name(), function, what),
                  e.application->where(), "say the same in simpler operations, or leave it out");
}

[[noreturn]] void fail_numbers(const Expression& e) {
  // A logarithm that is computed from something else than its operand writes itself out.
  const Role role = e.role();
  if (!role.is(Role::Kind::logarithm) || role.argument == 0) fail(e, "computes something else");
  throw GradError(
      fmt::format("{}: what it computes of operand 0 is not the logarithm of operand {}",
                  e.op()->name(), role.argument),
      e.application->where(),
      "give StableLog the op that computes log(x) from z, for x as the op makes it");
}

double largest_difference_where_finite(const Tensor& a, const Tensor& b) {
  const std::vector<double> x = numbers(a), y = numbers(b);
  double most = 0;
  for (std::size_t i = 0; i < x.size(); ++i)
    if (std::isfinite(x[i]) && std::isfinite(y[i])) most = std::max(most, std::abs(x[i] - y[i]));
  return most;
}

// Whether an operation and its simpler form clearly give other numbers: not by rounding, which
// grows where digits cancel, nor where one form overflows and the other does not.
bool differ(const Expr& e, const Expr& simpler, const Environment& environment) {
  const auto value = [&](const Expr& of) {
    return of ? attempt([&] { return evaluate(of, environment); }) : std::nullopt;
  };
  std::vector<Tensor> operands;
  double size = 0;
  for (const Expr& operand : e->operands) {
    operands.push_back(value(operand).value_or(Tensor()));
    if (operands.back().defined()) size = std::max(size, largest(numbers(operands.back())));
  }
  const std::optional<Tensor> mine = applied(*e, operands), other = value(simpler);
  if (!mine || !other) return false;
  const bool single = mine->dtype() == f32;
  const double rounding = single ? 1e-6 : 1e-12;
  // What the simpler form is where each of its results is rounded to fewer digits.
  double noise = 0;
  Generator generator(0x5ca1e);
  const auto rounded = [&](Tensor x) {
    if (!is_floating(x.dtype())) return x;
    return x * (1 + to(uniform(-rounding, rounding, x.shape(), generator, f64), x.dtype()));
  };
  for (int k = 0; k < 2; ++k)
    if (const auto about = attempt([&] { return evaluate(simpler, environment, rounded); }))
      noise = std::max(noise, largest_difference_where_finite(*about, *other));
  const double allowed =
      (single ? 1e-5 : 1e-9) * largest(numbers(*other)) + 2 * noise + 1e-2 * rounding * size;
  return largest_difference_where_finite(detail::in_f64(*mine), *other) > allowed;
}

}  // namespace

void OpCheck::check(const Expr& formula) {
  const auto is_new = [&](const Expr& part) { return !seen_.contains(part.get()); };
  if (!is_new(formula)) return;
  visit_parts(
      formula,
      [&](const Expr& part) {
        if (!seen_.insert(part.get()).second) return;
        held_.push_back(part);
        std::vector<const Expression*> within;
        if (part->kind == Kind::operation) check(part, within);
      },
      is_new);
}

void OpCheck::check(const Expr& e, std::vector<const Expression*>& within) {
  if (e->is_saved()) return;
  const std::string key = application_key(*e);
  for (std::size_t k = 0; k < within.size(); ++k) {
    if (application_key(*within[k]) != key) continue;
    std::string by;
    for (std::size_t i = k + 1; i < within.size(); ++i)
      by += (by.empty() ? ", by way of " : " and ") + std::string(within[i]->op()->name());
    fail(*within[k], "applies the op itself" + by);
  }
  if (within.size() > most_within) fail(*within[0], "comes to no end");
  check_slope(e);
  if (!done_.insert(key).second) return;
  if (!check_numbers(*e, &trace_.environment())) check_repeats(*e, trace_.environment());
  const Expr simpler = this->simpler(e);
  if (!simpler) return;
  if (simpler->shape != e->shape)
    fail(*e, fmt::format("makes {}, but the op makes {}", to_string(simpler->shape),
                         to_string(e->shape)));
  if (differ(e, simpler, trace_.environment()) || differs_elsewhere(e)) fail_numbers(*e);
  // What the operands are made of is no part of it.
  const auto is_operand = [&](const Expr& part) {
    return std::ranges::find(e->operands, part) != e->operands.end();
  };
  within.push_back(e.get());
  visit_parts(
      simpler,
      [&](const Expr& part) {
        if (part->kind == Kind::operation && !is_operand(part)) check(part, within);
      },
      [&](const Expr& part) { return !is_operand(part); });
  within.pop_back();
}

// Of one operand, where it has other numbers, of both signs and larger ones: several may be what
// they are to each other, as y = φ(z) beside z.
bool OpCheck::differs_elsewhere(const Expr& e) const {
  if (e->operands.size() != 1 || !e->operands[0]) return false;
  const auto differs_at = [&](double size) {
    const Tensor numbers = size * signed_numbers(e->operands[0]->shape, 0);
    const Expr there =
        operation_expression(e->application, {constant_expression(numbers)}, e->shape, e->output);
    const Expr simpler = this->simpler(there);
    return simpler && simpler->shape == e->shape && differ(there, simpler, trace_.environment());
  };
  return differs_at(1) || differs_at(10);
}

void OpCheck::check_slope(const Expr& e) {
  if (!e->is(Role::Kind::slope)) return;
  Expr function = function_of(e, trace_);
  if (!function && e->role().at_operand) function = function_at(e);
  if (function && done_.insert(application_key(*e) + " of " + application_key(*function)).second)
    derivation::check_slope(*e, *function, trace_);
}

// φ(z) of a slope of z, where the graph does not have it; null where φ does not take z.
Expr OpCheck::function_at(const Expr& slope) const {
  const EnableGrad guard;
  const Tensor z = signed_numbers(slope->operands[1]->shape, 1).requires_grad_();
  const Node& node = *slope->application;
  const auto y =
      attempt([&] { return apply(*slope->role().of, {&z}, node.parameters(), node.where()); });
  if (!y || !y->node()) return nullptr;
  return operation_expression(Ref<Node>::share(y->node()), {slope->operands[1]}, y->shape());
}

// An operation that does not take these numbers is left to where it is asked for.
Expr OpCheck::simpler(const Expr& e) const {
  return attempt([&] { return in_simpler_operations(e, trace_.environment()); }).value_or(nullptr);
}

}  // namespace chainrule::derivation
