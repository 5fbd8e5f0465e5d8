#include <chainrule/core/create.hpp>
#include <chainrule/graph/backward.hpp>
#include <chainrule/graph/derivation/derive.hpp>
#include <chainrule/ops/reduce/reduction.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include <chainrule/core/random.hpp>
#include <chainrule/ops/elementwise/activations.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/elementwise/convert.hpp>
#include <chainrule/ops/elementwise/functions.hpp>
#include <chainrule/ops/elementwise/select.hpp>
#include <chainrule/ops/nn/cross_entropy.hpp>
#include <chainrule/ops/nn/layer_norm.hpp>
#include <chainrule/ops/nn/mse.hpp>
#include <chainrule/tests/graph/derivation/textbook_network.hpp>

using namespace chainrule;

// Derivatives of gradients: what derive() says about ⟨∇L(w), v⟩ is the product of the Hessian with
// v.

TEST_SUITE_BEGIN("graph");

namespace {

using Loss = std::function<Tensor(const Tensor& w)>;

// Its formulas; the value of the last, which is that of w, is compared with differences of the
// gradient along v: extrapolated once, so that their error is of order h⁴.
std::string hessian_product(const Loss& loss, const Tensor& w, const Tensor& v) {
  const Tensor gradient = grad(loss(w), w, {.create_graph = true});
  const Derivation derivation = derive(sum(gradient * v), {w});
  const auto at = [&](double step) {
    const Tensor moved = (w.detach() + step * v.detach()).named(w.name()).requires_grad_();
    return grad(loss(moved), moved).to_vector<double>();
  };
  constexpr double h = 1e-3;
  const auto up = at(h), down = at(-h), far_up = at(2 * h), far_down = at(-2 * h);
  const auto step =
      std::ranges::find(derivation.steps(), std::string(w.name()), &Derivation::Step::of);
  REQUIRE(step != derivation.steps().end());
  const std::vector<double> value = step->value.to_vector<double>();
  REQUIRE(value.size() == up.size());
  for (std::size_t i = 0; i < value.size(); ++i) {
    const double expected = (8 * (up[i] - down[i]) - (far_up[i] - far_down[i])) / (12 * h);
    CHECK(value[i] == doctest::Approx(expected).epsilon(1e-8).scale(1));
  }
  // Every abbreviation stands there, and no number of an unnamed tensor without one.
  const std::string text = derivation.text({.limits = false});
  for (int k = 1; k < 30; ++k)
    for (const char letter : {'t', 'c', 'w'}) {
      const std::string name = letter + std::to_string(k);
      const std::size_t found = text.find(name);
      if (found == std::string::npos) continue;
      INFO(text);
      CHECK(text.find(" " + name + " = ") != std::string::npos);
    }
  return text;
}

struct Given {
  Generator generator{5};
  Tensor data(const char* name, const Shape& shape) {
    return randn(shape, generator, f64).named(name);
  }
  Tensor parameter(const char* name, const Shape& shape) {
    return data(name, shape).requires_grad_();
  }
};

}  // namespace

TEST_CASE("second derivatives: softmax with cross-entropy, (diag p − p pᵀ) v") {
  Given given;
  const Tensor z = given.parameter("z", {3}), v = given.data("v", {3});
  const Tensor y = one_hot(tensor(1), 3, f64).named("y");
  const auto one = [&](const Tensor& at) { return -sum(y * log(softmax(at).named("p"))); };
  CHECK(hessian_product(one, z, v) == "dz = p ⊗ (v − Σ(p ⊗ v))\n");

  const Tensor Z = given.parameter("z", {4, 3}), V = given.data("v", {4, 3});
  const Tensor Y = one_hot(tensor({1, 0, 2, 2}), 3, f64).named("y");
  const auto batch = [&](const Tensor& at) {
    return -mean(sum(Y * log(softmax(at, 1).named("p")), 1));
  };
  CHECK(hessian_product(batch, Z, V) == "dz = p ⊗ (v − Σ₁(p ⊗ v)) / 4\n");
  CHECK(hessian_product([&](const Tensor& at) { return cross_entropy(at, Y); }, Z, V) ==
        "dz = softmax₁(z) ⊗ (v − Σ₁(softmax₁(z) ⊗ v)) / 4\n");
}

TEST_CASE("second derivatives: softmax regression") {
  Given given;
  const Tensor W = given.parameter("W", {2, 3}), V = given.data("V", {2, 3});
  const Tensor X = given.data("X", {3, 4});
  const Tensor Y = one_hot(tensor({1, 0, 1, 0}), 2, f64).T().named("Y");
  const auto loss = [&](const Tensor& at) {
    const Tensor P = softmax(matmul(at, X).named("Z"), 0).named("P");
    return -mean(sum(Y * log(P), 0));
  };
  CHECK(hessian_product(loss, W, V) ==
        "dP = V·X / 4\n"
        "dZ = P ⊗ (dP − Σ₀(P ⊗ dP))\n"
        "dW = dZ·Xᵀ\n");
}

TEST_CASE("second derivatives: logistic regression, Xᵀ·diag(σ'(z))·X·v") {
  Given given;
  const Tensor X = given.data("X", {5, 3}), w = given.parameter("w", {3, 1});
  const Tensor v = given.data("v", {3, 1});
  const Tensor y = to(given.data("r", {5, 1}) > 0.0, f64).named("y");
  const auto loss = [&](const Tensor& at) {
    const Tensor p = sigmoid(matmul(X, at).named("z")).named("p");
    return -sum(y * log(p) + (1 - y) * log(1 - p));
  };
  CHECK(hessian_product(loss, w, v)
            .starts_with("dt1 = X·v\n"
                         "dz  = σ'(z) ⊗ dt1\n"
                         "dw  = Xᵀ·dz\n"));
}

TEST_CASE("second derivatives: squared error, Xᵀ·X·v") {
  Given given;
  const Tensor X = given.data("X", {5, 3}), w = given.parameter("w", {3, 1});
  const Tensor v = given.data("v", {3, 1}), y = given.data("y", {5, 1});
  const auto half = [&](const Tensor& at) { return sum(square(matmul(X, at) - y)) / 2.0; };
  CHECK(hessian_product(half, w, v) == "dw = Xᵀ·X·v\n");
  const auto named = [&](const Tensor& at) { return mean(square((matmul(X, at) - y).named("r"))); };
  CHECK(hessian_product(named, w, v) == "dr = 0.4 X·v\ndw = Xᵀ·dr\n");
}

TEST_CASE("second derivatives: of functions of one tensor") {
  Given given;
  const Tensor x = given.parameter("x", {3}), v = given.data("v", {3});
  const auto of = [&](const Loss& loss) { return hessian_product(loss, x, v); };
  CHECK(of([](const Tensor& at) { return sum(at * at * at); }) == "dx = 6 v ⊗ x\n");
  CHECK(of([](const Tensor& at) { return sum(exp(at)); }) == "dx = v ⊗ exp(x)\n");
  CHECK(of([](const Tensor& at) { return sum(softplus(at)); }) == "dx = v ⊗ σ'(x)\n");
  CHECK(of([](const Tensor& at) { return logsumexp(at); }) ==
        "dx = softmax(x) ⊗ (v − Σ(softmax(x) ⊗ v))\n");
  CHECK(of([](const Tensor& at) { return sum(sin(at)); }) == "dx = −v ⊗ sin(x)\n");
  // Through a logarithm that is named, and through a quotient.
  of([](const Tensor& at) { return sum(log((square(at) + 1).named("q"))); });
  of([](const Tensor& at) { return sum(at / (square(at) + 1)); });
  of([](const Tensor& at) { return sum(sqrt(square(at) + 2)); });
  of([&](const Tensor& at) { return sum(tanh(at * v)); });
}

TEST_CASE("second derivatives: layers") {
  Given given;
  const Tensor x = given.data("x", {3, 1}), y = given.data("y", {4, 1});
  const Tensor W = given.parameter("W", {4, 3}), V = given.data("V", {4, 3});
  const auto layer = [&](auto activation) {
    return [&, activation](const Tensor& at) {
      const Tensor h = activation(matmul(at, x).named("z")).named("h");
      return sum(square(h - y)) / 2.0;
    };
  };
  CHECK(hessian_product(layer([](const Tensor& z) { return sigmoid(z); }), W, V)
            .starts_with("dh = V·x ⊗ "));
  CHECK(hessian_product(layer([](const Tensor& z) { return tanh(z); }), W, V)
            .find("dz = dh ⊗ tanh'(z)\n"
                  "dW = dz·xᵀ\n") != std::string::npos);

  const TextbookNetwork net({3, 4, 2}, 1);
  const Tensor direction = given.data("V", {4, 3});
  const auto perceptron = [&](const Tensor& at) {
    const Tensor h = sigmoid((matmul(at, net.x) + net.b[1].detach()).named("z1")).named("h1");
    const Tensor p = softmax(matmul(net.W[2].detach(), h).named("z2"), 0).named("p");
    return -sum(net.y * log(p));
  };
  CHECK(hessian_product(perceptron, net.W[1], direction).find("dz2 = p ⊗ (dp − Σ₀(p ⊗ dp))\n") !=
        std::string::npos);

  const Tensor a = given.parameter("a", {2, 3}), b = given.data("b", {2, 3});
  const Tensor u = given.data("u", {2, 3});
  hessian_product([&](const Tensor& at) { return mse_loss(layer_norm(at, {3}), b); }, a, u);
  hessian_product([&](const Tensor& at) { return -sum(b * log_softmax(at, 1)); }, a, u);
}

TEST_SUITE_END();
