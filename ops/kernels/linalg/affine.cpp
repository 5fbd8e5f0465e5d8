#include <chainrule/ops/kernels/linalg/affine.hpp>

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

template <class T, class F>
void finish(T* y, std::int64_t rows, std::int64_t columns, const T* bias, F phi) {
  if (columns == 0) return;
  chainrule::detail::parallel_rows(rows, columns, [=](std::int64_t begin, std::int64_t end) {
    if (!bias) return finish_row<false>(y + begin * columns, bias, (end - begin) * columns, phi);
    for (std::int64_t r = begin; r < end; ++r)
      finish_row<true>(y + r * columns, bias, columns, phi);
  });
}

}  // namespace

template <class T>
void finish_affine(T* y, std::int64_t rows, std::int64_t columns, const T* bias,
                   Activation activation) {
  switch (activation) {
    case Activation::none:
      if (bias) finish(y, rows, columns, bias, [](T z) { return z; });
      return;
    case Activation::sigmoid:
      return finish(y, rows, columns, bias, [](T z) { return kernels::sigmoid(z); });
    case Activation::tanh:
      return finish(y, rows, columns, bias, [](T z) { return kernels::tanh(z); });
    case Activation::relu:
      return finish(y, rows, columns, bias, [](T z) { return kernels::relu(z); });
  }
}

template void finish_affine(float*, std::int64_t, std::int64_t, const float*, Activation);
template void finish_affine(double*, std::int64_t, std::int64_t, const double*, Activation);

}  // namespace chainrule::kernels
