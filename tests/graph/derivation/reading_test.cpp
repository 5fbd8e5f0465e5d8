#include <chainrule/core/create.hpp>
#include <chainrule/core/random.hpp>
#include <chainrule/graph/derivation/derive.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <string>

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

TEST_CASE("reading: axes of a sum have one subscript in LaTeX") {
  Source p;
  const Tensor X = p.data("X", {2, 4, 3}), b = p.parameter("b", {3});
  const std::string text = latex(sum(square(X + b)));
  CHECK(has(text, "\\sum_{0,1}"));
  CHECK_FALSE(has(text, "}_{"));
  CHECK(has(derive(sum(square(X + b))).html({.limits = false}), "<mn>0,1</mn>"));
}

TEST_SUITE_END();
