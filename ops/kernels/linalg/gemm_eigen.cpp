#include <Eigen/Core>

#include <chainrule/ops/kernels/linalg/gemm_engines.hpp>

namespace chainrule::kernels {

namespace {

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
  Scratch<T> a_, b_;
};

template <int LeftOrder, int RightOrder, class T>
void eigen_gemm(std::int64_t m, std::int64_t n, std::int64_t k, const GemmOperand<T>& a,
                const GemmOperand<T>& b, T* c, std::int64_t c_row) {
  Blocking<T> blocking(m, n, k);
  Eigen::internal::general_matrix_matrix_product<Eigen::Index, T, LeftOrder, false, T, RightOrder,
                                                 false, Eigen::ColMajor, 1>::run(m, n, k, a.data,
                                                                                 a.stride, b.data,
                                                                                 b.stride, c, 1,
                                                                                 c_row, T{1},
                                                                                 blocking, nullptr);
}

template <class T>
void eigen_gemv(std::int64_t rows, std::int64_t columns, const GemmOperand<T>& a, const T* x,
                std::int64_t x_step, T* y) {
  using Stride = Eigen::OuterStride<>;
  std::vector<T, memory::Pool<T>> packed;
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
void multiply_with_eigen(std::int64_t m, std::int64_t n, std::int64_t k, const MatrixView<T>& a,
                         const MatrixView<T>& b, T* c, std::int64_t c_row, Result result) {
  if (result == Result::overwritten)
    for (std::int64_t i = 0; i < m; ++i) std::fill_n(c + i * c_row, n, T{0});
  if (n == 1) return eigen_gemv(m, k, GemmOperand<T>(a, m, k), b.data, b.row, c);
  // A row-major c is the column-major cᵀ = bᵀ·aᵀ.
  if (m == 1)
    return eigen_gemv(n, k, GemmOperand<T>({b.data, b.column, b.row}, n, k), a.data, a.column, c);
  const GemmOperand<T> left({b.data, b.column, b.row}, n, k);
  const GemmOperand<T> right({a.data, a.column, a.row}, k, m);
  constexpr int row_major = Eigen::RowMajor, column_major = Eigen::ColMajor;
  if (left.row_major && right.row_major)
    eigen_gemm<row_major, row_major>(n, m, k, left, right, c, c_row);
  else if (left.row_major)
    eigen_gemm<row_major, column_major>(n, m, k, left, right, c, c_row);
  else if (right.row_major)
    eigen_gemm<column_major, row_major>(n, m, k, left, right, c, c_row);
  else
    eigen_gemm<column_major, column_major>(n, m, k, left, right, c, c_row);
}

template void multiply_with_eigen(std::int64_t, std::int64_t, std::int64_t,
                                  const MatrixView<float>&, const MatrixView<float>&, float*,
                                  std::int64_t, Result);
template void multiply_with_eigen(std::int64_t, std::int64_t, std::int64_t,
                                  const MatrixView<double>&, const MatrixView<double>&, double*,
                                  std::int64_t, Result);

}  // namespace chainrule::kernels
