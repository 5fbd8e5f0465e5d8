#include <chainrule/graph/derivation/compare.hpp>
#include <chainrule/graph/derivation/role_check.hpp>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <iterator>
#include <optional>
#include <span>
#include <vector>

#include <chainrule/core/create.hpp>
#include <chainrule/graph/derivation/attempt.hpp>
#include <chainrule/graph/derivation/tried.hpp>
#include <chainrule/ops/shape/join.hpp>
#include <chainrule/ops/shape/manipulation.hpp>

// Whether an op moves elements as its role says.

namespace chainrule::derivation {

namespace {

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

namespace {

// From where each element of a slice comes, or to where each goes: to positions of the axes in
// their order, evenly spaced.
void check_evenly(const Expression& e, const Tensor& moved) {
  const bool scatters = e.is(Role::Kind::scatter);
  const Shape &whole = scatters ? e.shape : e.operands[0]->shape,
              &part = scatters ? e.operands[0]->shape : e.shape;
  const std::vector<std::int64_t> places = places_of(e, moved.to_vector<double>());
  if (places.empty()) return;
  // Each axis of the part goes along one of the whole, behind that of the axis before it.
  const auto in_order = [&](const std::vector<Steps>& steps) {
    int last = -1;
    for (std::size_t axis = 0; axis < part.size(); ++axis)
      for (int along = 0, found = 0; along < whole.rank(); ++along) {
        if (steps[static_cast<std::size_t>(along)].strides[axis] == 0) continue;
        if (found++ > 0 || along <= last) return false;
        last = along;
      }
    return true;
  };
  const auto steps = steps_of(places, part, whole);
  if (steps && in_order(*steps)) return;
  constexpr std::size_t most_told = 8;
  const std::span told(places.data(), std::min(places.size(), most_told));
  throw_wrong_role(
      e, e.role(),
      fmt::format("it {} {}{} of {}, counted in row-major order, which are not evenly spaced along "
                  "its axes",
                  scatters ? "puts them into places" : "takes the elements", fmt::join(told, ", "),
                  places.size() > most_told ? " …" : "", to_string(whole)));
}

// What is counted, by operand.
std::vector<Tensor> counted_operands(const Expression& e) {
  std::vector<Tensor> operands;
  double next = 1;
  for (const Expr& operand : e.operands) {
    operands.push_back(operand ? counted(operand->shape, next) : Tensor());
    if (operand) next += static_cast<double>(operand->shape.numel());
  }
  return operands;
}

// Whether the op moves other numbers as it moved those that were counted.
bool moves_alike(const Expression& e, const std::vector<Tensor>& operands, const Tensor& moved) {
  const std::optional<Tensor> made = applied(e, operands);
  if (!made || made->dtype() == f32) return true;
  std::vector<double> all{0};  // what is counted, by its number
  for (const Tensor& operand : operands)
    if (operand.defined()) std::ranges::copy(numbers(operand), std::back_inserter(all));
  const auto same = [&](double number, double count) {
    return difference(number, all[static_cast<std::size_t>(count)]) == 0;
  };
  return std::ranges::equal(numbers(*made), moved.to_vector<double>(), same);
}

// Of an op that refuses what is counted: whether its result has the elements that it was made of.
bool is_made_of_operands(const Expression& e, const std::vector<Tensor>& operands) {
  const std::optional<Tensor> made = applied(e, operands);
  if (!made || made->dtype() == f32) return true;
  std::vector<double> given;
  for (const Tensor& operand : operands)
    if (operand.defined()) std::ranges::copy(numbers(operand), std::back_inserter(given));
  return std::ranges::all_of(numbers(*made), [&](double number) {
    return std::isnan(number) || (number == 0 && e.is(Role::Kind::scatter)) ||
           std::ranges::find(given, number) != given.end();
  });
}

[[noreturn]] void throw_other_elements(const Expression& e) {
  throw_wrong_role(e, e.role(), "it makes something else of the elements");
}

}  // namespace

bool check_move(const Expression& e) {
  const std::vector<Tensor> operands = counted_operands(e);
  const std::optional<Made> made = made_of(e, operands);
  if (!made) return false;
  std::vector<Tensor> others;  // of both signs, and no whole ones
  for (std::size_t k = 0; k < e.operands.size(); ++k)
    others.push_back(e.operands[k] ? signed_numbers(e.operands[k]->shape, k) : Tensor());
  const Tensor& moved = made->numbers;
  if (!is_move(e, operands, moved) || !moves_alike(e, others, moved)) throw_other_elements(e);
  if (e.is(Role::Kind::slice) || e.is(Role::Kind::scatter)) check_evenly(e, moved);
  return true;
}

bool check_recorded_move(const Expression& e, const std::vector<Tensor>& operands) {
  const std::optional<Made> made = made_of(e, counted_operands(e));
  if (!(made ? moves_alike(e, operands, made->numbers) : is_made_of_operands(e, operands)))
    throw_other_elements(e);
  return true;
}

}  // namespace chainrule::derivation
