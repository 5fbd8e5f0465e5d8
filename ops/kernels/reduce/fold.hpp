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
    to = static_cast<V>(to + x);
  }
};

// max() and min() of numbers, by `Better`. NaN wins; `Finite` is of numbers without it.
template <class Better>
struct Extremum {
  template <class V>
  static void add(V& to, const V& x) {
    if constexpr (std::is_arithmetic_v<V>)
      to = Better::than(x, to) || x != x ? x : to;
    else
      to = Better::than(x, to) ? x : to, to = x != x ? x : to;  // two masks are slow to join
  }
  struct Finite {
    template <class V>
    static void add(V& to, const V& x) {
      to = Better::than(x, to) ? x : to;
    }
  };
};

struct Larger {
  static auto than(const auto& x, const auto& y) { return x > y; }
};
struct Max : Extremum<Larger> {
  template <class T>
  static constexpr T identity() {
    if constexpr (std::is_floating_point_v<T>) return -std::numeric_limits<T>::infinity();
    return std::numeric_limits<T>::lowest();
  }
};

struct Smaller {
  static auto than(const auto& x, const auto& y) { return x < y; }
};
struct Min : Extremum<Smaller> {
  template <class T>
  static constexpr T identity() {
    if constexpr (std::is_floating_point_v<T>) return std::numeric_limits<T>::infinity();
    if constexpr (std::is_same_v<T, unsigned char>) return 1;
    return std::numeric_limits<T>::max();
  }
};

// Not 64, where there is AVX-512: rows begin anywhere, and a load of 64 bytes that is not aligned
// takes two lines of the cache.
#if defined(__AVX__)
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

// The lanes of a vector, folded in halves.
template <class F, class V>
auto fold_lanes(const V& v) {
  constexpr std::size_t bytes = sizeof(V) / 2;
  using T = std::remove_cvref_t<decltype(v[0])>;
  if constexpr (bytes >= 16) {
    typedef T Half __attribute__((vector_size(bytes)));
    Half low, high;
    std::memcpy(&low, &v, bytes);
    std::memcpy(&high, reinterpret_cast<const char*>(&v) + bytes, bytes);
    F::add(low, high);
    return fold_lanes<F>(low);
  } else {
    constexpr std::size_t n = sizeof(V) / sizeof(T);
    T lane[n];
    std::memcpy(lane, &v, sizeof(V));
    for (std::size_t half = n / 2; half > 0; half /= 2)
      for (std::size_t k = 0; k < half; ++k) F::add(lane[k], lane[k + half]);
    return lane[0];
  }
}

// Runs of this length are folded lane by lane; longer ones in halves.
template <class T>
inline constexpr std::int64_t run_block = 4096 / sizeof(T);

// Whether F is faster on numbers that are watched for NaN.
template <class F, class T>
inline constexpr bool watches = std::is_floating_point_v<T> && requires { typename F::Finite; };

// Whether the end of a run is folded with elements before it, once more: worth it instead of up to
// seven steps.
template <class F, class T>
inline constexpr bool repeats = lanes<T> >= 8 && requires { typename F::Finite; };

// The whole vectors of a run, and one that ends where the run does if elements may be folded
// `twice`. What stands at `nans`, where it is asked for, becomes NaN if an element is that or
// infinite, and else 0.
template <class F, bool watched, bool twice, class T>
T fold_vectors(const T* x, std::int64_t n, T* nans = nullptr) {
  constexpr std::int64_t w = lanes<T>;
  Vector<T> a = load(x);
  [[maybe_unused]] Vector<T> zeros[4] = {};
  const auto add = [&](Vector<T>& to, const Vector<T>& v, int k) {
    F::add(to, v);
    if constexpr (watched) zeros[k] += v * T{0};
  };
  std::int64_t i = w;
  if (n >= 4 * w) {  // four at once, or each addition would wait for the one before
    Vector<T> b = load(x + w), c = load(x + 2 * w), d = load(x + 3 * w);
    for (i = 4 * w; i + 4 * w <= n; i += 4 * w) {
      add(a, load(x + i), 0);
      add(b, load(x + i + w), 1);
      add(c, load(x + i + 2 * w), 2);
      add(d, load(x + i + 3 * w), 3);
    }
    add(a, b, 0);
    add(c, d, 1);
    add(a, c, 2);
  }
  for (; i + w <= n; i += w) add(a, load(x + i), 0);
  if constexpr (twice) add(a, load(x + n - w), 1);
  // The first vector was not added to another one.
  if constexpr (watched)
    *nans = fold_lanes<Sum>((zeros[0] + zeros[1]) + (zeros[2] + zeros[3]) + load(x) * T{0});
  return fold_lanes<F>(a);
}

template <class F, bool twice, class T>
T fold_by_vectors(const T* x, std::int64_t n) {
  if constexpr (watches<F, T>) {
    T nans;
    const T result = fold_vectors<typename F::Finite, true, twice>(x, n, &nans);
    if (nans == 0) return result;
  }
  return fold_vectors<F, false, twice>(x, n);
}

template <class F, class T>
T fold_block(const T* x, std::int64_t n) {
  constexpr std::int64_t w = lanes<T>;
  T result = F::template identity<T>();
  std::int64_t i = 0;
  if (n >= std::max<std::int64_t>(w, 8)) {  // shorter ones as fold_short() does
    i = n / w * w;
    if constexpr (repeats<F, T>)
      if (i != n) return fold_by_vectors<F, true>(x, n);
    result = fold_by_vectors<F, false>(x, n);
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

// `count` runs of n numbers, one after the other; n is known to the compiler.
template <class F, std::int64_t n, class T>
void fold_short(T* __restrict out, std::int64_t out_step, const T* x, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) {
    T result = F::template identity<T>();
    for (std::int64_t k = 0; k < n; ++k) F::add(result, x[i * n + k]);
    out[i * out_step] = result;
  }
}
// The same for any n.
template <class F, class T>
void fold_runs(T* out, std::int64_t out_step, const T* x, std::int64_t n, std::int64_t count) {
  switch (n) {
    case 2:
      return fold_short<F, 2>(out, out_step, x, count);
    case 3:
      return fold_short<F, 3>(out, out_step, x, count);
    case 4:
      return fold_short<F, 4>(out, out_step, x, count);
    case 5:
      return fold_short<F, 5>(out, out_step, x, count);
    case 6:
      return fold_short<F, 6>(out, out_step, x, count);
    case 7:
      return fold_short<F, 7>(out, out_step, x, count);
  }
  for (std::int64_t i = 0; i < count; ++i) out[i * out_step] = fold_run<F>(x + i * n, n);
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
