#pragma once

#include <cstddef>
#include <cstdint>

/// What small blocks are to the allocator.

namespace chainrule::memory {

#if defined(__SANITIZE_ADDRESS__)
#define CHAINRULE_POOL_MEMORY 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CHAINRULE_POOL_MEMORY 0
#endif
#endif
#ifndef CHAINRULE_POOL_MEMORY
#define CHAINRULE_POOL_MEMORY 1
#endif

/// False under AddressSanitizer, where every block comes from the system so that leaks and uses
/// after freeing are seen.
inline constexpr bool pooled = CHAINRULE_POOL_MEMORY;
#undef CHAINRULE_POOL_MEMORY

inline constexpr std::size_t granule = 16;
inline constexpr std::size_t largest_small = 1024;
inline constexpr std::size_t small_classes = largest_small / granule + 1;
inline constexpr std::uint32_t magazine_size = 64;

/// The class of small blocks of so many bytes, and what a block of a class has.
constexpr std::size_t class_of_small(std::size_t bytes) noexcept {
  return (bytes + granule - 1) / granule;
}
constexpr std::size_t block_bytes(std::size_t size_class) noexcept {
  return (size_class != 0 ? size_class : 1) * granule;
}

struct FreeBlock {
  FreeBlock* next;
};

/// Free blocks of one size; never more than magazine_size.
struct Magazine {
  FreeBlock* head = nullptr;
  std::uint32_t count = 0;
};

}  // namespace chainrule::memory
