#include <chainrule/core/memory/slabs.hpp>

#include <algorithm>
#include <bit>
#include <new>
#include <utility>

namespace chainrule::memory {

struct Slab {
  Slab* next = nullptr;  // of the same size, with free blocks
  Slab* previous = nullptr;
  std::uint32_t size_class;
  std::uint32_t capacity;
  std::uint32_t free_blocks;
  std::uint32_t first_word = 0;  // no block of an earlier word is free
  std::uint32_t reciprocal;      // of the blocks' size in granules, times 2³²
  std::uint32_t loose;           // blocks that are free and may be resident

  // All blocks are free.
  explicit Slab(std::size_t of_class) noexcept
      : size_class(static_cast<std::uint32_t>(of_class)),
        capacity(static_cast<std::uint32_t>((slab_bytes - header) / block_bytes(of_class))),
        free_blocks(capacity),
        reciprocal(static_cast<std::uint32_t>(((std::uint64_t{1} << 32) - 1) / granules() + 1)),
        loose(capacity) {
    std::fill(words(), words() + capacity / 64, ~std::uint64_t{0});
    if (capacity % 64 != 0) words()[capacity / 64] = (std::uint64_t{1} << capacity % 64) - 1;
  }
  std::size_t granules() const noexcept { return block_bytes(size_class) / granule; }

  // A bit for each block, 1: free; behind them the blocks.
  std::uint64_t* words() noexcept { return reinterpret_cast<std::uint64_t*>(this + 1); }
  char* blocks() noexcept { return reinterpret_cast<char*>(this) + header; }
  char* block(std::size_t i) noexcept { return blocks() + i * block_bytes(size_class); }
  bool is_free(std::size_t i) noexcept { return words()[i / 64] >> i % 64 & 1; }
  std::int64_t loose_bytes() const noexcept {
    return static_cast<std::int64_t>(loose * block_bytes(size_class));
  }
  std::size_t index_of(const void* block) noexcept {
    const auto at = static_cast<std::size_t>(static_cast<const char*>(block) - blocks()) / granule;
    return granules() == 1 ? at : at * reciprocal >> 32;
  }
  static Slab* of(void* block) noexcept {
    const auto address = reinterpret_cast<std::uintptr_t>(block);
    return reinterpret_cast<Slab*>(address & ~(std::uintptr_t{slab_bytes} - 1));
  }

  static constexpr std::size_t header = 64 + slab_bytes / granule / 8;
};
static_assert(sizeof(Slab) <= 64 && std::is_trivially_destructible_v<Slab>);

namespace {

// Full magazines of one size that are kept as such: no more than a cache of the processor's holds.
constexpr std::size_t kept_bytes = std::size_t{1} << 20;

// In a full magazine that is kept, the first block points at the first one of the next magazine.
FreeBlock*& next_magazine(FreeBlock* first) noexcept {
  return *reinterpret_cast<FreeBlock**>(reinterpret_cast<char*>(first) + sizeof(FreeBlock*));
}
static_assert(granule >= 2 * sizeof(FreeBlock*));

std::int64_t magazine_bytes(std::size_t size_class) noexcept {
  return static_cast<std::int64_t>(magazine_size * block_bytes(size_class));
}

void link(Slab*& list, Slab* slab) noexcept {
  slab->previous = nullptr;
  slab->next = list;
  if (list) list->previous = slab;
  list = slab;
}

void unlink(Slab*& list, Slab* slab) noexcept {
  (slab->previous ? slab->previous->next : list) = slab->next;
  if (slab->next) slab->next->previous = slab->previous;
}

// The first free blocks of a slab, in the order of their addresses.
Magazine first_blocks(Slab& slab) noexcept {
  Magazine magazine;
  FreeBlock** end = &magazine.head;
  std::uint64_t* words = slab.words();
  std::uint32_t word = slab.first_word;
  while (magazine.count < magazine_size && magazine.count < slab.free_blocks) {
    while (words[word] == 0) ++word;
    const auto i = static_cast<std::size_t>(std::countr_zero(words[word])) + 64 * word;
    words[word] &= words[word] - 1;
    *end = reinterpret_cast<FreeBlock*>(slab.block(i));
    end = &(*end)->next;
    ++magazine.count;
  }
  *end = nullptr;
  slab.first_word = word;
  slab.free_blocks -= magazine.count;
  return magazine;
}

}  // namespace

void Slabs::open(Slab* slab) noexcept {
  link(open_[slab->size_class], slab);
  ++open_count_;
}
void Slabs::close(Slab* slab) noexcept {
  unlink(open_[slab->size_class], slab);
  --open_count_;
}

Magazine Slabs::take(std::size_t size_class) noexcept {
  if (FreeBlock* first = magazines_[size_class]) {
    magazines_[size_class] = next_magazine(first);
    --magazine_counts_[size_class];
    loose_ -= magazine_bytes(size_class);
    return {first, magazine_size};
  }
  Slab* slab = open_[size_class];
  if (!slab) return {};
  loose_ -= slab->loose_bytes();
  const Magazine magazine = first_blocks(*slab);
  slab->loose -= std::min(slab->loose, magazine.count);
  loose_ += slab->loose_bytes();
  if (slab->free_blocks == 0) close(slab);
  return magazine;
}

Magazine Slabs::take_from(void* memory, std::size_t size_class) noexcept {
  Slab* slab = new (memory) Slab(size_class);
  open(slab);
  loose_ += slab->loose_bytes();
  return take(size_class);
}

void Slabs::put(Magazine magazine, std::size_t size_class, std::uint64_t stamp) noexcept {
  if (magazine_counts_[size_class] >= kept_bytes / (block_bytes(size_class) * magazine_size)) {
    FreeBlock* first = std::exchange(magazines_[size_class], nullptr);
    loose_ -= magazine_counts_[size_class] * magazine_bytes(size_class);
    magazine_counts_[size_class] = 0;
    while (first) {
      FreeBlock* next = next_magazine(first);
      dissolve({first, magazine_size}, size_class, stamp);
      first = next;
    }
  }
  next_magazine(magazine.head) = std::exchange(magazines_[size_class], magazine.head);
  ++magazine_counts_[size_class];
  loose_ += magazine_bytes(size_class);
}

void Slabs::dissolve(Magazine magazine, std::size_t size_class, std::uint64_t stamp) noexcept {
  for (FreeBlock* block = magazine.head; block;) {
    FreeBlock* next = block->next;
    Slab* slab = Slab::of(block);
    const std::size_t i = slab->index_of(block);
    const auto word = static_cast<std::uint32_t>(i / 64);
    slab->words()[word] |= std::uint64_t{1} << i % 64;
    slab->first_word = std::min(slab->first_word, word);
    if (slab->free_blocks++ == 0) open(slab);
    ++slab->loose;
    loose_ += static_cast<std::int64_t>(block_bytes(size_class));
    if (slab->free_blocks == slab->capacity) {
      loose_ -= slab->loose_bytes();
      close(slab);
      empty_.add(new (slab) Kept, stamp);
      ++empty_count_;
    }
    block = next;
  }
}

void Slabs::dissolve_all(std::uint64_t stamp) noexcept {
  for (std::size_t size_class = 0; size_class < small_classes; ++size_class)
    while (FreeBlock* first = magazines_[size_class]) {
      magazines_[size_class] = next_magazine(first);
      --magazine_counts_[size_class];
      loose_ -= magazine_bytes(size_class);
      dissolve({first, magazine_size}, size_class, stamp);
    }
}

void Slabs::release_pages() noexcept {
  for (Slab* const first : open_)
    for (Slab* slab = first; slab; slab = slab->next) {
      if (slab->loose == 0) continue;
      for (std::size_t i = slab->first_word * 64; i < slab->capacity;) {
        std::size_t end = i;
        while (end < slab->capacity && slab->is_free(end)) ++end;
        if (end > i) system_discard(slab->block(i), (end - i) * block_bytes(slab->size_class));
        i = end + 1;
      }
      loose_ -= slab->loose_bytes();
      slab->loose = 0;
    }
}

void* Slabs::take_empty(Kept* slab) noexcept {
  if (!slab) return nullptr;
  empty_.remove(slab);
  --empty_count_;
  return slab;
}

}  // namespace chainrule::memory
