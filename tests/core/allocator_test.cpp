#include <doctest/doctest.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <deque>
#include <fstream>
#include <memory>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include <chainrule/core/allocator.hpp>
#include <chainrule/core/create.hpp>
#include <chainrule/core/error.hpp>
#include <chainrule/graph/backward.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
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

// Resident memory of the process; 0 where the system does not say.
std::int64_t resident() {
  std::ifstream file("/proc/self/statm");
  std::int64_t all = 0, pages = 0;
  file >> all >> pages;
  return pages * sysconf(_SC_PAGESIZE);
}

// Tensors of so many different sizes, one after the other, from 4 bytes to 1 MiB.
void other_sizes(int count) {
  std::mt19937 random(5);
  for (int i = 0; i < count; ++i) zeros({static_cast<std::int64_t>(random() % (1 << 18)) + 1});
}

// What a thread frees at its very end, when it may have nothing of its own any more.
struct Late {
  Tensor tensor;
  ~Late() {
    const Tensor other = tensor * 2;
    tensor = {};
  }
};

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

TEST_CASE("allocator: after any history a loop of constant shapes asks for nothing") {
  if (!memory::pooled) return;
  other_sizes(3000);  // some 1.5 GB in all, more than is kept
  const auto large_graph = [] {
    Tensor y = tensor(1.0, f64).requires_grad_();
    for (int i = 0; i < 30'000; ++i) y = y * 1.0;
    y.backward();
  };
  for (const bool graph : {false, true}) {
    for (int i = 0; i < 3; ++i) graph ? large_graph() : step();
    const std::int64_t requests = memory_stats().system_requests;
    for (int i = 0; i < 20; ++i) graph ? large_graph() : step();
    CHECK(memory_stats().system_requests == requests);
  }
}

TEST_CASE("allocator: what is kept is at most the peak and 64 MiB") {
  if (!memory::pooled) return;
  trim_memory();
  reset_peak_memory();
  const std::int64_t before = resident();
  std::int64_t kept = 0;
  std::mt19937 random(6);
  for (int i = 0; i < 2000; ++i) {
    zeros({static_cast<std::int64_t>(random() % (1 << 19)) + 1});
    const MemoryStats now = memory_stats();
    kept = std::max(kept, now.cached_bytes);
    REQUIRE(now.cached_bytes <= now.peak_bytes + 64 * mebibyte);
  }
  CHECK(kept > 32 * mebibyte);
  CHECK(resident() - before <= 2 * memory_stats().peak_bytes + 64 * mebibyte);
}

#if defined(__GLIBC__)
// As batches of 1 … 512 samples leave them: blocks of which malloc() keeps what it gets back.
TEST_CASE("allocator: what malloc() keeps of blocks counts, too") {
  if (!memory::pooled) return;
  trim_memory();
  reset_peak_memory();
  const std::int64_t before = resident();
  std::vector<std::unique_ptr<char[]>> others;  // what a program has of its own in between
  for (int round = 0; round < 2; ++round)
    for (std::int64_t batch = 1; batch <= 512; ++batch) {
      std::vector<Tensor> step;
      for (const std::int64_t features : {784, 256, 256, 256, 256, 256, 784}) {
        step.push_back(zeros({batch, features}));
        others.push_back(std::make_unique<char[]>(64));
      }
    }
  CHECK(resident() - before <= 2 * memory_stats().peak_bytes + 64 * mebibyte);
}
#endif

// Small tensors that a program keeps for a while, of every step some, while its sizes change: each
// holds a slab of a size that nobody asks for any more.
TEST_CASE("allocator: between small blocks that stay, little is kept") {
  if (!memory::pooled) return;
  trim_memory();
  reset_peak_memory();
  const std::int64_t before = resident(), live_before = memory_stats().live_bytes;
  std::mt19937 random(1);
  std::deque<Tensor> kept;
  for (int step = 0; step < 40; ++step) {
    std::vector<Tensor> made;
    for (int i = 0; i < 40'000; ++i) made.push_back(ones({1 + step * 5 % 200}));
    for (int i = 0; i < 400; ++i) kept.push_back(made[random() % made.size()]);
    made.clear();
    while (kept.size() > 4000) kept.pop_front();
    const std::int64_t peak = memory_stats().peak_bytes - live_before;
    REQUIRE(resident() - before <= 2 * peak + 64 * mebibyte);
  }
  CHECK(memory_stats().scattered_bytes > 0);
  trim_memory();
  // A page or two for each of them, and for the begins of their slabs.
  CHECK(resident() - before <= 4000 * 3 * 4096 + 4 * mebibyte);
}

TEST_CASE("allocator: small blocks that are trimmed are resident no more") {
  if (!memory::pooled) return;
  trim_memory();
  const std::int64_t before = resident();
  {
    std::vector<Tensor> tensors;
    tensors.reserve(400'000);
    for (int i = 0; i < 400'000; ++i) tensors.push_back(zeros({4}));
    CHECK(resident() - before >= 30 * mebibyte);
  }
  trim_memory();
  CHECK(resident() - before <= 4 * mebibyte);
  CHECK(memory_stats().cached_bytes == 0);
}

TEST_CASE("allocator: small blocks freed in any order come back in that of their addresses") {
  if (!memory::pooled) return;
  constexpr std::size_t count = 200'000, size = 96;
  std::vector<void*> blocks(count);
  for (void*& block : blocks) block = memory::allocate(size);
  std::shuffle(blocks.begin(), blocks.end(), std::mt19937(7));
  for (void* block : blocks) memory::deallocate(block, size);
  for (void*& block : blocks) block = memory::allocate(size);
  std::size_t ascending = 0;
  for (std::size_t i = 1; i < count; ++i) ascending += blocks[i - 1] < blocks[i];
  // All but the last ones that were freed, which the processor's caches may still hold.
  CHECK(ascending >= count * 9 / 10);
  for (void* block : blocks) memory::deallocate(block, size);
}

TEST_CASE("allocator: nothing stays behind for a thread that only frees, or frees at its end") {
  const std::int64_t before = memory_stats().live_bytes;
  const auto threads = [](int count) {
    for (int i = 0; i < count; ++i) {
      std::vector<Tensor> tensors;
      for (int k = 0; k < 200; ++k) tensors.push_back(zeros({k}));
      std::thread([&] { tensors.clear(); }).join();
      std::thread([] {
        thread_local Late late;
        late.tensor = ones({3});
      }).join();
    }
  };
  threads(10);
  const std::int64_t held = resident();
  threads(1000);
  CHECK(memory_stats().live_bytes == before);
  if (memory::pooled) CHECK(resident() - held <= 2 * mebibyte);
}

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
        "zeros: no memory for (1125899906842624,) of f32\n  at HERE\n  hint: that takes "
        "4503599627370496 bytes; memory_stats() says how many are in use");
  CHECK(memory_stats().live_bytes == before);
}

TEST_SUITE_END();
