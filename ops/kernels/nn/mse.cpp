#include <chainrule/ops/kernels/nn/mse.hpp>

#include <chainrule/ops/kernels/elementwise/loops.hpp>
#include <chainrule/ops/kernels/reduce/reduce.hpp>

namespace chainrule::kernels {

namespace {

// Elements whose squares are kept in the first cache until they are summed.
constexpr std::int64_t block = 1024;

// f(i) for every element, in parallel where there is enough to do; it writes to memory of its own.
template <class F>
void for_each(std::int64_t n, F f) {
  chainrule::detail::parallel_for(n, chainrule::detail::elements_for_thread,
                                  [=](std::int64_t begin, std::int64_t end) {
                                    for (std::int64_t i = begin; i < end; ++i) f(i);
                                  });
}

}  // namespace

template <class T>
void squared_differences(T* out, const T* y, const T* t, std::int64_t n) {
  for_each(n, [=](std::int64_t i) {
    const T difference = y[i] - t[i];
    out[i] = difference * difference;
  });
}

template <class T>
T sum_squared_differences(const T* y, const T* t, std::int64_t n) {
  if (n > block) {
    const std::int64_t half = (n / 2 + block - 1) / block * block;
    return sum_squared_differences(y, t, half) +
           sum_squared_differences(y + half, t + half, n - half);
  }
  T squares[block];
  squared_differences(squares, y, t, n);
  return sum_run(squares, n);
}

template <class T>
void scaled_differences(T* out, const T* y, const T* t, const T* g, std::int64_t g_step, T scale,
                        std::int64_t n) {
  if (n == 0) return;
  if (g_step == 0)
    for_each(n, [=, factor = scale * *g](std::int64_t i) { out[i] = (y[i] - t[i]) * factor; });
  else
    for_each(n, [=](std::int64_t i) { out[i] = (y[i] - t[i]) * (scale * g[i]); });
}

#define CHAINRULE_FLOATING_TYPE(T)                                                       \
  template void squared_differences<T>(T*, const T*, const T*, std::int64_t);            \
  template T sum_squared_differences<T>(const T*, const T*, std::int64_t);               \
  template void scaled_differences<T>(T*, const T*, const T*, const T*, std::int64_t, T, \
                                      std::int64_t);
CHAINRULE_FLOATING_TYPE(float)
CHAINRULE_FLOATING_TYPE(double)
#undef CHAINRULE_FLOATING_TYPE

}  // namespace chainrule::kernels
