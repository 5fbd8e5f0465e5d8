#include <chainrule/ops/kernels/nn/layer_norm.hpp>

#include <algorithm>
#include <cmath>
#include <limits>

#include <chainrule/core/threads.hpp>
#include <chainrule/ops/kernels/elementwise/stream.hpp>
#include <chainrule/ops/kernels/reduce/reduce.hpp>

namespace chainrule::kernels {

namespace {

// Elements of a row that are worked on at a time; they stay in the first cache.
constexpr std::int64_t block = 1024;
// Columns, and rows that are summed one after the other, of the weight's gradient.
constexpr std::int64_t column_block = 256;
constexpr std::int64_t row_block = 64;

// f(r) for every row, in parallel where there is enough to do.
template <class F>
void for_rows(std::int64_t rows, std::int64_t n, F f) {
  chainrule::detail::parallel_rows(rows, n, [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; ++r) f(r);
  });
}

// The statistics of one row; row(x) is x̂.
template <class T>
struct Row {
  T shift, rest, scale;
  T operator()(T x) const { return ((x - shift) - rest) * scale; }
};

template <class T>
Row<T> row_of(const RowStatistics<const T>& statistics, std::int64_t r) {
  return {statistics.shift[r], statistics.rest[r], statistics.scale[r]};
}

struct Sums {
  double first = 0, second = 0;
};

// The sums of two numbers for each element, which f(i, first, second) sets: pairwise in parts, and
// over the parts in double.
template <class T, class F>
Sums sum_two(std::int64_t n, F f) {
  T first[block], second[block];
  Sums sums;
  for (std::int64_t start = 0; start < n; start += block) {
    const std::int64_t part = std::min(block, n - start);
    for (std::int64_t i = 0; i < part; ++i) f(start + i, first[i], second[i]);
    sums.first += static_cast<double>(sum_run(first, part));
    sums.second += static_cast<double>(sum_run(second, part));
  }
  return sums;
}

// The statistics of a row whose squares are too large or too small for T: long double holds them.
template <class T>
Row<T> row_of_extremes(const T* x, double eps, std::int64_t n) {
  using Real = long double;
  Real mean = 0, squares = 0;
  for (std::int64_t i = 0; i < n; ++i) mean += static_cast<Real>(x[i]);
  mean /= static_cast<Real>(n);
  for (std::int64_t i = 0; i < n; ++i) {
    const Real deviation = static_cast<Real>(x[i]) - mean;
    squares += deviation * deviation;
  }
  const T shift = static_cast<T>(mean);
  const Real variance = squares / static_cast<Real>(n);
  return {shift, static_cast<T>(mean - static_cast<Real>(shift)),
          static_cast<T>(1 / std::sqrt(variance + static_cast<Real>(eps)))};
}

// f(what gives the weight of element i), chosen outside of the loops.
template <class T, class F>
void with_weight(const T* weight, F f) {
  if (weight)
    f([weight](std::int64_t i) { return weight[i]; });
  else
    f([](std::int64_t) { return T{1}; });
}

}  // namespace

// Two passes over a row, which stays in the cache between them. What the rounded mean is off, c, is
// found on the way: Σ (x − shift)² − n c² is the sum of squares about the exact mean (the corrected
// two-pass algorithm of T. F. Chan, G. H. Golub, R. J. LeVeque, The American Statistician 37 (1983)
// 242, equation 1.7).
template <class T>
void layer_norm(T* to, RowStatistics<T> statistics, const T* all, const T* weight, const T* bias,
                double eps, std::int64_t rows, std::int64_t n) {
  if (n == 0) return;
  const auto count = static_cast<double>(n);
  const std::size_t bytes = static_cast<std::size_t>(rows * n) * sizeof(T);
  for_rows(rows, n, [=](std::int64_t r) {
    const T* x = all + r * n;
    T* out = to + r * n;
    const T shift = sum_run(x, n) / static_cast<T>(n);
    const Sums sums = sum_two<T>(n, [&](std::int64_t i, T& deviation, T& square) {
      deviation = x[i] - shift;
      square = deviation * deviation;
    });
    const double off = sums.first / count;
    const double variance = std::max(sums.second / count - off * off, 0.0);
    // Below this, deviations were lost of which the squares are less than the smallest number.
    constexpr double least = std::numeric_limits<T>::min() / std::numeric_limits<T>::epsilon();
    const bool held = std::isfinite(sums.second) && variance + eps >= least;
    const Row<T> row =
        held ? Row<T>{shift, static_cast<T>(off), static_cast<T>(1 / std::sqrt(variance + eps))}
             : row_of_extremes(x, eps, n);
    statistics.shift[r] = row.shift;
    statistics.rest[r] = row.rest;
    statistics.scale[r] = row.scale;
    with_weight(weight, [&](auto w) {
      written(out, n, bytes, [&](T* __restrict at, std::int64_t i, std::int64_t part) {
        if (bias)
          for (std::int64_t j = 0; j < part; ++j) at[j] = row(x[i + j]) * w(i + j) + bias[i + j];
        else
          for (std::int64_t j = 0; j < part; ++j) at[j] = row(x[i + j]) * w(i + j);
      });
    });
  });
}

template <class T>
void layer_norm_slope(T* to, const T* seeds, const T* all, const T* weight,
                      RowStatistics<const T> statistics, std::int64_t rows, std::int64_t n) {
  if (n == 0) return;
  const auto count = static_cast<double>(n);
  const std::size_t bytes = static_cast<std::size_t>(rows * n) * sizeof(T);
  for_rows(rows, n, [=](std::int64_t r) {
    const T *x = all + r * n, *g = seeds + r * n;
    T* out = to + r * n;
    const Row<T> row = row_of(statistics, r);
    with_weight(weight, [&](auto w) {
      const Sums sums = sum_two<T>(n, [&](std::int64_t i, T& k, T& product) {
        k = g[i] * w(i);
        product = k * row(x[i]);
      });
      const T mean = static_cast<T>(sums.first / count);
      const T slope = static_cast<T>(sums.second / count);
      // k is rounded in an array of its own: fused with the subtraction of the mean, into which it
      // went rounded, it would leave a rest where there should be nothing, as in a row of one.
      T k[block];
      written(out, n, bytes, [&](T* __restrict at, std::int64_t from, std::int64_t all_of_it) {
        for (std::int64_t start = 0; start < all_of_it; start += block) {
          const std::int64_t part = std::min(block, all_of_it - start), first = from + start;
          for (std::int64_t i = 0; i < part; ++i) k[i] = g[first + i] * w(first + i);
          asm volatile("" : : "r"(k) : "memory");  // however few there are
          for (std::int64_t i = 0; i < part; ++i)
            at[start + i] = row.scale * (k[i] - mean - row(x[first + i]) * slope);
        }
      });
    });
  });
}

template <class T>
void layer_norm_weight_slope(T* out, const T* g, const T* x, RowStatistics<const T> statistics,
                             std::int64_t rows, std::int64_t n) {
  chainrule::detail::parallel_for(
      n, chainrule::detail::elements_for_thread / (rows + 1) + 1,
      [=](std::int64_t begin, std::int64_t end) {
        T part[column_block];
        double sum[column_block];
        for (std::int64_t column = begin; column < end; column += column_block) {
          const std::int64_t count = std::min(column_block, end - column);
          std::fill_n(sum, count, 0.0);
          for (std::int64_t first = 0; first < rows; first += row_block) {
            std::fill_n(part, count, T{0});
            for (std::int64_t r = first; r < std::min(first + row_block, rows); ++r) {
              const T *from = x + r * n + column, *seed = g + r * n + column;
              const Row<T> row = row_of(statistics, r);
              for (std::int64_t j = 0; j < count; ++j) part[j] += seed[j] * row(from[j]);
            }
            for (std::int64_t j = 0; j < count; ++j) sum[j] += static_cast<double>(part[j]);
          }
          for (std::int64_t j = 0; j < count; ++j) out[column + j] = static_cast<T>(sum[j]);
        }
      });
}

#define CHAINRULE_FLOATING_TYPE(T)                                                            \
  template void layer_norm<T>(T*, RowStatistics<T>, const T*, const T*, const T*, double,     \
                              std::int64_t, std::int64_t);                                    \
  template void layer_norm_slope<T>(T*, const T*, const T*, const T*, RowStatistics<const T>, \
                                    std::int64_t, std::int64_t);                              \
  template void layer_norm_weight_slope<T>(T*, const T*, const T*, RowStatistics<const T>,    \
                                           std::int64_t, std::int64_t);
CHAINRULE_FLOATING_TYPE(float)
CHAINRULE_FLOATING_TYPE(double)
#undef CHAINRULE_FLOATING_TYPE

}  // namespace chainrule::kernels
