#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

/// Folds of plain memory into one number, with explicit registers; the inside of reduce.cpp.
namespace chainrule::kernels::folds {

// The folds, on numbers and on vectors of them alike.
struct Sum {
  template <class T>
  static constexpr T identity() {
    return T{0};
  }
  template <class V>
  static void add(V& to, const V& x) {
    to = to + x;
  }
};

struct Max {
  template <class T>
  static constexpr T identity() {
    if constexpr (std::is_floating_point_v<T>) return -std::numeric_limits<T>::infinity();
    return std::numeric_limits<T>::lowest();
  }
  template <class V>
  static void add(V& to, const V& x) {
    if constexpr (std::is_arithmetic_v<V>)
      to = x > to || x != x ? x : to;
    else
      to = ((x > to) | (x != x)) ? x : to;
  }
};

struct Min {
  template <class T>
  static constexpr T identity() {
    if constexpr (std::is_floating_point_v<T>) return std::numeric_limits<T>::infinity();
    if constexpr (std::is_same_v<T, unsigned char>) return 1;
    return std::numeric_limits<T>::max();
  }
  template <class V>
  static void add(V& to, const V& x) {
    if constexpr (std::is_arithmetic_v<V>)
      to = x < to || x != x ? x : to;
    else
      to = ((x < to) | (x != x)) ? x : to;
  }
};

#if defined(__AVX512F__)
inline constexpr int register_bytes = 64;
#elif defined(__AVX__)
inline constexpr int register_bytes = 32;
#else
inline constexpr int register_bytes = 16;
#endif

template <class T>
struct VectorOf {
  typedef T Type __attribute__((vector_size(register_bytes)));
};
template <class T>
using Vector = typename VectorOf<T>::Type;

template <class T>
inline constexpr std::int64_t lanes = register_bytes / sizeof(T);

template <class T>
Vector<T> load(const T* from) {
  Vector<T> v;
  std::memcpy(&v, from, sizeof(v));
  return v;
}
template <class T>
void store(T* to, const Vector<T>& v) {
  std::memcpy(to, &v, sizeof(v));
}

// Runs of this length are folded lane by lane; longer ones in halves.
template <class T>
inline constexpr std::int64_t run_block = 4096 / sizeof(T);

template <class F, class T>
T fold_block(const T* x, std::int64_t n) {
  constexpr std::int64_t w = lanes<T>;
  T result = F::template identity<T>();
  std::int64_t i = 0;
  if (n >= w) {
    Vector<T> a = load(x);
    i = w;
    if (n >= 8 * w) {  // four at once, or each addition would wait for the one before
      Vector<T> b = load(x + w), c = load(x + 2 * w), d = load(x + 3 * w);
      for (i = 4 * w; i + 4 * w <= n; i += 4 * w) {
        F::add(a, load(x + i));
        F::add(b, load(x + i + w));
        F::add(c, load(x + i + 2 * w));
        F::add(d, load(x + i + 3 * w));
      }
      F::add(a, b);
      F::add(c, d);
      F::add(a, c);
    }
    for (; i + w <= n; i += w) F::add(a, load(x + i));
    T lane[w];
    store(lane, a);
    for (std::int64_t half = w / 2; half > 0; half /= 2)
      for (std::int64_t k = 0; k < half; ++k) F::add(lane[k], lane[k + half]);
    result = lane[0];
  } else if (n >= 8) {
    T lane[4] = {x[0], x[1], x[2], x[3]};
    for (i = 4; i + 4 <= n; i += 4)
      for (int k = 0; k < 4; ++k) F::add(lane[k], x[i + k]);
    F::add(lane[0], lane[1]);
    F::add(lane[2], lane[3]);
    F::add(lane[0], lane[2]);
    result = lane[0];
  }
  for (; i < n; ++i) F::add(result, x[i]);
  return result;
}

// Where a run of n is cut into halves.
template <class T>
std::int64_t first_half(std::int64_t n) noexcept {
  return (n / 2 + lanes<T> - 1) / lanes<T> * lanes<T>;
}

template <class F, class T>
T fold_run(const T* x, std::int64_t n) {
  if (n <= run_block<T>) return fold_block<F>(x, n);
  const std::int64_t half = first_half<T>(n);
  T result = fold_run<F>(x, half);
  F::add(result, fold_run<F>(x + half, n - half));
  return result;
}

template <class F, class T>
T fold_strided(const T* x, std::int64_t n, std::int64_t step) {
  if (step == 1) return fold_run<F>(x, n);
  if (n > 128) {
    T result = fold_strided<F>(x, n / 2, step);
    F::add(result, fold_strided<F>(x + n / 2 * step, n - n / 2, step));
    return result;
  }
  T lane[4];
  std::fill_n(lane, 4, F::template identity<T>());
  std::int64_t i = 0;
  for (; i + 4 <= n; i += 4)
    for (int k = 0; k < 4; ++k) F::add(lane[k], x[(i + k) * step]);
  for (; i < n; ++i) F::add(lane[0], x[i * step]);
  F::add(lane[0], lane[1]);
  F::add(lane[2], lane[3]);
  F::add(lane[0], lane[2]);
  return lane[0];
}

}  // namespace chainrule::kernels::folds
