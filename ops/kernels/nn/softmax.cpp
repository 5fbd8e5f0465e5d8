#include <chainrule/ops/kernels/nn/softmax.hpp>

#include <algorithm>
#include <cmath>
#include <limits>

#include <chainrule/ops/kernels/elementwise/vector_math.hpp>
#include <chainrule/ops/kernels/reduce/by_lines.hpp>
#include <chainrule/ops/kernels/reduce/reduce.hpp>

namespace chainrule::kernels {

namespace {

// Elements that are worked on at a time: several short rows, a part of a long one, or a part of a
// row of neighbouring columns. They stay in the first cache.
constexpr std::int64_t block = 1024;
constexpr std::int64_t column_block = 256;
// Up to here rows are faster as columns, and so are their slopes: measured.
constexpr std::int64_t short_row = 15, short_slope = 7;

template <class T>
void exp_run(T* to, const T* x, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) to[i] = kernels::exp(x[i]);
}

// Calls then(first row, count) for blocks of rows of n elements.
template <class Then>
void for_row_blocks(std::int64_t rows, std::int64_t n, Then then) {
  const std::int64_t step =
      std::clamp(block / std::max(n, std::int64_t{1}), std::int64_t{1}, block);
  for (std::int64_t r = 0; r < rows; r += step) then(r, std::min(step, rows - r));
}

// Whether the 1 of the largest element was taken out of numbers e ≤ 1 and of their sum, where the
// others are so little beside it that they would lose their digits: log(1 + rest) keeps these.
template <class T>
bool take_one(T* e, std::int64_t n, T& sum) {
  if (!(sum >= 1 && sum < T{1.5})) return false;
  for (std::int64_t i = 0; i < n; ++i) e[i] = e[i] < 1 ? e[i] : T{0};
  const T rest = sum_run(e, n);
  const bool found = sum - rest > T{0.5};
  sum = rest;
  return found;
}

// For blocks of rows (rows, n): the largest elements m, and s, which is the sum of exp(x − m) where
// these are to be kept in e, and its logarithm where e is null; calls then(first row, count, m, s),
// with m and s of that block.
template <class T, class Then>
void shifted_rows(const T* x, T* e, std::int64_t rows, std::int64_t n, Then then) {
  T buffer[block], m[block], s[block];
  for_row_blocks(rows, n, [&](std::int64_t first, std::int64_t count) {
    const T* from = x + first * n;
    if (n > block) {  // one long row, in parts
      const T shift = m[0] = max_run(from, n);
      double sum = 0;
      bool one = false;
      for (std::int64_t i = 0; i < n; i += block) {
        const std::int64_t part = std::min(block, n - i);
        T* to = e ? e + first * n + i : buffer;
        for (std::int64_t k = 0; k < part; ++k) to[k] = kernels::exp(from[i + k] - shift);
        T part_sum = sum_run(to, part);
        if (!e && !one) one = take_one(to, part, part_sum);
        sum += static_cast<double>(part_sum);
      }
      s[0] = static_cast<T>(e || one ? sum : sum - 1);
    } else {
      T* to = e ? e + first * n : buffer;
      for (std::int64_t r = 0; r < count; ++r) {
        const T shift = m[r] = max_run(from + r * n, n);
        for (std::int64_t i = r * n; i < (r + 1) * n; ++i) to[i] = from[i] - shift;
      }
      exp_run(to, to, count * n);
      for (std::int64_t r = 0; r < count; ++r) {
        s[r] = sum_run(to + r * n, n);
        if (!e && !take_one(to + r * n, n, s[r])) s[r] -= 1;
      }
    }
    if (!e)
      for (std::int64_t r = 0; r < count; ++r) s[r] = kernels::log1p(s[r]);
    then(first, count, m, s);
  });
}

// The largest elements of columns (length, inner) from x on, so many of them.
template <class T>
void column_maxima(T* m, const T* x, std::int64_t length, std::int64_t inner, std::int64_t count) {
  std::fill_n(m, count, -std::numeric_limits<T>::infinity());
  for (std::int64_t k = 0; k < length; ++k) {
    const T* row = x + k * inner;
    for (std::int64_t j = 0; j < count; ++j)
      m[j] = row[j] > m[j] || row[j] != row[j] ? row[j] : m[j];
  }
}

// The same for the columns of one slab (length, inner), with exp(x − m) in e and their sums:
// then(first column, count, s).
template <class T, class Then>
void shifted_columns(const T* x, T* e, std::int64_t length, std::int64_t inner, Then then) {
  T m[column_block];
  double s[column_block];
  for (std::int64_t first = 0; first < inner; first += column_block) {
    const std::int64_t count = std::min(column_block, inner - first);
    column_maxima(m, x + first, length, inner, count);
    std::fill_n(s, count, 0.0);
    for (std::int64_t k = 0; k < length; ++k) {
      const T* row = x + k * inner + first;
      T* to = e + k * inner + first;
      for (std::int64_t j = 0; j < count; ++j) to[j] = kernels::exp(row[j] - m[j]);
      for (std::int64_t j = 0; j < count; ++j) s[j] += static_cast<double>(to[j]);
    }
    then(first, count, s);
  }
}

// The same with the logarithms of the sums: then(first column, count, m, log s). The sums are of
// all but one largest element.
template <class T, class Then>
void log_columns(const T* x, std::int64_t length, std::int64_t inner, Then then) {
  T buffer[column_block], m[column_block], log_s[column_block];
  T ones[column_block];
  double rest[column_block];
  for (std::int64_t first = 0; first < inner; first += column_block) {
    const std::int64_t count = std::min(column_block, inner - first);
    column_maxima(m, x + first, length, inner, count);
    std::fill_n(rest, count, 0.0);
    std::fill_n(ones, count, T{-1});
    for (std::int64_t k = 0; k < length; ++k) {
      const T* row = x + k * inner + first;
      for (std::int64_t j = 0; j < count; ++j) {
        const T e = kernels::exp(row[j] - m[j]);
        buffer[j] = e >= 1 ? T{0} : e;
        ones[j] += e >= 1 ? T{1} : T{0};
      }
      for (std::int64_t j = 0; j < count; ++j) rest[j] += static_cast<double>(buffer[j]);
    }
    for (std::int64_t j = 0; j < count; ++j)
      log_s[j] = kernels::log1p(static_cast<T>(rest[j] + static_cast<double>(ones[j])));
    then(first, count, m, log_s);
  }
}

// For blocks of lines: then(first line, count, m, log s).
template <class T, class Then>
void with_logs(const T* x, const Lines& lines, const Then& then) {
  const auto behind = [&](std::int64_t line) {
    return [&then, line](std::int64_t first, std::int64_t count, const T* m, const T* log_s) {
      then(line + first, count, m, log_s);
    };
  };
  by_lines(
      lines, Along<T>{x, nullptr, nullptr}, short_row,
      [&](const Along<T>& at, std::int64_t line, std::int64_t rows, std::int64_t n) {
        shifted_rows<T>(at.x, nullptr, rows, n, behind(line));
      },
      [&](const Along<T>& at, std::int64_t line, std::int64_t n, std::int64_t inner) {
        log_columns(at.x, n, inner, behind(line));
      });
}

template <class T>
T combined(T m, T log_s) {
  return std::isinf(m) ? m : m + log_s;
}

template <class T>
void softmax_rows(T* out, const T* x, std::int64_t rows, std::int64_t n) {
  shifted_rows(x, out, rows, n, [&](auto first, auto count, const T*, const T* s) {
    for (std::int64_t r = 0; r < count; ++r) {
      T* row = out + (first + r) * n;
      const T sum = s[r];
      for (std::int64_t i = 0; i < n; ++i) row[i] /= sum;
    }
  });
}

template <class T>
void softmax_columns(T* out, const T* x, std::int64_t n, std::int64_t inner) {
  shifted_columns(x, out, n, inner, [&](auto first, auto count, const double* s) {
    T sum[column_block];
    for (std::int64_t j = 0; j < count; ++j) sum[j] = static_cast<T>(s[j]);
    for (std::int64_t k = 0; k < n; ++k) {
      T* row = out + k * inner + first;
      for (std::int64_t j = 0; j < count; ++j) row[j] /= sum[j];
    }
  });
}

template <class T>
void log_softmax_rows(T* out, const T* x, std::int64_t rows, std::int64_t n) {
  shifted_rows<T>(x, nullptr, rows, n, [&](auto first, auto count, const T* m, const T* s) {
    for (std::int64_t r = 0; r < count; ++r) {
      const T* from = x + (first + r) * n;
      T* row = out + (first + r) * n;
      const T shift = m[r], log_s = s[r];
      for (std::int64_t i = 0; i < n; ++i) row[i] = (from[i] - shift) - log_s;
    }
  });
}

template <class T>
void log_softmax_columns(T* out, const T* x, std::int64_t n, std::int64_t inner) {
  log_columns(x, n, inner, [&](auto first, auto count, const T* m, const T* log_s) {
    for (std::int64_t k = 0; k < n; ++k) {
      const T* from = x + k * inner + first;
      T* row = out + k * inner + first;
      for (std::int64_t j = 0; j < count; ++j) row[j] = (from[j] - m[j]) - log_s[j];
    }
  });
}

// A probability near 1, of which a line has one at most: what is subtracted from something like it
// loses its digits.
constexpr double near_one = 0.75;

// out = p ⊗ (g − shift); whether a probability is near 1.
template <class T>
bool shifted_products(T* __restrict out, const T* p, const T* g, T shift, std::int64_t n) {
  detail::Bits<T> found = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    out[i] = p[i] * (g[i] - shift);
    found |= p[i] > static_cast<T>(near_one) ? 1 : 0;
  }
  return found != 0;
}

// Σ p = 1, so that nothing changes when g is shifted: by its element at a probability near 1, whose
// own part of the sum is then 0 instead of nearly all of it.
template <class T>
void softmax_slope_rows(T* out, const T* g, const T* p, std::int64_t rows, std::int64_t n) {
  for (std::int64_t r = 0; r < rows; ++r, g += n, p += n, out += n) {
    T shift = 0;
    if (shifted_products(out, p, g, shift, n)) {
      shift = g[first_above(p, n, static_cast<T>(near_one))];
      shifted_products(out, p, g, shift, n);
    }
    const T dot = sum_run(out, n);
    for (std::int64_t i = 0; i < n; ++i) out[i] = p[i] * ((g[i] - shift) - dot);
  }
}

template <class T>
void softmax_slope_columns(T* out, const T* g, const T* p, std::int64_t n, std::int64_t inner) {
  double sum[column_block];
  T dot[column_block], shift[column_block];
  for (std::int64_t first = 0; first < inner; first += column_block) {
    const std::int64_t count = std::min(column_block, inner - first);
    std::fill_n(shift, count, T{0});
    // The sums; whether a probability is near 1.
    const auto add_up = [&] {
      std::fill_n(sum, count, 0.0);
      detail::Bits<T> found = 0;
      for (std::int64_t k = 0; k < n; ++k) {
        const T *a = g + k * inner + first, *b = p + k * inner + first;
        for (std::int64_t j = 0; j < count; ++j) {
          sum[j] += static_cast<double>((a[j] - shift[j]) * b[j]);
          found |= b[j] > static_cast<T>(near_one) ? 1 : 0;
        }
      }
      return found != 0;
    };
    if (add_up()) {
      for (std::int64_t k = 0; k < n; ++k) {
        const T *a = g + k * inner + first, *b = p + k * inner + first;
        for (std::int64_t j = 0; j < count; ++j)
          shift[j] = b[j] > static_cast<T>(near_one) ? a[j] : shift[j];
      }
      add_up();
    }
    for (std::int64_t j = 0; j < count; ++j) dot[j] = static_cast<T>(sum[j]);
    for (std::int64_t k = 0; k < n; ++k) {
      const T *a = g + k * inner + first, *b = p + k * inner + first;
      T* __restrict row = out + k * inner + first;
      for (std::int64_t j = 0; j < count; ++j) row[j] = b[j] * ((a[j] - shift[j]) - dot[j]);
    }
  }
}

// p = g − p · sum; whether a p is near 1.
template <class T>
bool subtract_shares(T* __restrict p, const T* g, T sum, std::int64_t n) {
  detail::Bits<T> found = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    found |= p[i] > static_cast<T>(near_one) ? 1 : 0;
    p[i] = g[i] - p[i] * sum;
  }
  return found != 0;
}

// Where p = exp(l) is near 1, g − p Σ g is −Σ of the other g − (p − 1) Σ g.
template <class T>
void log_softmax_slope_rows(T* out, const T* g, const T* l, std::int64_t rows, std::int64_t n) {
  const T bound = std::log(static_cast<T>(near_one));
  for_row_blocks(rows, n, [&](std::int64_t first, std::int64_t count) {
    exp_run(out + first * n, l + first * n, count * n);
    for (std::int64_t r = first; r < first + count; ++r) {
      const T *seeds = g + r * n, *log_p = l + r * n;
      T* to = out + r * n;
      const T sum = sum_run(seeds, n);
      if (!subtract_shares(to, seeds, sum, n)) continue;
      if (const std::int64_t at = first_above(log_p, n, bound); at < n)
        to[at] = -sum_but(seeds, n, at) - kernels::expm1(log_p[at]) * sum;
    }
  });
}

template <class T>
void log_softmax_slope_columns(T* out, const T* g, const T* l, std::int64_t n, std::int64_t inner) {
  const T bound = std::log(static_cast<T>(near_one));
  double others[column_block];
  T sum[column_block], taken[column_block];
  detail::Bits<T> at[column_block];  // where p is near 1, and n where it is nowhere
  for (std::int64_t first = 0; first < inner; first += column_block) {
    const std::int64_t count = std::min(column_block, inner - first);
    std::fill_n(others, count, 0.0);
    std::fill_n(taken, count, T{0});
    std::fill_n(at, count, static_cast<detail::Bits<T>>(n));
    for (std::int64_t k = 0; k < n; ++k) {
      const T *a = g + k * inner + first, *b = l + k * inner + first;
      for (std::int64_t j = 0; j < count; ++j) {
        others[j] += static_cast<double>(b[j] > bound ? T{0} : a[j]);
        taken[j] = b[j] > bound ? a[j] : taken[j];
        at[j] = b[j] > bound ? static_cast<detail::Bits<T>>(k) : at[j];
      }
    }
    for (std::int64_t j = 0; j < count; ++j)
      sum[j] = static_cast<T>(others[j] + static_cast<double>(taken[j]));
    for (std::int64_t k = 0; k < n; ++k) {
      const T *a = g + k * inner + first, *b = l + k * inner + first;
      T* __restrict row = out + k * inner + first;
      for (std::int64_t j = 0; j < count; ++j) row[j] = a[j] - kernels::exp(b[j]) * sum[j];
    }
    for (std::int64_t j = 0; j < count; ++j)
      if (const auto k = static_cast<std::int64_t>(at[j]); k < n) {
        const std::int64_t position = k * inner + first + j;
        out[position] = -static_cast<T>(others[j]) - kernels::expm1(l[position]) * sum[j];
      }
  }
}

}  // namespace

template <class T>
void softmax(T* out, const T* x, const Lines& lines) {
  by_lines(
      lines, Along<T>{x, nullptr, out}, short_row,
      [](const Along<T>& at, auto, auto rows, auto n) { softmax_rows(at.out, at.x, rows, n); },
      [](const Along<T>& at, auto, auto n, auto inner) {
        softmax_columns(at.out, at.x, n, inner);
      });
}

template <class T>
void log_softmax(T* out, const T* x, const Lines& lines) {
  by_lines(
      lines, Along<T>{x, nullptr, out}, short_row,
      [](const Along<T>& at, auto, auto rows, auto n) { log_softmax_rows(at.out, at.x, rows, n); },
      [](const Along<T>& at, auto, auto n, auto inner) {
        log_softmax_columns(at.out, at.x, n, inner);
      });
}

template <class T>
void logsumexp(T* out, const T* x, const Lines& lines) {
  with_logs(x, lines, [=](std::int64_t first, std::int64_t count, const T* m, const T* log_s) {
    for (std::int64_t j = 0; j < count; ++j) out[first + j] = combined(m[j], log_s[j]);
  });
}

template <class T>
void normalizers(T* m, T* log_s, const T* x, const Lines& lines) {
  with_logs(x, lines, [=](std::int64_t first, std::int64_t count, const T* shifts, const T* logs) {
    std::copy_n(shifts, count, m + first);
    std::copy_n(logs, count, log_s + first);
  });
}

template <class T>
void softmax_slope(T* out, const T* g, const T* p, const Lines& lines) {
  by_lines(
      lines, Along<T>{g, p, out}, short_slope,
      [](const Along<T>& at, auto, auto rows, auto n) {
        softmax_slope_rows(at.out, at.x, at.y, rows, n);
      },
      [](const Along<T>& at, auto, auto n, auto inner) {
        softmax_slope_columns(at.out, at.x, at.y, n, inner);
      });
}

template <class T>
void log_softmax_slope(T* out, const T* g, const T* l, const Lines& lines) {
  by_lines(
      lines, Along<T>{g, l, out}, short_slope,
      [](const Along<T>& at, auto, auto rows, auto n) {
        log_softmax_slope_rows(at.out, at.x, at.y, rows, n);
      },
      [](const Along<T>& at, auto, auto n, auto inner) {
        log_softmax_slope_columns(at.out, at.x, at.y, n, inner);
      });
}

#define CHAINRULE_FLOATING_TYPE(T)                                      \
  template void softmax<T>(T*, const T*, const Lines&);                 \
  template void log_softmax<T>(T*, const T*, const Lines&);             \
  template void logsumexp<T>(T*, const T*, const Lines&);               \
  template void normalizers<T>(T*, T*, const T*, const Lines&);         \
  template void softmax_slope<T>(T*, const T*, const T*, const Lines&); \
  template void log_softmax_slope<T>(T*, const T*, const T*, const Lines&);
CHAINRULE_FLOATING_TYPE(float)
CHAINRULE_FLOATING_TYPE(double)
#undef CHAINRULE_FLOATING_TYPE

}  // namespace chainrule::kernels
