// What rounding may do to a right formula, and what it may not.
#include <doctest/doctest.h>

#include <cmath>
#include <string>
#include <vector>

#include <chainrule/core/create.hpp>
#include <chainrule/core/random.hpp>
#include <chainrule/graph/checking/check_derivation.hpp>
#include <chainrule/ops/elementwise/activations.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/elementwise/convert.hpp>
#include <chainrule/ops/elementwise/functions.hpp>
#include <chainrule/ops/linalg/matmul.hpp>
#include <chainrule/ops/nn/softmax.hpp>
#include <chainrule/ops/reduce/reduction.hpp>
#include <chainrule/ops/shape/indexing.hpp>
#include <chainrule/ops/shape/join.hpp>

using namespace chainrule;

TEST_SUITE_BEGIN("graph");

TEST_CASE("check_derivation: of bare numbers each element is held to its own size") {
  for (const DType dt : {f32, f64}) {
    CAPTURE(name_of(dt));
    const double small = dt == f32 ? 1e-2 : 1e-8;
    const Tensor x = to(tensor({{3e5, 0.011, 0.4}, {-2e5, 0.02, 1.0}, {1e5, -0.013, -0.7}}, f64) *
                            tensor({1.0, small / 1e-2, 1.0}, f64),
                        dt)
                         .named("X");
    const Tensor w = to(tensor({1e-6, 0.5, -0.3}, f64), dt).named("w").requires_grad_();
    const Tensor t = to(tensor({1.0, 0.0, 1.0}, f64), dt).named("t");
    const Tensor z = matmul(x, w).named("z");
    const Tensor loss = mean(softplus(z) - t * z);
    const Tensor dz = (sigmoid(z) - t) / 3.0, dw = matmul(x.T(), dz);
    const auto ok = [&](const Tensor& by_hand) {
      return check_derivation(loss, {{"dw", w, by_hand.detach()}}).ok();
    };
    CHECK(ok(dw));
    CHECK_FALSE(ok(stack({dw[0], -dw[1], dw[2]})));
    CHECK_FALSE(ok(stack({dw[0], 0.0 * dw[1], dw[2]})));
    CHECK_FALSE(ok(stack({dw[0], dw[1] + 0.01, dw[2]})));
    CHECK_FALSE(ok(stack({dw[0], 1.001 * dw[1], dw[2]})));
  }
}

TEST_CASE("check_derivation: one element of many bare numbers in f32 that is off by 1e-4") {
  Generator generator(3);
  const Tensor x = randn({40, 30}, generator), y = randn({40, 8}, generator);
  const Tensor w = randn({30, 8}, generator).named("W").requires_grad_();
  const Tensor r = matmul(x, w) - y;
  const Tensor loss = sum(square(r)) / 80.0;
  const Tensor right = (matmul(x.T(), r) / 40.0).detach();
  CHECK(check_derivation(loss, {{"dW", w, right}}).ok());
  for (const double part : {1e-2, 1e-3, 1e-4}) {
    CAPTURE(part);
    std::vector<float> numbers = right.to_vector<float>();
    numbers[59] *= static_cast<float>(1 + part);
    CHECK_FALSE(check_derivation(loss, {{"dW", w, from_vector(numbers, right.shape())}}).ok());
  }
}

TEST_SUITE_END();
