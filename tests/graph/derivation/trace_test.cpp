// What gradient rules read is known by its node, and what they bring along is data.
#include <doctest/doctest.h>

#include <functional>
#include <span>
#include <string>
#include <vector>

#include <chainrule/core/create.hpp>
#include <chainrule/core/random.hpp>
#include <chainrule/graph/checking/check_derivation.hpp>
#include <chainrule/graph/derivation/derive.hpp>
#include <chainrule/graph/derivation/derive_forward.hpp>
#include <chainrule/graph/emission/emit.hpp>
#include <chainrule/graph/picture/picture.hpp>
#include <chainrule/ops/define.hpp>
#include <chainrule/ops/elementwise/activations.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/elementwise/convert.hpp>
#include <chainrule/ops/elementwise/functions.hpp>
#include <chainrule/ops/elementwise/log.hpp>
#include <chainrule/ops/linalg/matmul.hpp>
#include <chainrule/ops/nn/softmax.hpp>
#include <chainrule/ops/reduce/reduction.hpp>
#include <chainrule/ops/shape/manipulation.hpp>
#include <chainrule/tests/core/error_of.hpp>

using namespace chainrule;

TEST_SUITE_BEGIN("graph");

namespace {

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("derive: a detached result is data where a rule reads it") {
  const Tensor x = tensor({0.3, -0.7, 0.9}, f64).named("x").requires_grad_();
  using Function = Tensor (*)(const Tensor&);
  // Functions that save their result, beside one that does not save it.
  for (const Function f : std::initializer_list<Function>{
           [](const Tensor& x) { return 3 * x; }, [](const Tensor& x) { return sigmoid(x); },
           [](const Tensor& x) { return exp(x); }, [](const Tensor& x) { return softmax(x, 0); }}) {
    const Tensor h = f(x).named("h"), data = h.detach(), loss = sum(data * h).named("L");
    const std::string text = derive(loss).text();
    CAPTURE(text);
    CHECK(has(text, "dh = c1\n"));
    CHECK(has(text, "c1 = "));
    const std::string forward = derive_forward(loss).text();
    CAPTURE(forward);
    CHECK(has(forward, "L̇ = Σ(c1 ⊗ ḣ)"));
    CHECK(check_derivation(loss, {{"dh", h, data}}).ok());
    CHECK(!check_derivation(loss, {{"dh", h, 2 * data}}).ok());
  }

  const Tensor result = exp(x);
  const Tensor loss = sum(result.detach() * result);
  CHECK(has(derive(loss).text(), "dx = c1 ⊗ exp(x)"));
  CHECK(!has(emit_cpp(loss).header, "square"));
}

TEST_CASE("derive: targets that were detached are no function of the parameters") {
  const Tensor z = tensor({0.3, -0.7, 0.9}, f64).named("z").requires_grad_();
  const Tensor p = softmax(z, 0).named("p");
  const Tensor loss = -sum(p.detach() * log(p));
  const std::string text = derive(loss).text();
  CAPTURE(text);
  CHECK(has(text, "c1 = "));
  CHECK(!has(text, "p ⊗ (Σ p − 1)"));
  // dz = p Σ c − c, and Σ c = 1.
  CHECK(check_derivation(loss, {{"dz", z, p * sum(p.detach()) - p.detach()}}).ok());
}

TEST_SUITE_END();
