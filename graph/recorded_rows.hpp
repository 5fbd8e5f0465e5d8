#pragma once

#include <cstdint>
#include <vector>

#include <chainrule/core/allocator.hpp>
#include <chainrule/core/tensor.hpp>

namespace chainrule {

/// Throws what is wrong with the rows that a vjp rule gives for input i: GradError where they are
/// not `taken`, or one is undefined, DTypeError and ShapeError for what does not fit the input,
/// IndexError for a position that it does not have.
void check_rows(const Node& node, std::size_t i, bool taken, const Tensor& index,
                const Tensor& rows);

/// The gradients of one tensor that are zero but for some rows, positions of the first axis, in a
/// sweep that is recorded. They are kept until all have come and summed by one operation, so that
/// each costs its rows alone.
class RecordedRows {
 public:
  /// Of a tensor (n, …) of `shape`: index is i64 of any shape, and rows has its axes instead of
  /// the first of the tensor.
  void add(const Tensor& index, const Tensor& rows, const Shape& shape, const Where& where);
  /// The sum of all, of `shape`.
  Tensor sum(const Shape& shape, const Where& where) const;

 private:
  std::vector<std::int64_t, memory::Pool<std::int64_t>> positions_;
  std::vector<Tensor, memory::Pool<Tensor>> rows_;  // (k, …)
};

}  // namespace chainrule
