#include <chainrule/ops/kernels/nn/softmax.hpp>

#include <algorithm>
#include <cmath>
#include <limits>

#include <chainrule/ops/kernels/elementwise/vector_math.hpp>
#include <chainrule/ops/kernels/reduce/reduce.hpp>

namespace chainrule::kernels {

namespace {

// Elements that are worked on at a time: several short rows, a part of a long one, or a part of a
// row of neighbouring columns. They stay in the first cache.
constexpr std::int64_t block = 1024;
constexpr std::int64_t column_block = 256;

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

// For blocks of rows (rows, n): the largest elements m, exp(x − m) in e unless that is null, and
// the sums s of it; then calls then(first row, count, m, s), with m and s of that block.
template <class T, class Then>
void shifted_rows(const T* x, T* e, std::int64_t rows, std::int64_t n, Then then) {
  T buffer[block], m[block], s[block];
  for_row_blocks(rows, n, [&](std::int64_t first, std::int64_t count) {
    const T* from = x + first * n;
    if (n > block) {  // one long row, in parts
      const T shift = m[0] = max_run(from, n);
      double sum = 0;
      for (std::int64_t i = 0; i < n; i += block) {
        const std::int64_t part = std::min(block, n - i);
        T* to = e ? e + first * n + i : buffer;
        for (std::int64_t k = 0; k < part; ++k) to[k] = kernels::exp(from[i + k] - shift);
        sum += static_cast<double>(sum_run(to, part));
      }
      s[0] = static_cast<T>(sum);
    } else {
      T* to = e ? e + first * n : buffer;
      for (std::int64_t r = 0; r < count; ++r) {
        const T shift = m[r] = max_run(from + r * n, n);
        for (std::int64_t i = r * n; i < (r + 1) * n; ++i) to[i] = from[i] - shift;
      }
      exp_run(to, to, count * n);
      for (std::int64_t r = 0; r < count; ++r) s[r] = sum_run(to + r * n, n);
    }
    then(first, count, m, s);
  });
}

// The same for the columns of one slab (length, inner): then(first column, count, m, s).
template <class T, class Then>
void shifted_columns(const T* x, T* e, std::int64_t length, std::int64_t inner, Then then) {
  T buffer[column_block], m[column_block];
  double s[column_block];
  for (std::int64_t first = 0; first < inner; first += column_block) {
    const std::int64_t count = std::min(column_block, inner - first);
    std::fill_n(m, count, -std::numeric_limits<T>::infinity());
    std::fill_n(s, count, 0.0);
    for (std::int64_t k = 0; k < length; ++k) {
      const T* row = x + k * inner + first;
      for (std::int64_t j = 0; j < count; ++j)
        m[j] = row[j] > m[j] || row[j] != row[j] ? row[j] : m[j];
    }
    for (std::int64_t k = 0; k < length; ++k) {
      const T* row = x + k * inner + first;
      T* to = e ? e + k * inner + first : buffer;
      for (std::int64_t j = 0; j < count; ++j) to[j] = kernels::exp(row[j] - m[j]);
      for (std::int64_t j = 0; j < count; ++j) s[j] += static_cast<double>(to[j]);
    }
    then(first, count, m, s);
  }
}

template <class T>
T combined(T m, T log_s) {
  return std::isinf(m) ? m : m + log_s;
}

// The functions of softmax.hpp for the lines of one thread.
namespace parts {

template <class T>
void softmax(T* out, const T* x, const Lines& lines) {
  const auto [outer, n, inner] = lines;
  if (inner == 1) {
    shifted_rows(x, out, outer, n, [&](auto first, auto count, const T*, const T* s) {
      for (std::int64_t r = 0; r < count; ++r) {
        T* row = out + (first + r) * n;
        const T sum = s[r];
        for (std::int64_t i = 0; i < n; ++i) row[i] /= sum;
      }
    });
    return;
  }
  for (std::int64_t i = 0; i < outer; ++i, x += n * inner, out += n * inner)
    shifted_columns(x, out, n, inner, [&](auto first, auto count, const T*, const double* s) {
      T sum[column_block];
      for (std::int64_t j = 0; j < count; ++j) sum[j] = static_cast<T>(s[j]);
      for (std::int64_t k = 0; k < n; ++k) {
        T* row = out + k * inner + first;
        for (std::int64_t j = 0; j < count; ++j) row[j] /= sum[j];
      }
    });
}

template <class T>
void log_softmax(T* out, const T* x, const Lines& lines) {
  const auto [outer, n, inner] = lines;
  if (inner == 1) {
    shifted_rows<T>(x, nullptr, outer, n, [&](auto first, auto count, const T* m, const T* s) {
      for (std::int64_t r = 0; r < count; ++r) {
        const T* from = x + (first + r) * n;
        T* row = out + (first + r) * n;
        const T shift = m[r], log_s = kernels::log(s[r]);
        for (std::int64_t i = 0; i < n; ++i) row[i] = (from[i] - shift) - log_s;
      }
    });
    return;
  }
  for (std::int64_t i = 0; i < outer; ++i, x += n * inner, out += n * inner)
    shifted_columns<T>(x, nullptr, n, inner, [&](auto first, auto count, const T* m, double* s) {
      T log_s[column_block];
      for (std::int64_t j = 0; j < count; ++j) log_s[j] = kernels::log(static_cast<T>(s[j]));
      for (std::int64_t k = 0; k < n; ++k) {
        const T* from = x + k * inner + first;
        T* row = out + k * inner + first;
        for (std::int64_t j = 0; j < count; ++j) row[j] = (from[j] - m[j]) - log_s[j];
      }
    });
}

template <class T>
void normalizers(T* m, T* log_s, const T* x, const Lines& lines) {
  const auto [outer, n, inner] = lines;
  const auto keep = [&](std::int64_t first, std::int64_t count, const T* shifts, const auto* sums) {
    for (std::int64_t j = 0; j < count; ++j) {
      m[first + j] = shifts[j];
      log_s[first + j] = kernels::log(static_cast<T>(sums[j]));
    }
  };
  if (inner == 1) return shifted_rows<T>(x, nullptr, outer, n, keep);
  for (std::int64_t i = 0; i < outer; ++i, x += n * inner, m += inner, log_s += inner)
    shifted_columns<T>(x, nullptr, n, inner, keep);
}

template <class T>
void logsumexp(T* out, const T* x, const Lines& lines) {
  const auto [outer, n, inner] = lines;
  const auto keep = [&](std::int64_t first, std::int64_t count, const T* m, const auto* s) {
    for (std::int64_t j = 0; j < count; ++j)
      out[first + j] = combined(m[j], kernels::log(static_cast<T>(s[j])));
  };
  if (inner == 1) return shifted_rows<T>(x, nullptr, outer, n, keep);
  for (std::int64_t i = 0; i < outer; ++i, x += n * inner, out += inner)
    shifted_columns<T>(x, nullptr, n, inner, keep);
}

template <class T>
void softmax_slope(T* out, const T* g, const T* p, const Lines& lines) {
  const auto [outer, n, inner] = lines;
  if (inner == 1) {
    for (std::int64_t r = 0; r < outer; ++r, g += n, p += n, out += n) {
      for (std::int64_t i = 0; i < n; ++i) out[i] = p[i] * g[i];
      const T dot = sum_run(out, n);
      for (std::int64_t i = 0; i < n; ++i) out[i] = p[i] * (g[i] - dot);
    }
    return;
  }
  double sum[column_block];
  T dot[column_block];
  for (std::int64_t r = 0; r < outer; ++r, g += n * inner, p += n * inner, out += n * inner)
    for (std::int64_t first = 0; first < inner; first += column_block) {
      const std::int64_t count = std::min(column_block, inner - first);
      std::fill_n(sum, count, 0.0);
      for (std::int64_t k = 0; k < n; ++k) {
        const T *a = g + k * inner + first, *b = p + k * inner + first;
        for (std::int64_t j = 0; j < count; ++j) sum[j] += static_cast<double>(a[j] * b[j]);
      }
      for (std::int64_t j = 0; j < count; ++j) dot[j] = static_cast<T>(sum[j]);
      for (std::int64_t k = 0; k < n; ++k) {
        const T *a = g + k * inner + first, *b = p + k * inner + first;
        T* __restrict row = out + k * inner + first;
        for (std::int64_t j = 0; j < count; ++j) row[j] = b[j] * (a[j] - dot[j]);
      }
    }
}

template <class T>
void log_softmax_slope(T* out, const T* g, const T* l, const Lines& lines) {
  const auto [outer, n, inner] = lines;
  if (inner == 1) {
    for_row_blocks(outer, n, [&](std::int64_t first, std::int64_t count) {
      exp_run(out + first * n, l + first * n, count * n);
      for (std::int64_t r = first; r < first + count; ++r) {
        const T sum = sum_run(g + r * n, n);
        for (std::int64_t i = r * n; i < (r + 1) * n; ++i) out[i] = g[i] - out[i] * sum;
      }
    });
    return;
  }
  double sums[column_block];
  T sum[column_block];
  for (std::int64_t r = 0; r < outer; ++r, g += n * inner, l += n * inner, out += n * inner)
    for (std::int64_t first = 0; first < inner; first += column_block) {
      const std::int64_t count = std::min(column_block, inner - first);
      std::fill_n(sums, count, 0.0);
      for (std::int64_t k = 0; k < n; ++k) {
        const T* a = g + k * inner + first;
        for (std::int64_t j = 0; j < count; ++j) sums[j] += static_cast<double>(a[j]);
      }
      for (std::int64_t j = 0; j < count; ++j) sum[j] = static_cast<T>(sums[j]);
      for (std::int64_t k = 0; k < n; ++k) {
        const T *a = g + k * inner + first, *b = l + k * inner + first;
        T* __restrict row = out + k * inner + first;
        for (std::int64_t j = 0; j < count; ++j) row[j] = a[j] - kernels::exp(b[j]) * sum[j];
      }
    }
}

}  // namespace parts
}  // namespace

template <class T>
void softmax(T* out, const T* x, const Lines& lines) {
  in_parts(lines, [=](const Lines& part, std::int64_t at, std::int64_t) {
    parts::softmax(out + at, x + at, part);
  });
}

template <class T>
void log_softmax(T* out, const T* x, const Lines& lines) {
  in_parts(lines, [=](const Lines& part, std::int64_t at, std::int64_t) {
    parts::log_softmax(out + at, x + at, part);
  });
}

template <class T>
void logsumexp(T* out, const T* x, const Lines& lines) {
  in_parts(lines, [=](const Lines& part, std::int64_t at, std::int64_t line) {
    parts::logsumexp(out + line, x + at, part);
  });
}

template <class T>
void normalizers(T* m, T* log_s, const T* x, const Lines& lines) {
  in_parts(lines, [=](const Lines& part, std::int64_t at, std::int64_t line) {
    parts::normalizers(m + line, log_s + line, x + at, part);
  });
}

template <class T>
void softmax_slope(T* out, const T* g, const T* p, const Lines& lines) {
  in_parts(lines, [=](const Lines& part, std::int64_t at, std::int64_t) {
    parts::softmax_slope(out + at, g + at, p + at, part);
  });
}

template <class T>
void log_softmax_slope(T* out, const T* g, const T* l, const Lines& lines) {
  in_parts(lines, [=](const Lines& part, std::int64_t at, std::int64_t) {
    parts::log_softmax_slope(out + at, g + at, l + at, part);
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
