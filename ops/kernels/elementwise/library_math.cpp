#include <chainrule/ops/kernels/elementwise/library_math.hpp>

#include <algorithm>
#include <cmath>
#include <numbers>

#ifdef CHAINRULE_SLEEF
#include <sleef.h>

#include <cstring>
#include <type_traits>
#endif

namespace chainrule::kernels {

namespace {

// SLEEF's functions whose results are the same bits in registers of any width: the others take a
// shorter way where all of a vector's elements can go it.
#if defined(CHAINRULE_SLEEF) && defined(__AVX512F__)
#define CHAINRULE_DOUBLE(f) Sleef_finz_##f##d8_u10avx512f
#define CHAINRULE_FLOAT(f) Sleef_finz_##f##f16_u10avx512f
#elif defined(CHAINRULE_SLEEF) && defined(__AVX2__) && defined(__FMA__)
#define CHAINRULE_DOUBLE(f) Sleef_finz_##f##d4_u10avx2
#define CHAINRULE_FLOAT(f) Sleef_finz_##f##f8_u10avx2
#elif defined(CHAINRULE_SLEEF) && defined(__SSE2__)
#define CHAINRULE_DOUBLE(f) Sleef_cinz_##f##d2_u10sse2
#define CHAINRULE_FLOAT(f) Sleef_cinz_##f##f4_u10sse2
#elif defined(CHAINRULE_SLEEF) && defined(__aarch64__)
#define CHAINRULE_DOUBLE(f) Sleef_finz_##f##d2_u10advsimd
#define CHAINRULE_FLOAT(f) Sleef_finz_##f##f4_u10advsimd
#else
#undef CHAINRULE_SLEEF
#define CHAINRULE_DOUBLE(f) [](auto... x) { return std::f(x...); }
#define CHAINRULE_FLOAT(f) CHAINRULE_DOUBLE(f)
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

}  // namespace

#define CHAINRULE_RUN(name, T, by) \
  void name(T* to, const T* x, std::int64_t n) { each(by(name), to, n, x); }
CHAINRULE_RUN(sin, float, CHAINRULE_FLOAT)
CHAINRULE_RUN(sin, double, CHAINRULE_DOUBLE)
CHAINRULE_RUN(cos, float, CHAINRULE_FLOAT)
CHAINRULE_RUN(cos, double, CHAINRULE_DOUBLE)
#undef CHAINRULE_RUN

void erf(double* to, const double* x, std::int64_t n) {
  // Close to the smallest normal number the library's parts of a product are denormal.
  constexpr double small = 0x1p-900, slope = 2 * std::numbers::inv_sqrtpi;
  constexpr std::int64_t piece = 64;
  for (; n > 0; n -= piece, to += piece, x += piece) {
    const std::int64_t count = std::min(n, piece);
    double some[piece];
    std::copy_n(x, count, some);
    each(CHAINRULE_DOUBLE(erf), to, count, some);
    for (std::int64_t i = 0; i < count; ++i)
      to[i] = std::abs(some[i]) < small ? some[i] * slope : to[i];
  }
}

void pow(float* to, const float* x, const float* y, std::int64_t n) {
  each(CHAINRULE_FLOAT(pow), to, n, x, y);
}
void pow(double* to, const double* x, const double* y, std::int64_t n) {
  each(CHAINRULE_DOUBLE(pow), to, n, x, y);
}

}  // namespace chainrule::kernels
