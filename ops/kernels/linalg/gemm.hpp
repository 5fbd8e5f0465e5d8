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

/// What becomes of the elements that were in the result before.
enum class Result { overwritten, added_to };

/// c = a·b or c += a·b, where a is (m, k), b is (k, n), and c is (m, n), row-major without gaps.
/// Rows or columns of a and b may be adjacent, transposed operands are not copied; anything else is
/// copied first. For float and double. Chooses the engine; see gemm_engines.hpp.
template <class T>
void gemm(std::int64_t m, std::int64_t n, std::int64_t k, const MatrixView<T>& a,
          const MatrixView<T>& b, T* c, Result result = Result::overwritten);

}  // namespace chainrule::kernels
