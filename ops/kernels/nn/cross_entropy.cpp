#include <chainrule/ops/kernels/nn/cross_entropy.hpp>

#include <algorithm>
#include <cmath>
#include <limits>

#include <chainrule/ops/kernels/elementwise/vector_math.hpp>
#include <chainrule/ops/kernels/reduce/by_lines.hpp>
#include <chainrule/ops/kernels/reduce/reduce.hpp>

namespace chainrule::kernels {

namespace {

// Elements of short rows, and columns, that are worked on at a time.
constexpr std::int64_t block = 1024;
constexpr std::int64_t column_block = 256;
// Up to here rows are faster as columns, and so are their slopes: measured.
constexpr std::int64_t short_row = 15, short_slope = 7;

template <class T>
T term(T q, T x, T m, T log_s) {
  return q == T{0} ? T{0} : q * (log_s - (x - m));
}

template <class T>
void row_losses(T* loss, const T* x, const T* q, const T* m, const T* log_s, std::int64_t rows,
                std::int64_t n) {
  T terms[block];
  for (std::int64_t r = 0; r < rows; ++r, x += n, q += n) {
    const T shift = m[r], rest = log_s[r];
    double sum = 0;
    for (std::int64_t i = 0; i < n; i += block) {
      const std::int64_t part = std::min(block, n - i);
      for (std::int64_t k = 0; k < part; ++k) terms[k] = term(q[i + k], x[i + k], shift, rest);
      sum += static_cast<double>(sum_run(terms, part));
    }
    loss[r] = static_cast<T>(sum);
  }
}

template <class T>
void column_losses(T* loss, const T* x, const T* q, const T* m, const T* log_s, std::int64_t n,
                   std::int64_t inner) {
  double sum[column_block];
  for (std::int64_t first = 0; first < inner; first += column_block) {
    const std::int64_t count = std::min(column_block, inner - first);
    std::fill_n(sum, count, 0.0);
    for (std::int64_t k = 0; k < n; ++k) {
      const T *a = x + k * inner + first, *b = q + k * inner + first;
      for (std::int64_t j = 0; j < count; ++j)
        sum[j] += static_cast<double>(term(b[j], a[j], m[first + j], log_s[first + j]));
    }
    for (std::int64_t j = 0; j < count; ++j) loss[first + j] = static_cast<T>(sum[j]);
  }
}

// Where p is near 1, and log s so near 0, p − 1 is computed as exp(log p) − 1, which has all
// digits: p Σq − q there is (p − 1) Σq + Σ of the other q.
template <class T>
bool near_one(T log_s) {
  return log_s < static_cast<T>(0.3);
}
template <class T>
T slope_near_one(T log_s, T sum, T others, T factor) {
  return (kernels::expm1(-log_s) * sum + others) * factor;
}

// This slope in a column, where that has its largest logit, m.
template <class T>
void correct_column(T* out, const T* x, const T* q, T m, T log_s, T sum, T factor, std::int64_t n,
                    std::int64_t inner) {
  std::int64_t at = 0;
  while (at + 1 < n && x[at * inner] != m) ++at;
  double others = 0;
  for (std::int64_t k = 0; k < n; ++k)
    if (k != at) others += static_cast<double>(q[k * inner]);
  out[at * inner] = slope_near_one(log_s, sum, static_cast<T>(others), factor);
}

template <class T>
void row_slopes(T* out, const T* x, Target<T> target, const T* m, const T* log_s, const T* g,
                std::int64_t g_step, T scale, std::int64_t rows, std::int64_t n) {
  constexpr T infinity = std::numeric_limits<T>::infinity();
  const std::int64_t step =
      std::clamp(block / std::max(n, std::int64_t{1}), std::int64_t{1}, block);
  for (std::int64_t first = 0; first < rows; first += step) {
    const std::int64_t end = std::min(first + step, rows);
    for (std::int64_t r = first; r < end; ++r) {
      const T shift = m[r], rest = log_s[r];
      for (std::int64_t i = r * n; i < (r + 1) * n; ++i) out[i] = (x[i] - shift) - rest;
    }
    T* p = out + first * n;
    for (std::int64_t i = 0; i < (end - first) * n; ++i) p[i] = kernels::exp(p[i]);
    for (std::int64_t r = first; r < end; ++r) {
      const T factor = g[r * g_step] * scale;
      T* row = out + r * n;
      if (target.labels) {
        const std::int64_t label = target.labels[r];
        const T p_label = row[label];
        row[label] = p_label > T{0.5} ? kernels::expm1((x[r * n + label] - m[r]) - log_s[r])
                                      : p_label - T{1};
        for (std::int64_t i = 0; i < n; ++i) row[i] *= factor;
      } else {
        const T* q = target.probabilities + r * n;
        const T sum = sum_run(q, n);
        for (std::int64_t i = 0; i < n; ++i) row[i] = (row[i] * sum - q[i]) * factor;
        if (near_one(log_s[r])) {
          const std::int64_t at = first_above(x + r * n, n, std::nextafter(m[r], -infinity));
          row[at] = slope_near_one(log_s[r], sum, sum_but(q, n, at), factor);
        }
      }
    }
  }
}

template <class T>
void column_slopes(T* out, const T* x, Target<T> target, const T* m, const T* log_s, const T* g,
                   std::int64_t g_step, T scale, std::int64_t n, std::int64_t inner) {
  T shift[column_block], rest[column_block], factor[column_block], sum[column_block];
  for (std::int64_t first = 0; first < inner; first += column_block) {
    const std::int64_t count = std::min(column_block, inner - first);
    std::copy_n(m + first, count, shift);
    std::copy_n(log_s + first, count, rest);
    for (std::int64_t j = 0; j < count; ++j) factor[j] = g[(first + j) * g_step] * scale;
    if (!target.labels) {
      std::fill_n(sum, count, T{0});
      for (std::int64_t k = 0; k < n; ++k) {
        const T* q = target.probabilities + k * inner + first;
        for (std::int64_t j = 0; j < count; ++j) sum[j] += q[j];
      }
    }
    for (std::int64_t k = 0; k < n; ++k) {
      const T* row = x + k * inner + first;
      T* __restrict to = out + k * inner + first;
      if (target.labels) {
        for (std::int64_t j = 0; j < count; ++j)
          to[j] = kernels::exp((row[j] - shift[j]) - rest[j]) * factor[j];
      } else {
        const T* q = target.probabilities + k * inner + first;
        for (std::int64_t j = 0; j < count; ++j)
          to[j] = (kernels::exp((row[j] - shift[j]) - rest[j]) * sum[j] - q[j]) * factor[j];
      }
    }
    if (target.labels) {
      const auto at = [&](std::int64_t j) { return target.labels[first + j] * inner + first + j; };
      T slope[column_block];
      for (std::int64_t j = 0; j < count; ++j) slope[j] = (x[at(j)] - shift[j]) - rest[j];
      for (std::int64_t j = 0; j < count; ++j) slope[j] = kernels::expm1(slope[j]) * factor[j];
      for (std::int64_t j = 0; j < count; ++j) out[at(j)] = slope[j];
    } else {
      for (std::int64_t j = 0; j < count; ++j)
        if (const std::int64_t column = first + j; near_one(rest[j]))
          correct_column(out + column, x + column, target.probabilities + column, shift[j], rest[j],
                         sum[j], factor[j], n, inner);
    }
  }
}

}  // namespace

template <class T>
void cross_entropy(T* loss, const T* x, Target<T> target, const T* m, const T* log_s,
                   const Lines& lines) {
  if (target.labels) {
    const auto [outer, n, inner] = lines;
    for (std::int64_t i = 0; i < outer; ++i)
      for (std::int64_t j = 0; j < inner; ++j) {
        const std::int64_t line = i * inner + j;
        loss[line] = log_s[line] - (x[(i * n + target.labels[line]) * inner + j] - m[line]);
      }
    return;
  }
  by_lines(
      lines, Along<T>{x, target.probabilities, nullptr}, short_row,
      [=](const Along<T>& at, std::int64_t line, std::int64_t rows, std::int64_t n) {
        row_losses(loss + line, at.x, at.y, m + line, log_s + line, rows, n);
      },
      [=](const Along<T>& at, std::int64_t line, std::int64_t n, std::int64_t inner) {
        column_losses(loss + line, at.x, at.y, m + line, log_s + line, n, inner);
      });
}

template <class T>
void cross_entropy_slope(T* out, const T* x, Target<T> target, const T* m, const T* log_s,
                         const T* g, std::int64_t g_step, T scale, const Lines& lines) {
  const auto of = [=](const Along<T>& at, std::int64_t line) {
    return Target<T>{target.labels ? target.labels + line : nullptr, at.y};
  };
  by_lines(
      lines, Along<T>{x, target.probabilities, out}, short_slope,
      [=](const Along<T>& at, std::int64_t line, std::int64_t rows, std::int64_t n) {
        row_slopes(at.out, at.x, of(at, line), m + line, log_s + line, g + line * g_step, g_step,
                   scale, rows, n);
      },
      [=](const Along<T>& at, std::int64_t line, std::int64_t n, std::int64_t inner) {
        column_slopes(at.out, at.x, of(at, line), m + line, log_s + line, g + line * g_step, g_step,
                      scale, n, inner);
      });
}

#define CHAINRULE_FLOATING_TYPE(T)                                                            \
  template void cross_entropy<T>(T*, const T*, Target<T>, const T*, const T*, const Lines&);  \
  template void cross_entropy_slope<T>(T*, const T*, Target<T>, const T*, const T*, const T*, \
                                       std::int64_t, T, const Lines&);
CHAINRULE_FLOATING_TYPE(float)
CHAINRULE_FLOATING_TYPE(double)
#undef CHAINRULE_FLOATING_TYPE

}  // namespace chainrule::kernels
