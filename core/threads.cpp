#include <chainrule/core/threads.hpp>

#include <dlfcn.h>
#include <fmt/format.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/auxv.h>

#include <atomic>
#include <bit>
#include <condition_variable>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <new>
#include <thread>

#include <chainrule/core/fork.hpp>

namespace chainrule {

namespace {

constexpr int most_threads = 1024;

std::atomic<int> chosen{0};  // 0: nobody has said

int default_threads() noexcept {
  if (const char* said = std::getenv("OMP_NUM_THREADS"))
    if (const int count = std::atoi(said); count >= 1 && count <= most_threads) return count;
  cpu_set_t processors;
  if (sched_getaffinity(0, sizeof processors, &processors) == 0)
    return std::clamp(CPU_COUNT(&processors), 1, most_threads);
  return std::clamp(static_cast<int>(std::thread::hardware_concurrency()), 1, most_threads);
}

}  // namespace

int num_threads() noexcept {
  if (const int count = chosen.load(std::memory_order_relaxed); count != 0) return count;
  static const int by_default = default_threads();
  return by_default;
}

void set_num_threads(int count, Where where) {
  if (count < 1 || count > most_threads)
    throw ValueError(
        fmt::format("set_num_threads: {} threads; there can be from 1 to {}", count, most_threads),
        where,
        "1 computes on the calling thread alone; std::thread::hardware_concurrency() is usual");
  chosen.store(count, std::memory_order_relaxed);
}

namespace detail {

namespace {

// How often somebody who waits looks before he sleeps: some 10 µs. Work often comes again sooner
// than a sleeping thread wakes, and on a busy machine no more than that is lost.
constexpr int looks = 200;

// True inside of a part.
thread_local constinit bool in_part = false;

// The parts of one call of run_parts(), on its stack.
struct Job {
  void (*part)(const void*, int);
  const void* context;
  int parts;
  int places;                   // for workers; changed under the pool's lock
  std::atomic<int> next{0};     // the first part that nobody has taken
  std::atomic<int> workers{0};  // that are inside; counted under the pool's lock
  std::atomic<bool> failed{false};
  std::exception_ptr error;
  Job* following = nullptr;

  void run() noexcept {
    in_part = true;
    for (int i; (i = next.fetch_add(1, std::memory_order_relaxed)) < parts;) {
      try {
        part(context, i);
      } catch (...) {
        if (!failed.exchange(true)) error = std::current_exception();
        next.store(parts, std::memory_order_relaxed);
      }
    }
    in_part = false;
  }
};

// What was loaded by dlopen() is not unloaded by dlclose(): the code that workers sleep in stays.
// (Not when the first worker starts: that would wait for a loader whose initialisers wait for it.)
[[maybe_unused]] const bool stays_loaded = [] {
  Dl_info part, program;
  if (dladdr(&chosen, &part) == 0 || !part.dli_fname) return false;
  const auto entry = getauxval(AT_ENTRY);
  if (dladdr(std::bit_cast<const void*>(entry), &program) != 0 &&
      program.dli_fbase == part.dli_fbase)
    return true;
  return dlopen(part.dli_fname, RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE) != nullptr;
}();

// Never destroyed: its workers sleep while the program ends.
struct Pool {
  std::mutex mutex;
  std::condition_variable work, done;
  Job* jobs = nullptr;  // with places, which may have parts that nobody has taken
  int workers = 0;
  int sleeping = 0;
  std::atomic<int> jobs_ever{0};  // for workers that look before they sleep

  void add(Job& job) {
    const int helpers = job.places;
    int to_wake;
    {
      const std::lock_guard lock(mutex);
      while (workers < helpers && start_worker()) {
      }
      job.following = jobs;
      jobs = &job;
      jobs_ever.fetch_add(1, std::memory_order_release);
      to_wake = std::min(helpers, sleeping);
    }
    for (int i = 0; i < to_wake; ++i) work.notify_one();
  }
  // No worker begins with it any more.
  void remove(Job& job) noexcept {
    for (Job** link = &jobs; *link; link = &(*link)->following)
      if (*link == &job) {
        *link = job.following;
        return;
      }
  }
  void finish(Job& job) {
    {
      const std::lock_guard lock(mutex);
      remove(job);
    }
    for (int i = 0; i < looks && job.workers.load(std::memory_order_acquire) != 0; ++i) pause();
    std::unique_lock lock(mutex);
    done.wait(lock, [&] { return job.workers.load(std::memory_order_acquire) == 0; });
  }

 private:
  bool start_worker() noexcept;
  [[noreturn]] void work_for_ever();
};

// In memory that is never destroyed; a child of fork() makes it anew.
alignas(Pool) char pool_memory[sizeof(Pool)];
Pool& the_pool() {
  static Pool* const made = [] {
    Pool* pool = new (pool_memory) Pool;
    const HeldOverFork held(pool->mutex);
    // The child has none of the workers, and nobody else's job.
    call_in_child([] {
      new (pool_memory) Pool;
      in_part = false;
    });
    return pool;
  }();
  return *made;
}

bool Pool::start_worker() noexcept {
  // Signals are for the program's own threads.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  bool started = false;
  try {
    std::thread([this] { work_for_ever(); }).detach();
    started = true;
    ++workers;
  } catch (...) {  // the system has no more threads: it is done with those that there are
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return started;
}

void Pool::work_for_ever() {
  std::unique_lock lock(mutex);
  for (;;) {
    if (Job* job = jobs) {
      job->workers.fetch_add(1, std::memory_order_relaxed);
      if (--job->places == 0) remove(*job);
      lock.unlock();
      job->run();
      lock.lock();
      remove(*job);
      if (job->workers.fetch_sub(1, std::memory_order_release) == 1) done.notify_all();
      continue;
    }
    const int seen = jobs_ever.load(std::memory_order_relaxed);
    lock.unlock();
    for (int i = 0; i < looks && jobs_ever.load(std::memory_order_acquire) == seen; ++i) pause();
    lock.lock();
    ++sleeping;
    work.wait(lock, [this] { return jobs != nullptr; });
    --sleeping;
  }
}

}  // namespace

int team_size() noexcept { return in_part ? 1 : num_threads(); }

void run_parts(int parts, void (*part)(const void*, int), const void* context) {
  const int helpers = std::min(parts, team_size()) - 1;
  if (helpers <= 0) {
    for (int i = 0; i < parts; ++i) part(context, i);
    return;
  }
  Job job{part, context, parts, helpers, {}, {}, {}, {}, nullptr};
  Pool& pool = the_pool();
  pool.add(job);
  job.run();
  pool.finish(job);
  if (job.failed) std::rethrow_exception(job.error);
}

}  // namespace detail
}  // namespace chainrule
