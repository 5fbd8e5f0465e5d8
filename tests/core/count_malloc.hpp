#pragma once

#include <cstdint>

/// Counts how often the calling thread asks the C library for memory, by malloc, new or otherwise.
class CountMalloc {
 public:
  /// False where the C library does not let its functions be replaced, or a sanitizer has done so;
  /// then calls() is 0.
  static const bool available;

  CountMalloc() noexcept;
  CountMalloc(const CountMalloc&) = delete;
  CountMalloc& operator=(const CountMalloc&) = delete;
  /// The number of calls since this was made.
  std::int64_t calls() const noexcept;

 private:
  std::int64_t before_;
};

/// While it lives, one such call of this thread fails, as it does when there is no memory: the
/// first, second, … from here on; or that one and all that follow.
class FailMalloc {
 public:
  explicit FailMalloc(std::int64_t call, bool and_all_later = false) noexcept;
  FailMalloc(const FailMalloc&) = delete;
  FailMalloc& operator=(const FailMalloc&) = delete;
  ~FailMalloc();
  /// True when it was reached.
  bool failed() const noexcept;
};
