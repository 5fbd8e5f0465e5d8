#pragma once

#include <cstdint>

/// Squared differences of adjacent numbers, for float and double.
namespace chainrule::kernels {

/// out = (y − t)².
template <class T>
void squared_differences(T* out, const T* y, const T* t, std::int64_t n);

/// Σ (y − t)², pairwise, so that the order depends on n alone.
template <class T>
T sum_squared_differences(const T* y, const T* t, std::int64_t n);

/// out = (y − t) · scale · g, where g is g[i · g_step], for a g_step of 0 or 1.
template <class T>
void scaled_differences(T* out, const T* y, const T* t, const T* g, std::int64_t g_step, T scale,
                        std::int64_t n);

}  // namespace chainrule::kernels
