#include <doctest/doctest.h>

#include <string>
#include <vector>

#include <chainrule/core/create.hpp>
#include <chainrule/core/random.hpp>
#include <chainrule/graph/backward.hpp>
#include <chainrule/ops/activations.hpp>
#include <chainrule/ops/arithmetic.hpp>
#include <chainrule/ops/elementwise.hpp>
#include <chainrule/ops/indexing.hpp>
#include <chainrule/ops/linear.hpp>
#include <chainrule/ops/manipulation.hpp>
#include <chainrule/ops/matmul.hpp>
#include <chainrule/ops/reduction.hpp>
#include <chainrule/tests/core/error_of.hpp>

using namespace chainrule;

TEST_SUITE_BEGIN("ops");

TEST_CASE("linear: worked out by hand") {
  const Tensor x = tensor({{1.0, 2.0}, {-1.0, 0.5}}), w = tensor({{1.0, 10.0}, {0.0, -2.0}});
  const Tensor b = tensor({0.5, 1.0});
  CHECK(linear(x, w, b).to_vector<float>() == std::vector<float>{21.5, -3, 4.5, 0});
  CHECK(linear(x, w).to_vector<float>() == std::vector<float>{21, -4, 4, -1});
  CHECK(linear(x, w, b, Activation::relu).to_vector<float>() ==
        std::vector<float>{21.5, 0, 4.5, 0});
  CHECK(linear(x[0], w, b).to_vector<float>() == std::vector<float>{21.5, -3});
}

TEST_CASE("linear: every size and layout as matmul, add and the activation by themselves") {
  Generator generator(8);
  for (const DType dtype : {f32, f64})
    for (const int batch : {1, 3, 40, 300})
      for (const bool turned : {false, true}) {
        Tensor x = (turned ? randn({70, batch}, generator, dtype).T()
                           : randn({batch, 70}, generator, dtype))
                       .detach()
                       .requires_grad_();
        Tensor w = randn({33, 70}, generator, dtype).requires_grad_();
        Tensor b = randn({33}, generator, dtype).requires_grad_();
        const Tensor g = randn({batch, 33}, generator, dtype);
        const Tensor fused = linear(x, w, b, Activation::tanh);
        const Tensor plain = tanh(matmul(x, w.T()) + b);
        const std::vector<Tensor> inputs = {x, w, b};
        const auto from = [&](const Tensor& y) {
          return grad(std::vector{y}, std::vector{g}, inputs);
        };
        const auto got = from(fused), want = from(plain);
        // Sums of up to 300 terms around 1, with other engines and orders.
        const double tolerance = dtype == f32 ? 2e-4 : 1e-12;
        CHECK(max(abs(fused - plain)).item() <= tolerance);
        for (std::size_t i = 0; i < 3; ++i) CHECK(max(abs(got[i] - want[i])).item() <= tolerance);
      }
}

TEST_CASE("linear: a weight used twice has its gradients added up") {
  Generator generator(9);
  const Tensor x = randn({50, 40}, generator, f64);
  const Tensor w = randn({40, 40}, generator, f64).requires_grad_();
  const Tensor half = (w.detach() * 1.0).requires_grad_();
  // The same function with each use of w its own parameter.
  const Tensor first = (w.detach() * 1.0).requires_grad_();
  const Tensor y = sum(linear(linear(x, w), w));
  const Tensor apart = sum(linear(linear(x, first), half));
  // 50 · 40 products of magnitude up to some hundred.
  const auto parts = grad(apart, {first, half});
  CHECK(max(abs(grad(y, w) - (parts[0] + parts[1]))).item() <= 1e-9);
  const Tensor z = sum(matmul(matmul(x, w), w));
  const auto z_parts = grad(sum(matmul(matmul(x, first), half)), {first, half});
  CHECK(max(abs(grad(z, w) - (z_parts[0] + z_parts[1]))).item() <= 1e-9);
}

TEST_CASE("linear: a gradient that others see is not written to") {
  Generator generator(10);
  const Tensor x = randn({4, 3}, generator, f64);
  const Tensor w = randn({5, 3}, generator, f64).requires_grad_();
  const Tensor seed = ones({4, 5}, f64);
  const Tensor y = linear(x, w, {}, Activation::sigmoid);
  const auto gradient = [&] {
    return grad(std::vector{y}, std::vector{seed}, std::vector{w}, {.retain_graph = true})[0];
  };
  const std::vector<double> first = gradient().to_vector<double>();
  CHECK(gradient().to_vector<double>() == first);
  CHECK(seed.to_vector<double>() == std::vector<double>(20, 1.0));
  // The sum hands one gradient to both of its operands.
  const Tensor z = linear(x, w, {}, Activation::tanh);
  const auto both = grad(sum(square(y + z)), {y, z, w});
  const Tensor g = 2.0 * (y + z);
  CHECK(max(abs(both[0] - g)).item() <= 1e-14);
  CHECK(max(abs(both[1] - g)).item() <= 1e-14);
}

TEST_CASE("linear: what does not fit is named") {
  const Tensor x = zeros({5, 3}).named("x"), w = zeros({4, 3}).named("W");
  CHECK(error_of<ShapeError>([&] { linear(x, w.T()); }) ==
        "linear: x (5, 3) · (3, 4)ᵀ does not fit\n  at HERE\n  hint: weights are (out, in): pass "
        "the transposed ones");
  CHECK(error_of<ShapeError>([&] { linear(x.T(), w); }) ==
        "linear: (3, 5) · W (4, 3)ᵀ does not fit\n  at HERE\n  hint: samples stand in rows: pass "
        "the transposed x");
  CHECK(error_of<ShapeError>([&] { linear(x, w, zeros({3}).named("b")); }) ==
        "linear: the bias b (3,) has not one element for each unit of the weights W (4, 3)\n  at "
        "HERE\n  hint: weights are (out, in), the bias is (out)");
  CHECK_THROWS_AS(linear(tensor(1.0), w), ShapeError);
  CHECK_THROWS_AS(linear(x, zeros({3})), ShapeError);
  CHECK_THROWS_AS(linear(x, zeros({4, 3}, f64)), DTypeError);
  CHECK(
      error_of<DTypeError>([&] { linear(x, w, zeros({4}, f64)); }) ==
      "linear: dtypes differ: weight W (4, 3) is f32, bias (4,) is f64\n  at HERE\n  hint: convert "
      "one of them: to(bias, f32)");
  CHECK_THROWS_AS(linear(zeros({5, 3}, i64), zeros({4, 3}, i64)), DTypeError);
  CHECK_THROWS_AS(linear(Tensor(), w), ValueError);
  CHECK(error_of<ValueError>([&] { linear(x, Tensor()); }) ==
        "linear: the weight is undefined\n  at HERE\n  hint: it was default-constructed, or "
        "is the grad() of a tensor that has none");
}

TEST_SUITE_END();
