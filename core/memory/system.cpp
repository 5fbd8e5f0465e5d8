#include <chainrule/core/memory/system.hpp>

#if __has_include(<sys/mman.h>)
#include <sys/mman.h>
#define CHAINRULE_MAPS_PAGES 1
#else
#define CHAINRULE_MAPS_PAGES 0
#endif

#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include <cstdint>
#include <cstdlib>

#include <chainrule/core/memory/blocks.hpp>

namespace chainrule::memory {

void system_trim() noexcept {
#if defined(__GLIBC__)
  malloc_trim(0);
#endif
}

bool (*system_refuses)() noexcept = nullptr;

namespace {

bool refused() noexcept { return system_refuses && system_refuses(); }

}  // namespace

#if CHAINRULE_MAPS_PAGES

namespace {

std::size_t whole_pages(std::size_t bytes) { return (bytes + page - 1) / page * page; }

void* map(std::size_t bytes) noexcept {
  void* block = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return block == MAP_FAILED ? nullptr : block;
}

// More than is needed, of which the ends go back.
void* map_aligned(std::size_t bytes, std::size_t alignment) noexcept {
  auto* begin = static_cast<char*>(map(bytes + alignment - page));
  if (!begin) return nullptr;
  const auto address = reinterpret_cast<std::uintptr_t>(begin);
  const std::size_t before = (alignment - address % alignment) % alignment;
  const std::size_t behind = alignment - page - before;
  if (before != 0) munmap(begin, before);
  if (behind != 0) munmap(begin + before + bytes, behind);
  return begin + before;
}

}  // namespace

void* system_allocate(std::size_t bytes, std::size_t alignment) noexcept {
  if (refused()) return nullptr;
  if (!pooled || bytes < map_from) return std::aligned_alloc(alignment, bytes);
  bytes = whole_pages(bytes);
  if (bytes >= 2 * huge_page) alignment = huge_page;
  void* block = alignment > page ? map_aligned(bytes, alignment) : map(bytes);
#ifdef MADV_HUGEPAGE
  // Only a wish: what it returns does not matter.
  if (block && bytes >= 2 * huge_page) madvise(block, bytes / huge_page * huge_page, MADV_HUGEPAGE);
#endif
  return block;
}

void system_free(void* block, std::size_t bytes) noexcept {
  if (!pooled || bytes < map_from)
    std::free(block);
  else
    munmap(block, whole_pages(bytes));
}

void system_discard(void* begin, std::size_t bytes) noexcept {
#ifdef MADV_DONTNEED
  const auto address = reinterpret_cast<std::uintptr_t>(begin);
  const std::uintptr_t first = whole_pages(address), last = (address + bytes) / page * page;
  if (first < last) madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
#endif
}

#else

void system_discard(void*, std::size_t) noexcept {}

void* system_allocate(std::size_t bytes, std::size_t alignment) noexcept {
  return refused() ? nullptr : std::aligned_alloc(alignment, bytes);
}
void system_free(void* block, std::size_t) noexcept { std::free(block); }

#endif

}  // namespace chainrule::memory
