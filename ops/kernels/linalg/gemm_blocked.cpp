#include <algorithm>

#include <chainrule/ops/kernels/linalg/gemm_engines.hpp>
#include <chainrule/ops/kernels/linalg/gemm_tile.hpp>

namespace chainrule::kernels {

using namespace tiles;

namespace {

// The loops of K. Goto and R. A. van de Geijn, Anatomy of High-Performance Matrix Multiplication,
// ACM TOMS 34 (2008), turned around for a row-major c: a panel of a, some rows, stays in the
// nearest cache, a block of b in the next.
template <class T>
struct Blocks {
  static constexpr int lanes_each = widest<T>;
#if defined(__AVX512F__)
  static constexpr int rows = 8, vectors = 2;
#elif defined(__AVX__)
  static constexpr int rows = 6, vectors = 2;
#else
  static constexpr int rows = 4, vectors = 1;
#endif
  static constexpr std::int64_t columns = vectors * lanes_each;
  // Of a panel: 16 KB with 8 rows.
  static constexpr std::int64_t depth = 2048 / sizeof(T);
  // Of a block of b: 384 KB of f64, twice as much of f32. It is used for so many rows.
  static constexpr std::int64_t block_columns = 1536 / sizeof(T), block_rows = 960;
  static_assert(block_columns % columns == 0 && block_rows % rows == 0);
};

// Panels of `width` neighbouring rows of x (or columns of its transpose), each as depth × width;
// what the last panel has too much is 0.
template <int width, class T>
void pack(std::int64_t rows, std::int64_t depth, MatrixView<T> x, T* __restrict to) {
  for (std::int64_t i = 0; i < rows; i += width, to += width * depth) {
    const T* from = x.data + i * x.row;
    if (i + width > rows) {
      std::fill_n(to, width * depth, T{0});
      for (std::int64_t p = 0; p < depth; ++p)
        for (std::int64_t j = 0; j < rows - i; ++j)
          to[p * width + j] = from[j * x.row + p * x.column];
    } else if (x.row == 1) {
      for (std::int64_t p = 0; p < depth; ++p)
        std::copy_n(from + p * x.column, width, to + p * width);
    } else if (x.column == 1) {
      pack_transposed(depth, width, from, x.row, to);
    } else {
      for (std::int64_t p = 0; p < depth; ++p)
        for (std::int64_t j = 0; j < width; ++j) to[p * width + j] = from[j * x.row + p * x.column];
    }
  }
}

// One tile of c, of which only some rows and columns may be there.
template <class T>
void edge(std::int64_t depth, const T* a, const T* b, std::int64_t m, std::int64_t n, T* c,
          std::int64_t c_row, Result result) {
  using B = Blocks<T>;
  T whole[B::rows * B::columns];
  tile<B::rows, B::lanes_each, B::vectors, T>(depth, {a, 1, B::rows}, b, B::columns, whole,
                                              B::columns);
  for (std::int64_t i = 0; i < m; ++i)
    for (std::int64_t j = 0; j < n; ++j) {
      T& to = c[i * c_row + j];
      const T sum = whole[i * B::columns + j];
      to = result == Result::overwritten ? sum : to + sum;
    }
}

template <class T>
void multiply_block(std::int64_t m, std::int64_t n, std::int64_t depth, const T* a, const T* b,
                    T* c, std::int64_t c_row, Result result) {
  using B = Blocks<T>;
  for (std::int64_t i = 0; i < m; i += B::rows, a += B::rows * depth)
    for (std::int64_t j = 0; j < n; j += B::columns) {
      T* to = c + i * c_row + j;
      if (i + B::rows <= m && j + B::columns <= n)
        tile<B::rows, B::lanes_each, B::vectors, T>(depth, {a, 1, B::rows}, b + j * depth,
                                                    B::columns, to, c_row, result);
      else
        edge(depth, a, b + j * depth, std::min<std::int64_t>(B::rows, m - i),
             std::min(B::columns, n - j), to, c_row, result);
    }
}

std::int64_t rounded_up(std::int64_t n, std::int64_t to) { return (n + to - 1) / to * to; }

}  // namespace

template <class T>
void multiply_in_blocks(std::int64_t m, std::int64_t n, std::int64_t k, const MatrixView<T>& a,
                        const MatrixView<T>& b, T* c, std::int64_t c_row, Result result) {
  using B = Blocks<T>;
  const std::int64_t depth = std::min(k, B::depth);
  const Scratch<T> packed_a(rounded_up(std::min(m, B::block_rows), B::rows) * depth);
  const Scratch<T> packed_b(rounded_up(std::min(n, B::block_columns), B::columns) * depth);
  for (std::int64_t p = 0; p < k; p += B::depth) {
    const std::int64_t steps = std::min(B::depth, k - p);
    for (std::int64_t i = 0; i < m; i += B::block_rows) {
      const std::int64_t rows = std::min(B::block_rows, m - i);
      pack<B::rows>(rows, steps, {a.data + i * a.row + p * a.column, a.row, a.column},
                    packed_a.data);
      for (std::int64_t j = 0; j < n; j += B::block_columns) {
        const std::int64_t columns = std::min(B::block_columns, n - j);
        pack<B::columns>(columns, steps,
                         MatrixView<T>{b.data + p * b.row + j * b.column, b.column, b.row},
                         packed_b.data);
        multiply_block(rows, columns, steps, packed_a.data, packed_b.data, c + i * c_row + j, c_row,
                       result);
      }
    }
    result = Result::added_to;
  }
}

template void multiply_in_blocks(std::int64_t, std::int64_t, std::int64_t, const MatrixView<float>&,
                                 const MatrixView<float>&, float*, std::int64_t, Result);
template void multiply_in_blocks(std::int64_t, std::int64_t, std::int64_t,
                                 const MatrixView<double>&, const MatrixView<double>&, double*,
                                 std::int64_t, Result);

}  // namespace chainrule::kernels
