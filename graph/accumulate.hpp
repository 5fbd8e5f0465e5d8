#pragma once

#include <utility>

#include <chainrule/core/tensor.hpp>
#include <chainrule/ops/kernels/elementwise/loops.hpp>

namespace chainrule {

namespace detail {

// Where the memory of the sum cannot be added to.
void accumulate_elsewhere(Tensor& sum, Tensor&& gradient, bool recorded);

}  // namespace detail

/// Adds a gradient to a sum: handed on when it is the first, added in place when nobody else can
/// see one of the two, else (and always when `recorded`) as a new tensor.
inline void accumulate(Tensor& sum, Tensor gradient, bool recorded) {
  if (!sum.defined())
    sum = std::move(gradient);
  else if (!recorded && sum.value_ref()->exclusive() && gradient.value_ref()->contiguous())
    kernels::add_in_place(*sum.value_ref(), *gradient.value_ref());
  else
    detail::accumulate_elsewhere(sum, std::move(gradient), recorded);
}

/// The gradient of an input of `shape` from that of its broadcast: summed over the axes along which
/// it was repeated. The only place where broadcasting is undone. Throws ShapeError when `gradient`
/// is not of a broadcast of `shape`; `node` is for the message.
Tensor sum_to_shape(const Tensor& gradient, const Shape& shape, const Node& node);

}  // namespace chainrule
