#include <algorithm>

#include <chainrule/ops/kernels/linalg/gemm_engines.hpp>

namespace chainrule::kernels {

namespace {

// W neighbouring numbers at any address.
template <class T, int W>
struct Lanes {
  typedef T Type __attribute__((vector_size(W * sizeof(T)), aligned(alignof(T)), may_alias));
};
template <class T, int W>
inline auto& lanes(T* at) {
  return *reinterpret_cast<typename Lanes<T, W>::Type*>(at);
}
template <class T, int W>
inline const auto& lanes(const T* at) {
  return *reinterpret_cast<const typename Lanes<T, W>::Type*>(at);
}

// The numbers in the widest register that the compiler may use.
template <class T>
#ifdef __AVX512F__
constexpr int widest = 64 / sizeof(T);
#else
constexpr int widest = 32 / sizeof(T);
#endif

// Whether there are registers for 8 rows of two of the widest.
#ifdef __AVX512F__
constexpr bool wide_blocks = true;
#else
constexpr bool wide_blocks = false;
#endif

// R rows by V·W columns of c, kept in registers over the whole inner dimension.
template <int R, int W, int V, class T>
[[gnu::always_inline]] inline void block(std::int64_t k, MatrixView<T> a, const T* b,
                                         std::int64_t b_row, T* c, std::int64_t c_row) {
  typename Lanes<T, W>::Type sum[R][V] = {};
  for (std::int64_t p = 0; p < k; ++p) {
    typename Lanes<T, W>::Type row[V];
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) row[v] = lanes<T, W>(b + p * b_row + v * W);
#pragma GCC unroll 8
    for (int i = 0; i < R; ++i) {
      const T factor = a.data[i * a.row + p * a.column];
#pragma GCC unroll 8
      for (int v = 0; v < V; ++v) sum[i][v] += factor * row[v];
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < R; ++i)
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) lanes<T, W>(c + i * c_row + v * W) = sum[i][v];
}

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
    if constexpr (W == widest<T> && wide_blocks)
      for (; j + 2 * W <= n; j += 2 * W) block<R, W, 2>(k, a, b.data + j, b.row, c + j, n);
    if (j == n) return;
    for (j = std::min(j, n - W);; j = std::min(j + W, n - W)) {
      block<R, W, 1>(k, a, b.data + j, b.row, c + j, n);
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

// packed (rows, columns), row-major, from a matrix whose columns are adjacent: in squares of four,
// so that what is stored as vectors is loaded as vectors again.
template <class T>
void pack_transposed(std::int64_t rows, std::int64_t columns, const T* from, std::int64_t step,
                     T* packed) {
  using Four = typename Lanes<T, 4>::Type;
  std::int64_t j = 0;
  for (; j + 4 <= columns; j += 4) {
    std::int64_t p = 0;
    for (; p + 4 <= rows; p += 4) {
      const auto load = [&](int k) -> const Four& {
        return lanes<T, 4>(from + (j + k) * step + p);
      };
      const auto store = [&](int k, const Four& row) {
        lanes<T, 4>(packed + (p + k) * columns + j) = row;
      };
      const Four a = load(0), b = load(1), c = load(2), d = load(3);
      const Four ab_low = __builtin_shufflevector(a, b, 0, 4, 1, 5);
      const Four ab_high = __builtin_shufflevector(a, b, 2, 6, 3, 7);
      const Four cd_low = __builtin_shufflevector(c, d, 0, 4, 1, 5);
      const Four cd_high = __builtin_shufflevector(c, d, 2, 6, 3, 7);
      store(0, __builtin_shufflevector(ab_low, cd_low, 0, 1, 4, 5));
      store(1, __builtin_shufflevector(ab_low, cd_low, 2, 3, 6, 7));
      store(2, __builtin_shufflevector(ab_high, cd_high, 0, 1, 4, 5));
      store(3, __builtin_shufflevector(ab_high, cd_high, 2, 3, 6, 7));
    }
    for (; p < rows; ++p)
      for (int k = 0; k < 4; ++k) packed[p * columns + j + k] = from[(j + k) * step + p];
  }
  for (; j < columns; ++j)
    for (std::int64_t p = 0; p < rows; ++p) packed[p * columns + j] = from[j * step + p];
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
