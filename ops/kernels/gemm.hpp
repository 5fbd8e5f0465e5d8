#pragma once

#include <cstdint>

/// Matrix products of plain memory.
namespace chainrule::kernels {

/// A matrix in memory: element (i, j) at data[i * row + j * column].
template <class T>
struct MatrixView {
  const T* data;
  std::int64_t row;
  std::int64_t column;
};

/// c = a·b, where a is (m, k), b is (k, n), and c is (m, n), row-major without gaps.
/// Rows or columns of a and b may be adjacent; anything else is copied first. For float and double.
template <class T>
void gemm(std::int64_t m, std::int64_t n, std::int64_t k, const MatrixView<T>& a,
          const MatrixView<T>& b, T* c);

// The engines that gemm() chooses from, for m, n, k > 0; bench/matmul_engines compares them.

/// c in registers over the whole inner dimension, without blocking. Where the rows of b are not
/// adjacent, n·k is at most largest_packed.
template <class T>
void multiply_in_registers(std::int64_t m, std::int64_t n, std::int64_t k, const MatrixView<T>& a,
                           const MatrixView<T>& b, T* c);
inline constexpr std::int64_t largest_packed = 4096;

/// Eigen's blocked product, and its matrix times vector.
template <class T>
void multiply_in_blocks(std::int64_t m, std::int64_t n, std::int64_t k, const MatrixView<T>& a,
                        const MatrixView<T>& b, T* c);

/// Which of the two gemm() takes.
template <class T>
bool prefers_registers(std::int64_t m, std::int64_t n, std::int64_t k,
                       const MatrixView<T>& b) noexcept {
  const bool packed = b.column != 1;
  if (n == 1) return m * k <= 16;
  const std::int64_t size = n * k;
  if (m == 1) return packed ? size <= 256 || (k <= 12 && size <= largest_packed) : size <= 1024;
  return size <= (packed || m > 8 ? largest_packed : 1 << 17);
}

}  // namespace chainrule::kernels
