#pragma once

#include <span>
#include <utility>

#include <chainrule/core/value.hpp>

namespace chainrule {

/// While it lives, somebody may write into the elements of a value: graphs that save it meanwhile
/// remember what the elements were, and their backward says when they have changed.
class Writing {
 public:
  explicit Writing(Ref<Value> value) noexcept : value_(std::move(value)) {
    value_->begin_writing();
  }
  Writing(const Writing& other) noexcept : Writing(other.value_) {}
  Writing& operator=(const Writing& other) noexcept {
    Writing copy(other);
    std::swap(value_, copy.value_);
    return *this;
  }
  ~Writing() { value_->end_writing(); }

 private:
  Ref<Value> value_;
};

/// The elements of a tensor for writing, which it keeps alive. Writes between an operation that
/// used the tensor and its backward are reported while this object lives, also where it was made
/// before the operation; a std::span made of it is not watched.
template <class T>
class WritableSpan : public std::span<T> {
 public:
  WritableSpan(std::span<T> elements, Ref<Value> value) noexcept
      : std::span<T>(elements), writing_(std::move(value)) {}

 private:
  Writing writing_;
};

}  // namespace chainrule
