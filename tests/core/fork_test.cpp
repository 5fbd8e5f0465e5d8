#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include <chainrule/core/allocator.hpp>
#include <chainrule/core/create.hpp>
#include <chainrule/core/threads.hpp>
#include <chainrule/graph/backward.hpp>
#include <chainrule/ops/elementwise/functions.hpp>
#include <chainrule/ops/linalg/matmul.hpp>
#include <chainrule/ops/reduce/reduction.hpp>

using namespace chainrule;

TEST_SUITE_BEGIN("core");

namespace {

// Σ exp(a·b) for a of 1 / n and b of ones, both (n, n): each element of a·b is 1, so each element
// of the gradient with respect to a is Σ over n columns of e = n·e.
bool step(std::int64_t n) {
  const Tensor a = full({n, n}, 1.0 / static_cast<double>(n)).requires_grad_();
  sum(exp(matmul(a, ones({n, n})))).backward();
  const double got = a.grad().at({n - 1, n - 1}),
               right = 2.718281828459045 * static_cast<double>(n);
  return got > right * 0.999 && got < right * 1.001;
}

// Whether a child that computes comes to its end, with the right result.
bool child_computes(std::int64_t n) {
  const pid_t child = fork();
  if (child == 0) {
    alarm(30);  // ends a child that hangs
    _exit(step(n) ? 0 : 1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

}  // namespace

TEST_CASE("fork: a child computes on threads of its own") {
  const int before = num_threads();
  set_num_threads(2);
  CHECK(step(1200));
  CHECK(child_computes(1200));
  CHECK(step(1200));
  CHECK(child_computes(1200));
  set_num_threads(before);
}

// AddressSanitizer's own allocator has locks that a fork may find taken, and a child then hangs.
TEST_CASE("fork: beside threads that compute" * doctest::skip(!memory::pooled)) {
  const int before = num_threads();
  set_num_threads(2);
  std::atomic<bool> stop{false};
  std::atomic<int> wrong{0};
  std::thread small([&] {
    while (!stop) wrong += !step(40);
  });
  std::thread large([&] {
    while (!stop) wrong += !step(300);
  });
  int computed = 0;
  for (int i = 0; i < 40; ++i) computed += child_computes(100);
  stop = true;
  small.join();
  large.join();
  set_num_threads(before);
  CHECK(computed == 40);
  CHECK(wrong == 0);
}

TEST_SUITE_END();
