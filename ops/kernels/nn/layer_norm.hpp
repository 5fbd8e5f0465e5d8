#pragma once

#include <cstdint>

/// Layer normalisation of the rows of row-major memory (rows, n), for float and double.
namespace chainrule::kernels {

/// What makes a row's x̂ = ((x − shift) − rest) · scale: the mean as rounded to T, the little that
/// this is off, and 1 / √(σ² + ε). Arrays of one number for each row.
template <class T>
struct RowStatistics {
  T* shift;
  T* rest;
  T* scale;
};

/// out = x̂ ⊗ w + b, and the statistics. A null weight counts as ones, a null bias as zeros.
template <class T>
void layer_norm(T* out, RowStatistics<T> statistics, const T* x, const T* weight, const T* bias,
                double eps, std::int64_t rows, std::int64_t n);

/// out = scale · (k − mean(k) − x̂ ⊗ mean(k ⊗ x̂)) with k = g ⊗ w, or g for a null weight.
template <class T>
void layer_norm_slope(T* out, const T* g, const T* x, const T* weight,
                      RowStatistics<const T> statistics, std::int64_t rows, std::int64_t n);

/// out (n) = Σ g ⊗ x̂ over the rows, in an order that depends on their number alone.
template <class T>
void layer_norm_weight_slope(T* out, const T* g, const T* x, RowStatistics<const T> statistics,
                             std::int64_t rows, std::int64_t n);

}  // namespace chainrule::kernels
