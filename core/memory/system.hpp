#pragma once

#include <cstddef>

/// Memory from the operating system, for the blocks that the allocator hands out.

namespace chainrule::memory {

/// A block that begins at a multiple of `alignment`, a power of two from 64 on, which divides
/// `bytes`; null when the system gives none. From map_from bytes on it consists of pages of its
/// own, so that freeing it really returns them.
void* system_allocate(std::size_t bytes, std::size_t alignment) noexcept;
/// The same `bytes` as asked for.
void system_free(void* block, std::size_t bytes) noexcept;

/// Gives the whole pages of this memory back, which stays mapped and reads as zeros: what stands in
/// it is lost.
void system_discard(void* begin, std::size_t bytes) noexcept;

/// Gives back what malloc() keeps of smaller blocks that were freed between others: only what is at
/// the end of its heap returns by itself. Looks at all that is free there.
void system_trim() noexcept;

/// For tests of what happens without memory: asked before the system is; true stands for none.
extern bool (*system_refuses)() noexcept;

inline constexpr std::size_t map_from = 128 * 1024;

/// What is used of memory from the system is whole pages of at most this size.
inline constexpr std::size_t page = 4096;

/// Blocks of at least two huge pages are put on them: sweeps over large parameters miss fewer
/// translations.
inline constexpr std::size_t huge_page = std::size_t{1} << 21;

}  // namespace chainrule::memory
