#include <chainrule/ops/kernels/elementwise/library_math.hpp>

#include <cmath>

#ifdef CHAINRULE_SLEEF
#include <sleef.h>

#include <algorithm>
#include <cstring>
#include <type_traits>
#endif

namespace chainrule::kernels {

namespace {

// SLEEF's functions whose results are the same bits in registers of any width: the others take a
// shorter way where all of a vector's elements can go it.
#if defined(CHAINRULE_SLEEF) && defined(__AVX512F__)
#define CHAINRULE_BY_LIBRARY(f) Sleef_finz_##f##d8_u10avx512f, Sleef_finz_##f##f16_u10avx512f
#elif defined(CHAINRULE_SLEEF) && defined(__AVX2__) && defined(__FMA__)
#define CHAINRULE_BY_LIBRARY(f) Sleef_finz_##f##d4_u10avx2, Sleef_finz_##f##f8_u10avx2
#elif defined(CHAINRULE_SLEEF) && defined(__SSE2__)
#define CHAINRULE_BY_LIBRARY(f) Sleef_cinz_##f##d2_u10sse2, Sleef_cinz_##f##f4_u10sse2
#elif defined(CHAINRULE_SLEEF) && defined(__aarch64__)
#define CHAINRULE_BY_LIBRARY(f) Sleef_finz_##f##d2_u10advsimd, Sleef_finz_##f##f4_u10advsimd
#else
#undef CHAINRULE_SLEEF
#define CHAINRULE_BY_LIBRARY(f) \
  [](auto... x) { return std::f(x...); }, [](auto... x) { return std::f(x...); }
#endif

#ifdef CHAINRULE_SLEEF

// Each vector through f. The last elements are computed in a vector of their own, by the same
// arithmetic as the others.
template <class R, class T, class... V>
void each(R (*f)(V...), T* to, std::int64_t n, const auto*... from) {
  using Vector = std::remove_const_t<R>;
  constexpr auto width = static_cast<std::int64_t>(sizeof(Vector) / sizeof(T));
  const auto load = [](const T* x) {
    Vector v;
    std::memcpy(&v, x, sizeof(Vector));
    return v;
  };
  std::int64_t i = 0;
  for (; i + width <= n; i += width) {
    const Vector y = f(load(from + i)...);
    std::memcpy(to + i, &y, sizeof(Vector));
  }
  if (i == n) return;
  const auto rest = [&](const T* x) {
    T some[width] = {};
    std::copy_n(x, n - i, some);
    return load(some);
  };
  T some[width];
  const Vector y = f(rest(from + i)...);
  std::memcpy(some, &y, sizeof(Vector));
  std::copy_n(some, n - i, to + i);
}

#else

template <class F, class T>
void each(F f, T* to, std::int64_t n, const auto*... from) {
  for (std::int64_t i = 0; i < n; ++i) to[i] = f(from[i]...);
}

#endif

// By the one of the two functions that is of T.
template <class D, class F, class T>
void apply(D wide, F narrow, T* to, std::int64_t n, const auto*... from) {
  if constexpr (sizeof(T) == sizeof(double))
    each(wide, to, n, from...);
  else
    each(narrow, to, n, from...);
}

}  // namespace

#define CHAINRULE_RUN(name, T) \
  void name(T* to, const T* x, std::int64_t n) { apply(CHAINRULE_BY_LIBRARY(name), to, n, x); }
CHAINRULE_RUN(sin, float)
CHAINRULE_RUN(sin, double)
CHAINRULE_RUN(cos, float)
CHAINRULE_RUN(cos, double)
CHAINRULE_RUN(erf, float)
CHAINRULE_RUN(erf, double)
#undef CHAINRULE_RUN

void pow(float* to, const float* x, const float* y, std::int64_t n) {
  apply(CHAINRULE_BY_LIBRARY(pow), to, n, x, y);
}
void pow(double* to, const double* x, const double* y, std::int64_t n) {
  apply(CHAINRULE_BY_LIBRARY(pow), to, n, x, y);
}

}  // namespace chainrule::kernels
