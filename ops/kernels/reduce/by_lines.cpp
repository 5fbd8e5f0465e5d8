#include <chainrule/ops/kernels/reduce/by_lines.hpp>

#include <type_traits>

namespace chainrule::kernels::detail {

namespace {

// f(n), which the compiler knows where it is little.
template <class F>
void with_length(std::int64_t n, F f) {
  switch (n) {
    case 2:
      return f(std::integral_constant<std::int64_t, 2>());
    case 3:
      return f(std::integral_constant<std::int64_t, 3>());
    case 4:
      return f(std::integral_constant<std::int64_t, 4>());
    case 5:
      return f(std::integral_constant<std::int64_t, 5>());
    case 6:
      return f(std::integral_constant<std::int64_t, 6>());
    case 7:
      return f(std::integral_constant<std::int64_t, 7>());
    case 8:
      return f(std::integral_constant<std::int64_t, 8>());
  }
  f(n);
}

// A function of its own: GCC exchanges the loops, and is slower then.
template <class T>
[[gnu::noinline]] void column(T* __restrict to, const T* rows, std::int64_t count, std::int64_t n) {
  for (std::int64_t r = 0; r < count; ++r) to[r] = rows[r * n];
}

}  // namespace

template <class T>
void rows_to_columns(T* __restrict to, const T* rows, std::int64_t count, std::int64_t n) {
  if (n > 4) {  // of which vectors are not shuffled
    for (std::int64_t k = 0; k < n; ++k) column(to + k * count, rows + k, count, n);
    return;
  }
  with_length(n, [=](auto length) {
    for (std::int64_t r = 0; r < count; ++r)
      for (std::int64_t k = 0; k < length; ++k) to[k * count + r] = rows[r * length + k];
  });
}

template <class T>
void columns_to_rows(T* __restrict to, const T* columns, std::int64_t count, std::int64_t n) {
  with_length(n, [=](auto length) {
    for (std::int64_t r = 0; r < count; ++r)
      for (std::int64_t k = 0; k < length; ++k) to[r * length + k] = columns[k * count + r];
  });
}

#define CHAINRULE_TYPE(T)                                                  \
  template void rows_to_columns(T*, const T*, std::int64_t, std::int64_t); \
  template void columns_to_rows(T*, const T*, std::int64_t, std::int64_t);
CHAINRULE_TYPE(float)
CHAINRULE_TYPE(double)
CHAINRULE_TYPE(std::int64_t)
#undef CHAINRULE_TYPE

}  // namespace chainrule::kernels::detail
