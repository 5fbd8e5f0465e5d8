#include <chainrule/core/allocator.hpp>

#include <fmt/format.h>
#if __has_include(<sys/mman.h>)
#include <sys/mman.h>
#endif
#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <mutex>
#include <utility>
#include <vector>

#include <chainrule/core/error.hpp>

namespace chainrule::memory {

thread_local constinit ThreadCache* thread_cache = nullptr;

namespace {

constexpr std::size_t slab_bytes = 1 << 20;
constexpr std::size_t large_alignment = 64;

// Large sizes are rounded up to steps of a 64th of a power of two: at most 1.6 % is lost, 6 % below
// 4 KiB, and blocks of nearly the same size can serve for each other.
constexpr std::size_t steps = 64;

std::size_t round_large(std::size_t bytes) {
  const std::size_t step = std::max<std::size_t>(std::bit_floor(bytes) / steps, large_alignment);
  return (bytes + step - 1) / step * step;
}

std::size_t class_of_large(std::size_t rounded) {
  const auto power = static_cast<std::size_t>(std::bit_width(rounded) - 1);
  return power * steps + ((rounded >> (power - std::countr_zero(steps))) & (steps - 1));
}

// Blocks of at least two huge pages are put on them: sweeps over large parameters miss fewer
// translations.
constexpr std::size_t huge_page = std::size_t{1} << 21;

void* system_allocate(std::size_t bytes) {
  if (!pooled || bytes < 2 * huge_page) return std::aligned_alloc(large_alignment, bytes);
  void* block = nullptr;
  if (posix_memalign(&block, huge_page, bytes) != 0) return nullptr;
#ifdef MADV_HUGEPAGE
  // Only a wish: what it returns does not matter.
  madvise(block, bytes / huge_page * huge_page, MADV_HUGEPAGE);
#endif
  return block;
}

// What the threads share. Never destroyed: blocks may be freed while the program ends.
struct Store {
  std::mutex mutex;
  std::vector<Magazine> full[small_classes];
  std::vector<void*> large[64 * steps];
  std::vector<void*> slabs;
  char* slab = nullptr;
  std::size_t slab_left = 0;
  std::int64_t cached = 0;
  std::int64_t requests = 0;
  ThreadCache* caches = nullptr;   // of running threads
  ThreadCache* retired = nullptr;  // of ended threads, to be taken over by new ones
  std::int64_t nodes_of_ended = 0;
  std::atomic<std::int64_t> live{0};
  std::atomic<std::int64_t> peak{0};

  void raise_peak(std::int64_t candidate) noexcept {
    std::int64_t seen = peak.load(std::memory_order_relaxed);
    while (candidate > seen && !peak.compare_exchange_weak(seen, candidate)) {
    }
  }

  void release_large() noexcept {
    for (auto& blocks : large) {
      for (void* block : blocks) std::free(block);
      blocks.clear();
    }
    cached = 0;
  }

  void* from_system(std::size_t bytes) {
    void* block = system_allocate(bytes);
    if (!block) {
      release_large();
      block = system_allocate(bytes);
    }
    if (!block) throw MemoryError(fmt::format("memory: the system does not give {} bytes", bytes));
    ++requests;
    return block;
  }
};

Store& store() {
  static Store& the_store = *new Store;
  return the_store;
}

// Puts the blocks of an ended thread where others find them.
void retire(ThreadCache& mine) noexcept {
  mine.flush();
  Store& shared = store();
  const std::lock_guard lock(shared.mutex);
  for (std::size_t i = 0; i < small_classes; ++i)
    for (Magazine* magazine : {&mine.current[i], &mine.spare[i]})
      if (magazine->head) shared.full[i].push_back(std::exchange(*magazine, {}));
  shared.nodes_of_ended += mine.nodes.exchange(0);
  for (ThreadCache** link = &shared.caches; *link; link = &(*link)->next)
    if (*link == &mine) {
      *link = mine.next;
      break;
    }
  mine.next = std::exchange(shared.retired, &mine);
}

struct AtThreadEnd {
  bool armed = false;
  ~AtThreadEnd() {
    if (thread_cache) retire(*std::exchange(thread_cache, nullptr));
  }
};
thread_local AtThreadEnd at_thread_end;

}  // namespace

ThreadCache& make_thread_cache() {
  Store& shared = store();
  const std::lock_guard lock(shared.mutex);
  ThreadCache* mine = shared.retired;
  if (mine)
    shared.retired = mine->next;
  else
    mine = new ThreadCache;
  mine->next = std::exchange(shared.caches, mine);
  at_thread_end.armed = true;
  return *(thread_cache = mine);
}

void ThreadCache::flush() noexcept {
  Store& shared = store();
  const std::int64_t change = live.exchange(0, std::memory_order_relaxed);
  const std::int64_t highest = live_max.exchange(0, std::memory_order_relaxed);
  const std::int64_t before = shared.live.fetch_add(change, std::memory_order_relaxed);
  shared.raise_peak(before + std::max<std::int64_t>(highest, 0));
}

void refill(ThreadCache& mine, std::size_t size_class) {
  Magazine& current = mine.current[size_class];
  Magazine& spare = mine.spare[size_class];
  if (spare.head) {
    std::swap(current, spare);
    return;
  }
  Store& shared = store();
  const std::lock_guard lock(shared.mutex);
  auto& full = shared.full[size_class];
  if (!full.empty()) {
    current = full.back();
    full.pop_back();
    return;
  }
  const std::size_t block_bytes = std::max<std::size_t>(size_class, 1) * granule;
  if (shared.slab_left < block_bytes) {
    shared.slabs.reserve(shared.slabs.size() + 1);
    shared.slab = static_cast<char*>(shared.from_system(slab_bytes));
    shared.slabs.push_back(shared.slab);
    shared.slab_left = slab_bytes;
  }
  const std::size_t count = std::min<std::size_t>(magazine_size, shared.slab_left / block_bytes);
  // Linked so that blocks are handed out in the order of their addresses.
  for (std::size_t i = count; i-- > 0;) {
    auto* block = reinterpret_cast<FreeBlock*>(shared.slab + i * block_bytes);
    block->next = current.head;
    current.head = block;
  }
  current.count = static_cast<std::uint32_t>(count);
  shared.slab += count * block_bytes;
  shared.slab_left -= count * block_bytes;
}

void spill(ThreadCache& mine, std::size_t size_class) noexcept {
  Magazine& current = mine.current[size_class];
  Magazine& spare = mine.spare[size_class];
  if (spare.head) {
    Store& shared = store();
    const std::lock_guard lock(shared.mutex);
    shared.full[size_class].push_back(spare);
  }
  spare = std::exchange(current, {});
}

void* allocate_large(std::size_t bytes) {
  if (bytes > (std::size_t{1} << 62))
    throw MemoryError(fmt::format("memory: {} bytes are more than any machine has", bytes));
  const std::size_t rounded =
      pooled ? round_large(bytes)
             : std::max<std::size_t>((bytes + large_alignment - 1) / large_alignment, 1) *
                   large_alignment;
  ThreadCache& mine = cache();
  void* block = nullptr;
  {
    Store& shared = store();
    const std::lock_guard lock(shared.mutex);
    if (pooled) {
      auto& blocks = shared.large[class_of_large(rounded)];
      if (!blocks.empty()) {
        block = blocks.back();
        blocks.pop_back();
        shared.cached -= static_cast<std::int64_t>(rounded);
      }
    }
    if (!block) block = shared.from_system(rounded);
  }
  mine.count_bytes(static_cast<std::int64_t>(rounded));
  return block;
}

void deallocate_large(void* block, std::size_t bytes) noexcept {
  ThreadCache& mine = cache();
  if (!pooled) {
    const std::size_t rounded =
        std::max<std::size_t>((bytes + large_alignment - 1) / large_alignment, 1) * large_alignment;
    std::free(block);
    mine.count_bytes(-static_cast<std::int64_t>(rounded));
    return;
  }
  const std::size_t rounded = round_large(bytes);
  mine.count_bytes(-static_cast<std::int64_t>(rounded));
  Store& shared = store();
  const std::lock_guard lock(shared.mutex);
  // No more is kept than was ever in use at once, so the process never holds over twice its peak.
  constexpr std::int64_t always_kept = 64 << 20;
  const std::int64_t bound = std::max(always_kept, shared.peak.load(std::memory_order_relaxed));
  if (shared.cached + static_cast<std::int64_t>(rounded) > bound) {
    std::free(block);
    return;
  }
  shared.large[class_of_large(rounded)].push_back(block);
  shared.cached += static_cast<std::int64_t>(rounded);
}

std::int64_t node_count() {
  Store& shared = store();
  const std::lock_guard lock(shared.mutex);
  std::int64_t count = shared.nodes_of_ended;
  for (ThreadCache* each = shared.caches; each; each = each->next)
    count += each->nodes.load(std::memory_order_relaxed);
  return count;
}

}  // namespace chainrule::memory

namespace chainrule {

MemoryStats memory_stats() {
  memory::cache().flush();
  memory::Store& shared = memory::store();
  const std::lock_guard lock(shared.mutex);
  MemoryStats stats;
  stats.live_bytes = shared.live.load();
  for (memory::ThreadCache* each = shared.caches; each; each = each->next)
    stats.live_bytes += each->live.load(std::memory_order_relaxed);
  shared.raise_peak(stats.live_bytes);
  stats.peak_bytes = shared.peak.load();
  stats.cached_bytes = shared.cached;
  stats.system_requests = shared.requests;
  return stats;
}

void reset_peak_memory() {
  memory::cache().flush();
  memory::Store& shared = memory::store();
  shared.peak.store(shared.live.load());
}

void trim_memory() {
  memory::Store& shared = memory::store();
  const std::lock_guard lock(shared.mutex);
  shared.release_large();
#if defined(__GLIBC__)
  malloc_trim(0);  // free() keeps what is not at the end of its heap
#endif
}

}  // namespace chainrule
