#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include <chainrule/core/create.hpp>
#include <chainrule/core/error.hpp>
#include <chainrule/core/print.hpp>
#include <chainrule/graph/backward.hpp>
#include <chainrule/graph/derivation/derive.hpp>
#include <chainrule/graph/functional.hpp>
#include <chainrule/graph/picture/picture.hpp>
#include <chainrule/nn/layers/activations.hpp>
#include <chainrule/nn/layers/linear.hpp>
#include <chainrule/nn/layers/sequential.hpp>
#include <chainrule/nn/optim/sgd.hpp>
#include <chainrule/ops/elementwise/activations.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/elementwise/functions.hpp>
#include <chainrule/ops/elementwise/log.hpp>
#include <chainrule/ops/linalg/matmul.hpp>
#include <chainrule/ops/nn/softmax.hpp>
#include <chainrule/ops/reduce/reduction.hpp>
#include <chainrule/ops/shape/manipulation.hpp>

using namespace chainrule;

// What follows runs before main(), and before the globals of all files whose initialisers say
// nothing of their order: the library's own among them, wherever the linker puts these.
#define BEFORE_OTHERS [[gnu::init_priority(102)]]

namespace {

std::string text_of_error() {
  try {
    exp(tensor({1, 2}));
  } catch (const DTypeError& error) {
    return error.what();
  }
  return "";
}

// The numbers of a program that trained before main().
struct Trained {
  nn::Sequential model{nn::Linear(2, 3), nn::Tanh(), nn::Linear(3, 1)};
  nn::SGD optimizer{model.parameters(), 0.1};
  double first = 0, last = 0;
  Trained() {
    const Tensor x = tensor({{0.5, -1.0}, {1.5, 0.25}}, f32);
    for (int i = 0; i < 20; ++i) {
      const Tensor loss = mean(square(model(x) - 1.0));
      if (i == 0) first = loss.item();
      last = loss.item();
      optimizer.zero_grad();
      loss.backward();
      optimizer.step();
    }
  }
};

BEFORE_OTHERS Tensor w = tensor({1.0, 2.0}, f64).named("w").requires_grad_();
BEFORE_OTHERS Tensor gradient = grad(sum(exp(w)), w);
BEFORE_OTHERS std::string derivation = derive(sum(square(w))).text();
BEFORE_OTHERS std::string picture = graph_svg(sum(w * w));
BEFORE_OTHERS std::string error = text_of_error();
BEFORE_OTHERS Tensor tangent =
    jvp([](const Tensor& x) { return log(softmax(x)); }, tensor({1.0, 2.0}, f64), ones({2}, f64))
        .second;
BEFORE_OTHERS Trained trained;

// Ends after the test program's main(), when much of the library may have ended.
struct AtEnd {
  Tensor graph = sum(exp(w) * w);
  ~AtEnd() {
    graph.backward();
    const std::vector<double> got = w.grad().to_vector<double>();  // (1 + w)·exp(w)
    if (std::abs(got[0] - 2 * std::exp(1.0)) > 1e-12) std::abort();
    // As large as products are that oneDNN gets, which the tests have used before: its kernels have
    // ended. Σ A·A of ones has the gradient 2n everywhere.
    constexpr std::int64_t n = 300;
    const Tensor a = ones({n, n}).requires_grad_();
    if (grad(sum(matmul(a, a)), a).to_vector<float>() != std::vector<float>(n * n, 2 * n))
      std::abort();
  }
};
BEFORE_OTHERS AtEnd at_end;

}  // namespace

TEST_SUITE_BEGIN("core");

TEST_CASE(
    "before main(): a global that ends last may multiply as large matrices as the program did") {
  const Tensor a = ones({300, 300});
  CHECK(sum(matmul(a, a)).item() == 300 * 300 * 300);  // and ~AtEnd() again
}

TEST_CASE("before main(): operations, gradients, derivations, pictures, errors and training") {
  CHECK(gradient.to_vector<double>() == exp(w).to_vector<double>());
  CHECK(derivation.find("dw = 2 w") != std::string::npos);
  CHECK(picture.find("</svg>") != std::string::npos);
  CHECK(error.starts_with("exp: "));
  // Along (1, 1) a softmax does not change.
  CHECK(std::abs(tangent.at({0})) < 1e-15);
  CHECK(trained.last < 0.5 * trained.first);
}

TEST_SUITE_END();
