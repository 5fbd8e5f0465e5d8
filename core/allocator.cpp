#include <chainrule/core/allocator.hpp>

#include <fmt/format.h>
#include <pthread.h>

#include <algorithm>
#include <mutex>
#include <new>
#include <utility>

#include <chainrule/core/error.hpp>
#include <chainrule/core/fork.hpp>
#include <chainrule/core/memory/large_blocks.hpp>
#include <chainrule/core/memory/slabs.hpp>
#include <chainrule/core/memory/system.hpp>
#include <chainrule/core/threads.hpp>

namespace chainrule::memory {

thread_local constinit ThreadCache* thread_cache = nullptr;

namespace {

constexpr std::size_t large_alignment = 64;

std::size_t round_up(std::size_t bytes) {
  if (pooled) return round_large(bytes);
  return std::max<std::size_t>((bytes + large_alignment - 1) / large_alignment, 1) *
         large_alignment;
}

// What the threads share. It needs no construction and is never destroyed: tensors may be made
// before main() and freed while the program ends. Freeing allocates nothing and cannot fail.
struct Store {
  std::mutex mutex;
  Slabs slabs;
  LargeBlocks large;
  std::uint64_t time = 0;  // counts what was put back: the stamps
  std::int64_t requests = 0;
  // Bytes of blocks that are malloc()'s, not pages of their own; and the most of them since it last
  // gave back what it keeps.
  std::int64_t in_heap = 0, most_in_heap = 0;
  ThreadCache* caches = nullptr;                 // of running threads
  ThreadCache* retired = nullptr;                // of ended threads, to be taken over by new ones
  std::atomic<std::int64_t> nodes_of_others{0};  // counted by threads that have no cache
  std::atomic<std::int64_t> live{0};
  std::atomic<std::int64_t> peak{0};

  void raise_peak(std::int64_t candidate) noexcept {
    std::int64_t seen = peak.load(std::memory_order_relaxed);
    while (candidate > seen && !peak.compare_exchange_weak(seen, candidate)) {
    }
  }

  std::int64_t kept() const noexcept {
    return large.bytes() + slabs.empty_slabs() * static_cast<std::int64_t>(slab_bytes);
  }

  // Gives back what has not been used for the longest time until so much is kept: a program that
  // comes to other shapes soon keeps these.
  void keep_at_most(std::int64_t bytes) noexcept {
    while (kept() > bytes) {
      const Kept *block = large.oldest(), *slab = slabs.oldest();
      if (block && (!slab || block->stamp < slab->stamp)) {
        KeptBlock* oldest = large.take_oldest();
        if (oldest->bytes < map_from) in_heap -= static_cast<std::int64_t>(oldest->bytes);
        system_free(oldest, oldest->bytes);
      } else {
        system_free(slabs.take_oldest(), slab_bytes);
      }
    }
  }
  // No more is kept than was ever in use at once and 48 MiB: with what malloc() keeps of blocks in
  // between, the process holds at most twice its peak and 64 MiB. A program that goes on to larger
  // blocks leaves the heap of the smaller ones nearly empty.
  void keep_bounded() noexcept {
    const std::int64_t most = (std::int64_t{48} << 20) + peak.load(std::memory_order_relaxed);
    const std::int64_t bound = std::max<std::int64_t>(0, most - slabs.pinned_bytes());
    if (kept() + slabs.loose_bytes() > bound) {
      // Between small blocks that stay, perhaps of sizes that nobody asks for any more.
      if (slabs.loose_bytes() > bound / 2) {
        slabs.dissolve_all(++time);
        slabs.release_pages();
      }
      keep_at_most(bound - slabs.loose_bytes());
    }
    if (most_in_heap - in_heap < std::int64_t{8} << 20) return;
    system_trim();
    most_in_heap = in_heap;
  }

  // All free blocks that a thread has at hand, to their slabs.
  void dissolve(ThreadCache& cache) noexcept {
    ++time;
    for (std::size_t i = 0; i < small_classes; ++i)
      for (Magazine* magazine : {&cache.current[i], &cache.spare[i]})
        slabs.dissolve(std::exchange(*magazine, {}), i, time);
  }
  void release_all() noexcept {
    slabs.dissolve_all(++time);
    slabs.release_pages();
    keep_at_most(0);
  }

  void* from_system(std::size_t bytes, std::size_t alignment) {
    void* block = system_allocate(bytes, alignment);
    if (!block) {
      release_all();
      block = system_allocate(bytes, alignment);
    }
    if (!block) throw MemoryError(fmt::format("memory: the system does not give {} bytes", bytes));
    ++requests;
    if (bytes < map_from) {
      in_heap += static_cast<std::int64_t>(bytes);
      most_in_heap = std::max(most_in_heap, in_heap);
    }
    return block;
  }
};

constinit Store the_store;

// The store for one thread at a time. Unless the system is asked for memory it is held for less
// than it takes to put a thread to sleep and to wake it, so that who waits tries again before, for
// some microseconds.
class StoreLock {
 public:
  StoreLock() noexcept {
    for (int i = 0; i < 256; ++i) {
      if (the_store.mutex.try_lock()) return;
      detail::pause();
    }
    the_store.mutex.lock();
  }
  ~StoreLock() { the_store.mutex.unlock(); }
  StoreLock(const StoreLock&) = delete;
  StoreLock& operator=(const StoreLock&) = delete;
};

const detail::HeldOverFork held(the_store.mutex);

// Puts the blocks of an ended thread where others find them.
void retire(ThreadCache& mine) noexcept {
  mine.flush();
  const StoreLock lock;
  the_store.dissolve(mine);
  the_store.nodes_of_others.fetch_add(mine.nodes.exchange(0));
  for (ThreadCache** link = &the_store.caches; *link; link = &(*link)->next)
    if (*link == &mine) {
      *link = mine.next;
      break;
    }
  mine.next = std::exchange(the_store.retired, &mine);
  the_store.keep_bounded();
}

// Called behind the destructors of all thread_local objects, which may free tensors, and again
// where a later one of a thread's keys made another cache.
void at_thread_end(void* cache) {
  thread_cache = nullptr;
  retire(*static_cast<ThreadCache*>(cache));
}

// Where a thread cannot be told when it ends, its cache stays.
void retire_at_end(ThreadCache* cache) noexcept {
  struct Key {
    pthread_key_t key;
    bool usable;
    Key() noexcept : usable(pthread_key_create(&key, at_thread_end) == 0) {}
  };
  static const Key key;
  if (key.usable) pthread_setspecific(key.key, cache);
}

}  // namespace

ThreadCache& make_thread_cache() {
  ThreadCache* mine;
  {
    const StoreLock lock;
    mine = the_store.retired;
    if (mine) the_store.retired = mine->next;
  }
  if (!mine) mine = new (std::nothrow) ThreadCache;
  if (!mine) throw MemoryError("memory: the system gives none for another thread");
  {
    const StoreLock lock;
    mine->next = std::exchange(the_store.caches, mine);
  }
  retire_at_end(mine);
  return *(thread_cache = mine);
}

void ThreadCache::flush() noexcept {
  const std::int64_t change = live.exchange(0, std::memory_order_relaxed);
  const std::int64_t highest = live_max.exchange(0, std::memory_order_relaxed);
  const std::int64_t before = the_store.live.fetch_add(change, std::memory_order_relaxed);
  the_store.raise_peak(before + std::max<std::int64_t>(highest, 0));
}

void refill(ThreadCache& mine, std::size_t size_class) {
  Magazine& current = mine.current[size_class];
  Magazine& spare = mine.spare[size_class];
  if (spare.head) {
    std::swap(current, spare);
    return;
  }
  const StoreLock lock;
  current = the_store.slabs.take(size_class);
  if (current.head) return;
  void* slab = the_store.slabs.take_newest();
  if (!slab) slab = the_store.from_system(slab_bytes, slab_bytes);
  current = the_store.slabs.take_from(slab, size_class);
}

void spill(ThreadCache& mine, std::size_t size_class) noexcept {
  Magazine& current = mine.current[size_class];
  Magazine& spare = mine.spare[size_class];
  if (spare.head) {
    const StoreLock lock;
    if (spare.count == magazine_size)
      the_store.slabs.put(spare, size_class, ++the_store.time);
    else
      the_store.slabs.dissolve(spare, size_class, ++the_store.time);
    the_store.keep_bounded();
  }
  spare = std::exchange(current, {});
}

// A thread has no cache before its first allocation, and none is made for what it frees.
void deallocate_without_cache(void* block, std::size_t bytes) noexcept {
  const std::size_t size_class = class_of_small(bytes);
  the_store.live.fetch_sub(static_cast<std::int64_t>(size_class * granule));
  auto* free = new (block) FreeBlock{nullptr};
  const StoreLock lock;
  the_store.slabs.dissolve({free, 1}, size_class, ++the_store.time);
  the_store.keep_bounded();
}

void count_node_without_cache(std::int64_t change) noexcept {
  the_store.nodes_of_others.fetch_add(change);
}

bool has_room(std::size_t bytes) noexcept {
  const std::size_t rounded = round_up(bytes);
  const StoreLock lock;
  void* room = system_allocate(rounded, large_alignment);
  if (!room) {
    the_store.release_all();
    room = system_allocate(rounded, large_alignment);
  }
  if (room) system_free(room, rounded);
  return room != nullptr;
}

void* allocate_large(std::size_t bytes) {
  if (bytes > (std::size_t{1} << 62))
    throw MemoryError(fmt::format("memory: {} bytes are more than any machine has", bytes));
  const std::size_t rounded = round_up(bytes);
  ThreadCache& mine = cache();
  void* block = nullptr;
  {
    const StoreLock lock;
    if (pooled) block = the_store.large.take(rounded);
    if (!block) block = the_store.from_system(rounded, large_alignment);
  }
  mine.count_bytes(static_cast<std::int64_t>(rounded));
  return block;
}

void deallocate_large(void* block, std::size_t bytes) noexcept {
  const std::size_t rounded = round_up(bytes);
  if (thread_cache)
    thread_cache->count_bytes(-static_cast<std::int64_t>(rounded));
  else
    the_store.live.fetch_sub(static_cast<std::int64_t>(rounded));
  if (!pooled) return system_free(block, rounded);
  const StoreLock lock;
  the_store.large.put(block, rounded, ++the_store.time);
  the_store.keep_bounded();
}

std::int64_t node_count() {
  const StoreLock lock;
  std::int64_t count = the_store.nodes_of_others.load();
  for (ThreadCache* each = the_store.caches; each; each = each->next)
    count += each->nodes.load(std::memory_order_relaxed);
  return count;
}

namespace {

MemoryStats stats_now() {
  const StoreLock lock;
  MemoryStats stats;
  stats.live_bytes = the_store.live.load();
  for (ThreadCache* each = the_store.caches; each; each = each->next)
    stats.live_bytes += each->live.load(std::memory_order_relaxed);
  the_store.raise_peak(stats.live_bytes);
  stats.peak_bytes = the_store.peak.load();
  stats.cached_bytes = the_store.kept();
  stats.scattered_bytes = the_store.slabs.loose_bytes();
  stats.system_requests = the_store.requests;
  return stats;
}

}  // namespace

}  // namespace chainrule::memory

namespace chainrule {

MemoryStats memory_stats() {
  if (memory::thread_cache) memory::thread_cache->flush();
  return memory::stats_now();
}

void reset_peak_memory() {
  if (memory::thread_cache) memory::thread_cache->flush();
  memory::the_store.peak.store(memory::the_store.live.load());
}

void trim_memory() {
  {
    const memory::StoreLock lock;
    if (memory::thread_cache) memory::the_store.dissolve(*memory::thread_cache);
    memory::the_store.release_all();
  }
  memory::system_trim();
}

}  // namespace chainrule
