#include <doctest/doctest.h>

#include <cstdint>
#include <string>
#include <vector>

#include <chainrule/core/allocator.hpp>
#include <chainrule/core/create.hpp>
#include <chainrule/core/node.hpp>
#include <chainrule/core/random.hpp>
#include <chainrule/core/recording.hpp>
#include <chainrule/core/threads.hpp>
#include <chainrule/graph/backward.hpp>
#include <chainrule/nn/layers/activations.hpp>
#include <chainrule/nn/layers/linear.hpp>
#include <chainrule/nn/layers/sequential.hpp>
#include <chainrule/nn/losses/losses.hpp>
#include <chainrule/nn/optim/sgd.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/kernels/linalg/gemm_engines.hpp>
#include <chainrule/ops/reduce/reduction.hpp>
#include <chainrule/tests/core/count_malloc.hpp>

using namespace chainrule;

TEST_SUITE_BEGIN("nn");

namespace {

// One step of training.
template <class Loss>
double step(nn::Module& model, const Loss& loss, nn::SGD& sgd, const Tensor& x, const Tensor& t) {
  const Tensor error = loss(model(x), t);
  sgd.zero_grad();
  error.backward();
  sgd.step();
  return error.item();
}

}  // namespace

TEST_CASE("training: a network learns exclusive or") {
  Generator generator(3);
  nn::Sequential model(nn::Linear(2, 8, {.generator = &generator}), nn::Tanh(),
                       nn::Linear(8, 2, {.generator = &generator}));
  const Tensor x = tensor({{0.0, 0.0}, {0.0, 1.0}, {1.0, 0.0}, {1.0, 1.0}});
  const Tensor labels = tensor({0, 1, 1, 0});
  nn::SGD sgd(model.parameters(), 0.2, {.momentum = 0.9});
  const nn::CrossEntropyLoss loss;
  const double before = step(model, loss, sgd, x, labels);
  double after = before;
  for (int i = 0; i < 300; ++i) after = step(model, loss, sgd, x, labels);
  CHECK(before > 0.5);
  CHECK(after < 0.02);
  const Tensor predicted = no_grad([&] { return argmax(model(x), 1); });
  CHECK(predicted.to_vector<std::int64_t>() == labels.to_vector<std::int64_t>());
}

TEST_CASE("training: linear regression finds the coefficients") {
  Generator generator(4);
  nn::Linear model(3, 1, {.dtype = f64, .generator = &generator});
  const Tensor x = randn({64, 3}, generator, f64);
  const std::vector<double> w = {1.5, -2.0, 0.25};
  std::vector<double> y;
  for (std::int64_t i = 0; i < 64; ++i)
    y.push_back(w[0] * x.at({i, 0}) + w[1] * x.at({i, 1}) + w[2] * x.at({i, 2}) - 0.5);
  const Tensor t = from_vector(y, {64, 1});
  nn::SGD sgd(model.parameters(), 0.1);
  for (int i = 0; i < 500; ++i) step(model, nn::MSELoss(), sgd, x, t);
  // The error shrinks by more than 0.9 in every step: 500 of them leave the rounding.
  for (std::int64_t i = 0; i < 3; ++i)
    CHECK(model.weight.at({0, i}) ==
          doctest::Approx(w[static_cast<std::size_t>(i)]).epsilon(1e-12));
  CHECK(model.bias.at({0}) == doctest::Approx(-0.5).epsilon(1e-12));
}

TEST_CASE("training: nothing is left of a step but the gradients") {
  const std::int64_t nodes = live_nodes(), bytes = memory_stats().live_bytes;
  {
    nn::Sequential model(nn::Linear(5, 4), nn::Sigmoid(), nn::Linear(4, 3));
    const std::int64_t of_model = live_nodes();
    CHECK(of_model - nodes == 4);
    nn::SGD sgd(model.parameters(), 0.1, {.momentum = 0.9});
    const Tensor x = ones({2, 5}), labels = tensor({1, 2});
    for (int i = 0; i < 3; ++i) {
      step(model, nn::CrossEntropyLoss(), sgd, x, labels);
      CHECK(live_nodes() == of_model);
    }
    CHECK_THROWS_AS(model(ones({2, 4})), ShapeError);
    CHECK(live_nodes() == of_model);
  }
  CHECK(live_nodes() == nodes);
  CHECK(memory_stats().live_bytes == bytes);
}

namespace {

// Whether a step may have products so large that oneDNN takes them: it has its packing buffers from
// malloc.
enum class Products { own, any };

// Steps of constant shapes on which neither the library's allocator asks the system for memory, nor
// the library asks malloc.
template <class Loss>
void check_no_requests(nn::Module& model, const Loss& loss, nn::SGDOptions options, const Tensor& x,
                       const Tensor& t, Products products = Products::own) {
  // Which workers meet at their packing buffers, and when for the first time, is chance.
  const int threads = num_threads();
  set_num_threads(1);
  nn::SGD sgd(model.parameters(), 0.01, options);
  for (int i = 0; i < 3; ++i) step(model, loss, sgd, x, t);
  const std::int64_t requests = memory_stats().system_requests;
  double sum = 0;
  CountMalloc count;
  for (int i = 0; i < 10; ++i) sum += step(model, loss, sgd, x, t);
  const std::int64_t calls = count.calls();
  if (products == Products::own || !kernels::has_onednn()) CHECK(calls == 0);
  CHECK(memory_stats().system_requests == requests);
  CHECK(sum > 0);
  set_num_threads(threads);
}

}  // namespace

TEST_CASE("training: no request to the system after the third step" *
          doctest::skip(!memory::pooled)) {
  Generator generator(6);
  SUBCASE("tiny") {
    nn::Sequential model(nn::Linear(4, 3), nn::Sigmoid(), nn::Linear(3, 2));
    check_no_requests(model, nn::CrossEntropyLoss(), {}, randn({4, 4}, generator),
                      tensor({0, 1, 1, 0}));
  }
  SUBCASE("a perceptron, with momentum and decay") {
    nn::Sequential model(nn::Linear(784, 128), nn::ReLU(), nn::Linear(128, 128), nn::Tanh(),
                         nn::Linear(128, 10));
    check_no_requests(model, nn::CrossEntropyLoss(), {.momentum = 0.9, .weight_decay = 1e-4},
                      randn({256, 784}, generator), randint(0, 10, {256}, generator),
                      Products::any);
  }
  SUBCASE("the same in f64") {
    nn::Sequential model(nn::Linear(784, 128, {.dtype = f64}), nn::ReLU(),
                         nn::Linear(128, 10, {.dtype = f64}));
    check_no_requests(model, nn::CrossEntropyLoss(), {.momentum = 0.9, .weight_decay = 1e-4},
                      randn({256, 784}, generator, f64), randint(0, 10, {256}, generator));
  }
  SUBCASE("mean squared error, f64") {
    nn::Sequential model(nn::Linear(30, 64, {.dtype = f64}), nn::Softplus(),
                         nn::Linear(64, 5, {.dtype = f64}), nn::Softmax());
    check_no_requests(model, nn::MSELoss(), {.momentum = 0.9, .nesterov = true},
                      randn({100, 30}, generator, f64), rand({100, 5}, generator, f64));
  }
  SUBCASE("a module of its own") {
    class Gated : public nn::Module {
     public:
      nn::Linear value = child("value", nn::Linear(16, 16));
      nn::Linear gate = child("gate", nn::Linear(16, 16));
      nn::Sigmoid sigmoid = child("sigmoid", nn::Sigmoid());
      nn::Parameter scale = parameter("scale", ones({16}));
      Tensor forward(const Tensor& x) override {
        const Tensor y = value(x) * sigmoid(gate(x));
        return scale * (x + y) / 2.0;
      }
    };
    Gated model;
    check_no_requests(model, nn::MSELoss(), {}, randn({32, 16}, generator),
                      randn({32, 16}, generator));
  }
}

TEST_CASE("training: what counts malloc does count" * doctest::skip(!CountMalloc::available)) {
  CountMalloc count;
  std::vector<int>* volatile kept = new std::vector<int>(100);
  CHECK(count.calls() == 2);
  delete kept;
}

TEST_SUITE_END();
