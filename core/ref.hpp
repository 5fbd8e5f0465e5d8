#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <utility>

#if __has_include(<sys/single_threaded.h>)
#include <sys/single_threaded.h>
#endif

namespace chainrule {

namespace detail {

/// True as long as the process has one thread, where the C library tells.
inline bool single_threaded() noexcept {
#if __has_include(<sys/single_threaded.h>)
  return __libc_single_threaded;
#else
  return false;
#endif
}

}  // namespace detail

/// The reference count inside of a Value or a Node. Atomic, so that handles may be shared between
/// threads; but as long as the process has only one it counts without locking the bus, and the last
/// owner never has to.
class RefCount {
 public:
  void retain() noexcept {
    if (detail::single_threaded())
      count_.store(count_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    else
      count_.fetch_add(1, std::memory_order_relaxed);
  }
  /// True when the last reference is gone.
  bool release() noexcept {
    const std::uint32_t count = count_.load(std::memory_order_acquire);
    if (count == 1) return true;
    if (!detail::single_threaded()) return count_.fetch_sub(1, std::memory_order_acq_rel) == 1;
    count_.store(count - 1, std::memory_order_relaxed);
    return false;
  }
  /// For who finds it without owning it: false when the last reference is going.
  bool retain_if_alive() noexcept {
    std::uint32_t count = count_.load(std::memory_order_relaxed);
    while (count != 0)
      if (count_.compare_exchange_weak(count, count + 1, std::memory_order_acq_rel)) return true;
    return false;
  }
  /// After release() was true: false when somebody found it meanwhile, whose it is now.
  bool is_still_last() noexcept {
    return count_.load(std::memory_order_acquire) <= 1 ||
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
