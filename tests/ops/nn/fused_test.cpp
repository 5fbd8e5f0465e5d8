#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include <chainrule/core/create.hpp>
#include <chainrule/core/random.hpp>
#include <chainrule/graph/backward.hpp>
#include <chainrule/graph/functional.hpp>
#include <chainrule/ops/elementwise/activations.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/elementwise/functions.hpp>
#include <chainrule/ops/linalg/matmul.hpp>
#include <chainrule/ops/nn/cross_entropy.hpp>
#include <chainrule/ops/nn/layer_norm.hpp>
#include <chainrule/ops/nn/linear.hpp>
#include <chainrule/ops/nn/mse.hpp>
#include <chainrule/ops/nn/softmax.hpp>
#include <chainrule/ops/reduce/reduction.hpp>
#include <chainrule/ops/shape/gather.hpp>
#include <chainrule/ops/shape/manipulation.hpp>
#include <chainrule/tests/ops/samples/samples.hpp>

using namespace chainrule;
using samples::compare;

TEST_SUITE_BEGIN("ops");

namespace {

using Inputs = std::span<const Tensor>;
using Tensors = std::vector<Tensor>;

// An operation in one pass, and the same made of simple ones.
struct Pair {
  std::string name;
  Tensor (*fused)(Inputs in);
  Tensor (*plain)(Inputs in);
  std::vector<Shape> shapes;  // of the inputs
};

Tensor labels() { return tensor({3, 0, 6, 2, 2, 5}); }

Tensor norm(const Tensor& x) {
  const Tensor deviation = x - mean(x, -1, true);
  return deviation / sqrt(mean(square(deviation), -1, true) + 0.01);
}

const Pair pairs[] = {
    {"linear",
     [](Inputs in) { return linear(in[0], in[1], in[2]); },
     [](Inputs in) { return matmul(in[0], in[1].T()) + in[2]; },
     {{6, 7}, {5, 7}, {5}}},
    {"linear, sigmoid",
     [](Inputs in) { return linear(in[0], in[1], in[2], Activation::sigmoid); },
     [](Inputs in) { return sigmoid(matmul(in[0], in[1].T()) + in[2]); },
     {{6, 7}, {5, 7}, {5}}},
    {"linear, tanh",
     [](Inputs in) { return linear(in[0], in[1], {}, Activation::tanh); },
     [](Inputs in) { return tanh(matmul(in[0], in[1].T())); },
     {{2, 6, 7}, {5, 7}}},
    {"linear, relu",
     [](Inputs in) { return linear(in[0], in[1], in[2], Activation::relu); },
     [](Inputs in) { return relu(matmul(in[0], in[1].T()) + in[2]); },
     {{6, 7}, {5, 7}, {5}}},
    {"layer_norm",
     [](Inputs in) { return layer_norm(in[0], {7}, in[1], in[2], 0.01); },
     [](Inputs in) { return norm(in[0]) * in[1] + in[2]; },
     {{6, 7}, {7}, {7}}},
    {"mse_loss",
     [](Inputs in) { return mse_loss(in[0], in[1]); },
     [](Inputs in) { return mean(square(in[0] - in[1])); },
     {{6, 7}, {6, 7}}},
    {"mse_loss, each",
     [](Inputs in) { return mse_loss(in[0], in[1], Reduction::none); },
     [](Inputs in) { return square(in[0] - in[1]); },
     {{6, 7}, {6, 7}}},
    {"cross_entropy, labels",
     [](Inputs in) { return cross_entropy(in[0], labels()); },
     [](Inputs in) { return -mean(gather(log_softmax(in[0]), 1, unsqueeze(labels(), 1))); },
     {{6, 7}}},
    {"cross_entropy, columns",
     [](Inputs in) { return cross_entropy(in[0], labels(), Reduction::none, 0); },
     [](Inputs in) {
       return -squeeze(gather(log_softmax(in[0], 0), 0, unsqueeze(labels(), 0)), 0);
     },
     {{7, 6}}},
    {"cross_entropy, probabilities",
     [](Inputs in) { return cross_entropy(in[0], in[1], Reduction::sum); },
     [](Inputs in) { return -sum(log_softmax(in[0]) * in[1]); },
     {{6, 7}, {6, 7}}},
    {"softmax",
     [](Inputs in) { return softmax(in[0], 0); },
     [](Inputs in) { return exp(in[0]) / sum(exp(in[0]), 0, true); },
     {{6, 7}}},
};

Tensors make_inputs(const Pair& pair, Generator& generator, DType dtype) {
  Tensors in;
  for (const Shape& shape : pair.shapes)
    in.push_back(randn(shape, generator, dtype).requires_grad_());
  return in;
}

Tensors gradients(const Tensor& y, const Tensor& seed, Inputs in, GradOptions options = {}) {
  return grad(std::span(&y, 1), std::span(&seed, 1), in, options);
}

}  // namespace

TEST_CASE("fused: values, gradients of both orders and tangents are those of the composite") {
  Generator generator(3);
  for (const Pair& pair : pairs) {
    CAPTURE(pair.name);
    const Tensors in = make_inputs(pair, generator, f64);
    const auto check = [](const char* what, const Tensors& got, const Tensors& want) {
      REQUIRE(got.size() == want.size());
      for (std::size_t i = 0; i < got.size(); ++i)
        CHECK(compare(what, got[i], want[i], 1e-12L) == "");
    };
    const Tensor y = pair.fused(in), z = pair.plain(in);
    check("value", {y}, {z});
    const Tensor seed = randn(y.shape(), generator, f64).requires_grad_();
    const Tensors by_y = gradients(y, seed, in, {.create_graph = true});
    const Tensors by_z = gradients(z, seed, in, {.create_graph = true});
    check("gradient", by_y, by_z);

    // The second order, also through the seed.
    Tensors directions, all = in;
    all.push_back(seed);
    const auto along = [&](const Tensors& grads) {
      Tensor total = zeros({}, f64);
      for (std::size_t i = 0; i < grads.size(); ++i) total = total + sum(grads[i] * directions[i]);
      return total;
    };
    for (const Tensor& each : in) directions.push_back(randn(each.shape(), generator, f64));
    const auto second = [&](const Tensors& grads) {
      return grad(along(grads), std::span<const Tensor>(all),
                  {.retain_graph = true, .allow_unused = true});
    };
    const Tensors curved = second(by_y);
    check("second order", curved, second(by_z));
    // The graph of the value was kept, and gives the same again.
    check("gradient", gradients(y, seed, in), by_z);

    const auto tangent = [&](Tensor (*f)(Inputs)) {
      Tensors at;
      for (const Tensor& each : in) at.push_back(each.detach());
      return jvp(Function(f), at, directions).second;
    };
    check("tangent", {tangent(pair.fused)}, {tangent(pair.plain)});
    // ⟨seed, J·u⟩ = ⟨Jᵀ·seed, u⟩, and so its gradient for the seed is the tangent.
    check("tangent", {tangent(pair.fused)}, {curved.back()});
  }
}

TEST_CASE("fused: NaN and infinite inputs and seeds are not lost") {
  using Limits = std::numeric_limits<double>;
  Generator generator(4);
  for (const DType dtype : {f32, f64})
    for (const Pair& pair : pairs)
      for (const double special : {Limits::quiet_NaN(), Limits::infinity(), -Limits::infinity()})
        for (std::size_t which = 0; which <= pair.shapes.size(); ++which) {
          CAPTURE(pair.name);
          CAPTURE(name_of(dtype));
          CAPTURE(special);
          CAPTURE(which);
          // exp() alone, of which the plain softmax is made, would need the shift.
          if (pair.name == "softmax" && which == 0 && std::isinf(special)) continue;
          Tensors in = make_inputs(pair, generator, dtype);
          Tensor seed = randn(pair.fused(in).shape(), generator, dtype);
          Tensor& odd = which < in.size() ? in[which] : seed;
          const std::size_t at = odd.numel() > 9 ? 9 : 0;
          if (dtype == f32)
            odd.mutable_data<float>()[at] = static_cast<float>(special);
          else
            odd.mutable_data<double>()[at] = special;
          const Tensor y = pair.fused(in), z = pair.plain(in);
          const samples::Real tolerance = dtype == f32 ? 1e-5L : 1e-13L;
          CHECK(compare("value", y, z, tolerance) == "");
          const Tensors got = gradients(y, seed, in), want = gradients(z, seed, in);
          for (std::size_t i = 0; i < got.size(); ++i) {
            // Of two that are not finite, one may be infinite where the other is NaN.
            const auto finite = [](samples::Real e) {
              return std::isfinite(e) ? e : Limits::infinity();
            };
            CHECK(compare("gradient", reference::map(samples::array_of(got[i]), finite),
                          reference::map(samples::array_of(want[i]), finite), tolerance) == "");
          }
        }
}

TEST_CASE("fused: one tensor as all operands") {
  Generator generator(5);
  const Tensor x = randn({4, 4}, generator, f64).requires_grad_();
  const Tensor row = randn({4}, generator, f64).requires_grad_();
  const auto same = [](const Tensor& y, const Tensor& z, const Tensor& leaf) {
    CHECK(compare("value", y, z, 1e-13L) == "");
    CHECK(compare("gradient", grad(sum(square(y)), leaf), grad(sum(square(z)), leaf), 1e-12L) ==
          "");
  };
  same(linear(x, x, {}, Activation::tanh), tanh(matmul(x, x.T())), x);
  same(linear(x.T(), x), matmul(x.T(), x.T()), x);
  same(linear(row, reshape(row, {1, 4})), reshape(sum(row * row), {1}), row);
  same(layer_norm(row, {4}, row, row, 0.01), norm(row) * row + row, row);
  same(mse_loss(x, x), zeros({}, f64) + 0.0 * sum(x), x);
  same(mse_loss(x, x.T()), mean(square(x - x.T())), x);
  same(cross_entropy(x, x), -mean(sum(log_softmax(x) * x, 1)), x);
}

TEST_SUITE_END();
