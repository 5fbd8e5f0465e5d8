#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <chainrule/core/create.hpp>
#include <chainrule/core/node.hpp>
#include <chainrule/core/op.hpp>
#include <chainrule/core/random.hpp>
#include <chainrule/graph/backward.hpp>
#include <chainrule/ops/elementwise/activations.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/elementwise/functions.hpp>
#include <chainrule/ops/linalg/matmul.hpp>
#include <chainrule/ops/nn/linear.hpp>
#include <chainrule/ops/reduce/reduction.hpp>
#include <chainrule/ops/shape/indexing.hpp>
#include <chainrule/ops/shape/manipulation.hpp>
#include <chainrule/tests/core/error_of.hpp>
#include <chainrule/tests/ops/samples/samples.hpp>

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

namespace {

// φ(x·Wᵀ + b) and the gradients of ⟨g, φ(…)⟩ by plain loops, for φ = tanh.
struct Definition {
  reference::Array y, by_x, by_w, by_b;

  Definition(const reference::Array& x, const reference::Array& w, const reference::Array& b,
             const reference::Array& g)
      : y({x.shape[0], w.shape[0]}), by_x(x.shape), by_w(w.shape), by_b(b.shape) {
    for (std::int64_t s = 0; s < x.shape[0]; ++s)
      for (std::int64_t j = 0; j < w.shape[0]; ++j) {
        reference::Real z = b.at({j});
        for (std::int64_t k = 0; k < w.shape[1]; ++k) z += x.at({s, k}) * w.at({j, k});
        const reference::Real t = y.at({s, j}) = std::tanh(z);
        const reference::Real dz = g.at({s, j}) * (1 - t * t);
        by_b.at({j}) += dz;
        for (std::int64_t k = 0; k < w.shape[1]; ++k) {
          by_x.at({s, k}) += dz * w.at({j, k});
          by_w.at({j, k}) += dz * x.at({s, k});
        }
      }
  }
};

struct Failing final : Op {
  Failing() : Op("failing") {}
  void vjp(Vjp&) const override { throw std::runtime_error("no rule today"); }
  std::vector<Sample> samples() const override { return {}; }
};

}  // namespace

TEST_CASE(
    "linear: a graph that is kept gives its gradients again, and its result keeps its value") {
  Generator generator(11);
  const Tensor x = randn({6, 5}, generator, f64).requires_grad_();
  const Tensor w = randn({4, 5}, generator, f64).requires_grad_();
  const Tensor b = randn({4}, generator, f64).requires_grad_();
  Tensor g = randn({6, 4}, generator, f64);
  const std::vector<double> seed = g.to_vector<double>();
  using samples::array_of;
  const Definition want(array_of(x), array_of(w), array_of(b), array_of(g));
  const Tensor y = linear(x, w, b, Activation::tanh);  // held here beyond its backward
  for (int round = 1; round <= 3; ++round) {
    backward(y, g, {.retain_graph = round < 3});
    CHECK(samples::compare("y", y, want.y, 1e-14L) == "");
    const auto times = [round](const reference::Array& a) {
      return reference::map(a, [round](reference::Real e) { return e * round; });
    };
    CHECK(samples::compare("gradient for x", x.grad(), times(want.by_x), 1e-13L) == "");
    CHECK(samples::compare("gradient for w", w.grad(), times(want.by_w), 1e-13L) == "");
    CHECK(samples::compare("gradient for b", b.grad(), times(want.by_b), 1e-13L) == "");
    CHECK(g.to_vector<double>() == seed);
  }
  CHECK_THROWS_AS(backward(y, g), GradError);
  CHECK(samples::compare("y", y, want.y, 1e-14L) == "");
  // The seed is the caller's still: what is written there reaches no gradient.
  g.mutable_data<double>()[0] = 1e6;
  CHECK(samples::compare("gradient for b", b.grad(),
                         reference::map(want.by_b, [](reference::Real e) { return 3 * e; }),
                         1e-13L) == "");
}

TEST_CASE("linear: the result, or its gradient, as the seed of its own backward") {
  Generator generator(12);
  const Tensor x = randn({3, 4}, generator, f64), b = zeros({2}, f64);
  const Tensor w = randn({2, 4}, generator, f64).requires_grad_();
  const Tensor y = linear(x, w, {}, Activation::tanh);
  using samples::array_of;
  const reference::Array value = array_of(y);
  const Definition want(array_of(x), array_of(w), array_of(b), value);
  backward(y, y.detach(), {.retain_graph = true});
  CHECK(samples::compare("gradient", w.grad(), want.by_w, 1e-14L) == "");
  CHECK(samples::compare("y", y, value, 0) == "");
  // The gradient of a square product goes in again where the next one is added.
  const Tensor square = randn({4, 4}, generator, f64).requires_grad_();
  const Tensor one = randn({4, 4}, generator, f64);
  backward(linear(one, square), ones({4, 4}, f64));
  const reference::Array first = array_of(square.grad());
  backward(linear(one, square), square.grad());
  reference::Array sum = first;
  for (std::int64_t j = 0; j < 4; ++j)
    for (std::int64_t k = 0; k < 4; ++k)
      for (std::int64_t s = 0; s < 4; ++s)
        sum.at({j, k}) += first.at({s, j}) * static_cast<reference::Real>(one.at({s, k}));
  CHECK(samples::compare("gradient", square.grad(), sum, 1e-13L) == "");
}

TEST_CASE("linear: an exception in the middle of the backward leaves everything usable") {
  const std::int64_t before = live_nodes();
  {
    const Failing failing;
    Generator generator(13);
    const Tensor x = randn({5, 3}, generator, f64);
    const Tensor w = randn({3, 3}, generator, f64).requires_grad_();
    const Tensor b = randn({3}, generator, f64).requires_grad_();
    const Tensor v = randn({3, 3}, generator, f64).requires_grad_();
    const auto layers = [&](bool fails) {
      Tensor y = linear(x, w, b, Activation::sigmoid);
      if (fails) y = record(failing, y.value_ref(), {&y}, 0, Where::current());
      return linear(y, v, {}, Activation::tanh);
    };
    const std::vector<Tensor> inputs = {w, b, v};
    const auto want = grad(sum(layers(false)), inputs);
    for (const bool kept : {false, true}) {
      const Tensor y = layers(true);
      const std::vector<double> value = y.to_vector<double>();
      // The rule of the last layer has run when the next one throws.
      CHECK_THROWS_AS(sum(y).backward({.retain_graph = kept}), std::runtime_error);
      CHECK(y.to_vector<double>() == value);
      CHECK(is_recording());
      for (const Tensor& each : inputs) CHECK_FALSE(each.grad().defined());
      if (kept) {
        // Nothing was released: the part behind the failure can be differentiated.
        const Tensor of_v = grad(sum(y), v);
        CHECK(samples::compare("gradient for v", of_v, want[2], 1e-14L) == "");
      } else {
        CHECK_THROWS_AS(grad(sum(y), v), GradError);
      }
    }
    sum(layers(false)).backward();
    for (std::size_t i = 0; i < 3; ++i)
      CHECK(samples::compare("gradient", inputs[i].grad(), want[i], 1e-14L) == "");
  }
  CHECK(live_nodes() == before);
}

TEST_CASE("linear: more axes, with a seed of stride 0") {
  Generator generator(14);
  for (const Activation activation : {Activation::none, Activation::tanh}) {
    const Tensor x = randn({2, 3, 5}, generator, f64).requires_grad_();
    const Tensor w = randn({4, 5}, generator, f64).requires_grad_();
    const Tensor b = randn({4}, generator, f64).requires_grad_();
    const Tensor one = tensor(0.7, f64), row = randn({4}, generator, f64);
    const Tensor inputs[] = {x, w, b};
    for (const Tensor& seed : {expand(one, {2, 3, 4}), expand(row, {2, 3, 4})}) {
      const Tensor y = linear(x, w, b, activation);
      const auto got = grad(std::span(&y, 1), std::span(&seed, 1), inputs);
      reference::Array by_w({4, 5}), by_b({4}), by_x({2, 3, 5});
      reference::each({2, 3, 4}, [&](const Shape& i) {
        const auto t = static_cast<reference::Real>(y.at(i));
        const auto dz = static_cast<reference::Real>(seed.at(i)) *
                        (activation == Activation::tanh ? 1 - t * t : 1);
        by_b.at({i[2]}) += dz;
        for (std::int64_t k = 0; k < 5; ++k) {
          by_w.at({i[2], k}) += dz * static_cast<reference::Real>(x.at({i[0], i[1], k}));
          by_x.at({i[0], i[1], k}) += dz * static_cast<reference::Real>(w.at({i[2], k}));
        }
      });
      CHECK(samples::compare("gradient for x", got[0], by_x, 1e-13L) == "");
      CHECK(samples::compare("gradient for w", got[1], by_w, 1e-13L) == "");
      CHECK(samples::compare("gradient for b", got[2], by_b, 1e-13L) == "");
    }
  }
}

TEST_CASE("linear: a large f32 weight used twice, its products added up by the large engine") {
  Generator generator(15);
  const std::int64_t n = 512;
  const Tensor x = randn({n, n}, generator) * 0.05;
  const Tensor w = (randn({n, n}, generator) * 0.05).detach().requires_grad_();
  const Tensor g = randn({n, n}, generator);
  backward(linear(linear(x, w), w), g);
  backward(matmul(matmul(x, w), w), g);  // into the gradient that is there
  // Some elements of W's gradient in double: with H = x·Wᵀ, gᵀ·H + (g·W)ᵀ·x, and with M = x·W,
  // xᵀ·(g·Wᵀ) + Mᵀ·g.
  const std::vector<float> xs = x.to_vector<float>(), ws = w.to_vector<float>(),
                           gs = g.to_vector<float>();
  const auto at = [n](const std::vector<float>& a, std::int64_t i, std::int64_t j) {
    return static_cast<double>(a[static_cast<std::size_t>(i * n + j)]);
  };
  double largest = 0;
  for (const auto& [j, k] : {std::pair{0, 0}, {511, 511}, {3, 500}, {257, 64}, {130, 31}}) {
    double want = 0;
    for (std::int64_t s = 0; s < n; ++s) {
      double h = 0, gw = 0, gwt = 0, m = 0;
      for (std::int64_t i = 0; i < n; ++i) {
        h += at(xs, s, i) * at(ws, k, i);
        gw += at(gs, s, i) * at(ws, i, j);
        gwt += at(gs, s, i) * at(ws, k, i);
        m += at(xs, s, i) * at(ws, i, j);
      }
      want += at(gs, s, j) * h + gw * at(xs, s, k) + at(xs, s, j) * gwt + m * at(gs, s, k);
    }
    largest = std::max(largest, std::abs(want));
    // Four sums of 512 products of size 0.06, each with the unit roundoff of f32.
    CHECK(std::abs(w.grad().at({j, k}) - want) <= 1e-4);
  }
  CHECK(largest > 0.5);
}

TEST_CASE("linear: NaN and infinities go where they go in the composite") {
  using Limits = std::numeric_limits<double>;
  Generator generator(16);
  for (const DType dtype : {f32, f64})
    for (const Activation activation :
         {Activation::none, Activation::sigmoid, Activation::tanh, Activation::relu})
      for (const double special : {Limits::quiet_NaN(), Limits::infinity(), -Limits::infinity()})
        for (int which = 0; which < 4; ++which) {
          std::vector<Tensor> in = {randn({5, 4}, generator, dtype),
                                    randn({3, 4}, generator, dtype), randn({3}, generator, dtype),
                                    randn({5, 3}, generator, dtype)};
          Tensor& odd = in[static_cast<std::size_t>(which)];
          if (dtype == f32)
            odd.mutable_data<float>()[1] = static_cast<float>(special);
          else
            odd.mutable_data<double>()[1] = special;
          for (std::size_t i = 0; i < 3; ++i) in[i] = in[i].requires_grad_();
          const Tensor fused = linear(in[0], in[1], in[2], activation);
          const Tensor z = matmul(in[0], in[1].T()) + in[2];
          const Tensor plain = activation == Activation::sigmoid ? sigmoid(z)
                               : activation == Activation::tanh  ? tanh(z)
                               : activation == Activation::relu  ? relu(z)
                                                                 : z + 0.0;
          const reference::Real tolerance = dtype == f32 ? 1e-5L : 1e-13L;
          CHECK(samples::compare("y", fused, plain, tolerance) == "");
          const std::span<const Tensor> inputs(in.data(), 3);
          const auto got = grad(std::span(&fused, 1), std::span(&in[3], 1), inputs);
          const auto want = grad(std::span(&plain, 1), std::span(&in[3], 1), inputs);
          for (std::size_t i = 0; i < 3; ++i)
            CHECK(samples::compare("gradient", got[i], want[i], tolerance) == "");
        }
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
  CHECK(error_of<DTypeError>([&] { linear(x, w, zeros({4}, f64)); }) ==
        "linear: dtypes differ: weight = W (4, 3) is f32, bias (4,) is f64\n  at HERE\n  hint: "
        "convert one of them: to(bias, f32)");
  CHECK_THROWS_AS(linear(zeros({5, 3}, i64), zeros({4, 3}, i64)), DTypeError);
  CHECK_THROWS_AS(linear(Tensor(), w), ValueError);
  CHECK(error_of<ValueError>([&] { linear(x, Tensor()); }) ==
        "linear: the weight is undefined\n  at HERE\n  hint: it was default-constructed, moved "
        "from, or is the grad() of a tensor that has none");
}

TEST_SUITE_END();
