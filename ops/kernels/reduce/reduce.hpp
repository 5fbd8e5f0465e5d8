#pragma once

#include <cstdint>

#include <chainrule/core/value.hpp>

/// Reductions over any axes of a value of any strides.
namespace chainrule::kernels {

/// How elements are folded into one. `max` and `min` give NaN when there is one.
enum class Fold { sum, max, min };

/// Folds the axes of `x` whose bits are set in `mask` into `out`, a row-major value of the same
/// dtype with the other axes of `x`, in order; reduced axes may stand in `out` with extent 1.
/// Without elements a sum is 0, a maximum the least value and a minimum the largest (booleans:
/// false, true). On booleans max is "any" and min is "all", and there is no sum.
///
/// Sums are pairwise: the error grows with the logarithm of the number of elements. Their order
/// depends on shape and strides alone.
void reduce(Fold fold, Value& out, const Value& x, std::uint32_t mask);

/// How many of the booleans along the same axes are true, into i64.
void count(Value& out, const Value& x, std::uint32_t mask);

/// The sum of n adjacent numbers, pairwise. For float and double.
template <class T>
T sum_run(const T* x, std::int64_t n);
/// The largest and the smallest of n adjacent numbers, NaN when there is one. For float, double and
/// std::int64_t.
template <class T>
T max_run(const T* x, std::int64_t n);
template <class T>
T min_run(const T* x, std::int64_t n);
/// The sum of n adjacent numbers but the one at `at`. For float and double.
template <class T>
T sum_but(const T* x, std::int64_t n, std::int64_t at);
/// Where the first of n adjacent numbers stands that is more than this, or n. For float and double.
template <class T>
std::int64_t first_above(const T* x, std::int64_t n, T bound);

}  // namespace chainrule::kernels
