#pragma once

#include <mutex>

/// What makes the library usable in a child of fork(): no lock is held there by a thread that the
/// child does not have.

namespace chainrule::detail {

/// From its construction on fork() waits until the lock is free, and both processes have it free
/// afterwards. There can be 16; the mutex must live for ever.
struct HeldOverFork {
  explicit HeldOverFork(std::mutex& mutex) noexcept;
};

/// From now on f() is called in each child of fork(), before any of its code.
void call_in_child(void (*f)()) noexcept;

}  // namespace chainrule::detail
