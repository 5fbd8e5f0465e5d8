#include <chainrule/graph/derivation/tried.hpp>

#include <algorithm>
#include <cmath>

#include <chainrule/core/create.hpp>
#include <chainrule/core/op.hpp>
#include <chainrule/core/recording.hpp>
#include <chainrule/graph/derivation/attempt.hpp>
#include <chainrule/graph/derivation/compare.hpp>
#include <chainrule/graph/derivation/role_check.hpp>
#include <chainrule/ops/shape/manipulation.hpp>

namespace chainrule::derivation {

std::vector<Tensor> values_of_operands(const Expression& e, const Environment& environment) {
  std::vector<Tensor> values;
  for (const Expr& operand : e.operands) {
    const auto value = [&] { return evaluate(operand, environment); };
    values.push_back(operand ? attempt(value).value_or(Tensor()) : Tensor());
  }
  return values;
}

std::optional<Tensor> applied(const Expression& e, const std::vector<Tensor>& operands) {
  const NoGrad guard;
  return attempt([&] { return apply_again(*e.application, operands, e.output); });
}

Position unfolded(std::int64_t flat, const Shape& shape) {
  Position position(shape.size());
  for (int axis = shape.rank() - 1; axis >= 0; --axis) {
    position[static_cast<std::size_t>(axis)] = flat % shape[axis];
    flat /= shape[axis];
  }
  return position;
}

Shape telling(int rank) {
  Shape shape;
  for (int axis = 0; axis < rank; ++axis) shape.push_back(axis + 2);
  return shape;
}

Tensor counted(const Shape& shape, double first) {
  return reshape(arange(first, first + static_cast<double>(shape.numel()), 1, f64), shape);
}

std::vector<std::int64_t> places_of(const Expression& move, const std::vector<double>& moved) {
  const bool scatters = move.is(Role::Kind::scatter);
  const Shape& part = scatters ? move.operands[0]->shape : move.shape;
  std::vector<std::int64_t> places(static_cast<std::size_t>(part.numel()));
  for (std::size_t i = 0; i < moved.size(); ++i) {
    const auto number = static_cast<std::int64_t>(moved[i]);
    if (!scatters)
      places[i] = number - 1;
    else if (number > 0)
      places[static_cast<std::size_t>(number - 1)] = static_cast<std::int64_t>(i);
  }
  return places;
}

std::optional<std::vector<Steps>> steps_of(const std::vector<std::int64_t>& places,
                                           const Shape& part, const Shape& whole) {
  if (places.empty() || static_cast<std::int64_t>(places.size()) != part.numel())
    return std::nullopt;
  const Position origin = unfolded(places[0], whole);
  std::vector<Steps> steps(whole.size());
  for (std::size_t a = 0; a < steps.size(); ++a) steps[a] = {origin[a], Position(part.size())};
  std::int64_t apart = 1;
  for (int axis = part.rank() - 1; axis >= 0; apart *= part[axis--]) {
    if (part[axis] == 1) continue;
    const Position next = unfolded(places[static_cast<std::size_t>(apart)], whole);
    for (std::size_t a = 0; a < steps.size(); ++a)
      steps[a].strides[static_cast<std::size_t>(axis)] = next[a] - origin[a];
  }
  for (std::size_t i = 0; i < places.size(); ++i) {
    const Position at = unfolded(static_cast<std::int64_t>(i), part);
    const Position place = unfolded(places[i], whole);
    for (std::size_t a = 0; a < steps.size(); ++a) {
      std::int64_t expected = steps[a].offset;
      for (std::size_t b = 0; b < at.size(); ++b) expected += steps[a].strides[b] * at[b];
      if (expected != place[a]) return std::nullopt;
    }
  }
  return steps;
}

std::optional<bool> acts_elementwise(const Expression& e) {
  if (broadcast_of(e.operands) != e.shape) return false;
  const auto count = static_cast<std::size_t>(e.shape.numel());
  if (count <= 1) return true;
  // Operands that have all elements, and one number in the others.
  using Elements = std::vector<double>;
  std::vector<Elements> operands;
  for (std::size_t k = 0; k < e.operands.size(); ++k) {
    const Expr& operand = e.operands[k];
    const bool has_all = operand && operand->shape == e.shape;
    operands.push_back(has_all ? signed_numbers(e.shape, k).to_vector<double>() : Elements());
  }
  const auto result = [&](const std::vector<Elements>& elements) -> std::optional<Elements> {
    std::vector<Tensor> given;
    for (std::size_t k = 0; k < e.operands.size(); ++k) {
      const Expr& operand = e.operands[k];
      given.push_back(!operand              ? Tensor()
                      : elements[k].empty() ? full(operand->shape, 0.37 + 0.1 * double(k), f64)
                                            : from_vector(elements[k], e.shape));
    }
    const std::optional<Tensor> made = applied(e, given);
    return made ? std::optional(numbers(*made)) : std::nullopt;
  };
  const std::optional<Elements> first = result(operands);
  if (!first) return std::nullopt;
  const auto is_same = [](double a, double b) {
    const double differs = difference(a, b);
    return differs == 0 || differs <= 1e-12 * std::abs(a);
  };
  // Another number at one place changes nothing elsewhere.
  constexpr std::size_t most_places = 8;
  const std::size_t step = (count + most_places - 1) / most_places;
  for (std::size_t at = count - 1; at < count; at -= step) {
    std::vector<Elements> others = operands;
    for (Elements& each : others)
      if (!each.empty()) each[at] *= -3;
    const std::optional<Elements> made = result(others);
    for (std::size_t i = 0; made && i < count; ++i)
      if (i != at && !is_same((*first)[i], (*made)[i])) return false;
  }
  // At other places the numbers give the same.
  std::vector<Elements> moved = operands;
  for (Elements& each : moved)
    if (!each.empty()) std::ranges::rotate(each, each.begin() + 1);
  const std::optional<Elements> made = result(moved);
  for (std::size_t i = 0; made && i < count; ++i)
    if (!is_same((*first)[(i + 1) % count], (*made)[i])) return false;
  return true;
}

std::optional<std::vector<bool>> axes_of(const Expression& reduction) {
  const Shape from = telling(reduction.operands[0]->shape.rank());
  const auto reduced = applied(reduction, {zeros(from, f64)});
  if (!reduced) return std::nullopt;
  std::vector<bool> taken(from.size(), true);
  for (const std::int64_t extent : reduced->shape()) {
    if (extent == 1) continue;
    if (extent < 2 || extent >= from.rank() + 2) return std::nullopt;
    taken[static_cast<std::size_t>(extent - 2)] = false;
  }
  // Those that are left are the result's.
  const bool keepdim = reduction.shape.rank() == from.rank();
  Shape left;
  for (int axis = 0; axis < from.rank(); ++axis) {
    const bool gone = taken[static_cast<std::size_t>(axis)];
    if (!gone || keepdim) left.push_back(gone ? 1 : reduction.operands[0]->shape[axis]);
  }
  return left == reduction.shape ? std::optional(taken) : std::nullopt;
}

}  // namespace chainrule::derivation
