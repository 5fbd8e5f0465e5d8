#include <chainrule/graph/derivation/tried.hpp>

#include <chainrule/core/create.hpp>
#include <chainrule/core/op.hpp>
#include <chainrule/core/recording.hpp>
#include <chainrule/graph/derivation/attempt.hpp>

namespace chainrule::derivation {

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
