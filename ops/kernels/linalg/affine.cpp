#include <chainrule/ops/kernels/linalg/affine.hpp>

#include <type_traits>

#include <chainrule/ops/kernels/elementwise/loops.hpp>
#include <chainrule/ops/kernels/elementwise/slopes.hpp>
#include <chainrule/ops/kernels/elementwise/vector_math.hpp>

namespace chainrule::kernels {

namespace {

// row = φ(row + bias) for a bias of its length or none.
template <bool with_bias, class T, class F>
[[gnu::noinline]] void finish_row(T* __restrict row, const T* bias, std::int64_t n, F phi) {
  for (std::int64_t j = 0; j < n; ++j)
    if constexpr (with_bias)
      row[j] = phi(row[j] + bias[j]);
    else
      row[j] = phi(row[j]);
}
// The same with what φ lacks to 1.
template <bool with_bias, class T, class F>
[[gnu::noinline]] void finish_row(T* __restrict row, T* __restrict rest, const T* bias,
                                  std::int64_t n, F phi) {
  for (std::int64_t j = 0; j < n; ++j) {
    T z = row[j];
    if constexpr (with_bias) z += bias[j];
    const Flat<T> flat = phi(z);
    row[j] = flat.value;
    rest[j] = flat.short_of_one;
  }
}

// finish(first element, how many, whether there is a bias) for rows, or for all rows in one.
template <class F>
void for_rows(std::int64_t rows, std::int64_t columns, bool with_bias, F finish) {
  if (columns == 0) return;
  chainrule::detail::parallel_rows(rows, columns, [=](std::int64_t begin, std::int64_t end) {
    if (!with_bias) return finish(begin * columns, (end - begin) * columns, std::false_type());
    for (std::int64_t r = begin; r < end; ++r) finish(r * columns, columns, std::true_type());
  });
}

template <class T, class F>
void finish(T* y, std::int64_t rows, std::int64_t columns, const T* bias, F phi) {
  for_rows(rows, columns, bias, [=](std::int64_t first, std::int64_t n, auto with_bias) {
    finish_row<with_bias>(y + first, bias, n, phi);
  });
}

template <class T, class F>
void finish_flat(T* y, T* rest, std::int64_t rows, std::int64_t columns, const T* bias, F phi) {
  for_rows(rows, columns, bias, [=](std::int64_t first, std::int64_t n, auto with_bias) {
    finish_row<with_bias>(y + first, rest + first, bias, n, phi);
  });
}

}  // namespace

template <class T>
void finish_affine(T* y, T* rest, std::int64_t rows, std::int64_t columns, const T* bias,
                   Activation activation) {
  switch (activation) {
    case Activation::none:
      if (bias) finish(y, rows, columns, bias, [](T z) { return z; });
      return;
    case Activation::sigmoid:
      if (!rest) return finish(y, rows, columns, bias, [](T z) { return kernels::sigmoid(z); });
      return finish_flat(y, rest, rows, columns, bias, [](T z) { return flat_sigmoid(z); });
    case Activation::tanh:
      if (!rest) return finish(y, rows, columns, bias, [](T z) { return kernels::tanh(z); });
      return finish_flat(y, rest, rows, columns, bias, [](T z) { return flat_tanh(z); });
    case Activation::relu:
      return finish(y, rows, columns, bias, [](T z) { return kernels::relu(z); });
  }
}

template void finish_affine(float*, float*, std::int64_t, std::int64_t, const float*, Activation);
template void finish_affine(double*, double*, std::int64_t, std::int64_t, const double*,
                            Activation);

}  // namespace chainrule::kernels
