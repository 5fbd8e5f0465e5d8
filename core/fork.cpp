#include <chainrule/core/fork.hpp>

#include <pthread.h>

#include <cassert>
#include <cstddef>

namespace chainrule::detail {

namespace {

constexpr std::size_t most = 16;
constinit std::mutex* mutexes[most] = {};
constinit std::size_t mutex_count = 0;
using Callback = void (*)();
constinit Callback in_child[most] = {};
constinit std::size_t in_child_count = 0;

void unlock_all() {
  for (std::size_t i = 0; i < mutex_count; ++i) mutexes[i]->unlock();
}

// Where one of them is held by a thread that waits for another, all are let go, and that one is
// waited for first: in whatever order the threads take them, nobody waits for ever.
void lock_all() {
  std::size_t first = 0;
  for (;;) {
    if (mutex_count == 0) return;
    mutexes[first]->lock();
    std::size_t taken = 0;
    while (taken < mutex_count && (taken == first || mutexes[taken]->try_lock())) ++taken;
    if (taken == mutex_count) return;
    for (std::size_t i = 0; i < taken; ++i)
      if (i != first) mutexes[i]->unlock();
    mutexes[first]->unlock();
    first = taken;
  }
}

void after_in_child() {
  unlock_all();
  for (std::size_t i = 0; i < in_child_count; ++i) in_child[i]();
}

void register_handlers() noexcept {
  [[maybe_unused]] static const int registered =
      pthread_atfork(lock_all, unlock_all, after_in_child);
}

}  // namespace

HeldOverFork::HeldOverFork(std::mutex& mutex) noexcept {
  assert(mutex_count < most);
  mutexes[mutex_count++] = &mutex;
  register_handlers();
}

void call_in_child(void (*f)()) noexcept {
  assert(in_child_count < most);
  in_child[in_child_count++] = f;
  register_handlers();
}

}  // namespace chainrule::detail
