#include <chainrule/ops/kernels/gemm.hpp>

#include <Eigen/Core>
#include <algorithm>
#include <memory>
#include <vector>

#include <chainrule/core/allocator.hpp>

namespace chainrule::kernels {

namespace {

template <class T>
using Buffer = std::vector<T, memory::Pool<T>>;

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

// R rows by W columns of c, kept in registers over the whole inner dimension.
template <int R, int W, class T>
[[gnu::always_inline]] inline void block(std::int64_t k, MatrixView<T> a, const T* b,
                                         std::int64_t b_row, T* c, std::int64_t c_row) {
  typename Lanes<T, W>::Type sum[R] = {};
  for (std::int64_t p = 0; p < k; ++p) {
    const auto row = lanes<T, W>(b + p * b_row);
#pragma GCC unroll 8
    for (int i = 0; i < R; ++i) sum[i] += a.data[i * a.row + p * a.column] * row;
  }
#pragma GCC unroll 8
  for (int i = 0; i < R; ++i) lanes<T, W>(c + i * c_row) = sum[i];
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
    for (std::int64_t j = 0;; j = std::min(j + W, n - W)) {
      block<R, W>(k, a, b.data + j, b.row, c + j, n);
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

// A matrix whose rows or columns are adjacent, as the engines take it.
template <class T>
struct Operand {
  const T* data;
  std::int64_t stride;
  bool row_major;
  Buffer<T> copy;

  Operand(const MatrixView<T>& view, std::int64_t rows, std::int64_t columns) {
    if ((view.column == 1 || columns == 1) && (view.row >= columns || rows == 1)) {
      *this = {view.data, std::max(rows == 1 ? columns : view.row, std::int64_t{1}), true};
    } else if ((view.row == 1 || rows == 1) && (view.column >= rows || columns == 1)) {
      *this = {view.data, std::max(columns == 1 ? rows : view.column, std::int64_t{1}), false};
    } else {
      copy.resize(static_cast<std::size_t>(rows * columns));
      for (std::int64_t i = 0; i < rows; ++i)
        for (std::int64_t j = 0; j < columns; ++j)
          copy[static_cast<std::size_t>(i * columns + j)] =
              view.data[i * view.row + j * view.column];
      data = copy.data();
      stride = columns;
      row_major = true;
    }
  }

 private:
  Operand(const T* at, std::int64_t step, bool rows_adjacent)
      : data(at), stride(step), row_major(rows_adjacent) {}
};

// Eigen's packing buffers, from this library's allocator instead of malloc.
template <class T>
class Blocking final : public Eigen::internal::level3_blocking<T, T> {
 public:
  Blocking(Eigen::Index rows, Eigen::Index columns, Eigen::Index depth) {
    this->m_mc = rows;
    this->m_nc = columns;
    this->m_kc = depth;
    Eigen::internal::computeProductBlockingSizes<T, T>(this->m_kc, this->m_mc, this->m_nc,
                                                       Eigen::Index{1});
    a_.reset(this->m_mc * this->m_kc);
    b_.reset(this->m_kc * this->m_nc);
    this->m_blockA = a_.data;
    this->m_blockB = b_.data;
  }

 private:
  struct Block {
    T* data = nullptr;
    void* memory = nullptr;
    std::size_t bytes = 0;
    void reset(Eigen::Index count) {
      bytes = static_cast<std::size_t>(count) * sizeof(T) + 64;
      memory = memory::allocate(bytes);
      void* start = memory;
      std::size_t room = bytes;
      data = static_cast<T*>(std::align(64, bytes - 64, start, room));
    }
    ~Block() {
      if (memory) memory::deallocate(memory, bytes);
    }
  };
  Block a_, b_;
};

template <int LeftOrder, int RightOrder, class T>
void eigen_gemm(std::int64_t m, std::int64_t n, std::int64_t k, const Operand<T>& a,
                const Operand<T>& b, T* c) {
  Blocking<T> blocking(m, n, k);
  Eigen::internal::general_matrix_matrix_product<Eigen::Index, T, LeftOrder, false, T, RightOrder,
                                                 false, Eigen::ColMajor, 1>::run(m, n, k, a.data,
                                                                                 a.stride, b.data,
                                                                                 b.stride, c, 1, m,
                                                                                 T{1}, blocking,
                                                                                 nullptr);
}

template <class T>
void eigen_gemv(std::int64_t rows, std::int64_t columns, const Operand<T>& a, const T* x,
                std::int64_t x_step, T* y) {
  using Stride = Eigen::OuterStride<>;
  Buffer<T> packed;
  if (x_step != 1) {
    packed.resize(static_cast<std::size_t>(columns));
    for (std::int64_t i = 0; i < columns; ++i) packed[static_cast<std::size_t>(i)] = x[i * x_step];
    x = packed.data();
  }
  const Eigen::Map<const Eigen::Vector<T, Eigen::Dynamic>> in(x, columns);
  Eigen::Map<Eigen::Vector<T, Eigen::Dynamic>> out(y, rows);
  if (a.row_major) {
    using Matrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
    out.noalias() +=
        Eigen::Map<const Matrix, 0, Stride>(a.data, rows, columns, Stride(a.stride)) * in;
  } else {
    using Matrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic>;
    out.noalias() +=
        Eigen::Map<const Matrix, 0, Stride>(a.data, rows, columns, Stride(a.stride)) * in;
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

template <class T>
void multiply_in_blocks(std::int64_t m, std::int64_t n, std::int64_t k, const MatrixView<T>& a,
                        const MatrixView<T>& b, T* c) {
  std::fill_n(c, m * n, T{0});
  if (n == 1) return eigen_gemv(m, k, Operand<T>(a, m, k), b.data, b.row, c);
  // A row-major c is the column-major cᵀ = bᵀ·aᵀ.
  if (m == 1)
    return eigen_gemv(n, k, Operand<T>({b.data, b.column, b.row}, n, k), a.data, a.column, c);
  const Operand<T> left({b.data, b.column, b.row}, n, k);
  const Operand<T> right({a.data, a.column, a.row}, k, m);
  constexpr int row_major = Eigen::RowMajor, column_major = Eigen::ColMajor;
  if (left.row_major && right.row_major)
    eigen_gemm<row_major, row_major>(n, m, k, left, right, c);
  else if (left.row_major)
    eigen_gemm<row_major, column_major>(n, m, k, left, right, c);
  else if (right.row_major)
    eigen_gemm<column_major, row_major>(n, m, k, left, right, c);
  else
    eigen_gemm<column_major, column_major>(n, m, k, left, right, c);
}

template <class T>
void gemm(std::int64_t m, std::int64_t n, std::int64_t k, const MatrixView<T>& a,
          const MatrixView<T>& b, T* c) {
  if (m == 0 || n == 0) return;
  if (k == 0) {
    std::fill_n(c, m * n, T{0});
    return;
  }
  // A matrix times a vector is the vector times the transposed matrix.
  if (n == 1 && m != 1) return gemm<T>(1, m, k, {b.data, 0, b.row}, {a.data, a.column, a.row}, c);
  if (prefers_registers(m, n, k, b))
    multiply_in_registers(m, n, k, a, b, c);
  else
    multiply_in_blocks(m, n, k, a, b, c);
}

#define CHAINRULE_FOR(function)                                                               \
  template void function(std::int64_t, std::int64_t, std::int64_t, const MatrixView<float>&,  \
                         const MatrixView<float>&, float*);                                   \
  template void function(std::int64_t, std::int64_t, std::int64_t, const MatrixView<double>&, \
                         const MatrixView<double>&, double*)
CHAINRULE_FOR(gemm);
CHAINRULE_FOR(multiply_in_registers);
CHAINRULE_FOR(multiply_in_blocks);
#undef CHAINRULE_FOR

}  // namespace chainrule::kernels
