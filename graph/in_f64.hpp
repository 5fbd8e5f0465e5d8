#pragma once

#include <chainrule/core/tensor.hpp>
#include <chainrule/ops/elementwise/convert.hpp>

namespace chainrule::detail {

/// A floating tensor in f64, in which graphs are computed again, also where an op makes f32; any
/// other as it is.
inline Tensor in_f64(const Tensor& x) { return x.dtype() == f32 ? to(x, f64) : x; }

}  // namespace chainrule::detail
