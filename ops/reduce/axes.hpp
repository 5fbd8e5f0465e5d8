#pragma once

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <span>

#include <chainrule/core/tensor.hpp>

namespace chainrule {

/// Which axes a reduction takes: all of them by default, one, or a list, as in `sum(x)`, `sum(x,
/// 0)` and `sum(x, {0, -1})`. Negative ones count from the end. Never allocates.
class Axes {
 public:
  /// All axes; `{}` means the same.
  Axes() noexcept = default;
  template <std::integral I>
  Axes(I axis) noexcept : count_(1), axes_{static_cast<std::int64_t>(axis)} {}
  Axes(bool) = delete;  // sum(x, true) would mean axis 1; keepdim is the third argument
  Axes(std::initializer_list<std::int64_t> axes) noexcept
      : Axes(std::span(axes.begin(), axes.size())) {}
  /// A list that is made at run time; an empty one means no axis at all.
  explicit Axes(std::span<const std::int64_t> axes) noexcept
      : count_(static_cast<std::int64_t>(axes.size())) {
    for (std::size_t i = 0; i < axes.size() && i < static_cast<std::size_t>(max_rank); ++i)
      axes_[i] = axes[i];
  }

  /// The axes whose bits are set.
  static Axes of_mask(std::uint32_t mask) noexcept {
    Axes axes{std::span<const std::int64_t>()};
    for (int axis = 0; axis < max_rank; ++axis)
      if (mask >> axis & 1) axes.axes_[axes.count_++] = axis;
    return axes;
  }

  bool all() const noexcept { return count_ < 0; }

  /// Bit i for every axis i of x that is meant. Throws IndexError for an axis out of range,
  /// ValueError for one that is named twice; messages begin with `op`.
  std::uint32_t resolve(const char* op, const Tensor& x, const Where& where) const {
    const int rank = x.value(where, op, "operand x").rank();
    if (all()) return (std::uint32_t{1} << rank) - 1;
    if (count_ == 1) {
      const std::int64_t axis = axes_[0] < 0 ? axes_[0] + rank : axes_[0];
      if (axis >= 0 && axis < rank) return std::uint32_t{1} << axis;
    }
    return resolve_list(op, x, where);
  }

 private:
  std::uint32_t resolve_list(const char* op, const Tensor& x, const Where& where) const;

  std::int64_t count_ = -1;      // −1: all
  std::int64_t axes_[max_rank];  // the first ones when there are more, which is an error
};

}  // namespace chainrule
