#include <chainrule/graph/derivation/role_check.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <optional>
#include <string>

#include <chainrule/core/detail/text.hpp>
#include <chainrule/core/op.hpp>

namespace chainrule::derivation {

std::optional<Shape> broadcast(const std::optional<Shape>& a, const Shape& b) {
  if (!a) return {};
  Shape shape = a->rank() >= b.rank() ? *a : b;
  const Shape& other = a->rank() >= b.rank() ? b : *a;
  for (int i = 0; i < other.rank(); ++i) {
    std::int64_t& extent = shape[shape.rank() - other.rank() + i];
    if (extent != other[i] && extent != 1 && other[i] != 1) return {};
    if (extent == 1) extent = other[i];
  }
  return shape;
}

namespace {

using Kind = Role::Kind;

const char* name_of(Kind kind) {
  static constexpr const char* names[] = {
      "other",       "sum",        "difference",     "negation",      "product",
      "quotient",    "reciprocal", "square",         "exponential",   "logarithm",
      "slope",       "comparison", "selection",      "conversion",    "copy",
      "permutation", "reshape",    "slice",          "scatter",       "join",
      "total",       "mean",       "matrix_product", "outer_product", "inner_product"};
  static_assert(std::size(names) == static_cast<std::size_t>(Kind::inner_product) + 1);
  return names[static_cast<std::size_t>(kind)];
}

bool is_permutation(Shape from, Shape to, bool swaps_axes) {
  if (from.rank() != to.rank()) return false;
  if (swaps_axes) {
    if (from.rank() < 2) return false;
    std::swap(from[from.rank() - 2], from[from.rank() - 1]);
    return from == to;
  }
  std::ranges::sort(from);
  std::ranges::sort(to);
  return from == to;
}

// Whether `to` is `from` without some of its axes, or with extents 1 for them.
bool is_reduction(const Shape& from, const Shape& to) {
  int kept = 0;
  for (const std::int64_t extent : from)
    if (kept < to.rank() && (to[kept] == extent || to[kept] == 1)) ++kept;
  return kept == to.rank();
}

bool is_join(const std::vector<Expr>& operands, const Shape& result) {
  if (result.empty()) return false;
  int along = -1;  // the axis in which they differ from the result
  std::int64_t sum = 0;
  for (const Expr& operand : operands) {
    if (!operand || operand->shape.rank() != result.rank()) return false;
    for (int axis = 0; axis < result.rank(); ++axis) {
      if (operand->shape[axis] == result[axis]) continue;
      if (along >= 0 && along != axis) return false;
      along = axis;
    }
  }
  if (along < 0) return operands.size() == 1 || result.numel() == 0;
  for (const Expr& operand : operands) sum += operand->shape[along];
  return sum == result[along];
}

// The extents in front of the last two, or of the last one.
Shape batch_of(const Shape& x) {
  return Shape(std::span(x.data(), x.size() - std::min<std::size_t>(x.size(), 2)));
}

bool is_matrix_product(const Shape& a, const Shape& b, const Role& role, const Shape& result) {
  if (a.empty() || b.empty()) return false;
  const auto extent = [](const Shape& x, bool transposed, bool rows) {
    return x[x.rank() - (rows != transposed ? 2 : 1)];
  };
  const bool vector_a = a.rank() == 1, vector_b = b.rank() == 1;
  const std::int64_t inner_a = vector_a ? a[0] : extent(a, role.transposed[0], false);
  const std::int64_t inner_b = vector_b ? b[0] : extent(b, role.transposed[1], true);
  std::optional<Shape> product = broadcast(batch_of(a), batch_of(b));
  if (inner_a != inner_b || !product) return false;
  if (!vector_a) product->push_back(extent(a, role.transposed[0], true));
  if (!vector_b) product->push_back(extent(b, role.transposed[1], false));
  return *product == result;
}

// Whether it says that nothing but operand 0 counts.
bool is_of_one(const Role& role) {
  using enum Role::Kind;
  static constexpr Role::Kind kinds[] = {negation,   reciprocal, square,      exponential,
                                         conversion, copy,       permutation, reshape,
                                         slice,      scatter,    total,       mean};
  return std::ranges::find(kinds, role.kind) != std::end(kinds);
}

bool fits(const Expression& e, const Role& role) {
  using enum Role::Kind;
  const Shape& result = e.shape;
  if (role.swaps_axes && role.kind != permutation) return false;
  const auto operand = [&](std::size_t k) -> const Shape& { return e.operands[k]->shape; };
  switch (role.kind) {
    case other:
      return true;
    case logarithm:
      return operand(role.argument) == result;
    case slope:
      return broadcast(operand(0), operand(1)) == result;
    case copy:
      return broadcast(operand(0), result) == result;
    case permutation:
      return is_permutation(operand(0), result, role.swaps_axes);
    case reshape:
      return operand(0).numel() == result.numel();
    case slice:
      return operand(0).numel() >= result.numel();
    case scatter:
      return operand(0).numel() <= result.numel();
    case join:
      return is_join(e.operands, result);
    case total:
    case mean:
      return is_reduction(operand(0), result);
    case matrix_product:
      return is_matrix_product(operand(0), operand(1), role, result);
    case outer_product:
      return operand(0).rank() == 1 && operand(1).rank() == 1 &&
             result == Shape{operand(0)[0], operand(1)[0]};
    case inner_product:
      return operand(0).rank() == 1 && operand(0) == operand(1) && result.numel() == 1;
    default:  // elementwise
      break;
  }
  return broadcast_of(std::span(e.operands).first(role.operands())) == result;
}

}  // namespace

std::optional<Shape> broadcast_of(std::span<const Expr> operands) {
  std::optional<Shape> shape = Shape();
  for (const Expr& operand : operands)
    if (operand) shape = broadcast(shape, operand->shape);
  return shape;
}

namespace {

[[noreturn]] void fail(const Expression& e, const Role& role, std::string_view what,
                       const char* hint) {
  throw GradError(
      fmt::format("{}: its role() says {}, but {}", e.op()->name(), name_of(role.kind), what),
      e.application->where(), hint);
}

}  // namespace

void throw_wrong_role(const Expression& e, const Role& role, std::string_view what) {
  fail(e, role, what, "say another role, or none");
}

void throw_wrong_logarithm(const Expression& e) {
  fail(e, e.role(),
       fmt::format("what it computes of operand 0 is not the logarithm of operand {}",
                   e.role().argument),
       "give StableLog the op that computes log(x) from z, for x as the op makes it, or say "
       "another role");
}

void check_role(const Expression& e, const Role& role) {
  if (e.operands.size() < role.operands())
    throw GradError(
        fmt::format("{}: its role() takes {}, but it has {}", e.op()->name(),
                    chainrule::detail::counted(static_cast<std::int64_t>(role.operands()),
                                               "operand", "operands"),
                    e.operands.size()),
        e.application->where(), "say another role, or none");
  for (std::size_t k = 0; k < role.operands(); ++k)
    if (!e.operands[k])
      throw_wrong_role(e, role, fmt::format("it was applied without operand {}", k));
  const auto given =
      std::ranges::count_if(e.operands, [](const Expr& each) { return each != nullptr; });
  if (is_of_one(role) && given != 1)
    throw_wrong_role(e, role, fmt::format("it was applied to {} operands", given));
  if (role.is(Kind::slope) && !role.of)
    throw_wrong_role(e, role, "names no function whose slope it is: Role::slope_of(function)");
  if (role.of == e.op()) throw_wrong_role(e, role, "names the op itself as the function");
  if (role.is(Kind::comparison) && e.application->dtype() != boolean)
    throw_wrong_role(e, role, fmt::format("it makes {}", name_of(e.application->dtype())));
  if (fits(e, role)) return;
  std::string shapes;
  for (const Expr& operand : e.operands)
    shapes += (shapes.empty() ? "" : ", ") + (operand ? to_string(operand->shape) : "nothing");
  throw_wrong_role(e, role, fmt::format("it makes {} of {}", to_string(e.shape), shapes));
}

}  // namespace chainrule::derivation
