#include <chainrule/core/create.hpp>
#include <chainrule/core/random.hpp>
#include <chainrule/graph/derivation/derive.hpp>

#include <doctest/doctest.h>

#include <string>

#include <chainrule/ops/elementwise/activations.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/elementwise/functions.hpp>
#include <chainrule/ops/elementwise/select.hpp>
#include <chainrule/ops/linalg/matmul.hpp>
#include <chainrule/ops/nn/cross_entropy.hpp>
#include <chainrule/ops/reduce/reduction.hpp>
#include <chainrule/ops/shape/indexing.hpp>
#include <chainrule/ops/shape/join.hpp>
#include <chainrule/ops/shape/manipulation.hpp>

// What a program makes of data, masks and numbers with names is shown as what it is made from.

using namespace chainrule;

TEST_SUITE_BEGIN("graph");

namespace {

struct Named {
  Generator generator{7};
  Tensor data(const char* name, const Shape& shape) {
    return uniform(0.5, 1.5, shape, generator, f64).named(name);
  }
  Tensor parameter(const char* name, const Shape& shape) {
    return uniform(-1, 1, shape, generator, f64).named(name).requires_grad_();
  }
};

std::string formulas(const Tensor& loss) { return derive(loss).text({.limits = false}); }

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("named data: functions of it are shown as such") {
  Named n;
  const Tensor w = n.parameter("w", {2}), W = n.parameter("W", {3, 2}), z = n.parameter("z", {4});
  const Tensor X = n.data("X", {4, 2}), m = n.data("μ", {2}), y = n.data("y", {4});
  CHECK(formulas(sum(square(matmul(X - m, w) - y))) == "dw = 2 (X − μ)ᵀ·((X − μ)·w − y)\n");
  CHECK(formulas(sum((1.0 + y) * softplus(-z))) == "dz = σ(−z) ⊗ (−1 − y)\n");
  const Tensor A = n.data("Â", {4, 4}), H = n.data("H", {4, 3});
  const Tensor Z = matmul(matmul(A, H), W).named("Z");
  CHECK(has(formulas(sum(square(Z))), "dW = (Â·H)ᵀ·dZ\n"));
  CHECK(formulas(sum(y * square(z)) / sum(y)) == "dz = 2 y ⊗ z ⊘ Σ y\n");
}

TEST_CASE("named data: one-hot labels say whose they are") {
  Named n;
  const Tensor Z = n.parameter("Z", {4, 3}), t = tensor({0, 2, 1, 1}).named("t");
  CHECK(formulas(cross_entropy(Z, t)) ==
        "dZ = (softmax₁(Z) − c1) / 4\n"
        "where c1 = one_hot(t)\n");
}

TEST_CASE("named data: powers keep the names of their exponents") {
  Named n;
  const Tensor q = exp(n.parameter("v", {3})).named("q"), y = n.parameter("y", {3});
  const Tensor k = tensor(3.0, f64).named("n");
  CHECK(has(formulas(sum(pow(q, k))), "dq = n q^(n − 1)\n"));
  const std::string both = formulas(sum(pow(q, y)));
  CHECK(has(both, "dq = y ⊗ q^(y − 1)\n"));
  CHECK(has(both, "dy = q^y ⊗ log(q)\n"));
  CHECK(has(formulas(sum(pow(q, 1.0)) + sum(pow(q, 4.0))), "dq = 4 q³ + 1\n"));
  CHECK(has(formulas(sum(pow(q, -2.0))), "dq = −2 ⊘ q³\n"));
}

TEST_CASE("named data: a named number times a mean needs no expand") {
  Named n;
  const Tensor w = n.parameter("w", {4, 3}), b = tensor(2.0, f64).named("β");
  const Tensor d = tensor(3.0, f64).named("d");
  CHECK(formulas(mean(b * sum(square(w), 1))) == "dw = β w / 2\n");
  const std::string steps = derive(mean(square(square(w))) / d).text({.steps = true});
  CHECK_FALSE(has(steps, "expand"));
}

TEST_CASE("named data: masks of few elements are comparisons of what is closest") {
  Named n;
  const Tensor z = n.parameter("z", {5});
  const Tensor h = where(z > 0.0, z, z / 10.0).named("h");
  CHECK(has(formulas(sum(square(h))), "dz = where(z > 0, dh, dh / 10)\n"));
  const Tensor e = where(z > 0.0, z, exp(z) - 1.0).named("e");
  CHECK(has(formulas(sum(square(e))), "dz = where(z > 0, de, exp(z) ⊗ de)\n"));
  // A mask of something else stays one, though it agrees with a comparison further away.
  const Tensor a = tensor({0.3, -0.5, 0.8, 0.1}, f64).named("a").requires_grad_();
  const Tensor b = tensor({0.2, -0.1, 0.9, -0.4}, f64).named("b").requires_grad_();
  const Tensor hidden = tensor({1.0, -1.0, -1.0, 1.0}, f64);
  CHECK(has(formulas(sum(where(hidden > 0.0, a * b, exp(b)))), "c1 = mask (4,)"));
}

TEST_CASE("named data: the factor of a branch is no bound of the mask") {
  const Tensor a =
      tensor({-1.0, -0.5, 0.2, 0.4, 1.4, 0.1, -2.0, 0.3, -0.47}, f64).named("a").requires_grad_();
  CHECK(has(formulas(sum(where(a < 0.5, a * 3.0, a))), "c1 = mask (9,)"));
  CHECK(has(formulas(sum(where(a < 0.5, a, a / 0.45))), "c1 = mask (9,)"));
  const auto huber = [&](double rest) {
    return formulas(sum(where(abs(a) <= 0.45, 0.5 * square(a), 0.45 * (abs(a) - rest))));
  };
  CHECK(has(huber(0.225), "clip(a, −0.45, 0.45)"));
  CHECK(has(huber(0.2), "c1 = mask (9,)"));
}

TEST_CASE("named data: a mask that goes by 0 and by another tensor is neither's") {
  const Tensor x =
      tensor({0.3, -0.5, 0.8, -0.1, 1.2, -0.7, 0.4, -2.0, 0.9}, f64).named("x").requires_grad_();
  const auto with = [&](double first) {
    const Tensor y =
        tensor({first, 0.6, -0.2, 0.5, 0.1, -0.3, 0.2, -1.0, 0.7}, f64).named("y").requires_grad_();
    return formulas(sum(where(x > y, x * 2.0, square(y))));
  };
  CHECK(has(with(0.2), "c1 = mask (9,)"));
  CHECK(has(with(0.4), "[x > y]"));
}

TEST_CASE("named data: a bound is likelier as it is written than negated") {
  Named n;
  const Tensor d = tensor(0.5, f64).named("δ");
  const Tensor w =
      tensor({0.1, -0.9, 0.3, -0.2, -0.7, 0.4, 0.2, -1.0, 0.0}, f64).named("w").requires_grad_();
  const Tensor size = abs(w);
  const Tensor loss = sum(where(size <= d, 0.5 * square(w), d * (size - 0.5 * d)));
  CHECK(formulas(loss) == "dw = where(|w| ≤ δ, w, δ sign(w))\n");
  CHECK(formulas(loss / tensor(9.0, f64).named("N")) == "dw = where(|w| ≤ δ, w, δ sign(w)) / N\n");
}

TEST_CASE("named data: scalars stand in front of a choice, which one mask makes once") {
  Named n;
  const Tensor h = n.parameter("h", {9});
  const Tensor m = tensor({true, false, true, true, false, false, true, false, true});
  const Tensor keep = where(m, h * 1.5, 0.0);
  CHECK(formulas(sum(square(where(m, keep, 0.0)))) ==
        "dh = 4.5 where(c1, h, 0)\n"
        "where c1 = mask (9,)\n");
}

TEST_CASE("named data: what steps compute on the way has their numbers") {
  Named n;
  Tensor x = n.parameter("x0", {});
  const Tensor r = n.parameter("r", {}), K = tensor(3.0, f64).named("K").requires_grad_();
  for (int i = 1; i <= 5; ++i) x = (x + r * x * (1.0 - x / K)).named("x" + std::to_string(i));
  const std::string text = derive(square(x)).text({.layers_once = true, .limits = false});
  CAPTURE(text);
  CHECK(has(text, "for k = 4 … 0\n"));
  CHECK(has(text, "dr  = Σₜ₌₀⁴"));
  // Indices may stand below the line.
  const Tensor W = n.parameter("W", {2, 2});
  Tensor h = n.data("h₀", {2});
  for (const char* name : {"h₁", "h₂", "h₃", "h₄"}) h = tanh(matmul(W, h)).named(name);
  CHECK(
      has(derive(sum(h)).text({.layers_once = true}), "dhₖ = Wᵀ·daₖ₊₁           for k = 3 … 1\n"));
}

TEST_CASE("named data: a mask that was given is none of the comparisons that fit it") {
  const Tensor x = tensor({0.5, -1.0, 2.0, 0.3}, f64).named("x").requires_grad_();
  const Tensor keep = tensor({true, false, true, true});
  const auto shown = [&](const Tensor& mask) {
    return formulas(sum(where(mask, square(x), 7.0 * x)));
  };
  CHECK(shown(keep) == "dx = 2 where(c1, x, 3.5)\nwhere c1 = mask (4,)\n");
  // Nor is what came of it.
  CHECK(has(shown(logical_not(logical_not(keep))), "c1 = mask (4,)"));
  CHECK(has(shown(concat({slice(keep, 0, 0, 2), slice(keep, 0, 2, 4)}, 0)), "c1 = mask (4,)"));
  CHECK(has(shown(x > 0.0), "x > 0"));
  CHECK(has(shown(logical_not(x <= 0.0)), "x > 0"));
  CHECK(has(shown(reshape(reshape(x > 0.0, {2, 2}), {4})), "x > 0"));
}

TEST_SUITE_END();
