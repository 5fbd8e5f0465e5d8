#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include <chainrule/core/allocator.hpp>
#include <chainrule/ops/kernels/linalg/gemm.hpp>

/// The engines that gemm() chooses from, for m, n, k > 0; bench/matmul_engines compares them.
namespace chainrule::kernels {

enum class Engine { registers, blocked, eigen, onednn };

/// The engine that gemm() takes: the only place where this is decided, from what
/// bench/matmul_engines measured.
template <class T>
Engine engine_for(std::int64_t m, std::int64_t n, std::int64_t k, const MatrixView<T>& b) noexcept;

/// One piece of a product is computed by the calling thread alone; gemm() shares the pieces out.
/// The rows of c are `c_row` apart.

/// c in registers over the whole inner dimension, without blocking. Where the rows of b are not
/// adjacent, n·k is at most largest_packed. Overwrites c, whose rows are adjacent.
template <class T>
void multiply_in_registers(std::int64_t m, std::int64_t n, std::int64_t k, const MatrixView<T>& a,
                           const MatrixView<T>& b, T* c);
inline constexpr std::int64_t largest_packed = 4096;

/// c tile by tile, from copies of blocks of a and b that stay in the caches.
template <class T>
void multiply_in_blocks(std::int64_t m, std::int64_t n, std::int64_t k, const MatrixView<T>& a,
                        const MatrixView<T>& b, T* c, std::int64_t c_row, Result result);

/// Eigen's blocked product, and its matrix times vector.
template <class T>
void multiply_with_eigen(std::int64_t m, std::int64_t n, std::int64_t k, const MatrixView<T>& a,
                         const MatrixView<T>& b, T* c, std::int64_t c_row, Result result);

/// Multiplications that are worth a thread.
inline constexpr std::int64_t gemm_grain = 1 << 23;

/// True when the library was built with oneDNN.
bool has_onednn() noexcept;
/// Lets oneDNN make its kernels, once in a process: it does that within the first product, and does
/// not survive a want of memory there. Throws MemoryError when there is none for them. What is
/// there then and is taken by others before oneDNN asks for it, or refused to it in small pieces,
/// still ends the process.
void prepare_onednn();
/// oneDNN's product, after prepare_onednn(); false when it refused, with c undefined unless it is
/// added to.
bool multiply_with_onednn(std::int64_t m, std::int64_t n, std::int64_t k,
                          const MatrixView<float>& a, const MatrixView<float>& b, float* c,
                          std::int64_t c_row, Result result);

/// Uninitialised memory for what an engine packs, from this library's allocator, that begins with a
/// line of the cache.
template <class T>
struct Scratch {
  T* data = nullptr;

  Scratch() = default;
  explicit Scratch(std::int64_t count) { reset(count); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() {
    if (data) memory::deallocate(data, bytes_);
  }
  /// So many elements, once.
  void reset(std::int64_t count) {
    // Large blocks are aligned so.
    bytes_ = std::max(static_cast<std::size_t>(count) * sizeof(T), memory::largest_small + 1);
    data = static_cast<T*>(memory::allocate(bytes_));
  }

 private:
  std::size_t bytes_ = 0;
};

/// A matrix whose rows or columns are adjacent, as the engines take it; anything else is copied.
template <class T>
struct GemmOperand {
  const T* data;
  std::int64_t stride;
  bool row_major;

  GemmOperand(const MatrixView<T>& view, std::int64_t rows, std::int64_t columns) {
    if ((view.column == 1 || columns == 1) && (view.row >= columns || rows == 1)) {
      set(view.data, rows == 1 ? columns : view.row, true);
    } else if ((view.row == 1 || rows == 1) && (view.column >= rows || columns == 1)) {
      set(view.data, columns == 1 ? rows : view.column, false);
    } else {
      copy_.resize(static_cast<std::size_t>(rows * columns));
      for (std::int64_t i = 0; i < rows; ++i)
        for (std::int64_t j = 0; j < columns; ++j)
          copy_[static_cast<std::size_t>(i * columns + j)] =
              view.data[i * view.row + j * view.column];
      set(copy_.data(), columns, true);
    }
  }
  GemmOperand(const GemmOperand&) = delete;
  GemmOperand& operator=(const GemmOperand&) = delete;

 private:
  void set(const T* at, std::int64_t step, bool rows_adjacent) {
    data = at;
    stride = std::max(step, std::int64_t{1});
    row_major = rows_adjacent;
  }
  std::vector<T, memory::Pool<T>> copy_;
};

}  // namespace chainrule::kernels
