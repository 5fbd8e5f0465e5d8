#include <chainrule/graph/derivation/tried.hpp>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <utility>

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
  // Operands that have all elements, no two of one operand the same, and one number in the others.
  using Elements = std::vector<double>;
  std::vector<Elements> operands;
  for (std::size_t k = 0; k < e.operands.size(); ++k) {
    Elements elements;
    if (e.operands[k] && e.operands[k]->shape == e.shape)
      elements = signed_numbers(e.shape, k).to_vector<double>();
    for (std::size_t i = 0; i < elements.size(); ++i)
      elements[i] *= 1 + static_cast<double>(i) / static_cast<double>(count);
    operands.push_back(std::move(elements));
  }
  const auto differ = [](double expected, double made) {
    const double differs = difference(expected, made);
    return differs != 0 && !(differs <= 1e-12 * std::abs(expected));
  };
  const auto result = [&](const std::vector<Elements>& elements,
                          const Shape& shape) -> std::optional<Elements> {
    std::vector<Tensor> given;
    for (std::size_t k = 0; k < e.operands.size(); ++k) {
      const Expr& operand = e.operands[k];
      given.push_back(!operand              ? Tensor()
                      : elements[k].empty() ? full(operand->shape, 0.37 + 0.1 * double(k), f64)
                                            : from_vector(elements[k], shape));
    }
    const std::optional<Tensor> made = applied(e, given);
    return made ? std::optional(numbers(*made)) : std::nullopt;
  };
  const std::optional<Elements> first = result(operands, e.shape);
  if (!first) return std::nullopt;
  if (first->size() != count) return false;
  // Every second place gets the numbers of the next one: it gives what that gave, and the others
  // stay as they are.
  for (const std::size_t odd : {0, 1}) {
    const auto moved = [&](const Elements& from) {
      Elements to = from;
      for (std::size_t i = odd; i < to.size(); i += 2) to[i] = from[(i + 1) % count];
      return to;
    };
    std::vector<Elements> others;
    std::ranges::transform(operands, std::back_inserter(others), moved);
    const std::optional<Elements> made = result(others, e.shape);
    if (!made) continue;
    const Elements expected = moved(*first);
    if (made->size() != count) return false;
    for (std::size_t i = 0; i < count; ++i)
      if (differ(expected[i], (*made)[i])) return false;
  }
  // One alone gives what it gave among the others.
  Shape one = e.shape;
  for (int axis = 0; axis < one.rank(); ++axis) one[axis] = 1;
  for (Elements& elements : operands) elements.resize(std::min<std::size_t>(elements.size(), 1));
  const std::optional<Elements> alone = result(operands, one);
  return !(alone && alone->size() == 1 && differ((*first)[0], (*alone)[0]));
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
