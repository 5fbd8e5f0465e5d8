#include <chainrule/core/create.hpp>
#include <chainrule/core/random.hpp>
#include <chainrule/graph/derivation/derive.hpp>

#include <doctest/doctest.h>

#include <string>

#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/elementwise/functions.hpp>
#include <chainrule/ops/linalg/matmul.hpp>
#include <chainrule/ops/reduce/reduction.hpp>

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

TEST_SUITE_END();
