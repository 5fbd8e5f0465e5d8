#pragma once

#include <cmath>

#include <chainrule/ops/kernels/elementwise/vector_math.hpp>

/// Activations and their slopes for one element: g · φ'(z).
namespace chainrule::kernels {

template <class T>
[[gnu::always_inline]] inline T relu(T z) {
  return z <= 0 ? T{0} : z;
}
// Given z or relu(z).
template <class T>
[[gnu::always_inline]] inline T relu_slope(T g, T z) {
  return z > 0 ? g : T{0};
}
// σ(z) σ(−z), where σ(−|z|) = e^−|z| σ(|z|).
template <class T>
[[gnu::always_inline]] inline T sigmoid_slope(T g, T y, T z) {
  const T larger = y > T{0.5} ? y : 1 - y;
  return g * (kernels::exp(-std::abs(z)) * (larger * larger));
}
// sech²(z), where 1 − tanh|z| = e^−2|z| (1 + tanh|z|).
template <class T>
[[gnu::always_inline]] inline T tanh_slope(T g, T y, T z) {
  const T more = 1 + std::abs(y);
  return g * (kernels::exp(-2 * std::abs(z)) * (more * more));
}

}  // namespace chainrule::kernels
