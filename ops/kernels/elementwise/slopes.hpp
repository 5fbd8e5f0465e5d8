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
// g σ''/σ' = −g tanh(z/2), which 2y − 1 has lost digits of near 0; the series is exact up to ¼.
template <class T>
[[gnu::always_inline]] inline T sigmoid_curvature(T g, T y, T z) {
  constexpr T terms[] = {T{1.0L / 2},
                         T{-1.0L / 24},
                         T{1.0L / 240},
                         T{-17.0L / 40320},
                         T{31.0L / 725760},
                         T{-691.0L / 159667200},
                         T{5461.0L / 12454041600},
                         T{-929569.0L / 20922789888000}};
  const T near = z * detail::polynomial(terms, z * z);
  return -g * (std::abs(z) < T{0.25} ? near : 2 * y - 1);
}
// sech²(z), where 1 − tanh|z| = e^−2|z| (1 + tanh|z|).
template <class T>
[[gnu::always_inline]] inline T tanh_slope(T g, T y, T z) {
  const T more = 1 + std::abs(y);
  return g * (kernels::exp(-2 * std::abs(z)) * (more * more));
}

}  // namespace chainrule::kernels
