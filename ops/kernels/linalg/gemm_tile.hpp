#pragma once

#include <cstdint>
#include <cstring>

#include <chainrule/ops/kernels/linalg/gemm.hpp>

/// A tile of a product in registers, which the engines of this library's own are made of.
namespace chainrule::kernels::tiles {

// W numbers side by side. They are read and written at any address by memcpy: of a type that
// depends on T, Clang 19 forgets that it is aligned(alignof(T)).
template <class T, int W>
struct LanesOf {
  typedef T Type __attribute__((vector_size(W * sizeof(T))));
};
template <class T, int W>
using Lanes = typename LanesOf<T, W>::Type;

// None is returned, or handed over by value: without AVX, GCC warns that these have no register.
template <class T, class V>
void load(V& lanes, const T* from) {
  std::memcpy(&lanes, from, sizeof(lanes));
}
template <class T, class V>
void store(T* to, const V& lanes) {
  std::memcpy(to, &lanes, sizeof(lanes));
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
  Lanes<T, W> sum[R][V] = {};
  for (std::int64_t p = 0; p < k; ++p) {
    Lanes<T, W> row[V];
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) load(row[v], b + p * b_row + v * W);
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
      T* to = c + i * c_row + v * W;
      if (result == Result::added_to) {
        Lanes<T, W> before;
        load(before, to);
        sum[i][v] += before;
      }
      store(to, sum[i][v]);
    }
}

/// packed (rows, columns), row-major, from a matrix whose columns are adjacent and `step` apart.
template <class T>
void pack_transposed(std::int64_t rows, std::int64_t columns, const T* from, std::int64_t step,
                     T* packed);

}  // namespace chainrule::kernels::tiles
