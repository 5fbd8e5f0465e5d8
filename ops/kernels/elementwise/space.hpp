#pragma once

#include <array>
#include <cstdint>

#include <chainrule/core/threads.hpp>
#include <chainrule/core/value.hpp>

namespace chainrule::kernels {

/// What is copied at a time of operands that are made adjacent: 4 KB or less.
inline constexpr std::int64_t block_elements = 512;

/// The common iteration space of a row-major result and N operands that broadcast to it, with
/// neighbouring axes merged wherever all operands allow it.
template <std::size_t N>
struct Space {
  int rank = 0;
  std::int64_t dims[max_rank];
  std::int64_t strides[N][max_rank];

  Space(const Value& out, const std::array<const Value*, N>& operands) {
    const int out_rank = out.rank();
    for (int axis = 0; axis < out_rank; ++axis) {
      const std::int64_t extent = out.dims()[axis];
      if (extent == 1) continue;
      std::int64_t step[N];
      for (std::size_t k = 0; k < N; ++k) {
        const int at = axis - (out_rank - operands[k]->rank());
        step[k] = at < 0 || operands[k]->dims()[at] == 1 ? 0 : operands[k]->strides()[at];
      }
      bool merge = rank > 0;
      for (std::size_t k = 0; k < N && merge; ++k) merge = strides[k][rank - 1] == step[k] * extent;
      if (merge) {
        dims[rank - 1] *= extent;
      } else {
        dims[rank++] = extent;
      }
      for (std::size_t k = 0; k < N; ++k) strides[k][rank - 1] = step[k];
    }
    if (rank == 0) {
      rank = 1;
      dims[0] = 1;
      for (std::size_t k = 0; k < N; ++k) strides[k][0] = 1;
    }
  }

  /// Calls row(count, position in the result, offsets of the operands) for every innermost run, in
  /// order.
  template <class Row>
  void for_each_row(const Row& row) const {
    for_each_row(0, dims[0], row);
  }
  /// The same, with the steps of the outermost axis shared out among the threads where there is
  /// enough to do. No run may write where another one does.
  template <class Row>
  void in_parallel(const Row& row) const {
    if (rank == 1) return for_each_row(row);
    chainrule::detail::parallel_rows(
        dims[0], elements_each(),
        [&](std::int64_t begin, std::int64_t end) { for_each_row(begin, end, row); });
  }

  std::int64_t inner() const noexcept { return dims[rank - 1]; }
  std::int64_t inner_stride(std::size_t k) const noexcept { return strides[k][rank - 1]; }
  /// Whether it costs less to copy the innermost runs than to go along them as they are: many short
  /// ones, or ones of a block at most whose elements are apart.
  bool better_copied() const noexcept {
    bool copied = inner() < 32;
    for (std::size_t k = 0; k < N; ++k) copied |= inner_stride(k) != 1 && inner_stride(k) != 0;
    return copied && rank > 1 && inner() <= block_elements;
  }
  /// How many elements there are for each step of the outermost axis.
  std::int64_t elements_each() const noexcept {
    std::int64_t count = 1;
    for (int axis = 1; axis < rank; ++axis) count *= dims[axis];
    return count;
  }
  /// Whether the elements of operand k stand one after the other, as those of the result.
  bool adjacent(std::size_t k) const noexcept {
    std::int64_t step = 1;
    for (int axis = rank - 1; axis >= 0; step *= dims[axis--])
      if (strides[k][axis] != step) return false;
    return true;
  }

 private:
  // Of the steps begin … end of the outermost axis.
  template <class Row>
  void for_each_row(std::int64_t begin, std::int64_t end, const Row& row) const {
    for (int axis = 0; axis < rank; ++axis)
      if (dims[axis] == 0) return;
    std::int64_t index[max_rank] = {};
    std::array<std::int64_t, N> offset{};
    std::int64_t position = 0;
    if (rank > 1) {
      index[0] = begin;
      position = begin * elements_each();
      for (std::size_t k = 0; k < N; ++k) offset[k] = begin * strides[k][0];
    }
    for (;; position += inner()) {
      row(inner(), position, offset);
      int axis = rank - 2;
      for (; axis >= 0; --axis) {
        for (std::size_t k = 0; k < N; ++k) offset[k] += strides[k][axis];
        if (++index[axis] < (axis == 0 ? end : dims[axis])) break;
        for (std::size_t k = 0; k < N; ++k) offset[k] -= index[axis] * strides[k][axis];
        index[axis] = 0;
      }
      if (axis < 0) return;
    }
  }
};

}  // namespace chainrule::kernels
