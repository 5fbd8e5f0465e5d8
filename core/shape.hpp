#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

#include <chainrule/core/error.hpp>

namespace chainrule {

/// The largest number of axes a tensor can have.
inline constexpr int max_rank = 16;

/// The extents of a tensor, outermost axis first; also used for strides, axes and indices. A scalar
/// has the empty shape `()`. Holds up to max_rank numbers in place and never allocates.
class Shape {
 public:
  Shape() noexcept : rank_(0) {}
  /// Throws ShapeError for more than max_rank numbers.
  Shape(std::initializer_list<std::int64_t> dims, Where where = Where::current())
      : Shape(std::span(dims.begin(), dims.size()), where) {}
  explicit Shape(std::span<const std::int64_t> dims, Where where = Where::current())
      : rank_(static_cast<int>(dims.size())) {
    if (dims.size() > static_cast<std::size_t>(max_rank)) [[unlikely]]
      throw_too_many(dims.size(), where);
    copy(dims.data());
  }
  Shape(const Shape& other) noexcept : rank_(other.rank_) { copy(other.dims_); }
  /// What changes a shape does so to one with a name: x.shape() is a copy, which would be lost.
  Shape& operator=(const Shape& other) & noexcept {
    rank_ = other.rank_;
    copy(other.dims_);
    return *this;
  }
  void operator=(const Shape& shape_is_a_copy_reshape_makes_a_tensor_of_another) && = delete;

  int rank() const noexcept { return rank_; }
  std::size_t size() const noexcept { return static_cast<std::size_t>(rank_); }
  bool empty() const noexcept { return rank_ == 0; }
  std::int64_t operator[](int axis) const& noexcept { return dims_[axis]; }
  std::int64_t& operator[](int axis) & noexcept { return dims_[axis]; }
  std::int64_t back() const noexcept { return dims_[rank_ - 1]; }
  const std::int64_t* data() const noexcept { return dims_; }
  const std::int64_t* begin() const& noexcept { return dims_; }
  const std::int64_t* end() const& noexcept { return dims_ + rank_; }
  std::int64_t* begin() & noexcept { return dims_; }
  std::int64_t* end() & noexcept { return dims_ + rank_; }

  /// Appends an extent; throws ShapeError when there are max_rank already.
  void push_back(std::int64_t dim) &;
  /// Inserts an extent before `axis` (0 … rank); throws ShapeError when there are max_rank already.
  void insert(int axis, std::int64_t dim) &;
  /// Removes the extent at `axis`.
  void erase(int axis) & noexcept;

  /// The product of the extents; 1 for a scalar.
  std::int64_t numel() const noexcept {
    std::int64_t n = 1;
    for (std::int64_t dim : *this) n *= dim;
    return n;
  }

  friend bool operator==(const Shape& a, const Shape& b) noexcept {
    if (a.rank_ != b.rank_) return false;
    for (int i = 0; i < a.rank_; ++i)
      if (a.dims_[i] != b.dims_[i]) return false;
    return true;
  }

 private:
  [[noreturn]] static void throw_too_many(std::size_t axes, const Where& where);
  // Most shapes have two axes or fewer; a call of memmove, to which compilers turn loops of copies,
  // would take longer than they do.
  void copy(const std::int64_t* from) noexcept {
    if (rank_ > 0) dims_[0] = from[0];
    if (rank_ > 1) dims_[1] = from[1];
    for (int i = 2; i < rank_; ++i) dims_[i] = from[i];
  }
  std::int64_t dims_[max_rank];
  int rank_;
};

/// "(3, 4)", "(3,)" and "()", as NumPy writes them.
std::string to_string(const Shape& shape);

/// Row-major strides, in elements.
Shape contiguous_strides(const Shape& shape) noexcept;

/// The index of element `flat` in row-major order, of a shape that has it.
Shape position_of(std::int64_t flat, const Shape& shape) noexcept;

}  // namespace chainrule
