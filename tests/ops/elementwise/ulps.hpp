#pragma once

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include <chainrule/core/create.hpp>
#include <chainrule/core/tensor.hpp>

/// Elementwise functions against formulas in long double, in units in the last place.
namespace ulps {

using chainrule::Tensor;
using Real = long double;

/// How far `got` is from the exact result, in units in the last place of T. What overflows or
/// underflows must do so to the right infinity or zero.
template <class T>
double distance(T got, Real want) {
  const T nearest = static_cast<T>(want);
  if (std::isnan(want) || std::isnan(got)) return std::isnan(want) && std::isnan(got) ? 0 : 1e9;
  if (std::isinf(got) || std::isinf(nearest)) return got == nearest ? 0 : 1e9;
  if (std::signbit(got) != std::signbit(nearest) && want != 0) return 1e9;
  const T size = std::max(std::abs(nearest), std::numeric_limits<T>::min());
  const int place = std::ilogb(size) - std::numeric_limits<T>::digits + 1;
  return static_cast<double>(std::abs(static_cast<Real>(got) - want) / std::ldexp(Real{1}, place));
}

/// Numbers of all sizes and both signs, more of them near 1, and the special ones.
template <class T>
std::vector<T> arguments(T most = std::numeric_limits<T>::max()) {
  using Limits = std::numeric_limits<T>;
  std::vector<T> x = {T{0},
                      -T{0},
                      T{1},
                      T{-1},
                      Limits::denorm_min(),
                      -Limits::denorm_min(),
                      Limits::min(),
                      -Limits::min(),
                      Limits::min() / 3,
                      Limits::epsilon(),
                      -Limits::epsilon() / 2};
  for (const T e : {Limits::infinity(), -Limits::infinity(), Limits::max(), -Limits::max()})
    if (std::abs(e) <= most || most == Limits::max()) x.push_back(e);
  x.push_back(Limits::quiet_NaN());
  for (int i = 0; i < 4000; ++i) {
    x.push_back(static_cast<T>(i - 2000) / 500 + static_cast<T>(0.000137));
    x.push_back(static_cast<T>(i - 2000) / 16 + static_cast<T>(0.0123));
    const T wide = std::ldexp(static_cast<T>(1 + i % 97 / T{97}),
                              Limits::min_exponent + i * 7 % (2 * Limits::max_exponent - 4));
    if (wide <= most) {
      x.push_back(wide);
      x.push_back(-wide);
    }
  }
  std::erase_if(x, [&](T e) { return std::abs(e) > most && std::isfinite(e); });
  return x;
}

/// Checks f on these arguments, as a row, and the same arithmetic for each argument alone.
template <class T, class F, class G>
void check(const char* name, F f, G exact, std::span<const T> x, double most) {
  const Tensor in = chainrule::from_span(x, {static_cast<std::int64_t>(x.size())});
  const std::vector<T> got = f(in).template to_vector<T>();
  double worst = 0;
  std::string at;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const Real want = exact(static_cast<Real>(x[i]));
    if (const double d = distance(got[i], want); d > worst) {
      worst = d;
      at = fmt::format("{}({}) = {}, not {}", name, x[i], got[i], static_cast<double>(want));
    }
    if (i % 13 != 0) continue;
    const T alone = f(chainrule::tensor(x[i], chainrule::dtype_of<T>)).template item<T>();
    const bool same = alone == got[i] || (std::isnan(alone) && std::isnan(got[i]));
    if (!same) FAIL_CHECK(name << "(" << x[i] << ") depends on the position");
  }
  CHECK_MESSAGE(worst <= most, at << ": " << worst << " units in the last place");
}

/// The same for f32 and f64.
template <class F, class G>
void check_all(const char* name, F f, G exact, double most) {
  check<float>(name, f, exact, std::span<const float>(arguments<float>()), most);
  check<double>(name, f, exact, std::span<const double>(arguments<double>()), most);
}

}  // namespace ulps
