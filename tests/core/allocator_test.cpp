#include <doctest/doctest.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <thread>
#include <utility>
#include <vector>

#include <chainrule/core/allocator.hpp>
#include <chainrule/core/create.hpp>
#include <chainrule/core/error.hpp>
#include <chainrule/tests/core/error_of.hpp>

using namespace chainrule;

TEST_SUITE_BEGIN("core");

namespace {

constexpr std::int64_t mebibyte = 1 << 20;

// What one step of a program of constant shapes might allocate.
void step() {
  std::vector<Tensor> held;
  for (const std::int64_t n : {1, 3, 16, 64, 200, 300, 5000, 100'000})
    for (int i = 0; i < 20; ++i) held.push_back(zeros({n}));
}

}  // namespace

TEST_CASE("allocator: live bytes rise and fall with tensors") {
  const std::int64_t before = memory_stats().live_bytes;
  {
    const Tensor large = zeros({mebibyte / 4});
    const std::int64_t held = memory_stats().live_bytes - before;
    CHECK(held >= mebibyte);
    CHECK(held <= mebibyte * 9 / 8 + 1024);  // sizes are rounded up by at most an eighth
    const Tensor small = zeros({4});
    const std::int64_t more = memory_stats().live_bytes - before - held;
    CHECK(more >= 16);
    CHECK(more <= 256);
    const Tensor copy = large;
    CHECK(memory_stats().live_bytes - before == held + more);
  }
  CHECK(memory_stats().live_bytes == before);
}

TEST_CASE("allocator: the peak is the largest number of live bytes") {
  reset_peak_memory();
  const std::int64_t before = memory_stats().live_bytes;
  {
    const Tensor large = zeros({mebibyte / 2});
  }
  const MemoryStats after = memory_stats();
  CHECK(after.live_bytes == before);
  CHECK(after.peak_bytes >= before + 2 * mebibyte);
  CHECK(after.peak_bytes <= before + 2 * mebibyte * 9 / 8 + 1024);
  reset_peak_memory();
  CHECK(memory_stats().peak_bytes == before);
}

TEST_CASE("allocator: a peak of small blocks is counted") {
  reset_peak_memory();
  const std::int64_t before = memory_stats().live_bytes;
  std::vector<Tensor> held;
  for (int i = 0; i < 100; ++i) held.push_back(zeros({8}));
  const std::int64_t highest = memory_stats().live_bytes;
  held.clear();
  CHECK(highest - before >= 100 * 32);
  CHECK(memory_stats().peak_bytes == highest);
}

TEST_CASE("allocator: a peak that nobody looked at is counted, too") {
  const auto peak_of = [](std::int64_t count, bool looked_at) {
    reset_peak_memory();
    const std::int64_t before = memory_stats().live_bytes;
    std::vector<Tensor> held;
    held.reserve(100);
    for (std::int64_t i = 0; i < count; ++i) held.push_back(zeros({8}));
    if (looked_at) CHECK(memory_stats().peak_bytes == memory_stats().live_bytes);
    held.clear();
    CHECK(memory_stats().live_bytes == before);
    return memory_stats().peak_bytes - before;
  };
  for (const std::int64_t count : {1, 10, 100}) {
    const std::int64_t peak = peak_of(count, true);
    CHECK(peak >= count * 32);
    CHECK(peak_of(count, false) == peak);
  }
}

TEST_CASE("allocator: what is freed is cached, in full, until it is used again") {
  if (!memory::pooled) return;
  trim_memory();
  for (const std::size_t size : {1100, 5000, 70001, 3000001}) {
    const std::int64_t before = memory_stats().live_bytes;
    void* block = memory::allocate(size);
    const std::int64_t held = memory_stats().live_bytes - before;
    CHECK(held >= static_cast<std::int64_t>(size));
    memory::deallocate(block, size);
    CHECK(memory_stats().cached_bytes == held);
    void* again = memory::allocate(size - 1);  // of the same class
    CHECK(again == block);
    CHECK(memory_stats().cached_bytes == 0);
    memory::deallocate(again, size - 1);
    trim_memory();
  }
}

TEST_CASE("allocator: a loop of constant shapes makes no request to the system") {
  if (!memory::pooled) return;  // under AddressSanitizer every block comes from the system
  for (int i = 0; i < 3; ++i) step();
  const std::int64_t requests = memory_stats().system_requests;
  CHECK(requests > 0);
  for (int i = 0; i < 100; ++i) step();
  CHECK(memory_stats().system_requests == requests);
}

TEST_CASE("allocator: large blocks are kept until they are trimmed") {
  if (!memory::pooled) return;
  {
    const Tensor large = zeros({mebibyte});
  }
  CHECK(memory_stats().cached_bytes >= 4 * mebibyte);
  trim_memory();
  CHECK(memory_stats().cached_bytes == 0);
  const Tensor again = zeros({mebibyte});
  CHECK(again.at({mebibyte - 1}) == 0);
}

#if defined(__GLIBC__)
TEST_CASE("allocator: what is trimmed is resident no more") {
  if (!memory::pooled) return;
  const auto resident = [] {
    std::ifstream file("/proc/self/statm");
    std::int64_t all = 0, pages = 0;
    file >> all >> pages;
    return pages * sysconf(_SC_PAGESIZE);
  };
  trim_memory();
  {
    std::vector<Tensor> tensors;  // too small for malloc to map each for itself
    for (int i = 0; i < 640; ++i) tensors.push_back(ones({mebibyte / 64}));
  }
  const std::int64_t before = resident();
  CHECK(memory_stats().cached_bytes >= 40 * mebibyte);
  trim_memory();
  CHECK(before - resident() >= 30 * mebibyte);  // pages with a part that is in use stay
}
#endif

TEST_CASE("allocator: blocks are aligned, apart, and wholly usable") {
  struct Block {
    unsigned char* at;
    std::size_t size;
    unsigned char mark;
  };
  std::vector<Block> blocks;
  for (std::size_t size = 0; size < 3000; size += 7) {
    auto* at = static_cast<unsigned char*>(memory::allocate(size));
    const std::size_t alignment = size > memory::largest_small ? 64 : 16;
    CHECK(reinterpret_cast<std::uintptr_t>(at) % alignment == 0);
    const auto mark = static_cast<unsigned char>(size);
    std::memset(at, mark, size);
    blocks.push_back({at, size, mark});
  }
  for (const Block& block : blocks) {
    CHECK(std::all_of(block.at, block.at + block.size,
                      [&](unsigned char byte) { return byte == block.mark; }));
    memory::deallocate(block.at, block.size);
  }
}

TEST_CASE("allocator: blocks freed by another thread are found again") {
  const std::int64_t before = memory_stats().live_bytes;
  std::int64_t requests = 0;
  for (int round = 0; round < 20; ++round) {
    std::vector<Tensor> held;
    for (int i = 0; i < 3000; ++i) held.push_back(zeros({i % 50}));
    std::thread([&] { held.clear(); }).join();
    CHECK(memory_stats().live_bytes == before);
    if (round == 2) requests = memory_stats().system_requests;
  }
  if (memory::pooled) CHECK(memory_stats().system_requests == requests);
}

TEST_CASE("allocator: many threads at once") {
  const std::int64_t before = memory_stats().live_bytes;
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t)
    threads.emplace_back([t, &wrong] {
      std::vector<Tensor> held(64);
      std::uint32_t state = 12345u + static_cast<std::uint32_t>(t);
      for (int i = 0; i < 5000; ++i) {
        state = state * 1664525u + 1013904223u;
        Tensor& slot = held[state >> 26];
        if (slot.defined())
          for (const double x : slot.to_vector<double>()) wrong += x != t;
        slot = full({(state >> 8) % 300}, t, f64);
      }
    });
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == 0);
  CHECK(memory_stats().live_bytes == before);
}

TEST_CASE("allocator: the figures agree with each other, over blocks of all sizes and threads") {
  const std::int64_t before = memory_stats().live_bytes;
  reset_peak_memory();
  std::int64_t asked = 0, most = 0;
  std::vector<std::pair<void*, std::size_t>> held;
  std::uint32_t state = 7;
  for (int i = 0; i < 4000; ++i) {
    state = state * 1664525u + 1013904223u;
    if (held.size() > 40 || (!held.empty() && (state >> 20) % 5 < 2)) {
      const std::size_t at = (state >> 8) % held.size();
      memory::deallocate(held[at].first, held[at].second);
      asked -= static_cast<std::int64_t>(held[at].second);
      held[at] = held.back();
      held.pop_back();
    } else {
      // From 1 byte to 1 MiB, all powers of two alike.
      const std::size_t size = (std::size_t{1} << (state >> 27) % 20) + (state >> 9) % 100;
      held.emplace_back(memory::allocate(size), size);
      asked += static_cast<std::int64_t>(size);
      most = std::max(most, asked);
    }
    if (i % 16 != 0) continue;
    const MemoryStats now = memory_stats();
    const std::int64_t live = now.live_bytes - before;
    CHECK(live >= asked);
    // A small block may be twice what was asked and 16 bytes; a large one has 6 % or 64 bytes more.
    CHECK(live <= asked * 17 / 16 + 41 * 64);
    CHECK(now.peak_bytes >= now.live_bytes);
    CHECK(now.cached_bytes >= 0);
  }
  const std::int64_t peak = memory_stats().peak_bytes - before;
  CHECK(peak >= most);
  CHECK(peak <= most * 17 / 16 + 41 * 64);
  // Freed by another thread, and counted all the same.
  std::thread([&] {
    for (const auto& [block, size] : held) memory::deallocate(block, size);
  }).join();
  CHECK(memory_stats().live_bytes == before);
  trim_memory();
  const MemoryStats after = memory_stats();
  CHECK(after.live_bytes == before);
  CHECK(after.cached_bytes == 0);
  CHECK(after.peak_bytes == before + peak);
}

TEST_CASE("allocator: what the system does not give is an error") {
  CHECK(error_of<MemoryError>([] { memory::allocate(std::size_t{1} << 63); }) ==
        "memory: 9223372036854775808 bytes are more than any machine has");
  if (!memory::pooled) return;  // AddressSanitizer ends the program instead
  const std::int64_t before = memory_stats().live_bytes;
  CHECK(error_of<MemoryError>([] { zeros({std::int64_t{1} << 50}); }) ==
        "zeros: no memory for (1125899906842624,) of f32\n  at HERE");
  CHECK(memory_stats().live_bytes == before);
}

TEST_SUITE_END();
