#pragma once

#include <chainrule/core/tensor.hpp>

namespace chainrule {

/// Adds a gradient to a sum: handed on when it is the first, added in place when nobody else can
/// see one of the two, else (and always when `recorded`) as a new tensor.
void accumulate(Tensor& sum, Tensor gradient, bool recorded);

/// The gradient of an input of `shape` from that of its broadcast: summed over the axes along which
/// it was repeated. The only place where broadcasting is undone. Throws ShapeError when `gradient`
/// is not of a broadcast of `shape`; `node` is for the message.
Tensor sum_to_shape(const Tensor& gradient, const Shape& shape, const Node& node);

}  // namespace chainrule
