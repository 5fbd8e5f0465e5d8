#include <chainrule/core/create.hpp>
#include <chainrule/core/random.hpp>
#include <chainrule/graph/derivation/algebra.hpp>
#include <chainrule/graph/derivation/build.hpp>
#include <chainrule/graph/derivation/compare.hpp>
#include <chainrule/graph/derivation/derive.hpp>
#include <chainrule/graph/derivation/expression.hpp>
#include <chainrule/graph/derivation/trace.hpp>

#include <doctest/doctest.h>

#include <string>

#include <chainrule/ops/elementwise/activations.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/elementwise/functions.hpp>
#include <chainrule/ops/linalg/matmul.hpp>
#include <chainrule/ops/nn/softmax.hpp>
#include <chainrule/ops/reduce/reduction.hpp>
#include <chainrule/ops/shape/manipulation.hpp>

// What the algebra on formulas cancels and brings to the front.

using namespace chainrule;

TEST_SUITE_BEGIN("graph");

namespace {

struct Regression {
  Generator generator{7};
  Tensor X = data("X", {8, 4}), y = data("y", {8}), w = data("w", {4}).requires_grad_();

  Tensor data(const char* name, const Shape& shape) {
    return uniform(-1, 1, shape, generator, f64).named(name);
  }
};

std::string formulas(const Tensor& loss) { return derive(loss).text({.limits = false}); }

}  // namespace

TEST_CASE("algebra: numbers come out of products of a matrix and a vector") {
  const Regression r;
  CHECK(formulas(mean(square(matmul(r.X, r.w) - r.y))) == "dw = Xᵀ·(X·w − y) / 4\n");
  const Tensor X = r.X.detach().named("X", {"N", "d"});
  CHECK(formulas(mean(square(matmul(X, r.w) - r.y))) == "dw = 2 Xᵀ·(X·w − y) / N\n");
  CHECK(formulas(0.5 * mean(square(matmul(X, r.w) - r.y))) == "dw = Xᵀ·(X·w − y) / N\n");
}

TEST_CASE("algebra: maps of several are maps of their sum") {
  const Regression r;
  const Tensor a = Regression().data("a", {8}), b = r.y;
  const Tensor z = matmul(r.X, r.w);
  CHECK(formulas(sum(z * a) - sum(z * b)) == "dw = Xᵀ·(a − y)\n");
  const Tensor u = matmul(r.X, r.w).named("u"), t = matmul(r.X, r.w).named("t");
  CHECK(formulas(sum(square(u) * a) + sum(sin(t))).ends_with("dw = Xᵀ·(dt + du)\n"));
}

TEST_CASE("algebra: what results without names have in common cancels and is collected") {
  Regression r;
  const Tensor x = r.data("x", {8}).requires_grad_(), y = r.data("v", {8}).requires_grad_();
  const Tensor c = r.data("c", {8}).requires_grad_();
  CHECK(formulas(sum((sin(x) * cos(y) - cos(y) * sin(x)) * c)).starts_with("dc = 0\n"));
  CHECK(formulas(sum(c * (square(matmul(r.X, r.w)) + 2.0 * square(matmul(r.X, r.w)))))
            .starts_with("dc = 3 (X·w)²\n"));
}

TEST_CASE("algebra: the square of a root is what is under it") {
  Regression r;
  const Tensor v = square(r.data("q", {8})).detach().named("v").requires_grad_();
  const Tensor c = r.data("c", {8});
  CHECK(formulas(sum(c * square(sqrt(v)) * v)) == "dv = 2 c ⊗ v\n");
  const Tensor s = sqrt(v);
  CHECK(formulas(sum(c * s * s)) == "dv = c\n");
}

TEST_CASE("algebra: the exponential of a log-softmax is the softmax") {
  const Regression r;
  const Tensor a = Regression().data("a", {8}), z = matmul(r.X, r.w).named("z");
  CHECK(formulas(sum(a * exp(log_softmax(z, 0))))
            .starts_with("dz = softmax(z) ⊗ (a − Σ(a ⊗ softmax(z)))\n"));
  CHECK(formulas(-sum(a * log_softmax(z, 0))).starts_with("dz = softmax(z) ⊗ Σ a − a\n"));
  CHECK(formulas(sum(a * exp(log_sigmoid(z)))).find("log") == std::string::npos);
}

TEST_CASE("algebra: what stands in front of a sum over one of two axes of one extent is constant") {
  using namespace chainrule::derivation;
  Regression r;
  const Tensor X = r.data("X", {3, 3}).requires_grad_(), a = r.data("a", {3}).requires_grad_();
  const Tensor K = r.data("K", {3, 3, 3}).requires_grad_();
  const Trace trace(sum(X * a) + sum(K * X), std::span<const Tensor>(), "test", Where::current());
  Builder builder(trace.environment());
  const auto value = [&](const Tensor& x) {
    return builder.value(tensor_expression(trace.find(x), x.shape()));
  };
  const Tensor x = value(X), v = value(a), k = value(K);
  const auto simpler = [&](auto f) {
    const Expr formula = builder.build(f), simple = Algebra(trace, {}).simplify(formula);
    CHECK(nearly_equal(evaluate(formula, trace.environment()),
                       evaluate(simple, trace.environment()), 1e-12));
    return key_of(simple) != key_of(formula);
  };
  CHECK(simpler([&] { return sum(x * v, 0); }));  // a ⊗ Σ X
  CHECK(simpler([&] { return sum(k * x, 0); }));
  CHECK(simpler([&] { return sum(k * v, 1); }));
  CHECK_FALSE(simpler([&] { return sum(x * v, 1); }));
  CHECK_FALSE(simpler([&] { return sum(k * x, 1); }));
  CHECK_FALSE(simpler([&] { return mean(k * x, 2); }));
  CHECK(simpler([&] { return sum(k * v, 1, true); }));
  CHECK_FALSE(simpler([&] { return sum(k * v, 2, true); }));
}

// What is shown must not depend on where a process has its memory.
TEST_CASE("algebra: the key of an expression is the same in every process") {
  const Tensor a = tensor({0.1, 0.2, 0.7}, f64), b = tensor({0.1, 0.2, 0.7}, f64);
  using derivation::constant_expression, derivation::key_of;
  CHECK(key_of(constant_expression(a)) == key_of(constant_expression(b)));
  CHECK(key_of(constant_expression(a)) == "4ed4e0a2a24ac9615d920602949aac26");
  CHECK(key_of(constant_expression(a)) != key_of(constant_expression(a + 1.0)));
  CHECK(key_of(constant_expression(a)) != key_of(constant_expression(reshape(a, {3, 1}))));
}

TEST_SUITE_END();
