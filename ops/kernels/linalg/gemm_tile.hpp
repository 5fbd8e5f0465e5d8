#pragma once

#include <cstdint>

#include <chainrule/ops/kernels/linalg/gemm.hpp>

/// A tile of a product in registers, which the engines of this library's own are made of.
namespace chainrule::kernels::tiles {

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

// Whether there are 32 registers, enough for 8 rows of two of the widest.
#ifdef __AVX512F__
constexpr bool many_registers = true;
#else
constexpr bool many_registers = false;
#endif

// R rows by V·W columns of c, kept in registers over the whole inner dimension.
template <int R, int W, int V, class T>
[[gnu::always_inline]] inline void tile(std::int64_t k, MatrixView<T> a, const T* b,
                                        std::int64_t b_row, T* c, std::int64_t c_row,
                                        Result result = Result::overwritten) {
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
    for (int v = 0; v < V; ++v) {
      auto& to = lanes<T, W>(c + i * c_row + v * W);
      to = result == Result::overwritten ? sum[i][v] : to + sum[i][v];
    }
}

/// packed (rows, columns), row-major, from a matrix whose columns are adjacent and `step` apart.
template <class T>
void pack_transposed(std::int64_t rows, std::int64_t columns, const T* from, std::int64_t step,
                     T* packed);

}  // namespace chainrule::kernels::tiles
