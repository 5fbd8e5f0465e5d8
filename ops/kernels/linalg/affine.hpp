#pragma once

#include <cstdint>

#include <chainrule/ops/nn/linear.hpp>

namespace chainrule::kernels {

/// y = φ(y + bias) for each of `rows` rows of `columns` elements; no bias if it is null.
template <class T>
void finish_affine(T* y, std::int64_t rows, std::int64_t columns, const T* bias,
                   Activation activation);

}  // namespace chainrule::kernels
