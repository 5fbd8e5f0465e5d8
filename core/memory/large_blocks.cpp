#include <chainrule/core/memory/large_blocks.hpp>

#include <algorithm>
#include <bit>
#include <new>

namespace chainrule::memory {

std::size_t round_large(std::size_t bytes) noexcept {
  const std::size_t step = std::max<std::size_t>(std::bit_floor(bytes) / LargeBlocks::steps, 64);
  return (bytes + step - 1) / step * step;
}

std::size_t LargeBlocks::class_of(std::size_t bytes) noexcept {
  const auto power = static_cast<std::size_t>(std::bit_width(bytes) - 1);
  return power * steps + ((bytes >> (power - std::countr_zero(steps))) & (steps - 1));
}

void* LargeBlocks::take(std::size_t bytes) noexcept {
  KeptBlock* block = by_size_[class_of(bytes)];
  if (block) remove(block);
  return block;
}

void LargeBlocks::put(void* memory, std::size_t bytes, std::uint64_t stamp) noexcept {
  KeptBlock*& first = by_size_[class_of(bytes)];
  auto* block = new (memory) KeptBlock{{}, first, nullptr, bytes};
  if (first) first->previous = block;
  first = block;
  ages_.add(block, stamp);
  bytes_ += static_cast<std::int64_t>(bytes);
}

KeptBlock* LargeBlocks::take_oldest() noexcept {
  auto* block = static_cast<KeptBlock*>(ages_.oldest());
  remove(block);
  return block;
}

void LargeBlocks::remove(KeptBlock* block) noexcept {
  (block->previous ? block->previous->next : by_size_[class_of(block->bytes)]) = block->next;
  if (block->next) block->next->previous = block->previous;
  ages_.remove(block);
  bytes_ -= static_cast<std::int64_t>(block->bytes);
}

}  // namespace chainrule::memory
