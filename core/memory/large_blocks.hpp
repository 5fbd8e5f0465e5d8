#pragma once

#include <cstddef>
#include <cstdint>

#include <chainrule/core/memory/by_age.hpp>

/// The large blocks that are kept for reuse. The caller holds the store's lock; nothing here
/// allocates or fails.

namespace chainrule::memory {

/// What a block that is kept begins with.
struct KeptBlock : Kept {
  KeptBlock* next;  // of the same size
  KeptBlock* previous;
  std::size_t bytes;
};

/// `bytes` rounded up to a size that blocks are kept by: steps of a 64th of a power of two, and 64
/// bytes. At most 1.6 % is lost, 6 % below 4 KiB, and blocks of nearly the same size can serve for
/// each other.
std::size_t round_large(std::size_t bytes) noexcept;

/// Free blocks by their size, and by how long they have been free.
class LargeBlocks {
 public:
  std::int64_t bytes() const noexcept { return bytes_; }
  /// The block of so many bytes, as round_large() says them, that was freed last; null without one.
  void* take(std::size_t bytes) noexcept;
  void put(void* block, std::size_t bytes, std::uint64_t stamp) noexcept;
  /// The block that has been free for the longest time; null when there is none.
  const Kept* oldest() const noexcept { return ages_.oldest(); }
  /// That block, which is the caller's now; there must be one.
  KeptBlock* take_oldest() noexcept;

 private:
  static constexpr std::size_t steps = 64;
  KeptBlock* by_size_[64 * steps] = {};
  ByAge ages_;
  std::int64_t bytes_ = 0;

  friend std::size_t round_large(std::size_t bytes) noexcept;
  static std::size_t class_of(std::size_t bytes) noexcept;
  void remove(KeptBlock* block) noexcept;
};

}  // namespace chainrule::memory
