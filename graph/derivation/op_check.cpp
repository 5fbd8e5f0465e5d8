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
#include <chainrule/graph/derivation/gradient_rule.hpp>
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
// Values of so many elements are kept for the next formulas, at most.
constexpr std::int64_t most_elements = 1 << 18;

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
  if (role.is(Role::Kind::logarithm) && role.argument != 0) throw_wrong_logarithm(e);
  fail(e, "computes something else");
}

void check_elementwise(const Expression& e, const Environment& environment) {
  if (!e.op()->elementwise() || acts_elementwise(e).value_or(true)) return;
  check_repeats(e, environment);  // else it is that
  throw GradError(
      fmt::format("{}: its elementwise() says that element i of the result depends on element i of "
                  "the operands alone, and in the same way for each i, but it does not",
                  e.op()->name()),
      e.application->where(), "say false there");
}

double largest_difference_where_finite(const Tensor& a, const Tensor& b) {
  const std::vector<double> x = numbers(a), y = numbers(b);
  double most = 0;
  for (std::size_t i = 0; i < x.size(); ++i)
    if (std::isfinite(x[i]) && std::isfinite(y[i])) most = std::max(most, std::abs(x[i] - y[i]));
  return most;
}

// Up to rounding, where no digits cancel.
bool are_near(const Tensor& a, const Tensor& b) {
  return largest_difference_where_finite(a, b) <= 1e-9 * largest(numbers(b));
}

// Whether an operation, of operands with these values, and its simpler form clearly give other
// numbers: not by rounding, which grows where digits cancel, nor where one form overflows and the
// other does not.
bool differ(const Expr& e, const std::vector<Tensor>& operands, const Expr& simpler,
            const Environment& environment) {
  const std::optional<Tensor> mine = applied(*e, operands),
                              other = attempt([&] { return evaluate(simpler, environment); });
  if (!mine || !other) return false;
  const bool single = mine->dtype() == f32;
  const double most = largest_difference_where_finite(detail::in_f64(*mine), *other);
  const double near = (single ? 1e-5 : 1e-9) * largest(numbers(*other));
  if (most <= near) return false;
  const double rounding = single ? 1e-6 : 1e-12;
  // What the simpler form is where each of its results is rounded to fewer digits.
  double noise = 0, size = 0;
  Generator generator(0x5ca1e);
  const auto rounded = [&](Tensor x) {
    if (!is_floating(x.dtype())) return x;
    return x * (1 + to(uniform(-rounding, rounding, x.shape(), generator, f64), x.dtype()));
  };
  for (int k = 0; k < 2; ++k)
    if (const auto about = attempt([&] { return evaluate(simpler, environment, rounded); }))
      noise = std::max(noise, largest_difference_where_finite(*about, *other));
  for (const Tensor& operand : operands)
    if (operand.defined()) size = std::max(size, largest(numbers(operand)));
  return most > near + 2 * noise + 1e-2 * rounding * size;
}

// Whether the simpler form has no number at all, and the operation has.
bool has_none(const Expr& e, const std::vector<Tensor>& operands, const Expr& simpler,
              const Environment& environment) {
  const std::optional<Tensor> mine = applied(*e, operands),
                              other = attempt([&] { return evaluate(simpler, environment); });
  if (!mine || !other) return false;
  const auto is_number = [](double x) { return std::isfinite(x); };
  return std::ranges::any_of(numbers(*mine), is_number) &&
         std::ranges::none_of(numbers(*other), is_number);
}

// Whether there are numbers in a simpler form, or data, or an operand that changes is missing.
bool may_keep_numbers(const Expression& e, const Expr& simpler) {
  const auto is_constant = [](const Expr& part) {
    return part->kind == Kind::constant || part->kind == Kind::number;
  };
  std::size_t found = 0;
  bool constants = false;
  const auto is_operand = [&](const Expr& part) {
    return std::ranges::find(e.operands, part) != e.operands.end();
  };
  visit_parts(
      simpler,
      [&](const Expr& part) {
        if (is_operand(part))
          found += is_constant(part) ? 0 : 1;
        else
          constants |= is_constant(part);
      },
      [&](const Expr& part) { return !is_operand(part); });
  const std::set<Expr> different(e.operands.begin(), e.operands.end());
  const auto changing = std::ranges::count_if(
      different, [&](const Expr& operand) { return operand && !is_constant(operand); });
  return constants || found < static_cast<std::size_t>(changing);
}

}  // namespace

void OpCheck::check(const Expr& formula) {
  const auto is_new = [&](const Expr& part) { return !seen_.contains(part.get()); };
  if (!is_new(formula)) return;
  std::vector<const Expression*> within;
  if (elements_ > most_elements) {
    values_.clear();
    elements_ = 0;
  }
  add_values(formula);
  visit_parts(
      formula,
      [&](const Expr& part) {
        if (!seen_.insert(part.get()).second) return;
        held_.push_back(part);
        if (part->kind == Kind::operation) check(part, within);
      },
      is_new);
}

void OpCheck::check(const Expr& e, std::vector<const Expression*>& within) {
  if (e->is_saved()) return;
  const std::string key = application_key(*e);
  for (std::size_t k = 0; k < within.size(); ++k) {
    // With another shape it may come to an end, but not if that grows.
    const bool grows = within[k]->op() == e->op() && e->shape.numel() > within[k]->shape.numel();
    if (!grows && application_key(*within[k]) != key) continue;
    std::string by;
    for (std::size_t i = k + 1; i < within.size(); ++i)
      by += (by.empty() ? ", by way of " : " and ") + std::string(within[i]->op()->name());
    fail(*within[k], "applies the op itself" + by);
  }
  if (within.size() > most_within) fail(*within[0], "comes to no end");
  check_slope(e);
  const bool is_first = done_.insert(key).second;
  bool asked = is_first && check_numbers(*e);
  if (is_first) check_elementwise(*e, trace_.environment());
  std::vector<Tensor> operands;
  const Tensor* result = known(e);
  if (result) {
    for (const Expr& operand : e->operands)
      operands.push_back(operand ? *known(operand) : Tensor());
    if (check_recorded(*e, operands, *result)) asked = true;
  } else {
    operands = values_of_operands(*e, trace_.environment());
  }
  if (is_first && !asked) check_repeats(*e, trace_.environment());
  const Expr simpler = this->simpler(e);
  if (!simpler) return;
  if (simpler->shape != e->shape)
    fail(*e, fmt::format("makes {}, but the op makes {}", to_string(simpler->shape),
                         to_string(e->shape)));
  held_.push_back(simpler);
  add_values(simpler);
  const Tensor* made = known(simpler);
  if (!(result && made && are_near(*result, *made)) &&
      differ(e, operands, simpler, trace_.environment()))
    fail_numbers(*e);
  if (is_first && differs_elsewhere(e)) fail_numbers(*e);
  if (is_first && may_keep_numbers(*e, simpler) &&
      differ(e, values_of_operands(*e, elsewhere()), simpler, elsewhere()))
    fail(*e, "computes with numbers that it takes out of its operands, and formulas would keep");
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

void OpCheck::check_rule(const Expr& e) {
  std::vector<bool> change;
  std::string key = application_key(*e) + " rule ";
  for (const Expr& operand : e->operands) {
    change.push_back(operand && operand->kind == Kind::tensor &&
                     trace_.node(operand->node).requires_grad() &&
                     is_floating(trace_.node(operand->node).dtype()));
    key += change.back() ? '1' : '0';
  }
  if (std::ranges::find(change, true) == change.end() || done_.contains(key)) return;
  // Where nothing could be told, the next one is asked as well.
  if (check_gradient_rule(*e, values_of_operands(*e, trace_.environment()), change,
                          trace_.is_forward()))
    done_.insert(key);
}

// Of one operand, where it has other numbers, of both signs and larger ones: several may be what
// they are to each other, as y = φ(z) beside z.
bool OpCheck::differs_elsewhere(const Expr& e) const {
  if (e->operands.size() != 1 || !e->operands[0]) return false;
  std::size_t without = 0;
  for (const double size : {1.0, 10.0}) {
    const Tensor numbers = size * signed_numbers(e->operands[0]->shape, 0);
    const Expr there =
        operation_expression(e->application, {constant_expression(numbers)}, e->shape, e->output);
    const Expr simpler = this->simpler(there);
    if (!simpler || simpler->shape != e->shape) continue;
    if (differ(there, {numbers}, simpler, trace_.environment())) return true;
    without += has_none(there, {numbers}, simpler, trace_.environment()) ? 1 : 0;
  }
  // Where one form overflows, and the other does not, it has others elsewhere.
  return without == 2;
}

// The recorded point where parameters have other numbers; the recorded one itself where the program
// cannot be computed with these. Data stays: a form may rest on what it is.
const Environment& OpCheck::elsewhere() {
  if (elsewhere_) return *elsewhere_;
  const NoGrad guard;
  Generator generator(0xe15e);
  std::vector<Tensor> leaves(trace_.size());
  for (std::uint32_t i = 0; i < trace_.size(); ++i) {
    const Node& node = trace_.node(i);
    if (!node.is_leaf() || !node.requires_grad()) continue;
    const Tensor& value = trace_.replay().value(i);
    leaves[i] = value * uniform(1.01, 1.05, value.shape(), generator, f64);
  }
  const auto there = attempt([&] { return trace_.at(trace_.replay().from(std::move(leaves))); });
  elsewhere_ = there ? *there : trace_.environment();
  return *elsewhere_;
}

void OpCheck::check_slope(const Expr& e) {
  if (!e->is(Role::Kind::slope)) return;
  Expr function = function_of(e, trace_);
  if (!function && e->role().at_operand) function = function_at(e);
  if (!function) return;
  if (done_.insert(application_key(*e) + " of " + application_key(*function)).second)
    derivation::check_slope(*e, *function, trace_, false);
  derivation::check_slope(*e, *function, trace_, true);
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

// Up to a part that does not take what it is given.
void OpCheck::add_values(const Expr& formula) {
  elements_ += attempt([&] {
                 return add_values_of_parts(values_, formula, trace_.environment());
               }).value_or(0);
}
const Tensor* OpCheck::known(const Expr& e) const {
  const auto found = values_.find(e.get());
  return found == values_.end() ? nullptr : &found->second;
}

// An operation that does not take these numbers is left to where it is asked for.
Expr OpCheck::simpler(const Expr& e) const {
  return attempt([&] { return in_simpler_operations(e, trace_.environment(), &values_); })
      .value_or(nullptr);
}

}  // namespace chainrule::derivation
