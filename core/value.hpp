#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include <chainrule/core/dtype.hpp>
#include <chainrule/core/ref.hpp>
#include <chainrule/core/shape.hpp>

namespace chainrule {

/// The numbers of a tensor: shape, dtype, strides and elements, apart from any graph. A Value owns
/// its elements, or is a view and keeps its base (never itself a view) alive. One pooled block
/// holds the header, shape, strides and, in an owner, the elements.
///
/// Users hold Tensors; this is the type that kernels and gradient rules are written on.
class Value {
 public:
  /// A row-major owner with uninitialised elements. Throws ShapeError for a negative extent or more
  /// elements than can be counted, MemoryError when there is no memory.
  static Ref<Value> make(DType dtype, const std::int64_t* dims, int rank);
  static Ref<Value> make(DType dtype, const Shape& shape) {
    return make(dtype, shape.data(), shape.rank());
  }

  /// A row-major owner of the shape of `other`, with uninitialised elements.
  static Ref<Value> make_like(DType dtype, const Value& other);

  /// A view of the elements of `of`: `offset` and `strides` in elements, within bounds. The base
  /// itself where the view would show just that.
  static Ref<Value> view(const Ref<Value>& of, const Shape& shape, const Shape& strides,
                         std::int64_t offset);
  /// Whether there can be such a view: its elements can be counted, of which a stride of 0 makes
  /// any number, and all lie in the memory that this value's owner has.
  bool has_room_for(const Shape& shape, const Shape& strides, std::int64_t offset) const noexcept;

  /// A row-major owner of elements that somebody else keeps: `release(context)` is called when the
  /// last user is gone. Elements that are `read_only` must not be written; see read_only().
  static Ref<Value> borrow(DType dtype, const Shape& shape, void* elements,
                           void (*release)(void* context), void* context, bool read_only = false);

  DType dtype() const noexcept { return dtype_; }
  int rank() const noexcept { return rank_; }
  std::int64_t numel() const noexcept { return numel_; }
  bool contiguous() const noexcept { return contiguous_; }
  const std::int64_t* dims() const noexcept {
    return reinterpret_cast<const std::int64_t*>(this + 1);
  }
  const std::int64_t* strides() const noexcept { return dims() + rank_; }
  Shape shape() const { return Shape(std::span(dims(), static_cast<std::size_t>(rank_))); }
  Shape strides_shape() const {
    return Shape(std::span(strides(), static_cast<std::size_t>(rank_)));
  }
  bool same_shape(const Value& other) const noexcept {
    if (rank_ != other.rank_) return false;
    const std::int64_t *a = dims(), *b = other.dims();
    for (int i = 0; i < rank_; ++i)
      if (a[i] != b[i]) return false;
    return true;
  }

  template <class T>
  T* data() noexcept {
    return static_cast<T*>(elements_);
  }
  template <class T>
  const T* data() const noexcept {
    return static_cast<const T*>(elements_);
  }
  void* bytes() noexcept { return elements_; }
  const void* bytes() const noexcept { return elements_; }
  std::size_t byte_count() const noexcept {
    return static_cast<std::size_t>(numel_) * size_of(dtype_);
  }

  /// Calls f(offset), in elements, for all elements in row-major order, whatever the strides.
  template <class F>
  void for_each_offset(F f) const {
    std::int64_t index[max_rank] = {}, offset = 0;
    for (std::int64_t i = 0; i < numel_; ++i) {
      f(offset);
      for (int axis = rank_ - 1; axis >= 0; --axis) {
        offset += strides()[axis];
        if (++index[axis] < dims()[axis]) break;
        offset -= index[axis] * strides()[axis];
        index[axis] = 0;
      }
    }
  }

  /// Counts the writes into the elements; views share the count of their base.
  std::uint32_t version() const noexcept { return base_ ? base_->version_ : version_; }
  void bump_version() noexcept { ++(base_ ? base_->version_ : version_); }

  /// Between these the elements may change without a new version; see Writing. They count, and
  /// views share the count of their base.
  void begin_writing() noexcept { count_writer(1); }
  void end_writing() noexcept { count_writer(-1); }
  bool is_open() const noexcept { return owner()->writers_.load(std::memory_order_relaxed) != 0; }
  /// 30 bits that tell one content of the elements from another.
  std::uint32_t content() const noexcept;

  /// True when the elements were borrowed as const and must not be written, not even by an
  /// optimizer.
  bool read_only() const noexcept { return owner()->read_only_; }

  /// True when somebody else keeps the elements; see borrow().
  bool borrowed() const noexcept { return owner()->borrowed_; }

  /// True of a mask that says how numbers compare, or is the opposite of one, or some of it, and
  /// not one that somebody gave.
  bool compared() const noexcept { return owner()->compared_; }
  void set_compared() noexcept { compared_ = true; }

  /// The owner of the elements: the base of a view, or this.
  const Value* owner() const noexcept { return base_ ? base_ : this; }

  /// True when nobody else can see the elements, so that they may be reused for a result.
  bool exclusive() const noexcept { return refs.unique() && !base_ && contiguous_ && !borrowed_; }

  static void destroy(Value* value) noexcept;

  RefCount refs;

 private:
  Value() = default;
  void count_writer(int change) noexcept;
  static Value* make_owner(DType dtype, int rank, std::int64_t numel);
  std::size_t header_bytes() const noexcept {
    return sizeof(Value) + 2 * static_cast<std::size_t>(rank_) * sizeof(std::int64_t);
  }

  std::uint32_t version_ = 0;
  DType dtype_;
  std::uint8_t rank_;
  bool contiguous_;
  bool borrowed_;
  bool read_only_ = false;
  bool compared_ = false;
  std::atomic<std::uint8_t> writers_{0};  // that may write; 255 stands for more, and stays
  std::uint16_t small_block_ = 0;         // bytes of an owner's block, if it is a small one
  void* elements_;
  Value* base_;
  std::int64_t numel_;
};

/// True when `strides` are those of row-major elements; axes of extent 1 do not count.
bool is_contiguous(const std::int64_t* dims, const std::int64_t* strides, int rank) noexcept;

}  // namespace chainrule
