#include <chainrule/core/create.hpp>
#include <chainrule/core/random.hpp>
#include <chainrule/graph/derivation/derive.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <string>

#include <chainrule/ops/elementwise/activations.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/elementwise/functions.hpp>
#include <chainrule/ops/linalg/matmul.hpp>
#include <chainrule/ops/nn/layer_norm.hpp>
#include <chainrule/ops/reduce/reduction.hpp>
#include <chainrule/ops/shape/gather.hpp>
#include <chainrule/ops/shape/indexing.hpp>
#include <chainrule/ops/shape/join.hpp>
#include <chainrule/ops/shape/manipulation.hpp>

// A formula says one thing, by the usual rules of precedence.

using namespace chainrule;

TEST_SUITE_BEGIN("graph");

namespace {

struct Source {
  Generator generator{11};

  Tensor data(const char* name, const Shape& shape) {
    return uniform(0.5, 1.5, shape, generator, f64).named(name);
  }
  Tensor parameter(const char* name, const Shape& shape) {
    return data(name, shape).requires_grad_();
  }
};

std::string formulas(const Tensor& loss, bool indices = false) {
  return derive(loss).text({.indices = indices, .limits = false});
}
std::string latex(const Tensor& loss) { return derive(loss).latex({.limits = false}); }

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("reading: the weight of a layer norm that has no further axes is not summed") {
  Source p;
  const Tensor x = p.parameter("x", {4}), g = p.parameter("γ", {4}), c = p.data("c", {4});
  CHECK(has(formulas(sum(c * layer_norm(x, {4}, g))), "dγ = c ⊗ standardized(x)\n"));
  const Tensor X = p.parameter("X", {3, 4}), G = p.parameter("Γ", {3, 4}), C = p.data("C", {3, 4});
  CHECK(has(formulas(sum(C * layer_norm(X, {3, 4}, G))), "dΓ = C ⊗ standardized₀₁(X)\n"));
  CHECK(has(formulas(sum(C * layer_norm(X, {4}, g))), "dγ = Σ₀(C ⊗ standardized(X))\n"));
}

TEST_CASE("reading: layer norms show axes and an ε that are not the usual ones") {
  Source p;
  const Tensor x = p.parameter("x", {2, 3, 4}), C = p.data("C", {2, 3, 4});
  const Tensor w = p.data("w", {3, 4});
  CHECK(formulas(sum(C * layer_norm(x, {4}))) == "dx = layer_norm'(x)·C\n");
  CHECK(formulas(sum(C * layer_norm(x, {3, 4}))) == "dx = layer_norm'₁₂(x)·C\n");
  CHECK(formulas(sum(C * layer_norm(x, {3, 4}, w, {}, 0.5))) ==
        "dx = layer_norm'₁₂(x, ε = 0.5)·(w ⊗ C)\n");
  const Tensor v = p.parameter("v", {4});
  CHECK(has(formulas(sum(C * layer_norm(x, {4}, v, {}, 1e-12))),
            "dv = Σ₀₁(C ⊗ standardized(x, ε = 1e-12))\n"));
  CHECK(has(latex(sum(C * layer_norm(x, {4}, v, {}, 1e-12))), "= 1 \\cdot 10^{-12})"));
}

TEST_CASE("reading: a constant matrix in a product is 𝟏, not 1") {
  Source p;
  const Tensor A = p.parameter("A", {2, 3}), B = p.parameter("B", {3, 4});
  const Tensor product = matmul(A, B);
  CHECK(formulas(sum(product)) ==
        "dB = Aᵀ·𝟏₂ₓ₄\n"
        "dA = 𝟏₂ₓ₄·Bᵀ\n");
  CHECK(has(formulas(mean(product)), "dB = Aᵀ·𝟏₂ₓ₄ / 8\n"));
  CHECK(has(latex(sum(product)), "{A}^{\\top}\\,\\mathbf{1}_{2 \\times 4}"));
  CHECK(has(derive(sum(product)).html({.limits = false}),
            "<msub><mn>𝟏</mn><mrow><mn>2</mn><mo>×</mo><mn>4</mn></mrow></msub>"));
  const Tensor b = p.parameter("b", {1, 4});
  const Tensor Z = (p.data("X", {5, 4}) + matmul(ones({5, 1}, f64), b)).named("Z");
  CHECK(has(formulas(sum(square(Z))), "db = (𝟏₅ₓ₁)ᵀ·dZ\n"));
  const Tensor x = p.parameter("x", {4, 3});
  const Tensor text = sum(square(x - matmul(full({4, 4}, 0.25, f64), x)));
  CHECK_FALSE(has(formulas(text), "0.25·"));
  CHECK(has(formulas(text), "𝟏₄ₓ₄"));
  const Tensor n = p.parameter("n", {2, 3});
  CHECK(formulas(sum(layer_norm(n, {3}))) == "dn = layer_norm'(n)·𝟏₂ₓ₃\n");
}

TEST_CASE("reading: by element, a letter that stands nowhere counts its positions") {
  Source p;
  const Tensor X = p.parameter("X", {3, 4});
  const Tensor G = matmul(X.T(), X);  // Σᵢⱼ (XᵀX)ᵢⱼ = |X·1|²
  CHECK(formulas(sum(matmul(X, ones({4, 5}, f64))), true) == "dXᵢⱼ = 5\n");
  CHECK(has(formulas(sum(square(matmul(X, ones({4, 5}, f64)))), true), "dXᵢⱼ = 10 Σₙ Xᵢₙ\n"));
  CHECK_FALSE(has(formulas(sum(G), true), "Σₙₘ"));
}

TEST_CASE("reading: a quotient by a sum is closed before it is divided") {
  Source p;
  const Tensor X = p.parameter("X", {3, 4}), G = p.data("G", {3, 4}), x = p.parameter("x", {4});
  const std::string text = formulas(sum(G * X / sum(X, 1, true)) / 3);
  CHECK_FALSE(has(text, "⊘ Σ₁ X / 3"));
  CHECK(has(text, "⊘ Σ₁ X) / 3"));
  CHECK_FALSE(has(formulas(sum(exp(x) / sum(square(x))) / 3), "⊘ Σ x² / 3"));
}

TEST_CASE("reading: by element, a factor without a sign stands above the line") {
  Source p;
  const Tensor h = p.parameter("h", {7}), y = p.data("y", {7});
  CHECK(formulas(mean(square(h - y)), true) == "dhᵢ = 2 (hᵢ − yᵢ) / 7\n");
  const Tensor Q = p.parameter("Q", {3, 2}), K = p.data("K", {4, 2}), V = p.data("V", {3, 4});
  const Tensor scores = sum(V * matmul(Q, K.T()) / std::sqrt(2.0));
  CHECK(formulas(scores, true) == "dQᵢⱼ = Σₙ Vᵢₙ Kₙⱼ / √2\n");
  CHECK(has(derive(scores).latex({.indices = true, .limits = false}), " / \\sqrt{2}"));
  CHECK(has(formulas(sum(sin(h / std::sqrt(2.0))), true), "cos(hᵢ / √2) / √2"));
  CHECK(has(formulas(sum(square(h)) * std::sqrt(2.0) / 3.0, true), "hᵢ"));
}

TEST_CASE("reading: the range of a letter stands at its sum where no axis gives it") {
  Source p;
  const Tensor x = p.parameter("x", {6});
  const Tensor k = tensor(3.0, f64).named("k"), l = tensor(1.0, f64).named("l");
  const Tensor springs = 0.5 * k * sum(square(x(slice(1, {})) - x(slice({}, -1)) - l));
  const std::string text = formulas(springs, true);
  INFO(text);
  CHECK(has(text, "Σₙ₌₀⁴ [i = n] "));
  const std::string in_latex = derive(springs).latex({.indices = true, .limits = false});
  INFO(in_latex);
  CHECK(has(in_latex, "\\sum_{n=0}^{4} "));
}

TEST_CASE("reading: axes of a sum have one subscript in LaTeX") {
  Source p;
  const Tensor X = p.data("X", {2, 4, 3}), b = p.parameter("b", {3});
  const std::string text = latex(sum(square(X + b)));
  CHECK(has(text, "\\sum_{0,1}"));
  CHECK_FALSE(has(text, "}_{"));
  CHECK(has(derive(sum(square(X + b))).html({.limits = false}), "<mn>0,1</mn>"));
}

TEST_CASE("reading: what is moved along axes names them") {
  Source p;
  const Tensor X = p.parameter("X", {2, 3, 4}), G = p.data("G", {3, 4, 2});
  const Tensor H = p.data("H", {4, 2, 3}), T = p.data("T", {4, 3, 2});
  CHECK(has(formulas(sum(permute(X, {1, 2, 0}) * G) + sum(permute(X, {2, 0, 1}) * H)),
            "permute[2, 0, 1](G)"));
  CHECK(formulas(sum(transpose(X, 0, 2) * T)) == "dX = transpose₀₂(T)\n");
  const Tensor c = tensor({1, 0, 1}).named("c"), M = p.parameter("M", {2, 2});
  const Tensor rows = take(M, c), columns = take(M, c, 1);
  CHECK(formulas(sum(rows * p.data("A", {3, 2}))) == "dM = index_add(A, c)\n");
  CHECK(formulas(sum(columns * p.data("A", {2, 3}))) == "dM = index_add₁(A, c)\n");
  const Tensor u = p.parameter("u", {2, 2}), S = p.data("S", {2, 4});
  CHECK(has(formulas(sum(S * square(concat({u, p.data("v", {2, 2})}, 1)))), "concat₁(u, v)"));
  CHECK(
      has(formulas(sum(transpose(S) * square(concat({u, p.data("v", {2, 2})})))), "concat(u, v)"));
}

TEST_CASE("reading: a name with a sign in it stands in parentheses") {
  Source p;
  const Tensor x = p.parameter("x", {3}), y = p.data("y", {3}), w = p.data("w", {3});
  const Tensor d = (x - y).named("x - y");
  const Tensor loss = sum(w * square(d));
  CHECK(has(formulas(loss), "d(x - y) = 2 w ⊗ (x - y)\n"));
  CHECK(has(latex(loss), "\\mathrm{d}\\left(\\mathrm{x - y}\\right)"));
  CHECK(has(formulas(sum(w * square(d) * d), true), "(x - y)ᵢ"));
  const std::string powers = formulas(sum(square(square((x * y).named("x·y")))));
  INFO(powers);
  CHECK(has(powers, "d(x·y) = 4 (x·y)³\n"));
  // These are read as names.
  for (const char* name : {"h[t-1]", "p(y|x)", "w*", "layer1.weight", "W_1", "σ²"}) {
    const Tensor named = p.data(name, {3});
    CHECK(has(formulas(sum(named * x)), std::string("dx = ") + name + "\n"));
  }
}

TEST_CASE("reading: a sum stands along the axes that are left, or its shape is written") {
  Source p;
  const Tensor X = p.parameter("X", {3, 3}), G = p.data("G", {3, 3}), g = p.data("g", {3});
  CHECK(formulas(sum(G * (X / sum(X, 1, true)))) == "dX = (G − Σ₁(G ⊗ X ⊘ Σ₁ X)) ⊘ Σ₁ X\n");
  CHECK(formulas(sum(G * tanh(X - sum(X, 1)))) ==
        "dX = G ⊗ tanh'(t1) − reshape[3, 1](Σ₀(G ⊗ tanh'(t1)))\n"
        "where t1 = X − reshape[3](Σ₁ X)\n");
  CHECK(has(formulas(sum(G * tanh(sum(X, 1, true) - sum(X, 0, true)))),
            "t1 = reshape[3, 1](Σ₁ X) − Σ₀ X\n"));
  CHECK(has(formulas(sum(g * tanh(sum(X, 1) - sum(X, 0)))), "t1 = reshape[3](Σ₁ X) − Σ₀ X\n"));
  const Tensor u = p.parameter("u", {3});
  CHECK(has(formulas(sum(G * tanh(sum(X, 1, true) * u))), "t1 = reshape[3, 1](Σ₁ X) ⊗ u\n"));
  CHECK(has(formulas(sum(G * tanh(X - logsumexp(X, 1)))), "X − reshape[3](logsumexp₁(X))\n"));
  CHECK(has(formulas(sum(G * tanh(X - logsumexp(X, 1, true)))), "t1 = X − logsumexp₁(X)\n"));
  // A result without a name has its shape where it is defined.
  CHECK(
      has(formulas(mean(G * X / sqrt(sum(square(X), 1, true)))), "t1 = reshape[3, 1](√(Σ₁ X²))\n"));
  // Of other extents there is one way to read it.
  const Tensor Y = p.parameter("Y", {3, 4}), H = p.data("H", {3, 4});
  CHECK_FALSE(has(formulas(mean(H * Y / sqrt(sum(square(Y), 1, true)))), "reshape"));
}

TEST_CASE("reading: a vector in all rows or columns is a product with 𝟏") {
  Source p;
  const Tensor W = p.parameter("W", {2, 3}), x = p.data("x", {3}), X = p.parameter("X", {4, 3});
  CHECK(formulas(sum(W * x)) == "dW = 𝟏₂·xᵀ\n");
  const Tensor s = matmul(X, full({3}, 1.0 / 3.0, f64)).named("s");
  const std::string text = derive(sum(square(s))).text({.steps = true, .limits = false});
  CHECK(has(text, "dX = ds·(𝟏₃ / 3)ᵀ\n"));
  CHECK(has(text, "   = (ds / 3)·(𝟏₃)ᵀ\n"));
}

TEST_SUITE_END();
