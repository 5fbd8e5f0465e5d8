#pragma once

#include <cstdint>

#include <chainrule/ops/nn/linear.hpp>

namespace chainrule::kernels {

/// y = φ(y + bias) for each of `rows` rows of `columns` elements; no bias if it is null. For
/// sigmoid and tanh, `rest` is filled with what |y| lacks to 1, unless it is null: 1 / (1 + e^|z|)
/// and 1 − |tanh z|, of which the slopes are made.
template <class T>
void finish_affine(T* y, T* rest, std::int64_t rows, std::int64_t columns, const T* bias,
                   Activation activation);

}  // namespace chainrule::kernels
