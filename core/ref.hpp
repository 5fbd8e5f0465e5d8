#pragma once

#include <atomic>
#include <cstdint>
#include <utility>

namespace chainrule {

/// The reference count inside of a Value or a Node. Atomic, so that handles may be shared between
/// threads; the last owner needs no read-modify-write, since nobody else can add a reference then.
class RefCount {
 public:
  void retain() noexcept { count_.fetch_add(1, std::memory_order_relaxed); }
  /// True when the last reference is gone.
  bool release() noexcept {
    return count_.load(std::memory_order_acquire) == 1 ||
           count_.fetch_sub(1, std::memory_order_acq_rel) == 1;
  }
  bool unique() const noexcept { return count_.load(std::memory_order_acquire) == 1; }

 private:
  std::atomic<std::uint32_t> count_{1};
};

/// An owning pointer to a T with `refs` (a RefCount) and `static void destroy(T*)`.
template <class T>
class Ref {
 public:
  Ref() noexcept = default;
  Ref(std::nullptr_t) noexcept {}
  Ref(const Ref& other) noexcept : pointer_(other.pointer_) {
    if (pointer_) pointer_->refs.retain();
  }
  Ref(Ref&& other) noexcept : pointer_(std::exchange(other.pointer_, nullptr)) {}
  Ref& operator=(const Ref& other) noexcept {
    Ref copy(other);
    std::swap(pointer_, copy.pointer_);
    return *this;
  }
  Ref& operator=(Ref&& other) noexcept {
    if (this != &other) {
      T* old = std::exchange(pointer_, std::exchange(other.pointer_, nullptr));
      if (old && old->refs.release()) T::destroy(old);
    }
    return *this;
  }
  ~Ref() {
    if (pointer_ && pointer_->refs.release()) T::destroy(pointer_);
  }

  /// Takes over a reference that the caller owns.
  static Ref adopt(T* pointer) noexcept {
    Ref ref;
    ref.pointer_ = pointer;
    return ref;
  }
  /// Adds a reference.
  static Ref share(T* pointer) noexcept {
    if (pointer) pointer->refs.retain();
    return adopt(pointer);
  }
  /// Gives the reference to the caller.
  T* release() noexcept { return std::exchange(pointer_, nullptr); }

  T* get() const noexcept { return pointer_; }
  T* operator->() const noexcept { return pointer_; }
  T& operator*() const noexcept { return *pointer_; }
  explicit operator bool() const noexcept { return pointer_ != nullptr; }
  friend bool operator==(const Ref& a, const Ref& b) noexcept { return a.pointer_ == b.pointer_; }

 private:
  T* pointer_ = nullptr;
};

}  // namespace chainrule
