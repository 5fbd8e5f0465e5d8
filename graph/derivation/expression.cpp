#include <chainrule/graph/derivation/expression.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <limits>
#include <string_view>
#include <type_traits>
#include <unordered_set>
#include <utility>

#include <chainrule/core/create.hpp>
#include <chainrule/core/op.hpp>
#include <chainrule/graph/backward.hpp>
#include <chainrule/graph/derivation/notation.hpp>
#include <chainrule/graph/derivation/number_text.hpp>
#include <chainrule/graph/derivation/role_check.hpp>
#include <chainrule/graph/exact.hpp>
#include <chainrule/graph/in_f64.hpp>
#include <chainrule/graph/said_by_op.hpp>
#include <chainrule/ops/elementwise/convert.hpp>
#include <chainrule/ops/elementwise/select.hpp>
#include <chainrule/ops/reduce/reduction.hpp>

namespace chainrule::derivation {

namespace {

using Kind = Expression::Kind;

// Whether all elements are the same number, and which.
bool uniform(const Tensor& x, double& number) {
  if (x.numel() == 0 || !is_floating(x.dtype())) return false;
  bool same = true;
  visit_floating(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const std::vector<T> elements = x.to_vector<T>();
    for (const T element : elements) same = same && element == elements[0];
    number = static_cast<double>(elements[0]);
  });
  return same;
}

Expr make(Expression expression) { return std::make_shared<Expression>(std::move(expression)); }

// 128 bits of the structure of an expression: equal ones have the same, and others, but for a
// chance that is next to none, have not.
struct Key {
  std::uint64_t low = 0x9E3779B97F4A7C15U, high = 0xC2B2AE3D27D4EB4FU;

  void add(std::uint64_t x) {
    low = (low ^ x) * 0xFF51AFD7ED558CCDU;
    low ^= low >> 32;
    high = (high + (x << 31 | x >> 33)) * 0xC4CEB9FE1A85EC53U;
    high ^= high >> 29;
  }
  void add(std::span<const std::byte> bytes) {
    add(bytes.size());
    for (const std::byte byte : bytes) add(std::to_integer<std::uint64_t>(byte));
  }
  void add(const Key& other) {
    add(other.low);
    add(other.high);
  }
};

// Not where they are: the same program's constants get other places in each process.
std::uint64_t elements_of(const Tensor& x) {
  Key key;
  const auto add = [&](const auto& elements) {
    for (const auto element : elements)
      if constexpr (std::is_same_v<decltype(element), const double>)
        key.add(std::bit_cast<std::uint64_t>(element));
      else
        key.add(static_cast<std::uint64_t>(element));
  };
  key.add(static_cast<std::uint64_t>(x.dtype()));
  for (const std::int64_t extent : x.shape()) key.add(static_cast<std::uint64_t>(extent));
  if (x.dtype() == f64)
    add(x.to_vector<double>());
  else if (x.dtype() == boolean)
    add(x.to_vector<bool>());
  else
    add(x.to_vector<std::int64_t>());
  return key.low;
}

// φ'(x) for an elementwise op: its own reverse rule, with ones.
Tensor slope_at(const Node& application, const Tensor& x) {
  const EnableGrad guard;
  const Tensor at = x.detach().requires_grad_();
  return grad(sum(detail::in_f64(apply_again(application, std::span(&at, 1)))), at).detach();
}

}  // namespace

// Long chains of expressions go without recursion, and without memory, of which there may be none:
// on the way down the place of an operand that was taken out holds the way up.
Expression::~Expression() {
  Expr current, parent;  // null: this one
  for (;;) {
    std::vector<Expr>& rest = current ? const_cast<Expression&>(*current).operands : operands;
    if (rest.empty()) {
      if (!current) return;
      current = std::exchange(parent, nullptr);
      if (!current) continue;
      std::vector<Expr>& above = const_cast<Expression&>(*current).operands;
      parent = std::move(above.back());
      above.pop_back();
      continue;
    }
    Expr operand = std::move(rest.back());
    if (!operand || operand.use_count() > 1) {  // somebody else sees it
      rest.pop_back();
      continue;
    }
    if (current)
      rest.back() = std::exchange(parent, std::move(current));
    else
      rest.pop_back();
    current = std::move(operand);
  }
}

namespace {

// Whether a conversion makes whole numbers, or a mask, of numbers that it cuts: another one only
// says how they are kept.
bool cuts(const Expression& e, const Role& role) {
  if (!role.is(Role::Kind::conversion) || is_floating(e.application->dtype())) return false;
  const Expression& x = *e.operands[0];
  const bool is_result = x.kind == Kind::operation && !x.is_saved();
  const DType from = is_result                  ? x.application->dtype()
                     : x.kind == Kind::constant ? x.value.dtype()
                                                : DType::f64;
  return e.application->dtype() == boolean ? from != boolean : is_floating(from);
}

}  // namespace

Role Expression::role() const {
  const bool is_one_result = kind == Kind::operation && application->output_count() == 1;
  if (!is_one_result || is_saved()) return {};
  const Role role = detail::role_said(*application);
  check_role(*this, role);
  return cuts(*this, role) ? Role() : role;
}

bool Expression::is_elementwise() const {
  return kind == Kind::slope ||
         (kind == Kind::operation && !is_saved() && (role().elementwise() || op()->elementwise()));
}

std::string Expression::written() const {
  if (is_saved()) {
    const std::size_t k = output - application->output_count();
    std::string text =
        fmt::format("saved_by_{}{}(", op()->name(), k == 0 ? "" : fmt::format("[{}]", k));
    for (std::size_t i = 0; i < operands.size(); ++i)
      if (operands[i]) text += fmt::format("{}{{{}}}", text.back() == '(' ? "" : ", ", i);
    return text + ")";
  }
  if (application->output_count() == 1 && cuts(*this, detail::role_said(*application)))
    return application->dtype() == boolean ? "{0} ≠ 0" : "trunc({0})";
  return notation_of(*application, output, operands.size());
}

Tensor Expression::written_out(std::span<const Tensor> values) const {
  if (is_saved()) return {};
  return detail::written_out_said(*application, values, output);
}

Expr tensor_expression(std::uint32_t node, const Shape& shape) {
  return make({.kind = Expression::Kind::tensor, .shape = shape, .node = node});
}

Expr gradient_expression(std::uint32_t node, const Shape& shape) {
  return make({.kind = Expression::Kind::gradient, .shape = shape, .node = node});
}

Expr number_expression(double number, const Shape& shape) {
  return make({.kind = Expression::Kind::number, .shape = shape, .number = number});
}

Expr extent_expression(std::int64_t extent, std::string name) {
  return make({.kind = Expression::Kind::number,
               .shape = {},
               .number = static_cast<double>(extent),
               .name = std::move(name)});
}

Expr constant_expression(const Tensor& value) {
  double number = 0;
  if (uniform(value, number)) {
    // What a program in f32 computes with, also where it is computed again in f64.
    constexpr double largest = std::numeric_limits<float>::max();
    if (std::abs(number) <= largest && static_cast<float>(number) == number)
      number = number_meant(static_cast<float>(number));
    return number_expression(number, value.shape());
  }
  // Who watches operations asks for constants, and not for how they become f64.
  const detail::ModeScope unwatched({.recording = false, .provenance = false});
  const Tensor elements = detail::in_f64(value.detach());
  return make({.kind = Expression::Kind::constant,
               .shape = value.shape(),
               .value = elements,
               .elements = elements_of(elements)});
}

Expr operation_expression(Ref<Node> application, std::vector<Expr> operands, const Shape& shape,
                          std::size_t output) {
  return make({.kind = Expression::Kind::operation,
               .shape = shape,
               .application = std::move(application),
               .operands = std::move(operands),
               .output = output});
}

Expr operation_expression(Ref<Node> application, std::vector<Expr> operands) {
  const Shape shape = application->shape();
  return operation_expression(std::move(application), std::move(operands), shape);
}

Expr slope_expression(Ref<Node> application, Expr at) {
  const Shape shape = at->shape;
  return make({.kind = Expression::Kind::slope,
               .shape = shape,
               .application = std::move(application),
               .operands = {std::move(at)}});
}

void visit_parts(const Expr& expression, const std::function<void(const Expr&)>& f,
                 const std::function<bool(const Expr&)>& into) {
  struct Step {
    Expr at;
    std::size_t next;
    std::size_t end;
  };
  const auto step = [&](const Expr& part) {
    return Step{part, 0, !into || into(part) ? part->operands.size() : 0};
  };
  std::unordered_set<const Expression*> seen{expression.get()};
  std::vector<Step> path{step(expression)};
  while (!path.empty()) {
    Step& top = path.back();
    if (top.next == top.end) {
      f(top.at);
      path.pop_back();
      continue;
    }
    const Expr& operand = top.at->operands[top.next++];
    if (operand && seen.insert(operand.get()).second) path.push_back(step(operand));
  }
}

Expr replaced(const Expr& expression, const Replacements& parts) {
  std::unordered_map<const Expression*, Expr> done;
  const auto replace = [&](const Expr& e) {
    if (const auto other = parts.find(e.get()); other != parts.end()) {
      done[e.get()] = other->second;
      return;
    }
    bool changed = false;
    std::vector<Expr> operands = e->operands;
    for (Expr& operand : operands) {
      if (!operand) continue;
      const Expr& now = done.at(operand.get());
      changed |= now != operand;
      operand = now;
    }
    if (!changed) {
      done[e.get()] = e;
      return;
    }
    Expression copy = *e;
    copy.operands = std::move(operands);
    done[e.get()] = std::make_shared<Expression>(std::move(copy));
  };
  visit_parts(expression, replace, [&](const Expr& e) { return !parts.contains(e.get()); });
  return done.at(expression.get());
}

std::optional<double> number_in(const Expression& e, int depth) {
  if (e.kind == Expression::Kind::number)
    return e.name.empty() ? std::optional(e.number) : std::nullopt;
  constexpr int most_depth = 16;
  if (e.kind != Expression::Kind::operation || depth == most_depth) return std::nullopt;
  const auto operand = [&](std::size_t k) { return number_in(*e.operands[k], depth + 1); };
  switch (e.role().kind) {
    case Role::Kind::copy:
    case Role::Kind::reshape:
    case Role::Kind::permutation:
    case Role::Kind::slice:
      return operand(0);
    case Role::Kind::negation:
      if (const auto x = operand(0)) return -*x;
      return std::nullopt;
    case Role::Kind::product:
    case Role::Kind::quotient: {
      const auto a = operand(0), b = a ? operand(1) : std::nullopt;
      if (!b) return std::nullopt;
      return e.is(Role::Kind::product) ? *a * *b : *a / *b;
    }
    case Role::Kind::total:
    case Role::Kind::mean: {
      const auto x = operand(0);
      const std::int64_t from = e.operands[0]->shape.numel(), to = e.shape.numel();
      if (!x || from == 0 || to == 0) return std::nullopt;
      const std::int64_t summands = from / to;
      return e.is(Role::Kind::mean) ? *x : *x * static_cast<double>(summands);
    }
    default:
      return std::nullopt;
  }
}

std::vector<Expr> users_of(const Expr& operand, std::span<const Expr> parts) {
  std::vector<Expr> users;
  for (const Expr& part : parts)
    if (std::ranges::find(part->operands, operand) != part->operands.end()) users.push_back(part);
  return users;
}

Expr with_operand(const Expr& operation, const Expr& operand, const Expr& other) {
  if (operation->kind != Kind::operation) return nullptr;
  std::vector<Expr> operands = operation->operands;
  std::ranges::replace(operands, operand, other);
  return operation_expression(operation->application, std::move(operands), operation->shape,
                              operation->output);
}

Tensor evaluate(const Expr& expression, const Environment& environment,
                const Replay::Adjust& adjust, const Replay::Adjust& adjust_constants) {
  return values_of_parts(expression, environment, adjust, adjust_constants).at(expression.get());
}

Values values_of_parts(const Expr& expression, const Environment& environment,
                       const Replay::Adjust& adjust, const Replay::Adjust& adjust_constants) {
  Values values;
  add_values_of_parts(values, expression, environment, adjust, adjust_constants);
  return values;
}

std::int64_t add_values_of_parts(Values& values, const Expr& expression,
                                 const Environment& environment, const Replay::Adjust& adjust,
                                 const Replay::Adjust& adjust_constants) {
  const NoGrad guard;
  std::int64_t elements = 0;
  // What is equal though it was computed, as x and min(x, 1), stays so.
  Values exact;
  const auto with_ties = [&](const Expr& comparison, const Tensor& moved) {
    add_values_of_parts(exact, comparison, environment);
    const Tensor tied =
        exact.at(comparison->operands[0].get()) == exact.at(comparison->operands[1].get());
    return logical_or(logical_and(tied, exact.at(comparison.get())),
                      logical_and(logical_not(tied), moved));
  };
  const auto add = [&](const Expr& part) {
    Tensor value;
    std::vector<Tensor> operands;
    for (const Expr& operand : part->operands)
      operands.push_back(operand ? values.at(operand.get()) : Tensor());
    switch (part->kind) {
      case Expression::Kind::tensor:
        value = environment.tensors[part->node];
        break;
      case Expression::Kind::gradient:
        value = environment.gradients[part->node];
        if (!value.defined()) throw GradError("derive: a gradient is used before it is known");
        break;
      case Expression::Kind::constant:
        value = part->value;
        break;
      case Expression::Kind::number:
        value = full(part->shape, part->number, f64);
        break;
      case Expression::Kind::slope:
        value = slope_at(*part->application, operands[0]);
        break;
      case Expression::Kind::operation:
        if (part->is_saved())
          value = saved_again(*part->application, operands,
                              part->output - part->application->output_count());
        else if (!part->is(Role::Kind::conversion))
          value = apply_again(*part->application, operands, part->output);
        else  // everything that is floating is f64
          value = to(operands[0],
                     is_floating(part->application->dtype()) ? f64 : part->application->dtype());
    }
    const bool is_result = part->kind == Kind::operation || part->kind == Kind::slope;
    const bool is_constant = part->kind == Kind::constant || part->kind == Kind::number;
    if (adjust && is_result) {
      if (part->is(Role::Kind::comparison))
        value = with_ties(part, value);
      else
        value = detail::adjusted_where_rounded(part->role(), operands, std::move(value), adjust);
    }
    if (is_result) value = detail::in_f64(value);
    if (adjust_constants && is_constant) value = adjust_constants(std::move(value));
    if (value.defined()) elements += value.numel();
    values[part.get()] = std::move(value);
  };
  const auto is_new = [&](const Expr& part) { return !values.contains(part.get()); };
  if (is_new(expression)) visit_parts(expression, add, is_new);
  return elements;
}

namespace {

std::unordered_map<const Expression*, Key> structure_of(const Expr& expression) {
  std::unordered_map<const Expression*, Key> keys;
  visit_parts(expression, [&](const Expr& e) {
    Key key;
    key.add(static_cast<std::uint64_t>(e->kind));
    switch (e->kind) {
      case Kind::tensor:
      case Kind::gradient:
        key.add(e->node);
        break;
      case Kind::constant:
        key.add(e->elements);
        break;
      case Kind::number:
        key.add(std::bit_cast<std::uint64_t>(e->number));
        key.add(std::as_bytes(std::span(e->name)));
        break;
      default:
        key.add(std::as_bytes(std::span(std::string_view(e->op()->name()))));
        key.add(e->application->parameters().bytes());
        key.add(e->output);
        for (const std::int64_t extent : e->shape) key.add(static_cast<std::uint64_t>(extent));
        for (const Expr& operand : e->operands) key.add(operand ? keys.at(operand.get()) : Key{});
    }
    keys[e.get()] = key;
  });
  return keys;
}

std::string text_of(const Key& key) { return fmt::format("{:016x}{:016x}", key.low, key.high); }

}  // namespace

std::string key_of(const Expr& expression) {
  return text_of(structure_of(expression).at(expression.get()));
}

Keys keys_of(const Expr& expression) {
  Keys keys;
  for (const auto& [part, key] : structure_of(expression)) keys.emplace(part, text_of(key));
  return keys;
}

int size_of(const Expr& expression) {
  std::unordered_map<const Expression*, int> sizes;
  visit_parts(expression, [&](const Expr& e) {
    int size = 1;
    const auto add = [&](const Expr& operand) {
      size = std::min(size + (operand ? sizes.at(operand.get()) : 0), 1'000'000);
    };
    if (e->kind == Kind::operation) {
      // As often as the formula shows them.
      for (const std::size_t k : operands_in(e->written()))
        if (k < e->operands.size()) add(e->operands[k]);
    } else {
      for (const Expr& operand : e->operands) add(operand);
    }
    sizes[e.get()] = size;
  });
  return sizes.at(expression.get());
}

}  // namespace chainrule::derivation
