#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <span>

#include <chainrule/core/tensor.hpp>

/// Parts of tensors, as views:
///
///     x[2]                     the third row          x[-1]              the last one
///     x(0, 1)                  one element, a scalar  x(all, 3)          a column
///     x[slice(10, 20)]         rows 10 … 19           x[slice({}, -1)]   all rows but the last
///     x[slice({}, {}, -1)]     the rows reversed      x(all, slice(0, {}, 2))  every second column
///     x(newaxis, all)          with an axis of 1      x(ellipsis, 0)     0 along the last axis
///
/// Gradient: g in zeros of the shape of x. It is added to that of x where it is read, so that a
/// loop over rows costs what they have; but a view of x that is made anew in each turn, as
/// x.T()(all, i), costs all of x each time: make it once, before the loop.
namespace chainrule {

/// One end of a slice: a position, or {} for as far as it goes.
class Bound {
 public:
  constexpr Bound() noexcept = default;
  template <std::integral I>
    requires(!std::same_as<I, bool>)
  constexpr Bound(I position) noexcept : position_(saturated(position)), given_(true) {}

  constexpr bool given() const noexcept { return given_; }
  constexpr std::int64_t position() const noexcept { return position_; }

  /// As i64; an unsigned number beyond it becomes the largest one.
  template <std::integral I>
  static constexpr std::int64_t saturated(I number) noexcept {
    constexpr std::int64_t largest = std::numeric_limits<std::int64_t>::max();
    if constexpr (std::unsigned_integral<I> && sizeof(I) >= sizeof(std::int64_t))
      if (number > static_cast<I>(largest)) return largest;
    return static_cast<std::int64_t>(number);
  }

 private:
  std::int64_t position_ = 0;
  bool given_ = false;
};

/// Positions start, start + step, … before stop; see slice().
struct Slice {
  Bound start = {};
  Bound stop = {};
  std::int64_t step = 1;
};

/// The positions start, start + step, … up to, and without, stop, as NumPy's start:stop:step:
/// negative positions count from the end, positions beyond an end are clipped to it, {} goes as far
/// as it can, and a negative step goes backwards. A step of 0 is a ValueError where it is used.
constexpr Slice slice(Bound start, Bound stop, std::int64_t step = 1) noexcept {
  return {start, stop, step};
}

/// All positions of an axis, written x(all, 1) without parentheses. (With a tensor of booleans,
/// all(x) is the reduction in ops/reduce/reduction.hpp.)
constexpr Slice all() noexcept { return {}; }

struct NewAxis {};
/// A new axis of extent 1.
inline constexpr NewAxis newaxis{};

struct Ellipsis {};
/// All positions of as many axes as the other indices leave; at most one.
inline constexpr Ellipsis ellipsis{};

/// One index of x[…] or x(…): a number, which removes its axis and counts from the end when
/// negative; slice(…) or `all`, which keep it; newaxis; ellipsis. It carries the line of the
/// expression.
class Index {
 public:
  enum class Kind : std::uint8_t { number, slice, new_axis, rest };

  template <std::integral I>
    requires(!std::same_as<I, bool>)
  Index(I position, Where where = Where::current()) noexcept
      : slice_{Bound(position), {}, 1}, where_(where), kind_(Kind::number) {}
  Index(const Slice& slice, Where where = Where::current()) noexcept
      : slice_(slice), where_(where), kind_(Kind::slice) {}
  Index(Slice (*all)(), Where where = Where::current()) : Index(all(), where) {}
  Index(std::nullptr_t, Where = Where::current()) = delete;
  Index(NewAxis, Where where = Where::current()) noexcept : where_(where), kind_(Kind::new_axis) {}
  Index(Ellipsis, Where where = Where::current()) noexcept : where_(where), kind_(Kind::rest) {}

  Kind kind() const noexcept { return kind_; }
  std::int64_t position() const noexcept { return slice_.start.position(); }
  const Slice& slice() const noexcept { return slice_; }
  const Where& where() const noexcept { return where_; }

 private:
  Slice slice_;
  Where where_;
  Kind kind_;
};

/// x(i, j, …) for any number of indices. Throws IndexError for a number out of range and for more
/// indices than axes, ValueError for a step of 0.
Tensor index(const Tensor& x, std::span<const Index> indices, Where where = Where::current());
Tensor index(const Tensor& x, std::initializer_list<Index> indices, Where where = Where::current());

/// x with slice(start, stop, step) along one axis; a view. Gradient: g in zeros. Throws IndexError
/// for the axis, ValueError for a step of 0.
Tensor slice(const Tensor& x, int axis, Bound start, Bound stop, std::int64_t step = 1,
             Where where = Where::current());

/// x at one position of an axis, which goes; a view. Negative positions count from the end.
/// Gradient: g in zeros. Throws IndexError out of range.
Tensor select(const Tensor& x, int axis, std::int64_t position, Where where = Where::current());

}  // namespace chainrule
