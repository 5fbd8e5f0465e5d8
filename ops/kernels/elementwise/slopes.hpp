#pragma once

/// Activations and their slopes for one element: g · φ'(z), from y = φ(z).
namespace chainrule::kernels {

template <class T>
[[gnu::always_inline]] inline T relu(T z) {
  return z <= 0 ? T{0} : z;
}
template <class T>
[[gnu::always_inline]] inline T relu_slope(T g, T y) {
  return y <= 0 ? T{0} : g;
}
template <class T>
[[gnu::always_inline]] inline T sigmoid_slope(T g, T y) {
  return g * (y * (1 - y));
}
template <class T>
[[gnu::always_inline]] inline T tanh_slope(T g, T y) {
  return g * ((1 - y) * (1 + y));
}

}  // namespace chainrule::kernels
