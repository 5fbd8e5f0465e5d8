#pragma once

#include <algorithm>
#include <cstdint>

#include <chainrule/core/error.hpp>

/// The threads inside of operations: those of OpenMP's pool, which oneDNN uses, too. Small work
/// stays on the calling thread. (Several threads of a program that compute at the same time have a
/// pool each.)

namespace chainrule {

/// How many threads an operation may use: what set_num_threads() said, or else OpenMP's own
/// default (the processors of this machine, or OMP_NUM_THREADS). 1 in a build without OpenMP.
int num_threads() noexcept;

/// Sets it, for all threads of the process; no other user of OpenMP notices. Throws ValueError
/// unless it is from 1 to 1024. Results of different numbers of threads agree within rounding;
/// elementwise operations and reductions give the same bits.
void set_num_threads(int count, Where where = Where::current());

namespace detail {

/// num_threads(), or 1 on a thread of an OpenMP team, which is parallel already.
int team_size() noexcept;

/// Elements that are worth a thread: a team takes some 10 µs to begin and to end.
inline constexpr std::int64_t elements_for_thread = 1 << 17;

/// In how many parts of at least `grain` units `work` units are worth doing; at most team_size().
inline int threads_for(std::int64_t work, std::int64_t grain) noexcept {
  if (work < 2 * grain) return 1;
  return static_cast<int>(std::min<std::int64_t>(team_size(), work / grain));
}

/// While it lives, libraries that this thread calls use at most `threads` threads of the pool.
class PoolSize {
 public:
  explicit PoolSize(int threads) noexcept;
  PoolSize(const PoolSize&) = delete;
  PoolSize& operator=(const PoolSize&) = delete;
  ~PoolSize();

 private:
  int before_;
};

/// Calls part(context, i) for i in 0 … parts − 1, on the pool's threads. `part` does not throw.
void run_parts(int parts, void (*part)(const void* context, int i), const void* context) noexcept;

/// Calls f(begin, end) for parts of 0 … count − 1 that together are all of it, in parallel where
/// there are enough of at least `grain`. Parts begin at multiples of `alignment`. f must not throw,
/// and give results that do not depend on where the parts begin.
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
