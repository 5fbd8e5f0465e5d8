#pragma once

#include <chainrule/core/error.hpp>
#include <chainrule/core/tensor.hpp>

namespace chainrule::nn::detail {

/// Where an op found the dtypes of a layer's input and weight to differ: what to do about it. The
/// op cannot know that the weight is to stay as it is, and that a layer can be made for f64.
void set_dtype_hint(DTypeError& error, const Tensor& x, const Tensor& weight);

}  // namespace chainrule::nn::detail
