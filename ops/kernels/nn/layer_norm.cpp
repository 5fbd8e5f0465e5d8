#include <chainrule/ops/kernels/nn/layer_norm.hpp>

#include <algorithm>
#include <cmath>
#include <limits>

#include <chainrule/core/threads.hpp>
#include <chainrule/ops/kernels/elementwise/stream.hpp>
#include <chainrule/ops/kernels/reduce/by_lines.hpp>
#include <chainrule/ops/kernels/reduce/reduce.hpp>

namespace chainrule::kernels {

namespace {

// Elements of a row that are worked on at a time; they stay in the first cache.
constexpr std::int64_t block = 1024;
// Columns that are worked on at a time, and rows that are summed one after the other.
constexpr std::int64_t column_block = 256;
constexpr std::int64_t row_block = 64;
// Up to here rows are faster as columns, and so are their slopes: measured.
constexpr std::int64_t short_row = 32, short_slope = 15;

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

// The statistics of elements that are `step` apart and whose squares are too large or too small for
// T: long double holds them.
template <class T>
Row<T> row_of_extremes(const T* x, double eps, std::int64_t n, std::int64_t step) {
  using Real = long double;
  Real mean = 0, squares = 0;
  for (std::int64_t i = 0; i < n; ++i) mean += static_cast<Real>(x[i * step]);
  mean /= static_cast<Real>(n);
  for (std::int64_t i = 0; i < n; ++i) {
    const Real deviation = static_cast<Real>(x[i * step]) - mean;
    squares += deviation * deviation;
  }
  const T shift = static_cast<T>(mean);
  const Real variance = squares / static_cast<Real>(n);
  return {shift, static_cast<T>(mean - static_cast<Real>(shift)),
          static_cast<T>(1 / std::sqrt(variance + static_cast<Real>(eps)))};
}

// σ² + ε of n elements, from the sums of what they deviate from their rounded mean, and of the
// squares: Σ (x − shift)² − n c², where c is what shift is off, is the sum of squares about the
// exact mean (the corrected two-pass algorithm of T. F. Chan, G. H. Golub, R. J. LeVeque, The
// American Statistician 37 (1983) 242, equation 1.7).
inline double spread(double sum, double squares, double n, double eps) {
  const double off = sum / n;
  return std::max(squares / n - off * off, 0.0) + eps;
}

// Whether no square overflowed, and no deviation was lost whose square is less than the smallest
// number.
template <class T>
bool held(double squares, double spread) {
  constexpr double least = std::numeric_limits<T>::min() / std::numeric_limits<T>::epsilon();
  return (squares <= std::numeric_limits<double>::max()) & (spread >= least);
}

// f(what gives the weight of element i), chosen outside of the loops.
template <class T, class F>
void with_weight(const T* weight, F f) {
  if (weight)
    f([weight](std::int64_t i) { return weight[i]; });
  else
    f([](std::int64_t) { return T{1}; });
}

// Two passes over a row, which stays in the cache between them.
template <class T>
void norm_row(T* out, const RowStatistics<T>& statistics, const T* x, const T* weight,
              const T* bias, double eps, std::int64_t n, std::size_t bytes) {
  const T shift = sum_run(x, n) / static_cast<T>(n);
  const Sums sums = sum_two<T>(n, [&](std::int64_t i, T& deviation, T& square) {
    deviation = x[i] - shift;
    square = deviation * deviation;
  });
  const auto count = static_cast<double>(n);
  const double width = spread(sums.first, sums.second, count, eps);
  const Row<T> row = held<T>(sums.second, width) ? Row<T>{shift, static_cast<T>(sums.first / count),
                                                          static_cast<T>(1 / std::sqrt(width))}
                                                 : row_of_extremes(x, eps, n, 1);
  *statistics.shift = row.shift, *statistics.rest = row.rest, *statistics.scale = row.scale;
  with_weight(weight, [&](auto w) {
    written(out, n, bytes, [&](T* __restrict at, std::int64_t i, std::int64_t part) {
      if (bias)
        for (std::int64_t j = 0; j < part; ++j) at[j] = row(x[i + j]) * w(i + j) + bias[i + j];
      else
        for (std::int64_t j = 0; j < part; ++j) at[j] = row(x[i + j]) * w(i + j);
    });
  });
}

// The same for columns (n, inner).
template <class T>
void norm_columns(T* out, const RowStatistics<T>& statistics, const T* x, const T* weight,
                  const T* bias, double eps, std::int64_t n, std::int64_t inner) {
  double sums[column_block], squares[column_block];
  T shift[column_block], rest[column_block], scale[column_block];
  for (std::int64_t first = 0; first < inner; first += column_block) {
    const std::int64_t count = std::min(column_block, inner - first);
    std::fill_n(shift, count, T{0});
    for (std::int64_t k = 0; k < n; ++k)
      for (std::int64_t j = 0; j < count; ++j) shift[j] += x[k * inner + first + j];
    for (std::int64_t j = 0; j < count; ++j) shift[j] /= static_cast<T>(n);
    std::fill_n(sums, count, 0.0);
    std::fill_n(squares, count, 0.0);
    for (std::int64_t k = 0; k < n; ++k)
      for (std::int64_t j = 0; j < count; ++j) {
        const T deviation = x[k * inner + first + j] - shift[j];
        sums[j] += static_cast<double>(deviation);
        squares[j] += static_cast<double>(deviation * deviation);
      }
    int all = 1;
    for (std::int64_t j = 0; j < count; ++j) {
      const double width = spread(sums[j], squares[j], static_cast<double>(n), eps);
      all &= held<T>(squares[j], width) ? 1 : 0;
      rest[j] = static_cast<T>(sums[j] / static_cast<double>(n));
      scale[j] = static_cast<T>(1 / std::sqrt(width));
    }
    for (std::int64_t j = 0; j < count && !all; ++j)
      if (!held<T>(squares[j], spread(sums[j], squares[j], static_cast<double>(n), eps))) {
        const Row<T> row = row_of_extremes(x + first + j, eps, n, inner);
        shift[j] = row.shift, rest[j] = row.rest, scale[j] = row.scale;
      }
    for (std::int64_t k = 0; k < n; ++k) {
      const T w = weight ? weight[k] : T{1}, b = bias ? bias[k] : T{0};
      const T* from = x + k * inner + first;
      T* __restrict to = out + k * inner + first;
      for (std::int64_t j = 0; j < count; ++j)
        to[j] = Row<T>{shift[j], rest[j], scale[j]}(from[j]) * w + b;
    }
    std::copy_n(shift, count, statistics.shift + first);
    std::copy_n(rest, count, statistics.rest + first);
    std::copy_n(scale, count, statistics.scale + first);
  }
}

template <class T>
void slope_of_row(T* out, const T* g, const T* x, const T* weight, const Row<T>& row,
                  std::int64_t n, std::size_t bytes) {
  const auto count = static_cast<double>(n);
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
}

// The same for columns (n, inner).
template <class T>
void slope_of_columns(T* out, const T* g, const T* x, const T* weight,
                      const RowStatistics<const T>& statistics, std::int64_t n,
                      std::int64_t inner) {
  double sums[column_block], products[column_block];
  T mean[column_block], slope[column_block], some[column_block];
  for (std::int64_t first = 0; first < inner; first += column_block) {
    const std::int64_t count = std::min(column_block, inner - first);
    std::fill_n(sums, count, 0.0);
    std::fill_n(products, count, 0.0);
    for (std::int64_t k = 0; k < n; ++k) {
      const T w = weight ? weight[k] : T{1};
      const T *seeds = g + k * inner + first, *from = x + k * inner + first;
      for (std::int64_t j = 0; j < count; ++j) some[j] = seeds[j] * w;
      asm volatile("" : : "r"(some) : "memory");  // rounded, as in slope_of_row()
      for (std::int64_t j = 0; j < count; ++j) {
        sums[j] += static_cast<double>(some[j]);
        products[j] += static_cast<double>(some[j] * row_of(statistics, first + j)(from[j]));
      }
    }
    for (std::int64_t j = 0; j < count; ++j) {
      mean[j] = static_cast<T>(sums[j] / static_cast<double>(n));
      slope[j] = static_cast<T>(products[j] / static_cast<double>(n));
    }
    for (std::int64_t k = 0; k < n; ++k) {
      const T w = weight ? weight[k] : T{1};
      const T *seeds = g + k * inner + first, *from = x + k * inner + first;
      T* __restrict to = out + k * inner + first;
      for (std::int64_t j = 0; j < count; ++j) some[j] = seeds[j] * w;
      asm volatile("" : : "r"(some) : "memory");
      for (std::int64_t j = 0; j < count; ++j) {
        const Row<T> row = row_of(statistics, first + j);
        to[j] = row.scale * (some[j] - mean[j] - row(from[j]) * slope[j]);
      }
    }
  }
}

template <class T>
RowStatistics<T> behind(const RowStatistics<T>& statistics, std::int64_t line) {
  return {statistics.shift + line, statistics.rest + line, statistics.scale + line};
}

}  // namespace

template <class T>
void layer_norm(T* out, RowStatistics<T> statistics, const T* x, const T* weight, const T* bias,
                double eps, std::int64_t rows, std::int64_t n) {
  if (n == 0) return;
  const std::size_t bytes = static_cast<std::size_t>(rows * n) * sizeof(T);
  by_lines(
      {rows, n, 1}, Along<T>{x, nullptr, out}, short_row,
      [=](const Along<T>& at, std::int64_t line, std::int64_t count, std::int64_t) {
        for (std::int64_t r = 0; r < count; ++r)
          norm_row(at.out + r * n, behind(statistics, line + r), at.x + r * n, weight, bias, eps, n,
                   bytes);
      },
      [=](const Along<T>& at, std::int64_t line, std::int64_t, std::int64_t inner) {
        norm_columns(at.out, behind(statistics, line), at.x, weight, bias, eps, n, inner);
      });
}

template <class T>
void layer_norm_slope(T* out, const T* g, const T* x, const T* weight,
                      RowStatistics<const T> statistics, std::int64_t rows, std::int64_t n) {
  if (n == 0) return;
  const std::size_t bytes = static_cast<std::size_t>(rows * n) * sizeof(T);
  by_lines(
      {rows, n, 1}, Along<T>{x, g, out}, short_slope,
      [=](const Along<T>& at, std::int64_t line, std::int64_t count, std::int64_t) {
        for (std::int64_t r = 0; r < count; ++r)
          slope_of_row(at.out + r * n, at.y + r * n, at.x + r * n, weight,
                       row_of(statistics, line + r), n, bytes);
      },
      [=](const Along<T>& at, std::int64_t line, std::int64_t, std::int64_t inner) {
        slope_of_columns(at.out, at.y, at.x, weight, behind(statistics, line), n, inner);
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
