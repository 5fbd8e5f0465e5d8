#pragma once

#include <cstdint>

#include <chainrule/ops/nn/linear.hpp>

namespace chainrule::kernels {

/// y = φ(y + bias) for each of `rows` rows of `columns` elements; no bias if it is null.
template <class T>
void finish_affine(T* y, std::int64_t rows, std::int64_t columns, const T* bias,
                   Activation activation);

/// g = g ⊗ φ'(z) for n elements of y = φ(z).
template <class T>
void scale_by_slope(T* g, const T* y, std::int64_t n, Activation activation);

}  // namespace chainrule::kernels
