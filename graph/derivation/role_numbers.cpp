#include <chainrule/graph/derivation/role_check.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <limits>
#include <optional>
#include <vector>

#include <chainrule/core/create.hpp>
#include <chainrule/core/op.hpp>
#include <chainrule/graph/derivation/attempt.hpp>
#include <chainrule/graph/derivation/compare.hpp>
#include <chainrule/graph/derivation/tried.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/elementwise/convert.hpp>
#include <chainrule/ops/elementwise/functions.hpp>
#include <chainrule/ops/elementwise/log.hpp>
#include <chainrule/ops/elementwise/select.hpp>
#include <chainrule/ops/linalg/matmul.hpp>
#include <chainrule/ops/reduce/reduced.hpp>
#include <chainrule/ops/reduce/reduction.hpp>
#include <chainrule/ops/shape/manipulation.hpp>

// Whether an op computes what its role says, on some numbers.

namespace chainrule::derivation {

namespace {

// 1 … 7, in another order for each operand: all dtypes have them.
Tensor whole_numbers(const Shape& shape, std::size_t k) {
  std::vector<double> numbers(static_cast<std::size_t>(shape.numel()));
  for (std::size_t i = 0; i < numbers.size(); ++i)
    numbers[i] = static_cast<double>(1 + (3 * i + 5 * k + i / 7) % 7);
  return from_vector(numbers, shape);
}

}  // namespace

// An op may be what it says of some numbers alone.
Tensor signed_numbers(const Shape& shape, std::size_t k) {
  std::vector<double> numbers = whole_numbers(shape, k).to_vector<double>();
  for (std::size_t i = 0; i < numbers.size(); ++i)
    numbers[i] *= (i + i / 3 + k) % 2 == 0 ? -0.37 : 0.37;
  return from_vector(numbers, shape);
}

bool are_same(const Made& made, const Tensor& said, const Tensor& sizes, double tolerance) {
  constexpr double of_f32 = 1e-5;
  const double allowed = made.single ? of_f32 : tolerance;
  const std::vector<double> x = numbers(made.numbers), y = numbers(said), size = numbers(sizes);
  if (x.size() != y.size() || x.size() != size.size()) return false;
  const double least = 1e-3 * largest(size);  // ln 1 = 0 may be computed from what is not
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double differs = difference(x[i], y[i]);
    if (differs != 0 && !(differs <= allowed * std::max(size[i], least))) return false;
  }
  return true;
}

namespace {

// Whether there is a number somewhere that is said to be none.
bool has_none(const Tensor& said, const Tensor& made) {
  const std::vector<double> x = numbers(said), y = numbers(made);
  for (std::size_t i = 0; i < std::min(x.size(), y.size()); ++i)
    if (!std::isfinite(x[i]) && std::isfinite(y[i])) return true;
  return false;
}

// Whether these are Σ or mean of x over some of its axes.
bool is_reduced(const Tensor& x, const Made& made, bool averages) {
  if (x.numel() == 0) return true;  // nothing that tells them apart
  for (std::uint32_t mask = 0; mask < std::uint32_t{1} << x.rank(); ++mask) {
    if (reduced_shape(x.shape(), mask, true).numel() != made.numbers.numel()) continue;
    const Axes axes = Axes::of_mask(mask);
    const auto reduced = [&](const Tensor& of) {
      return averages ? mean(of, axes, true) : sum(of, axes, true);
    };
    if (are_same(made, reduced(x), reduced(abs(x)))) return true;
  }
  return false;
}

// What another op makes of x; nothing where it does not take it.
std::optional<Tensor> result_of(const Op& op, const Expression& e, const Tensor& x) {
  return attempt(
      [&] { return apply(op, {&x}, e.application->parameters(), e.application->where()); });
}

// What the role gives of x; nothing for one that says no arithmetic.
std::optional<Tensor> by_role(const Expression& e, const std::vector<Tensor>& x) {
  using enum Role::Kind;
  const Role role = e.role();
  switch (role.kind) {
    case other: {  // ln of what an op makes
      if (!role.of || x.size() != 1) return {};
      const auto made = result_of(*role.of, e, x[0]);
      return made ? std::optional(log(*made)) : std::nullopt;
    }
    case sum:
      return x[0] + x[1];
    case difference:
      return x[0] - x[1];
    case negation:
      return -x[0];
    case product:
      return x[0] * x[1];
    case quotient:
      return x[0] / x[1];
    case reciprocal:
      return 1.0 / x[0];
    case square:
      return chainrule::square(x[0]);
    case exponential:
      return exp(x[0]);
    case logarithm:
      return log(x[role.argument]);
    case selection:
      return where(to(x[0], boolean), x[1], x[2]);
    case conversion:
      return to(to(x[0], e.application->dtype()), f64);
    case matrix_product: {
      const auto turned = [&](std::size_t k) { return role.transposed[k] && x[k].rank() > 1; };
      return detail::product(x[0], turned(0), x[1], turned(1), e.application->where());
    }
    case outer_product:
      return outer(x[0], x[1]);
    case inner_product:
      return dot(x[0], x[1]);
    default:
      return {};
  }
}

// What was added up to that, in absolute numbers.
Tensor sizes(const Expression& e, const std::vector<Tensor>& x, const Tensor& said) {
  using enum Role::Kind;
  const Role role = e.role();
  const auto size = [&](std::size_t k) { return abs(x[k]); };
  switch (role.kind) {
    case sum:
    case difference:
      return size(0) + size(1);
    case matrix_product:
    case inner_product: {
      std::vector<Tensor> all = x;
      for (Tensor& each : all)
        if (each.defined()) each = abs(each);
      return *by_role(e, all);
    }
    default:
      return abs(said);
  }
}

// How much of a logarithm is known that was computed from something else than its argument x, which
// has lost digits: nothing where x underflows.
Tensor sizes_of_logarithm(const Tensor& x, const Tensor& said) {
  constexpr double known_by = 1e2;  // of the digits that others have
  std::vector<double> sizes = numbers(abs(said));
  const std::vector<double> arguments = numbers(x);
  const double most = largest(arguments);
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    const double argument = std::abs(arguments[i]);
    const bool is_lost = !(argument >= std::numeric_limits<double>::min());
    sizes[i] = is_lost ? std::numeric_limits<double>::infinity()
                       : known_by * (1 + sizes[i] + most / argument);
  }
  return from_vector(sizes, said.shape());
}

// Of what else than its operand 0 a role says the logarithm, of these operands.
std::optional<Tensor> other_argument(const Expression& e, const std::vector<Tensor>& x) {
  const Role role = e.role();
  if (role.is(Role::Kind::logarithm))
    return role.argument == 0 ? std::nullopt : std::optional(x[role.argument]);
  return role.of && x.size() == 1 ? result_of(*role.of, e, x[0]) : std::nullopt;
}

[[noreturn]] void throw_computes_another(const Expression& e) {
  const Role role = e.role();
  if (role.is(Role::Kind::other))
    throw_wrong_role(e, role, fmt::format("it is not the logarithm of {}", role.of->name()));
  if (role.is(Role::Kind::logarithm) && role.argument != 0) throw_wrong_logarithm(e);
  throw_wrong_role(e, role, "it computes something else");
}

// Whether they are the same without a look at their numbers one by one.
bool have_same_bytes(const Tensor& a, const Tensor& b) {
  const Value &x = *a.value_ref(), &y = *b.value_ref();
  return a.dtype() == b.dtype() && a.shape() == b.shape() && x.contiguous() && y.contiguous() &&
         (a.numel() == 0 || std::memcmp(x.bytes(), y.bytes(), x.byte_count()) == 0);
}

bool reduces(const Role& role) { return role.is(Role::Kind::total) || role.is(Role::Kind::mean); }

}  // namespace

std::optional<Made> made_of(const Expression& e, const std::vector<Tensor>& numbers,
                            std::initializer_list<DType> dtypes) {
  for (const DType dtype : dtypes) {
    std::vector<Tensor> operands = numbers;
    for (Tensor& operand : operands)
      if (operand.defined()) operand = to(operand, dtype);
    if (const auto made = attempt([&] { return apply_again(*e.application, operands); }))
      return Made{to(*made, f64), made->dtype() == f32};
  }
  return {};
}

namespace {

// Of a selection: the condition holds for every second element.
bool check_selection(const Expression& e) {
  std::vector<Tensor> operands;
  for (std::size_t k = 0; k < e.operands.size(); ++k)
    operands.push_back(e.operands[k] ? signed_numbers(e.operands[k]->shape, k) : Tensor());
  const Tensor holds = operands[0] > 0.0;
  const Tensor said = where(holds, operands[1], operands[2]);
  // Some take a condition of numbers.
  for (const Tensor& condition : {holds, to(holds, f64), to(holds, i64)}) {
    operands[0] = condition;
    const std::optional<Tensor> made = applied(e, operands);
    if (!made) continue;
    if (!are_same({to(*made, f64), made->dtype() == f32}, said, abs(said)))
      throw_wrong_role(e, e.role(), "it computes something else");
    return true;
  }
  return false;
}

}  // namespace

bool check_numbers(const Expression& e) {
  const NoGrad guard;
  const Role role = e.role();
  if (says_move(role)) return check_move(e);
  if (role.is(Role::Kind::selection)) return check_selection(e);
  // What operand 0 came of, and an argument of made-up numbers, have nothing in common.
  if (role.is(Role::Kind::logarithm) && role.argument != 0) return false;
  const auto check = [&](auto numbers_of, std::initializer_list<DType> dtypes) {
    std::vector<Tensor> x;
    for (std::size_t k = 0; k < e.operands.size(); ++k)
      x.push_back(e.operands[k] ? numbers_of(e.operands[k]->shape, k) : Tensor());
    const std::optional<Tensor> said = by_role(e, x);
    if (!said && !reduces(role)) return false;
    const std::optional<Made> made = made_of(e, x, dtypes);
    if (!made) return false;
    if (!(reduces(role) ? is_reduced(x[0], *made, role.is(Role::Kind::mean))
                        : are_same(*made, *said, sizes(e, x, *said))))
      throw_computes_another(e);
    return true;
  };
  const bool of_whole = check(whole_numbers, {f64, f32, i64}),
             of_signed = check(signed_numbers, {f64, f32});
  return of_whole || of_signed;
}

bool check_recorded(const Expression& e, const std::vector<Tensor>& x, const Tensor& result) {
  const NoGrad guard;
  const Role role = e.role();
  if (role.is(Role::Kind::reshape) && x[0].numel() == result.numel() &&
      have_same_bytes(chainrule::reshape(x[0], result.shape()), result))
    return true;
  if (says_move(role)) return check_recorded_move(e, x);
  // Which elements it has in which dtype, results do not say.
  const auto made = [&]() -> std::optional<Made> {
    const std::optional<Tensor> again = applied(e, x);
    return again ? std::optional(Made{to(*again, f64), again->dtype() == f32}) : std::nullopt;
  };
  if (reduces(role)) {
    const std::optional<Made> again = made();
    if (again && !is_reduced(to(x[0], f64), *again, role.is(Role::Kind::mean)))
      throw_computes_another(e);
    return again.has_value();
  }
  const std::optional<Tensor> said = attempt([&] { return by_role(e, x); }).value_or(std::nullopt);
  if (!said) return false;
  if (!role.is(Role::Kind::conversion) && have_same_bytes(*said, result)) return true;
  const std::optional<Made> again = made();
  if (!again) return false;
  const std::optional<Tensor> argument = other_argument(e, x);
  // A stable logarithm has numbers where what it is of underflows.
  if ((!argument && role.kind != Role::Kind::other && has_none(to(*said, f64), again->numbers)) ||
      !are_same(*again, to(*said, f64),
                argument ? sizes_of_logarithm(*argument, *said) : sizes(e, x, *said)))
    throw_computes_another(e);
  return true;
}

}  // namespace chainrule::derivation
