#include <chainrule/graph/derivation/role_check.hpp>

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <optional>
#include <vector>

#include <chainrule/core/create.hpp>
#include <chainrule/graph/derivation/attempt.hpp>
#include <chainrule/ops/shape/join.hpp>
#include <chainrule/ops/shape/manipulation.hpp>

// Whether an op moves elements as its role says.

namespace chainrule::derivation {

namespace {

// 1, 2, 3 … from `first` on: they tell the elements apart.
Tensor counted(const Shape& shape, double first = 1) {
  return reshape(arange(first, first + static_cast<double>(shape.numel()), 1, f64), shape);
}

std::vector<double> sorted(std::vector<double> numbers) {
  std::ranges::sort(numbers);
  return numbers;
}

// How far apart in memory neighbours along each axis are, row-major.
std::vector<double> strides_of(const Shape& shape) {
  std::vector<double> strides(shape.size());
  double stride = 1;
  for (int axis = shape.rank() - 1; axis >= 0; stride *= static_cast<double>(shape[axis--]))
    strides[static_cast<std::size_t>(axis)] = stride;
  return strides;
}

// x with its axes as the op, which made `moved` of x counted, seems to have ordered them; nothing
// where it is no such order.
std::optional<Tensor> permuted(const Tensor& x, const Tensor& moved) {
  const Shape &from = x.shape(), &to = moved.shape();
  const std::vector<double> strides = strides_of(from), apart = strides_of(to);
  const std::vector<double> numbers = moved.to_vector<double>();
  Shape order;
  std::vector<bool> taken(from.size());
  for (int axis = 0; axis < to.rank(); ++axis) {
    const auto next = static_cast<std::size_t>(apart[static_cast<std::size_t>(axis)]);
    int source = 0;
    for (; source < from.rank(); ++source) {
      const auto at = static_cast<std::size_t>(source);
      const bool fits =
          to[axis] == 1 || numbers.empty() || numbers[next] - numbers[0] == strides[at];
      if (!taken[at] && from[source] == to[axis] && fits) break;
    }
    if (source == from.rank()) return std::nullopt;
    taken[static_cast<std::size_t>(source)] = true;
    order.push_back(source);
  }
  return permute(x, order);
}

// Whether an op that only moves elements, as its role says, made `moved` of x counted.
bool is_move(const Expression& e, const std::vector<Tensor>& x, const Tensor& moved) {
  using enum Role::Kind;
  const Role role = e.role();
  const auto same = [&](const Tensor& said) {
    return said.shape() == moved.shape() && said.to_vector<double>() == moved.to_vector<double>();
  };
  switch (role.kind) {
    case copy:
      return same(expand(x[0], e.shape));
    case Role::Kind::reshape:
      return same(chainrule::reshape(x[0], e.shape));
    case permutation: {
      if (role.swaps_axes) return same(transpose(x[0], -2, -1));
      const std::optional<Tensor> said = permuted(x[0], moved);
      return said && same(*said);
    }
    case slice: {  // each is one of x, and no two are the same one
      const std::vector<double> numbers = sorted(moved.to_vector<double>());
      return std::ranges::includes(x[0].to_vector<double>(), numbers) &&
             std::ranges::adjacent_find(numbers) == numbers.end();
    }
    case scatter: {  // each of x is there, and else zeros
      std::vector<double> numbers = sorted(moved.to_vector<double>());
      std::erase(numbers, 0.0);
      return numbers == x[0].to_vector<double>();
    }
    default:  // join
      for (int axis = 0; axis < e.shape.rank(); ++axis)
        if (const auto said = attempt([&] { return concat(x, axis); }); said && same(*said))
          return true;
      return false;
  }
}

}  // namespace

bool says_move(const Role& role) {
  using enum Role::Kind;
  static constexpr Role::Kind moves[] = {copy, permutation, reshape, slice, scatter, join};
  return std::ranges::find(moves, role.kind) != std::end(moves);
}

bool check_move(const Expression& e) {
  std::vector<Tensor> numbers;
  double next = 1;
  for (const Expr& operand : e.operands) {
    numbers.push_back(operand ? counted(operand->shape, next) : Tensor());
    if (operand) next += static_cast<double>(operand->shape.numel());
  }
  const std::optional<Tensor> made = made_of(e, numbers);
  if (made && !is_move(e, numbers, *made))
    throw_wrong_role(e, e.role(), "it makes something else of the elements");
  return made.has_value();
}

}  // namespace chainrule::derivation
