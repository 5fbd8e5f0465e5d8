#include <algorithm>
#include <cmath>
#include <utility>

#include <chainrule/core/create.hpp>
#include <chainrule/graph/derivation/index_formula.hpp>
#include <chainrule/graph/derivation/tried.hpp>
#include <chainrule/ops/shape/manipulation.hpp>

// How an operation moves elements is seen from what it does to numbers that tell their places: so
// a program's own ops are understood like the library's.

namespace chainrule::derivation {

namespace {

// The numbers of a result as positions 0, 1 … of what was counted; empty where one is no position.
std::vector<std::int64_t> positions_in(const Tensor& numbers, std::int64_t count) {
  std::vector<std::int64_t> positions;
  for (const double number : numbers.to_vector<double>()) {
    if (!(number >= 1 && number <= static_cast<double>(count) && number == std::floor(number)))
      return {};
    positions.push_back(static_cast<std::int64_t>(number) - 1);
  }
  return positions;
}

std::optional<Indices> permuted(const Expression& e, const Indices& at) {
  const Shape from = telling(e.operands[0]->shape.rank());
  const auto moved = applied(e, {zeros(from, f64)});
  if (!moved || moved->rank() != from.rank()) return std::nullopt;
  Shape sorted = moved->shape();
  std::ranges::sort(sorted);
  if (sorted != from) return std::nullopt;
  Indices source(at.size());
  for (int axis = 0; axis < from.rank(); ++axis)
    source[static_cast<std::size_t>(moved->shape()[axis] - 2)] = at[static_cast<std::size_t>(axis)];
  return source;
}

std::optional<Indices> sliced(const Expression& e, const Indices& at, const Letters& letters) {
  const Shape& whole = e.operands[0]->shape;
  const auto moved = applied(e, {counted(whole)});
  if (!moved || moved->shape() != e.shape) return std::nullopt;
  const auto steps = steps_of(positions_in(*moved, whole.numel()), e.shape, whole);
  if (!steps) return std::nullopt;
  Indices source;
  for (const Steps& step : *steps) {
    std::vector<std::pair<const Index*, std::int64_t>> parts;
    for (std::size_t b = 0; b < at.size(); ++b)
      if (step.strides[b] != 0) parts.emplace_back(&at[b], step.strides[b]);
    const auto index = letters.combined(step.offset, parts);
    if (!index) return std::nullopt;
    source.push_back(*index);
  }
  return source;
}

// Axes of both shapes of which the extents have equal products belong together.
std::optional<Indices> reshaped(const Expression& e, const Indices& at, Letters& letters) {
  const Shape &from = e.operands[0]->shape, &to = e.shape;
  Indices source(from.size());
  for (int a = 0, b = 0; a < from.rank() || b < to.rank();) {
    const int first_a = a, first_b = b;
    std::int64_t left = 1, right = 1;
    do {
      if (left <= right && a < from.rank())
        left *= from[a++];
      else if (b < to.rank())
        right *= to[b++];
      else
        left *= from[a++];
    } while (left != right);
    // The place in the group, row-major.
    std::vector<std::pair<const Index*, std::int64_t>> parts;
    std::int64_t stride = 1;
    for (int axis = b - 1; axis >= first_b; stride *= to[axis--])
      if (to[axis] != 1) parts.emplace_back(&at[static_cast<std::size_t>(axis)], stride);
    std::ranges::reverse(parts);
    auto index = letters.combined(0, parts);
    if (!index) return std::nullopt;
    std::int64_t inner = left;
    for (int axis = first_a; axis < a; ++axis) {
      if (from[axis] == 1) continue;
      inner /= from[axis];
      if (inner == 1) {
        source[static_cast<std::size_t>(axis)] = *index;
        break;
      }
      const auto both = letters.divided(*index, inner);
      if (!both) return std::nullopt;
      source[static_cast<std::size_t>(axis)] = both->first;
      index = both->second;
    }
  }
  return source;
}

}  // namespace

std::optional<Indices> source_of(const Expression& move, const Indices& at, Letters& letters) {
  const Shape& from = move.operands[0]->shape;
  switch (move.role().kind) {
    case Role::Kind::permutation:
      return permuted(move, at);
    case Role::Kind::slice:
      return sliced(move, at, letters);
    case Role::Kind::reshape:
      return move.shape.numel() == 0 ? std::nullopt : reshaped(move, at, letters);
    default:
      break;
  }
  Indices source;
  const std::size_t added = at.size() - from.size();
  for (int axis = 0; axis < from.rank(); ++axis)
    source.push_back(from[axis] == 1 ? Index() : at[added + static_cast<std::size_t>(axis)]);
  return source;
}

std::optional<std::vector<Place>> places_of(const Expression& scatter) {
  const Shape& part = scatter.operands[0]->shape;
  const auto moved = applied(scatter, {counted(part)});
  if (!moved || moved->shape() != scatter.shape) return std::nullopt;
  std::vector<std::int64_t> places(static_cast<std::size_t>(part.numel()), -1);
  const std::vector<double> numbers = moved->to_vector<double>();
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    const double number = numbers[i];
    if (number == 0) continue;
    if (!(number >= 1 && number <= static_cast<double>(places.size()) &&
          number == std::floor(number)))
      return std::nullopt;
    places[static_cast<std::size_t>(number) - 1] = static_cast<std::int64_t>(i);
  }
  if (std::ranges::find(places, -1) != places.end()) return std::nullopt;
  const auto steps = steps_of(places, part, scatter.shape);
  if (!steps) return std::nullopt;
  std::vector<Place> result;
  for (const Steps& step : *steps) {
    Place place{step.offset, 0, -1};
    for (std::size_t b = 0; b < step.strides.size(); ++b) {
      if (step.strides[b] == 0) continue;
      if (place.axis >= 0) return std::nullopt;
      place = {step.offset, step.strides[b], static_cast<int>(b)};
    }
    result.push_back(place);
  }
  return result;
}

std::optional<int> axis_of_join(const Expression& join) {
  if (join.operands.size() == 1) return -1;
  // The positions of the second operand begin where those of the first end, on one axis.
  std::vector<Tensor> operands;
  for (const Expr& operand : join.operands) operands.push_back(zeros(operand->shape, f64));
  operands[1] = ones(operands[1].shape(), f64);
  const auto joined = applied(join, operands);
  if (!joined || joined->shape() != join.shape || operands[1].numel() == 0) return std::nullopt;
  const std::vector<double> numbers = joined->to_vector<double>();
  const auto first = std::ranges::find(numbers, 1.0) - numbers.begin();
  const Position place = unfolded(first, join.shape);
  for (int axis = 0; axis < join.shape.rank(); ++axis)
    if (place[static_cast<std::size_t>(axis)] != 0) return axis;
  return std::nullopt;
}

}  // namespace chainrule::derivation
