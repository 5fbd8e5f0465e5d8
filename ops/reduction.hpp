#pragma once

#include <chainrule/core/tensor.hpp>

namespace chainrule {

/// The sum over `axes` (all axes when empty); with keepdim they stay with extent 1.
Tensor sum(const Tensor& x, const Shape& axes = {}, bool keepdim = false,
           Where where = Where::current());

}  // namespace chainrule
