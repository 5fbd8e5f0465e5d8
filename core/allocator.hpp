#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <new>

#include <chainrule/core/memory/blocks.hpp>

/// The memory of tensors and nodes. Small blocks come from free lists of the calling thread and
/// cost a few instructions; large ones are kept by size when freed. Whatever a program did before,
/// a loop of constant shapes asks the system for nothing after its third step. What is not used is
/// kept up to a bound, and what has not been used for the longest time goes back first.

namespace chainrule {

/// What the library's allocator holds, over all threads.
struct MemoryStats {
  std::int64_t live_bytes = 0;    ///< in use by tensors, nodes and traversals
  std::int64_t peak_bytes = 0;    ///< the largest live_bytes since reset_peak_memory(); exact when
                                  ///< one thread computes, else within 64 KiB for each thread
  std::int64_t cached_bytes = 0;  ///< kept for reuse: with scattered_bytes, at most peak_bytes and
                                  ///< 48 MiB
  std::int64_t scattered_bytes = 0;  ///< of other free small blocks that no thread holds
  std::int64_t system_requests = 0;  ///< how often the system was asked for memory
};

/// The figures as of now.
MemoryStats memory_stats();

/// Makes the live bytes of now the peak.
void reset_peak_memory();

/// Gives what is kept for reuse back to the system, so that the resident memory of the process
/// falls: large blocks (of more than 1 KiB), and small ones where a page holds nothing else, but
/// for up to 128 of a size that each other thread has at hand. The next step of a training loop
/// asks for its memory anew.
void trim_memory();

namespace memory {

/// What one thread keeps: two magazines for each size, so that a thread that allocates and frees
/// around a boundary never touches the shared store, and counters that other threads may read.
struct ThreadCache {
  Magazine current[small_classes];
  Magazine spare[small_classes];
  std::atomic<std::int64_t> live{0};      // bytes since the last flush into the global count
  std::atomic<std::int64_t> live_max{0};  // the largest `live` since then
  std::atomic<std::int64_t> nodes{0};     // nodes made less nodes freed by this thread
  ThreadCache* next = nullptr;            // in the list of all caches

  void count_bytes(std::int64_t bytes) noexcept {
    const std::int64_t now = live.load(std::memory_order_relaxed) + bytes;
    live.store(now, std::memory_order_relaxed);
    if (now > live_max.load(std::memory_order_relaxed)) {
      live_max.store(now, std::memory_order_relaxed);
      if (now > flush_at) flush();
    } else if (now < -flush_at) {
      flush();
    }
  }
  void count_node(std::int64_t change) noexcept {
    nodes.store(nodes.load(std::memory_order_relaxed) + change, std::memory_order_relaxed);
  }
  void flush() noexcept;

  static constexpr std::int64_t flush_at = 64 * 1024;
};

/// The calling thread's cache; null until its first allocation and after its end.
extern thread_local constinit ThreadCache* thread_cache __attribute__((tls_model("initial-exec")));

ThreadCache& make_thread_cache();
inline ThreadCache& cache() {
  ThreadCache* mine = thread_cache;
  return mine ? *mine : make_thread_cache();
}

void refill(ThreadCache& mine, std::size_t size_class);
void spill(ThreadCache& mine, std::size_t size_class) noexcept;
void deallocate_without_cache(void* block, std::size_t bytes) noexcept;
void count_node_without_cache(std::int64_t change) noexcept;
void* allocate_large(std::size_t bytes);
void deallocate_large(void* block, std::size_t bytes) noexcept;

/// Whether the system would give so many bytes at once, if need be for what is kept for reuse: for
/// code of others that does not survive it when there are none.
bool has_room(std::size_t bytes) noexcept;

/// A block of at least `bytes`, aligned to 16 bytes, and to 64 above largest_small. Throws
/// MemoryError.
inline void* allocate(std::size_t bytes) {
  if (!pooled || bytes > largest_small) return allocate_large(bytes);
  ThreadCache& mine = cache();
  const std::size_t size_class = class_of_small(bytes);
  Magazine& magazine = mine.current[size_class];
  if (!magazine.head) refill(mine, size_class);
  FreeBlock* block = magazine.head;
  magazine.head = block->next;
  --magazine.count;
  mine.count_bytes(static_cast<std::int64_t>(size_class * granule));
  return block;
}

/// Frees a block of allocate(); `bytes` as asked for there.
inline void deallocate(void* block, std::size_t bytes) noexcept {
  if (!pooled || bytes > largest_small) {
    deallocate_large(block, bytes);
    return;
  }
  if (!thread_cache) [[unlikely]]
    return deallocate_without_cache(block, bytes);
  ThreadCache& mine = *thread_cache;
  const std::size_t size_class = class_of_small(bytes);
  Magazine& magazine = mine.current[size_class];
  if (magazine.count == magazine_size) spill(mine, size_class);
  auto* free = static_cast<FreeBlock*>(block);
  free->next = magazine.head;
  magazine.head = free;
  ++magazine.count;
  mine.count_bytes(-static_cast<std::int64_t>(size_class * granule));
}

/// Counts nodes that were made, or, less than 0, that went.
inline void count_node(std::int64_t change) noexcept {
  if (thread_cache)
    thread_cache->count_node(change);
  else
    count_node_without_cache(change);
}
/// The sum of them over all threads.
std::int64_t node_count();

/// For standard containers whose memory should be pooled and counted.
template <class T>
struct Pool {
  using value_type = T;
  Pool() noexcept = default;
  template <class U>
  Pool(const Pool<U>&) noexcept {}
  T* allocate(std::size_t n) { return static_cast<T*>(memory::allocate(n * sizeof(T))); }
  void deallocate(T* block, std::size_t n) noexcept { memory::deallocate(block, n * sizeof(T)); }
  friend bool operator==(const Pool&, const Pool&) noexcept { return true; }
};

}  // namespace memory
}  // namespace chainrule
