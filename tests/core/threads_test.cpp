#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <limits>
#include <thread>
#include <vector>

#include <chainrule/core/create.hpp>
#include <chainrule/core/random.hpp>
#include <chainrule/core/threads.hpp>
#include <chainrule/graph/backward.hpp>
#include <chainrule/nn/layers/activations.hpp>
#include <chainrule/nn/layers/linear.hpp>
#include <chainrule/nn/layers/sequential.hpp>
#include <chainrule/nn/losses/losses.hpp>
#include <chainrule/nn/optim/adam.hpp>
#include <chainrule/nn/optim/sgd.hpp>
#include <chainrule/ops/elementwise/activations.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/elementwise/convert.hpp>
#include <chainrule/ops/elementwise/functions.hpp>
#include <chainrule/ops/linalg/matmul.hpp>
#include <chainrule/ops/nn/cross_entropy.hpp>
#include <chainrule/ops/nn/layer_norm.hpp>
#include <chainrule/ops/nn/linear.hpp>
#include <chainrule/ops/nn/mse.hpp>
#include <chainrule/ops/nn/softmax.hpp>
#include <chainrule/ops/reduce/reduction.hpp>
#include <chainrule/ops/shape/indexing.hpp>
#include <chainrule/ops/shape/manipulation.hpp>
#include <chainrule/tests/core/error_of.hpp>

using namespace chainrule;

TEST_SUITE_BEGIN("core");

namespace {

struct Threads {
  explicit Threads(int count) : before(num_threads()) { set_num_threads(count); }
  ~Threads() { set_num_threads(before); }
  int before;
};

// What f() gives with two and three threads against one.
template <class F>
void check_same_bits(F f) {
  const auto with = [&](int threads) {
    const Threads some(threads);
    std::vector<std::vector<float>> numbers;
    for (const Tensor& each : f()) numbers.push_back(each.to_vector<float>());
    return numbers;
  };
  const auto alone = with(1);
  CHECK(with(2) == alone);
  CHECK(with(3) == alone);
}

}  // namespace

TEST_CASE("threads: a number that is set is what there is; zero and less are refused") {
  const Threads two(2);
  CHECK(num_threads() == 2);
  CHECK(error_of<ValueError>([] { set_num_threads(0); }) ==
        "set_num_threads: 0 threads; there can be from 1 to 1024\n  at HERE\n  hint: 1 "
        "computes on the calling thread alone; std::thread::hardware_concurrency() is usual");
  CHECK_THROWS_AS(set_num_threads(-3), ValueError);
  CHECK_THROWS_AS(set_num_threads(100000), ValueError);
}

TEST_CASE("threads: parts cover everything once") {
  for (const int threads : {1, 2, 3, 5}) {
    const Threads some(threads);
    for (const std::int64_t count : {0, 1, 63, 64, 65, 1000, 4097}) {
      std::vector<std::atomic<int>> seen(static_cast<std::size_t>(count));
      detail::parallel_for(count, 10, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) ++seen[static_cast<std::size_t>(i)];
      });
      bool once = true;
      for (const auto& each : seen) once = once && each == 1;
      CHECK(once);
    }
  }
}

TEST_CASE("threads: a part is not split again") {
  const Threads three(3);
  struct Seen {
    std::atomic<int> largest_team{0}, parts{0};
  } seen;
  detail::run_parts(
      6,
      [](const void* context, int) {
        Seen& all = *static_cast<Seen*>(const_cast<void*>(context));
        ++all.parts;
        if (const int team = detail::team_size(); team > all.largest_team) all.largest_team = team;
        // Also not by an operation of a part.
        CHECK(sum(ones({1 << 19})).item() == 1 << 19);
      },
      &seen);
  CHECK(seen.parts == 6);
  CHECK(seen.largest_team == 1);
  CHECK(detail::team_size() == 3);
}

TEST_CASE("threads: what a part throws comes out, and the next work is done as ever") {
  for (const int threads : {1, 2, 4}) {
    const Threads some(threads);
    for (const std::int64_t bad : {0, 5, 9}) {
      std::atomic<int> inside{0};
      const auto throwing = [&] {
        detail::parallel_for(
            10, 1,
            [&](std::int64_t begin, std::int64_t end) {
              ++inside;
              for (std::int64_t i = begin; i < end; ++i)
                if (i == bad) {
                  --inside;
                  throw ValueError("no number");
                }
              --inside;
            },
            1);
      };
      CHECK_THROWS_WITH_AS(throwing(), "no number", ValueError);
      CHECK(inside == 0);  // nobody is at work any more
      std::atomic<std::int64_t> total{0};
      detail::parallel_for(
          10, 1, [&](std::int64_t begin, std::int64_t end) { total += end - begin; }, 1);
      CHECK(total == 10);
    }
  }
}

TEST_CASE("threads: several threads share the workers") {
  const Threads two(2);
  const Tensor x = ones({1 << 20});
  std::atomic<int> wrong{0};
  std::vector<std::thread> callers;
  for (int t = 0; t < 4; ++t)
    callers.emplace_back([&, t] {
      for (int i = 0; i < 20; ++i) wrong += sum(x * static_cast<float>(t)).item() != t << 20;
    });
  for (std::thread& each : callers) each.join();
  CHECK(wrong == 0);
}

TEST_CASE("threads: rows are shared out evenly, and to no more threads than were set") {
  const Threads three(3);
  for (const std::int64_t rows : {2, 3, 32, 65, 100}) {
    std::atomic<std::int64_t> parts{0}, largest{0}, covered{0};
    detail::parallel_rows(rows, std::int64_t{1} << 20, [&](std::int64_t begin, std::int64_t end) {
      ++parts;
      covered += end - begin;
      std::int64_t seen = largest;
      while (end - begin > seen && !largest.compare_exchange_weak(seen, end - begin)) {
      }
    });
    CHECK(covered == rows);
    CHECK(parts <= 3);
    CHECK(largest == (rows + 2) / 3);
    CHECK(parts == std::min<std::int64_t>(rows, 3));
  }
  std::atomic<int> at_once{0}, most{0};
  detail::parallel_for(
      12, 1,
      [&](std::int64_t, std::int64_t) {
        const int now = ++at_once;
        for (int seen = most; now > seen && !most.compare_exchange_weak(seen, now);) {
        }
        --at_once;
      },
      1);
  CHECK(most <= 3);
}

TEST_CASE("threads: fused operations and optimizers give the same bits") {
  Generator generator(7);
  const Tensor x = randn({600, 700}, generator).requires_grad_();
  const Tensor w = randn({700}, generator).requires_grad_(), b = randn({700}, generator);
  const Tensor labels = randint(0, 700, {600}, generator), t = randn({600, 700}, generator);
  const Tensor narrow = randn({50000, 16}, generator), few = randn({4, 300000}, generator);
  check_same_bits([&] {
    std::vector<Tensor> results = {layer_norm(x, {700}, w, b), sum(narrow, 0), sum(few, 1),
                                   softmax(few), contiguous(x.T())};
    for (const Tensor& each : grad(sum(layer_norm(x, {700}, w, b) * t), {x, w}))
      results.push_back(each);
    results.push_back(grad(cross_entropy(x, labels), x));
    results.push_back(grad(mse_loss(x, t), x));
    results.push_back(grad(sum(square(x)), x));
    Tensor parameter = (x.detach() * 1.0F).requires_grad_();
    parameter.set_grad(t);
    nn::Adam({parameter}, 0.1).step();
    nn::SGD({parameter}, 0.1, {.momentum = 0.9}).step();
    results.push_back(parameter);
    return results;
  });
}

TEST_CASE("threads: the number is set while others compute") {
  const Threads one(1);
  Generator generator(8);
  const Tensor large = randn({600, 1001}, generator);
  const Tensor x = randn({200, 300}, generator), w = randn({256, 300}, generator);
  const auto step = [&] {
    const Tensor weight = w.detach().requires_grad_();
    sum(linear(x, weight, {}, Activation::tanh)).backward();
    return weight.grad().to_vector<float>();
  };
  const std::vector<float> total = sum(exp(large), 1).to_vector<float>(), gradient = step();
  std::atomic<bool> done{false};
  std::atomic<int> wrong{0};
  std::thread setter([&] {
    for (int i = 0; !done; ++i) set_num_threads(1 + i % 4);
  });
  std::vector<std::thread> others;
  for (int t = 0; t < 2; ++t)
    others.emplace_back([&] {
      for (int round = 0; round < 8; ++round) {
        wrong += sum(exp(large), 1).to_vector<float>() != total;
        const std::vector<float> other = step();
        // Sums of 200 products of size 1, in another order where oneDNN has other threads.
        for (std::size_t i = 0; i < other.size(); ++i)
          wrong += !(std::abs(other[i] - gradient[i]) <= 1e-4F);
      }
    });
  for (std::thread& each : others) each.join();
  done = true;
  setter.join();
  CHECK(wrong == 0);
}

TEST_CASE("threads: elementwise operations and reductions give the same bits") {
  Generator generator(5);
  const Tensor x = randn({700, 1001}, generator), y = randn({700, 1001}, generator);
  const Tensor row = randn({1001}, generator);
  check_same_bits([&] {
    std::vector<Tensor> results = {x + y,      x * row,       exp(x),         sigmoid(x.T()),
                                   sum(x),     sum(x, 0),     sum(x, 1),      max(x, 0),
                                   softmax(x), softmax(x, 0), log_softmax(x), mean(x, 1)};
    return results;
  });
}

TEST_CASE("threads: gradients of a network agree within rounding") {
  Generator generator(6);
  nn::Sequential model(nn::Linear(300, 256, {.generator = &generator}), nn::Tanh(),
                       nn::Linear(256, 10, {.generator = &generator}));
  const Tensor x = randn({400, 300}, generator), labels = randint(0, 10, {400}, generator);
  const auto gradient = [&](int threads) {
    const Threads some(threads);
    model.zero_grad();
    nn::CrossEntropyLoss()(model(x), labels).backward();
    return model.get<nn::Linear>(0).weight.grad().to_vector<float>();
  };
  const std::vector<float> one = gradient(1), two = gradient(2);
  double largest = 0, off = 0;
  for (std::size_t i = 0; i < one.size(); ++i) {
    largest = std::max(largest, std::abs(static_cast<double>(one[i])));
    off = std::max(off, std::abs(static_cast<double>(one[i]) - static_cast<double>(two[i])));
  }
  CHECK(largest > 1e-4);
  // Sums of 400 products in another order, each with the unit roundoff of f32.
  CHECK(off <= 400 * 6e-8 * largest);
}

TEST_CASE("threads: large results of broadcasting and of views are the same bits") {
  const Tensor x = to(arange(300'000), f32) * 0.001 - 7;
  check_same_bits([&] {
    const Tensor points = reshape(x, {100'000, 3}), column = points(all, slice(0, 1));
    const Tensor turned = reshape(x, {500, 600}).T();
    return std::vector{points * column,    column - points, sin(turned),
                       turned * turned(0), max(points, 1),  sum(turned, 1)};
  });
}

TEST_CASE("threads: a number that no integer is, is found whoever meets it") {
  const Threads three(3);
  std::vector<float> numbers(1'000'000, 1.0F);
  for (const std::size_t at : {std::size_t{0}, numbers.size() / 2, numbers.size() - 1}) {
    numbers[at] = std::numeric_limits<float>::quiet_NaN();
    const Tensor x = from_vector(numbers, {1000, 1000});
    for (int i = 0; i < 30; ++i) {
      CHECK_THROWS_AS(to(x, i64), ValueError);
      CHECK_THROWS_AS(to(x.T(), i64), ValueError);
    }
    numbers[at] = 1;
  }
}

TEST_SUITE_END();
