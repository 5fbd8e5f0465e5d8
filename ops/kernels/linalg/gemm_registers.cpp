#include <algorithm>

#include <chainrule/ops/kernels/linalg/gemm_engines.hpp>
#include <chainrule/ops/kernels/linalg/gemm_tile.hpp>

namespace chainrule::kernels {

using namespace tiles;

namespace {

// R rows of c. The last block begins where it ends with the last column, and computes some columns
// for the second time: a narrow block takes as long as a wide one.
template <int R, int W, class T>
[[gnu::always_inline]] inline void rows(std::int64_t n, std::int64_t k, MatrixView<T> a,
                                        MatrixView<T> b, T* c) {
  if constexpr (W == 1) {
    T sum[R] = {};
    for (std::int64_t p = 0; p < k; ++p)
      for (int i = 0; i < R; ++i) sum[i] += a.data[i * a.row + p * a.column] * b.data[p * b.row];
    for (int i = 0; i < R; ++i) c[i] = sum[i];
  } else {
    if (n < W) return rows<R, W / 2>(n, k, a, b, c);
    std::int64_t j = 0;
    if constexpr (W == widest<T> && many_registers)
      for (; j + 2 * W <= n; j += 2 * W) tile<R, W, 2>(k, a, b.data + j, b.row, c + j, n);
    if (j == n) return;
    for (j = std::min(j, n - W);; j = std::min(j + W, n - W)) {
      tile<R, W, 1>(k, a, b.data + j, b.row, c + j, n);
      if (j == n - W) return;
    }
  }
}

// All rows of c, the last ones in the same way.
template <int R, class T>
[[gnu::always_inline]] inline void all_rows(std::int64_t m, std::int64_t n, std::int64_t k,
                                            MatrixView<T> a, MatrixView<T> b, T* c) {
  if constexpr (R > 1)
    if (m < R) return all_rows<R / 2>(m, n, k, a, b, c);
  for (std::int64_t i = 0;; i = std::min(i + R, m - R)) {
    rows<R, widest<T>>(n, k, {a.data + i * a.row, a.row, a.column}, b, c + i * n);
    if (i == m - R) return;
  }
}

}  // namespace

template <class T>
void multiply_in_registers(std::int64_t m, std::int64_t n, std::int64_t k, const MatrixView<T>& a,
                           const MatrixView<T>& b, T* c) {
  T packed[largest_packed];
  if (b.column != 1 && n != 1) {
    if (b.row == 1)
      pack_transposed(k, n, b.data, b.column, packed);
    else
      for (std::int64_t p = 0; p < k; ++p)
        for (std::int64_t j = 0; j < n; ++j) packed[p * n + j] = b.data[p * b.row + j * b.column];
    return all_rows<8>(m, n, k, a, {packed, n, 1}, c);
  }
  all_rows<8>(m, n, k, a, b, c);
}

template void multiply_in_registers(std::int64_t, std::int64_t, std::int64_t,
                                    const MatrixView<float>&, const MatrixView<float>&, float*);
template void multiply_in_registers(std::int64_t, std::int64_t, std::int64_t,
                                    const MatrixView<double>&, const MatrixView<double>&, double*);

}  // namespace chainrule::kernels
