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
