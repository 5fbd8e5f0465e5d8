#pragma once

#include <cstddef>
#include <cstdint>

#include <chainrule/core/memory/blocks.hpp>
#include <chainrule/core/memory/by_age.hpp>
#include <chainrule/core/memory/system.hpp>

/// Where the small blocks that no thread keeps are. The caller holds the store's lock; nothing here
/// fails but for want of memory, and nothing allocates but take().

namespace chainrule::memory {

/// So many bytes, aligned to as many, hold blocks of one size.
inline constexpr std::size_t slab_bytes = std::size_t{1} << 18;

/// The begin of a slab: which of its blocks are free.
struct Slab;

/// Free blocks by their size: as magazines, while these are few and the processor's caches may
/// still hold them, and else by slab, from where they come back in the order of their addresses. A
/// large graph whose nodes were freed in another order than they were made would else be spread
/// over all memory the next time.
class Slabs {
 public:
  /// Free blocks of one size, at most magazine_size; none when there are none.
  Magazine take(std::size_t size_class) noexcept;
  /// The same from a slab that belongs to no size yet.
  Magazine take_from(void* memory, std::size_t size_class) noexcept;
  /// Takes a full magazine back, which take() may hand out as it is.
  void put(Magazine magazine, std::size_t size_class, std::uint64_t stamp) noexcept;
  /// Takes any number of blocks back to their slabs.
  void dissolve(Magazine magazine, std::size_t size_class, std::uint64_t stamp) noexcept;
  /// The same for all magazines that put() kept.
  void dissolve_all(std::uint64_t stamp) noexcept;

  /// Gives the pages that hold nothing but free blocks, in slabs that hold others, back to the
  /// system.
  void release_pages() noexcept;

  std::int64_t empty_slabs() const noexcept { return empty_count_; }
  /// Bytes of free blocks in slabs that hold others, as far as their pages may be resident, and in
  /// the magazines that put() kept.
  std::int64_t loose_bytes() const noexcept { return loose_; }
  /// What release_pages() may leave of these slabs: where they begin, and where a block is in use.
  std::int64_t pinned_bytes() const noexcept {
    return open_count_ * 2 * static_cast<std::int64_t>(page);
  }
  /// The slab that has been empty for the longest time; null when there is none.
  const Kept* oldest() const noexcept { return empty_.oldest(); }
  /// The slab that was emptied last, or that one; null when there is none. It is the caller's now.
  void* take_newest() noexcept { return take_empty(empty_.newest()); }
  void* take_oldest() noexcept { return take_empty(empty_.oldest()); }

 private:
  Slab* open_[small_classes] = {};            // of each size, those with some blocks free
  FreeBlock* magazines_[small_classes] = {};  // full ones
  std::uint32_t magazine_counts_[small_classes] = {};
  ByAge empty_;
  std::int64_t empty_count_ = 0;
  std::int64_t loose_ = 0;
  std::int64_t open_count_ = 0;

  void open(Slab* slab) noexcept;
  void close(Slab* slab) noexcept;
  void* take_empty(Kept* slab) noexcept;
};

}  // namespace chainrule::memory
