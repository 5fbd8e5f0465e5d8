#include <chainrule/core/create.hpp>
#include <chainrule/core/random.hpp>
#include <chainrule/graph/checking/check_derivation.hpp>
#include <chainrule/graph/derivation/derive.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <string>

#include <chainrule/core/op.hpp>
#include <chainrule/ops/define.hpp>
#include <chainrule/ops/elementwise/activations.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/elementwise/functions.hpp>
#include <chainrule/ops/elementwise/log.hpp>
#include <chainrule/ops/elementwise/select.hpp>
#include <chainrule/ops/linalg/matmul.hpp>
#include <chainrule/ops/nn/cross_entropy.hpp>
#include <chainrule/ops/nn/layer_norm.hpp>
#include <chainrule/ops/nn/softmax.hpp>
#include <chainrule/ops/reduce/reduction.hpp>
#include <chainrule/ops/shape/indexing.hpp>
#include <chainrule/ops/shape/manipulation.hpp>
#include <chainrule/tests/core/error_of.hpp>

// What a good author writes: the forms that formulas are shown in.

using namespace chainrule;

TEST_SUITE_BEGIN("graph");

namespace {

struct Book {
  Generator generator{7};

  Tensor data(const char* name, const Shape& shape) {
    return uniform(-1, 1, shape, generator, f64).named(name);
  }
  Tensor parameter(const char* name, const Shape& shape) {
    return data(name, shape).requires_grad_();
  }
};

std::string formulas(const Tensor& loss) { return derive(loss).text({.limits = false}); }

bool has_line(const std::string& text, const std::string& line) {
  return ("\n" + text).find("\n" + line + "\n") != std::string::npos;
}

}  // namespace

TEST_CASE("print: what does not vary is counted, not summed") {
  Book book;
  const Tensor s = book.parameter("s", {}), r = book.data("r", {8});
  CHECK(derive(mean(s + 0.5 * square(r))).text({.steps = true, .limits = false}) == "ds = 1\n");
  const Tensor X = book.parameter("X", {4, 4}), a = book.parameter("a", {4, 1});
  const Tensor q = sum(X + a, 1).named("q");
  CHECK(derive(sum(square(q))).text({.steps = true, .limits = false}) ==
        "dq = 2 q\n"
        "dX = dq·(𝟏₄)ᵀ\n"
        "da = 4 reshape[4, 1](dq)\n");
}

TEST_CASE("print: terms of one gradient stand together, in terms of gradients that have a line") {
  Book book;
  const Tensor h0 = book.data("h0", {5, 4}), x = book.data("x", {5, 4}), Y = book.data("Y", {5, 4});
  const Tensor U = book.parameter("U", {4, 4}), V = book.parameter("V", {4, 4});
  Tensor h = h0;
  for (const char* step : {"1", "2"}) {
    const auto name = [&](const char* letter) { return std::string(letter) + step; };
    const Tensor f = sigmoid((x + matmul(h, V.T())).named(name("zf"))).named(name("f"));
    const Tensor c = tanh((x + matmul(f * h, U.T())).named(name("zc"))).named(name("c"));
    h = ((1 - f) * h + f * c).named(name("h"));
  }
  const Derivation derivation = derive(sum(square(h - Y)) / 2.0);
  const std::string text = derivation.text({.limits = false});
  CHECK(has_line(text, "dc2  = dh2 ⊗ f2"));
  CHECK(has_line(text, "df2  = dh2 ⊗ (c2 − h1) + dt2 ⊗ h1"));
  CHECK(has_line(text, "dh1  = dt2 ⊗ f2 + dh2 ⊗ (1 − f2) + dzf2·V"));
  CHECK(derivation.latex().find("\\mathrm{d}\\mathrm{zf}_{2} &=") != std::string::npos);
}

TEST_CASE("print: a Gaussian likelihood stays factored") {
  Book book;
  const Tensor mu = book.parameter("μ", {5}), s = book.parameter("s", {5}), y = book.data("y", {5});
  CHECK(formulas(sum(0.5 * (s + square(y - mu) * exp(-s)))) ==
        "ds = (1 − (μ − y)² ⊗ exp(−s)) / 2\n"
        "dμ = exp(−s) ⊗ (μ − y)\n");
}

TEST_CASE("print: products of matrices and vectors, without what the operation needs besides") {
  Book book;
  const Tensor w = book.parameter("w", {3}), X = book.data("X", {12, 3}), y = book.data("y", {12});
  const Tensor r = (matmul(X, w) - y).named("r");
  CHECK(formulas(mean(square(r))) ==
        "dr = r / 6\n"
        "dw = Xᵀ·dr\n");
  const Tensor W = book.parameter("W", {4, 5}), x = book.data("x", {5});
  const Tensor z = matmul(W, x).named("z");
  CHECK(formulas(sum(square(tanh(z)))) ==
        "dz = 2 tanh(z) ⊗ tanh'(z)\n"
        "dW = dz·xᵀ\n");
  const Tensor a = book.parameter("a", {4}), M = book.data("M", {4, 5});
  const Tensor b = book.parameter("b", {5});
  CHECK(formulas(dot(a, matmul(M, b))) ==
        "db = Mᵀ·a\n"
        "da = M·b\n");
}

TEST_CASE("print: sums of products of matrices and vectors, too") {
  Book book;
  const Tensor W = book.parameter("W", {3, 3}), V = book.parameter("V", {2, 3});
  const Tensor x = book.data("x", {3}), U = book.data("U", {3, 3}), y = book.data("y", {2});
  const Tensor h = tanh(matmul(U, x) + book.parameter("b", {3})).named("h");
  const Tensor a = matmul(W, h).named("a"), o = matmul(V, h).named("o");
  const std::string text = formulas(sum(square(tanh(a))) + sum(square(o - y)));
  INFO(text);
  CHECK((has_line(text, "dh = Wᵀ·da + Vᵀ·do") || has_line(text, "dh = Vᵀ·do + Wᵀ·da")));
  const Tensor A = book.data("A", {3, 3}), v = book.parameter("v", {3});
  CHECK(formulas(dot(v, matmul(A, v))) == "dv = A·v + Aᵀ·v\n");
  const Tensor c = book.parameter("c", {4, 1}), X = book.data("X", {4, 3});
  const Tensor column = book.parameter("k", {4});
  const Tensor E = (X + reshape(column, {4, 1})).named("E");
  CHECK(has_line(formulas(sum(square(E))), "dk = Σ₁ dE"));
}

TEST_CASE("print: what is transposed twice is as it was") {
  Book book;
  const Tensor A = book.parameter("A", {2, 3}), B = book.parameter("B", {2, 3});
  const auto dA = [&](const Tensor& loss) { return derive(loss, {A}).text({.limits = false}); };
  CHECK(dA(sum(A.T() * B.T())) == "dA = B\n");
  CHECK(dA(sum(square(A.T()) * B.T())) == "dA = 2 B ⊗ A\n");
  CHECK(dA(sum(square(A.T() * B.T()))) == "dA = 2 A ⊗ B²\n");
  CHECK(dA(sum(A.T().T() * A)) == "dA = 2 A\n");
  CHECK(dA(sum(A.T() * exp(B.T()))) == "dA = (exp(Bᵀ))ᵀ\n");
}

TEST_CASE("print: Huber's loss is clipped, its mask a comparison") {
  Book book;
  const Tensor w = book.parameter("w", {3}), X = book.data("X", {40, 3}), y = book.data("y", {40});
  const Tensor r = (matmul(X, w) - y).named("r"), size = abs(r);
  const Tensor loss = mean(where(size <= 0.2, 0.5 * square(r), 0.2 * (size - 0.1)));
  CHECK(formulas(loss) ==
        "dr = clip(r, −0.2, 0.2) / 40\n"
        "dw = Xᵀ·dr\n");
  const Tensor z = book.parameter("z", {14}), m = book.data("m", {14});
  CHECK(formulas(sum(where(z > m, z * z, m))).find("[z > m]") != std::string::npos);
  // A mask that is no comparison of what is near stays one.
  const Tensor dropped = tensor(
      {true, false, false, true, true, false, true, true, false, true, false, false, true, false});
  CHECK(formulas(sum(where(dropped, z * z, m))).find("c1 = mask (14,)") != std::string::npos);
}

TEST_CASE("print: logistic losses") {
  Book book;
  const Tensor z = book.parameter("z", {9});
  const Tensor y = where(book.data("q", {9}) > 0.0, 1.0, full({9}, -1.0, f64)).named("y");
  CHECK(formulas(-mean(log(sigmoid(y * z)))) == "dz = −σ(−y ⊗ z) ⊗ y / 9\n");
  CHECK(formulas(mean(log1p(exp(-y * z)))) == "dz = −y ⊗ σ(−y ⊗ z) / 9\n");
  const Tensor p = sigmoid(z).named("p"), t = book.data("t", {9});
  CHECK(formulas(-mean(t * log(p) + (1.0 - t) * log(1.0 - p))) == "dz = (p − t) / 9\n");
}

TEST_CASE("print: of what underflows, gradients come from the logarithm's own rule, named or not") {
  const Tensor z = tensor({-800.0, 0.3}, f64).named("z").requires_grad_();
  const Tensor s = sigmoid(z).named("s"), loss = sum(log(s));
  CHECK(formulas(loss) == "dz = σ(−z)\n");
  const FormulaVerdict dz = check_derivation(loss, {{"dz", z, 1.0 - s}}).verdicts()[0];
  CAPTURE(dz.note);
  CHECK((dz.ok && dz.autograd_ok && dz.note.empty()));
  const Tensor near = tensor({-20.0, 0.3}, f64).named("z").requires_grad_();
  CHECK(formulas(sum(log(sigmoid(near).named("s")))) == "dz = 1 − s\n");
  // Also of what stands in between, and where s has other uses.
  const Tensor t = tensor({0.5, 1.0}, f64).named("t");
  const Tensor far = tensor({-800.0, -900.0}, f64).named("z").requires_grad_();
  for (const Tensor& of : {sum(t * log(softmax(z).named("p"))), sum(s * log(s)),
                           log(sum(exp(far).named("e"))), log(sum(exp(far)).named("q"))}) {
    const std::string text = derive(of).text({.steps = true, .values = true});
    CAPTURE(text);
    CHECK(text.find("nan") == std::string::npos);
    CHECK(text.find("inf") == std::string::npos);
    CHECK(text.find("ds") == std::string::npos);
  }
}

TEST_CASE("print: layer norm and batch norm by hand are one line") {
  Book book;
  const Tensor x = book.parameter("x", {4, 6}), g = book.parameter("γ", {6});
  const Tensor t = book.data("t", {4, 6});
  const Tensor c = x - mean(x, 1, true);
  const Tensor u = (c / sqrt(mean(square(c), 1, true) + 1e-5)).named("u");
  CHECK(has_line(formulas(sum(t * (u * g))),
                 "dx = (du − mean₁(du ⊗ u) ⊗ u − mean₁(du)) ⊘ √(mean₁((t1)²) + 1e-05)"));
  // x − mean twice is one thing.
  const Tensor mu = mean(x, 0, true), v = mean(square(x - mu), 0, true);
  const Tensor n = ((x - mu) / sqrt(v + 1e-5)).named("n");
  CHECK(has_line(formulas(sum(t * (n * g))),
                 "dx = (dn − mean₀(dn ⊗ n) ⊗ n − mean₀(dn)) ⊘ √(mean₀((t1)²) + 1e-05)"));
}

TEST_CASE("print: the axis of a softmax, where it is not the only one") {
  Book book;
  const Tensor z = book.parameter("z", {3, 4}), y = book.data("y", {3, 4});
  CHECK(formulas(sum(y * softmax(z, 0))) == "dz = softmax₀(z) ⊗ (y − Σ₀(softmax₀(z) ⊗ y))\n");
  CHECK(formulas(sum(logsumexp(z, 1))) == "dz = softmax₁(z)\n");
  const Tensor column = book.parameter("z", {4, 1});
  CHECK(formulas(sum(logsumexp(column, 0))) == "dz = softmax(z)\n");
  // Of more axes than digits, the last digit.
  Shape many(std::vector<std::int64_t>(13, 1));
  many[0] = many[12] = 2;
  const Tensor deep = book.parameter("z", many);
  CHECK(formulas(sum(logsumexp(deep, 12))).find("softmax₂(z)") != std::string::npos);
}

TEST_CASE("print: a sum stands in parentheses before a product") {
  Book book;
  const Tensor a = book.parameter("a", {4, 3}), y = book.data("y", {4, 3});
  const std::string text = formulas(sum(sin(sum(a, 1, true) * y)));
  CHECK(text.find("(Σ₁ a) ⊗ y") != std::string::npos);
}

TEST_CASE("print: what scales a layer norm is in its gradient") {
  Book book;
  const Tensor a = book.parameter("a", {4, 5}), g = book.data("γ", {5}), C = book.data("C", {4, 5});
  CHECK(formulas(sum(C * layer_norm(a, {5}, g))) == "da = layer_norm'(a)·(γ ⊗ C)\n");
}

TEST_CASE("print: numbers as they were written") {
  Book book;
  const Tensor Q = book.parameter("Q", {3, 8}), K = book.data("K", {5, 8}),
               C = book.data("C", {3, 5});
  CHECK(formulas(sum(C * (matmul(Q, K.T()) / std::sqrt(8.0)))) == "dQ = C·K / √8\n");
  const Tensor x = book.parameter("x", {3}), c = book.data("c", {3});
  CHECK(formulas(sum(c * x) / 6.0) == "dx = c / 6\n");
  CHECK(formulas(sum(c * x) * (2.0 / 3)) == "dx = 2 c / 3\n");
  CHECK(formulas(sum(c * x) * std::sqrt(2.0)) == "dx = √2 c\n");
  CHECK(formulas(sum(c * x) * 0.35) == "dx = 0.35 c\n");
  CHECK(formulas(sum(c * x) * 2.5) == "dx = 2.5 c\n");
  CHECK(formulas(sum(c * x) * 0.1234567) == "dx = 0.1234567 c\n");
}

TEST_CASE("print: scalars with names") {
  Book book;
  const Tensor W = book.parameter("W", {4, 3}), lambda = tensor(0.01, f64).named("λ");
  CHECK(formulas(lambda * sum(square(W))) == "dW = 2 λ W\n");
  const Tensor z = book.parameter("z", {3}), y = book.data("y", {3});
  const Tensor tau = tensor(2.0, f64).named("τ");
  CHECK(formulas(sum(y * (z / tau))) == "dz = y / τ\n");
}

TEST_CASE("print: axes with names") {
  Book book;
  const Tensor X = uniform(-1, 1, {12, 4}, book.generator, f64).named("X", {"N", "d"});
  const Tensor Y = uniform(0, 1, {12, 3}, book.generator, f64).named("Y", {"N", "C"});
  const Tensor W = book.parameter("W", {4, 3});
  const auto z = [&] { return matmul(X, W).named("z"); };
  const auto dz = [&](const Tensor& loss) {
    const std::string text = formulas(loss);
    return text.substr(0, text.find('\n'));
  };
  CHECK(dz(mean(square(z() - Y))) == "dz = 2 (z − Y) / (N C)");
  CHECK(dz(mean(sum(square(z() - Y), 1))) == "dz = 2 (z − Y) / N");
  CHECK(dz(sum(square(z() - Y)) / 12.0) == "dz = 2 (z − Y) / N");
  CHECK(dz(cross_entropy(z(), Y)) == "dz = (softmax₁(z) ⊗ Σ₁ Y − Y) / N");
  // What is not divided by the mean does not get its name: 1/12 by hand behind another path.
  const Tensor free = book.parameter("z", {12, 3});
  CHECK(formulas(sum(free) / 24.0 + mean(sum(free * free, 1))) == "dz = z / 6 + 1 / 24\n");
  const Tensor Q = book.parameter("Q", {12, 7});
  const Tensor K = uniform(-1, 1, {5, 7}, book.generator, f64).named("K", {"T", "dₖ"});
  CHECK(formulas(sum(matmul(Q, K.T()) / std::sqrt(7.0) * book.data("A", {12, 5}))) ==
        "dQ = A·K / √dₖ\n");

  const auto of_another_size = [&] {
    const Tensor b = uniform(0, 1, {3}, book.generator, f64).named("b", {"N"});
    (void)derive(sum(matmul(X, W) + b));
  };
  CHECK(error_of<ShapeError>(of_another_size).find("the axis N has ") != std::string::npos);
  const auto too_few = [&] { (void)W.named("W", {"d"}); };
  CHECK(error_of<ShapeError>(too_few).find("named: 1 names of axes for W") != std::string::npos);
  CHECK(W.named("V", {"d", "C"}).named("V").node()->axes().empty());
}

TEST_CASE("print: Σₜ over the steps of a recurrent net") {
  Book book;
  const Tensor W = book.parameter("W", {3, 4}), U = book.parameter("U", {4, 4});
  const Tensor b = book.parameter("b", {4}), V = book.parameter("V", {4, 1});
  const Tensor y = book.data("y", {2, 1});
  Tensor h = zeros({2, 4}, f64).named("h0"), loss = tensor(0.0, f64);
  for (int t = 1; t <= 5; ++t) {
    const std::string n = std::to_string(t);
    const Tensor x = book.data(("x" + n).c_str(), {2, 3});
    h = tanh(matmul(x, W) + matmul(h, U) + b).named("h" + n);
    loss = loss + mean(square(matmul(h, V) - y));
  }
  const std::string text = derive(loss).text({.layers_once = true, .limits = false});
  CHECK(has_line(text, "daₖ = dhₖ ⊗ tanh'(aₖ)     for k = 5 … 1"));
  CHECK(has_line(text, "dhₖ = daₖ₊₁·Uᵀ + tₖ·Vᵀ    for k = 4 … 1"));
  CHECK(has_line(text, "dU  = Σₜ₌₁⁵ (hₜ₋₁)ᵀ·daₜ"));
  CHECK(has_line(text, "dW  = Σₜ₌₁⁵ (xₜ)ᵀ·daₜ"));
  CHECK(has_line(text, "db  = Σ₀(Σₜ₌₁⁵ daₜ)"));
  // What the formulas abbreviate is said once, too.
  CHECK(
      text.ends_with("where aₖ = xₖ·W + hₖ₋₁·U + b    for k = 1 … 5\n"
                     "      tₖ = hₖ·V − y    for k = 1 … 5\n"));
  CHECK(derive(loss).text().find("t1 = h1·V − y\n") != std::string::npos);
  CHECK(derive(loss).latex().find("\\sum_{t=1}^{5} {h_{t-1}}^{\\top}\\,\\mathrm{d}a_{t}") !=
        std::string::npos);
}

TEST_CASE("print: Σₜ over the rows of one tensor") {
  Book book;
  const Tensor W = book.parameter("W", {3, 4}), U = book.parameter("U", {4, 4});
  const Tensor X = book.parameter("X", {8, 3});
  Tensor h = zeros({4}, f64).named("h0");
  for (int t = 0; t < 6; ++t)
    h = tanh(matmul(X[t], W) + matmul(h, U)).named("h" + std::to_string(t + 1));
  const std::string text = derive(sum(square(h))).text({.layers_once = true, .limits = false});
  CHECK(has_line(text, "dW  = Σₜ₌₁⁶ X[t-1]·(daₜ)ᵀ"));
  CHECK(has_line(text, "dU  = Σₜ₌₁⁶ hₜ₋₁·(daₜ)ᵀ"));
  CHECK(has_line(text, "dX  = Σₜ₌₁⁶ at[t-1](W·daₜ)"));
  CHECK(text.ends_with("where aₖ = X[k-1]·W + hₖ₋₁·U    for k = 1 … 6\n"));

  // A position that is the same in all steps stays.
  h = zeros({4}, f64).named("h0");
  for (int t = 0; t < 3; ++t)
    h = tanh(matmul(X[2], W) + matmul(h, U)).named("h" + std::to_string(t + 1));
  const std::string same = derive(sum(square(h))).text({.layers_once = true, .limits = false});
  CHECK(same.find("aₖ = X[2]·W + hₖ₋₁·U    for k = 1 … 3\n") != std::string::npos);
  CHECK(same.find("[k") == std::string::npos);
  CHECK(same.find("[t") == std::string::npos);
}

TEST_CASE("print: parts of a tensor") {
  Book book;
  const Tensor x = book.parameter("x", {6}), q = book.parameter("q", {4, 3});
  CHECK(formulas(sum(q[0] * q[1])) == "dq = at[1](q[0]) + at[0](q[1])\n");
  CHECK(formulas(-log(x(2))) == "dx = at[2](−1 ⊘ x[2])\n");
}

TEST_CASE("print: every result with a name has its formula, those passed by in the full text") {
  Book book;
  const Tensor z = book.parameter("z", {4, 3}), y = softmax(book.data("y", {4, 3}), 1).named("y");
  const Tensor p = softmax(z, 1).named("p"), l = log(p).named("l");
  const Derivation derivation = derive(-sum(y * l));
  CHECK(has_line(derivation.text({.limits = false}), "dz = p − y"));
  CHECK(derivation.text({.limits = false}).find("dl") == std::string::npos);
  CHECK(has_line(derivation.text({.steps = true, .limits = false}), "dl = −y"));
  // Asked for, it is there.
  CHECK(has_line(derive(-sum(y * log(softmax(z, 1)).named("l"))).text({.steps = true}), "dl = −y"));
}

TEST_CASE("print: asked for, an intermediate result has its formula beside a parameter's") {
  Book book;
  const Tensor w = book.parameter("w", {3}), c = book.data("c", {3});
  const Tensor h = tanh(w).named("h"), loss = sum(c * h);
  CHECK(derive(loss, {w, h}).text({.limits = false}) ==
        "dh = c\n"
        "dw = c ⊗ tanh'(w)\n");
}

namespace {

// a ⊗ b under notations of its own.
template <int n>
struct Sign final : BinaryOp<Sign<n>> {
  explicit Sign(const char* name, const char* notation) : BinaryOp<Sign<n>>(name, notation) {}
  static constexpr bool integers = false;
  template <class T>
  static T value(T a, T b) {
    return a * b;
  }
  static Node::SavedMask saved(bool a, bool b) {
    return (a ? Node::input(1) : 0) | (b ? Node::input(0) : 0);
  }
  void vjp(Vjp& r) const override {
    if (r.needs(0)) r.give(0, (*this)(r.g(), r.in(1), r.where()));
    if (r.needs(1)) r.give(1, (*this)(r.in(0), r.g(), r.where()));
  }
  Tensor operator()(const Tensor& a, const Tensor& b, const Where& where) const {
    return apply(*this, {&a, &b}, {}, where);
  }
  std::vector<Sample> samples() const override { return {}; }
};
}  // namespace

TEST_CASE("print: the operands of signs that the library does not know have parentheses") {
  const Sign<0> ring("print_ring", "{0} ∘ {1}");
  const Sign<1> star("print_star", "{0} ★ {1}");
  const Sign<2> word("print_word", "{0} by {1}");
  const Sign<3> prefix("print_prefix", "∇²{0} − {1}");
  Book book;
  const Tensor A = book.parameter("A", {2, 3}), B = book.parameter("B", {2, 3});
  const Tensor C = book.parameter("C", {2, 3});
  const auto dA = [&](const auto& op) {
    const Tensor loss = sum(op(A, B, Where::current()) * (B + C));
    const std::string text = derive(loss, {A}).text({.limits = false});
    return text.substr(text.find("dA = "));
  };
  CHECK(dA(ring) == "dA = (B + C) ∘ B\n");
  CHECK(dA(star) == "dA = (B + C) ★ B\n");
  CHECK(dA(word) == "dA = (B + C) by B\n");
  CHECK(dA(prefix) == "dA = ∇²(B + C) − B\n");
}

TEST_CASE("print: operands in a notation that stand beside something without a sign") {
  Book book;
  const Tensor A = book.parameter("A", {2, 3}), B = book.parameter("B", {2, 3});
  const Tensor C = book.parameter("C", {2, 3});
  const auto dA = [&](const char* notation) {
    const Sign<4> op("print_beside", notation);
    const Tensor loss = sum(op(A, B, Where::current()) * (B + C));
    const std::string text = derive(loss, {A}).text({.limits = false});
    return text.substr(text.find("dA = ") + std::string("dA = ").size());
  };
  CHECK(dA("2 {0}") == "2 (B + C)\n");
  CHECK(dA("3{0}") == "3(B + C)\n");
  CHECK(dA("0.5 {0} − {1}") == "0.5 (B + C) − B\n");
  CHECK(dA("{1} + 2 {0}") == "B + 2 (B + C)\n");
  CHECK(dA("D{0}") == "D(B + C)\n");
  CHECK(dA("D1 {0}") == "D1 (B + C)\n");
  CHECK(dA("{0}{1}") == "(B + C)B\n");
  CHECK(dA("{1} {0}") == "B (B + C)\n");
  CHECK(dA("f({1}) {0}") == "f(B) (B + C)\n");
  CHECK(dA("{0} ({1})") == "(B + C) (B)\n");
  CHECK(dA("{0}_k") == "(B + C)_k\n");
  CHECK(dA("{0}′") == "(B + C)′\n");
  CHECK(dA("{0}₀") == "(B + C)₀\n");
  CHECK(dA("∂{0}") == "∂(B + C)\n");
  CHECK(dA("f({0}, {1})") == "f(B + C, B)\n");
  CHECK(dA("|{0}|") == "|B + C|\n");
  CHECK(dA("⟨{0}, {1}⟩") == "⟨B + C, B⟩\n");
  // And what comes of it as an operand.
  const Sign<4> op("print_beside", "{0} {1}");
  const Tensor loss = sum(square(op(A, B, Where::current())));
  CHECK(derive(loss, {A}).text({.limits = false}) == "dA = (2 t1) B\nwhere t1 = A B\n");
}

TEST_CASE("print: signs of notations in LaTeX, which reads some ASCII as commands") {
  Book book;
  const Tensor A = book.parameter("A", {2, 3}), B = book.parameter("B", {2, 3});
  const auto dA = [&](const char* notation) {
    const Sign<5> op("print_latex", notation);
    const std::string text =
        derive(sum(op(A, B, Where::current()) * B), {A}).latex({.limits = false});
    const std::size_t begin = text.find("&= ") + std::string("&= ").size();
    return text.substr(begin, text.find('\n', begin) - begin);
  };
  CHECK(dA("{0} % {1}") == "B \\% B");
  CHECK(dA("{0} & {1}") == "B \\& B");
  CHECK(dA("#{0} $ {1}") == "\\#B \\$ B");
  CHECK(dA("{0} \\ {1}") == "B \\backslash  B");
  CHECK(dA("γ({0}, {1})") == "\\gamma (B, B)");
  CHECK(dA("∇{0}") == "\\nabla B");
  CHECK(dA("{0} ⊕ {1}") == "B \\oplus  B");
  CHECK(dA("f({0})²") == "\\operatorname{f}(B)^{2}");
  CHECK(dA("{0} ☂ {1}") == "B \\text{☂}  B");
}
TEST_CASE("print: a Huber loss with a named bound shows its name") {
  Book book;
  const Tensor r = book.parameter("r", {20}), delta = tensor(0.3, f64).named("δ");
  const Tensor loss = where(abs(r) <= delta, 0.5 * square(r), delta * (abs(r) - 0.5 * delta));
  CHECK(formulas(sum(loss)) == "dr = where(|r| ≤ δ, r, δ sign(r))\n");
}

TEST_CASE("print: what is reshaped back is as it was, and what is negated is subtracted") {
  const Tensor x = tensor({0.5, -1.0, 2.0}, f64).named("x").requires_grad_(),
               y = tensor({1.5, 0.3, -0.4}, f64).named("y").requires_grad_();
  CHECK(derive(sum(square(reshape(reshape(x, {3, 1}), {3})))).text() ==
        "dx = 2 x\n"
        "Valid for the program that ran: other branches of it may have other derivatives.\n");
  const Tensor z = (x + -y * x).named("z");
  const std::string text = derive(sum(exp(z) * z)).text({.limits = true});
  CAPTURE(text);
  CHECK(text.find("+ −") == std::string::npos);
}

TEST_CASE("print: the shape that something becomes") {
  Book book;
  const Tensor M = book.parameter("M", {2, 3}), N = book.data("N", {3, 2});
  CHECK(formulas(sum(sin(reshape(M, {3, 2})) * N)) ==
        "dM = reshape[2, 3](N ⊗ cos(reshape[3, 2](M)))\n");
  const Tensor row = book.parameter("u", {1, 3}), A = book.data("A", {4, 3});
  CHECK(formulas(sum(sin(expand(row, {4, 3})) * A)) == "du = Σ₀(A ⊗ cos(expand[4, 3](u)))\n");
}
