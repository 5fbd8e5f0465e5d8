#include <doctest/doctest.h>

#include <cmath>
#include <thread>
#include <vector>

#include <chainrule/core/create.hpp>
#include <chainrule/core/recording.hpp>
#include <chainrule/graph/backward.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/linalg/matmul.hpp>
#include <chainrule/ops/reduce/reduction.hpp>

using namespace chainrule;

TEST_SUITE_BEGIN("graph");

namespace {

constexpr int thread_count = 4, rounds = 200;

}  // namespace

TEST_CASE("threads with graphs of their own") {
  const std::int64_t before = live_nodes();
  std::vector<double> results(thread_count);
  std::vector<std::thread> threads;
  for (int t = 0; t < thread_count; ++t)
    threads.emplace_back([t, &results] {
      for (int round = 0; round < rounds; ++round) {
        const Tensor w = full({8, 8}, 0.5 + t, f64).requires_grad_();
        Tensor h = ones({8, 8}, f64);
        for (int i = 0; i < 5; ++i) h = matmul(h, w) * 0.125;
        sum(h).backward();
        results[static_cast<std::size_t>(t)] = sum(w.grad()).item();
      }
    });
  for (std::thread& thread : threads) thread.join();
  // h = w⁵ everywhere (each product sums eight equal terms), so Σ dL/dw = 64 · 5 w⁴.
  for (int t = 0; t < thread_count; ++t)
    CHECK(results[static_cast<std::size_t>(t)] ==
          doctest::Approx(320 * std::pow(0.5 + t, 4)).epsilon(1e-12));
  CHECK(live_nodes() == before);
}

TEST_CASE("threads that share parameters and read gradients with grad()") {
  const Tensor w = tensor({1.0, 2.0, 3.0}, f64).requires_grad_();
  const Tensor data = tensor({4.0, 5.0, 6.0}, f64);
  std::vector<int> right(thread_count);
  std::vector<std::thread> threads;
  for (int t = 0; t < thread_count; ++t)
    threads.emplace_back([&, t] {
      for (int round = 0; round < rounds; ++round) {
        const double factor = t + round;
        const Tensor g = grad(sum(w * data * w * factor), w);
        right[static_cast<std::size_t>(t)] += g.at({1}) == 2 * 2.0 * 5.0 * factor;
      }
    });
  for (std::thread& thread : threads) thread.join();
  for (int count : right) CHECK(count == rounds);
  CHECK_FALSE(w.grad().defined());
}

TEST_CASE("a graph made by one thread is differentiated and freed by another") {
  const std::int64_t before = live_nodes();
  double slope = 0;
  {
    const Tensor x = tensor(2.0, f64).requires_grad_();
    Tensor y = x;
    for (int i = 0; i < 1000; ++i) y = y * 1.0 + 0.0;
    std::thread other([y = std::move(y), x, &slope]() mutable {
      y.backward();
      slope = x.grad().item();
      y = Tensor();
    });
    other.join();
  }
  CHECK(slope == 1.0);
  CHECK(live_nodes() == before);
}

TEST_CASE("recording is switched off for one thread only") {
  const NoGrad guard;
  bool inside = false;
  std::thread other([&] { inside = is_recording(); });
  other.join();
  CHECK(inside);
  CHECK_FALSE(is_recording());
}

TEST_SUITE_END();
