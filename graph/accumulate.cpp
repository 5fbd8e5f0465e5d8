#include <chainrule/graph/accumulate.hpp>

#include <fmt/format.h>

#include <chainrule/core/op.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/reduce/reduction.hpp>
#include <chainrule/ops/shape/manipulation.hpp>

namespace chainrule {

void detail::accumulate_elsewhere(Tensor& sum, Tensor&& gradient, bool recorded) {
  if (!recorded && gradient.value_ref()->exclusive() && sum.value_ref()->contiguous()) {
    kernels::add_in_place(*gradient.value_ref(), *sum.value_ref());
    sum = std::move(gradient);
  } else {
    sum = sum + gradient;
  }
}

Tensor sum_to_shape(const Tensor& gradient, const Shape& shape, const Node& node) {
  const Shape from = gradient.shape();
  const int added = from.rank() - shape.rank();
  bool valid = added >= 0;
  std::uint32_t mask = 0;
  for (int axis = 0; axis < from.rank() && valid; ++axis) {
    const bool repeated = axis < added || (shape[axis - added] == 1 && from[axis] != 1);
    if (repeated)
      mask |= 1U << axis;
    else
      valid = from[axis] == shape[axis - added];
  }
  if (!valid)
    throw ShapeError(
        fmt::format("{}: its vjp rule gives a gradient {} for an input {}", node.op()->name(),
                    to_string(from), to_string(shape)),
        node.where(),
        "it has the shape of the input, or the one that this broadcast to, and is then "
        "summed; what a reduction left out is spread by expand()");
  // Without the axes in front the sum has the shape already, unless others stay with extent 1.
  const bool only_added = mask == (std::uint32_t{1} << added) - 1;
  const Tensor summed = detail::sum_mask(gradient, mask, !only_added, node.where());
  return added == 0 || only_added ? summed : reshape(summed, shape);
}

}  // namespace chainrule
