#include <chainrule/ops/kernels/reduce/shares.hpp>

#include <algorithm>
#include <limits>
#include <type_traits>

namespace chainrule::kernels {

namespace {

// Neighbouring lines that are worked on at a time, so that their elements stay in the cache.
constexpr std::int64_t columns = 64;

template <class T>
constexpr T nan = std::numeric_limits<T>::quiet_NaN();

// What each of `count` equal elements gets.
template <class T>
T share(T g, std::int32_t count) {
  return count == 0 ? nan<T> : g * (1 / static_cast<T>(count));
}

// A line of adjacent elements.
template <class T>
[[gnu::always_inline]] inline void along_row(T* __restrict to, T g, const T* x, T best,
                                             std::int64_t n) {
  std::int32_t count = 0;
  for (std::int64_t i = 0; i < n; ++i) count += x[i] == best;
  const T each = share(g, count), other = count == 0 ? each : g * T{0};
  for (std::int64_t i = 0; i < n; ++i) to[i] = x[i] == best ? each : other;
}

// `lines` of them, one after the other. Of short ones the compiler knows the length.
template <class T>
void along_rows(T* to, const T* g, const T* x, const T* best, std::int64_t n, std::int64_t lines) {
  const auto all = [&](auto length) {
    for (std::int64_t i = 0; i < lines; ++i)
      along_row(to + i * length, g[i], x + i * length, best[i], length);
  };
  switch (n) {
    case 2:
      return all(std::integral_constant<std::int64_t, 2>());
    case 3:
      return all(std::integral_constant<std::int64_t, 3>());
    case 4:
      return all(std::integral_constant<std::int64_t, 4>());
    case 5:
      return all(std::integral_constant<std::int64_t, 5>());
  }
  all(n);
}

// `width` neighbouring lines, whose elements are `step` apart.
template <class T>
void along_columns(T* to, const T* g, const T* x, const T* best, std::int64_t n, std::int64_t step,
                   std::int64_t width) {
  std::int32_t count[columns] = {};
  T each[columns], other[columns];
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t j = 0; j < width; ++j) count[j] += x[i * step + j] == best[j];
  for (std::int64_t j = 0; j < width; ++j) {
    each[j] = share(g[j], count[j]);
    other[j] = count[j] == 0 ? each[j] : g[j] * T{0};
  }
  for (std::int64_t i = 0; i < n; ++i) {
    T* __restrict row = to + i * step;
    for (std::int64_t j = 0; j < width; ++j)
      row[j] = x[i * step + j] == best[j] ? each[j] : other[j];
  }
}

}  // namespace

void share_among_equals(Value& to, const Value& g, const Value& x, const Value& best,
                        const Lines& lines) {
  visit_floating(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    T* const out = to.data<T>();
    const T *seeds = g.data<T>(), *elements = x.data<T>(), *bests = best.data<T>();
    in_parts(lines, [=](const Lines& part, std::int64_t element, std::int64_t line) {
      const auto [outer, n, inner] = part;
      if (inner == 1)
        return along_rows(out + element, seeds + line, elements + element, bests + line, n, outer);
      for (std::int64_t i = 0; i < outer; ++i, element += n * inner, line += inner)
        for (std::int64_t j = 0; j < inner; j += columns)
          along_columns(out + element + j, seeds + line + j, elements + element + j,
                        bests + line + j, n, inner, std::min(columns, inner - j));
    });
  });
}

}  // namespace chainrule::kernels
