#pragma once

#include <algorithm>
#include <cstdint>

#include <chainrule/core/error.hpp>

/// The threads inside of operations. Small work stays on the calling thread; large work is cut into
/// parts, which the calling thread and a pool of workers take one after the other. A worker that
/// has nothing to do soon sleeps, and nobody waits for a worker that has not begun: on a machine
/// that is busy with other things the calling thread does the parts itself. Several threads of a
/// program that compute at the same time share the workers.

namespace chainrule {

/// How many threads an operation may use: what set_num_threads() said, or else the environment's
/// OMP_NUM_THREADS, or else the processors that this process may use.
int num_threads() noexcept;

/// Sets it, for all threads of the process. Throws ValueError unless it is from 1 to 1024. Results
/// of different numbers of threads agree within rounding; elementwise operations and reductions
/// give the same bits.
void set_num_threads(int count, Where where = Where::current());

namespace detail {

/// Tells the processor that this thread waits for another one by looking again.
inline void pause() noexcept {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

/// num_threads(), or 1 inside of a part, which is parallel already.
int team_size() noexcept;

/// Elements that are worth a thread: to wake a worker takes some 10 µs.
inline constexpr std::int64_t elements_for_thread = 1 << 17;

/// In how many parts of at least `grain` units `work` units are worth doing; at most team_size().
inline int threads_for(std::int64_t work, std::int64_t grain) noexcept {
  if (work < 2 * grain) return 1;
  return static_cast<int>(std::min<std::int64_t>(team_size(), work / grain));
}

/// Calls part(context, i) for i in 0 … parts − 1, on the calling thread and on workers. What parts
/// throw is thrown here, the first of it, once none runs any more.
void run_parts(int parts, void (*part)(const void* context, int i), const void* context);

/// Calls f(begin, end) for parts of 0 … count − 1 that together are all of it, in parallel where
/// there are enough of at least `grain`. Parts begin at multiples of `alignment`. The results of f
/// must not depend on where the parts begin.
template <class F>
void parallel_for(std::int64_t count, std::int64_t grain, const F& f, std::int64_t alignment = 64) {
  const int parts = threads_for(count, grain);
  if (parts <= 1) {
    f(std::int64_t{0}, count);
    return;
  }
  struct Context {
    const F& f;
    std::int64_t count, step;
  };
  const Context context{f, count,
                        ((count + parts - 1) / parts + alignment - 1) / alignment * alignment};
  run_parts(
      parts,
      [](const void* data, int i) {
        const Context& c = *static_cast<const Context*>(data);
        const std::int64_t begin = std::min(c.count, i * c.step);
        const std::int64_t end = std::min(c.count, begin + c.step);
        if (begin < end) c.f(begin, end);
      },
      &context);
}

/// The same for rows of so many elements each, which are worked on one by one.
template <class F>
void parallel_rows(std::int64_t rows, std::int64_t elements_each, const F& f) {
  parallel_for(rows, elements_for_thread / (elements_each + 1) + 1, f, 1);
}

}  // namespace detail
}  // namespace chainrule
