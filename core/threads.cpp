#include <chainrule/core/threads.hpp>

#include <fmt/format.h>

#include <atomic>

#ifdef _OPENMP
#include <omp.h>
#endif

namespace chainrule {

namespace {

constexpr int most_threads = 1024;  // more would end the program when they cannot be made

std::atomic<int> chosen{0};  // 0: nobody has said

}  // namespace

int num_threads() noexcept {
#ifdef _OPENMP
  const int count = chosen.load(std::memory_order_relaxed);
  return count != 0 ? count : omp_get_max_threads();
#else
  return 1;
#endif
}

void set_num_threads(int count, Where where) {
  if (count < 1 || count > most_threads)
    throw ValueError(
        fmt::format("set_num_threads: {} threads; there can be from 1 to {}", count, most_threads),
        where);
  chosen.store(count, std::memory_order_relaxed);
}

namespace detail {

#ifdef _OPENMP

int team_size() noexcept { return omp_in_parallel() ? 1 : num_threads(); }

// The number belongs to the calling thread alone, and is put back.
PoolSize::PoolSize(int threads) noexcept : before_(omp_get_max_threads()) {
  if (threads != before_) omp_set_num_threads(threads);
}
PoolSize::~PoolSize() {
  if (omp_get_max_threads() != before_) omp_set_num_threads(before_);
}

void run_parts(int parts, void (*part)(const void*, int), const void* context) noexcept {
#pragma omp parallel for num_threads(std::min(parts, team_size())) schedule(static, 1)
  for (int i = 0; i < parts; ++i) part(context, i);
}

#else

int team_size() noexcept { return 1; }

PoolSize::PoolSize(int) noexcept : before_(1) {}
PoolSize::~PoolSize() = default;

void run_parts(int parts, void (*part)(const void*, int), const void* context) noexcept {
  for (int i = 0; i < parts; ++i) part(context, i);
}

#endif

}  // namespace detail
}  // namespace chainrule
