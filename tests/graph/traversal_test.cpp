#include <chainrule/graph/traversal.hpp>

#include <doctest/doctest.h>

#include <map>

#include <chainrule/core/create.hpp>
#include <chainrule/graph/backward.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>

using namespace chainrule;

TEST_SUITE_BEGIN("graph");

namespace {

Traversal everything(const Tensor& output) {
  return Traversal(std::span(&output, 1), Traversal::Visit::everything);
}

// Every input comes before its consumer, and every node once.
void check_order(const Traversal& traversal) {
  std::map<const Node*, std::size_t> position;
  for (std::size_t i = 0; i < traversal.size(); ++i) {
    CHECK(position.emplace(&traversal.node(i), i).second);
    const auto inputs = traversal.node(i).inputs();
    for (std::size_t k = 0; k < inputs.size(); ++k) {
      const std::uint32_t edge = traversal.edges(i)[k];
      if (edge == Traversal::none) continue;
      CHECK(edge < i);
      CHECK(&traversal.node(edge) == inputs[k]);
    }
  }
}

}  // namespace

TEST_CASE("a traversal visits each node once, inputs first") {
  const Tensor a = tensor(2.0, f64).requires_grad_();
  const Tensor b = tensor(3.0, f64).requires_grad_();
  const Tensor c = a * b;
  const Tensor d = c + a;
  const Tensor e = c * d - b;
  const Traversal traversal = everything(e);
  CHECK(traversal.size() == 6);
  check_order(traversal);
  CHECK(&traversal.node(traversal.output(0)) == e.node());
}

TEST_CASE("constants are visited only on request, unnamed ones never") {
  const Tensor x = tensor(2.0).named("x");
  const Tensor w = tensor(3.0).requires_grad_();
  const Tensor y = w * x + 1.0;
  CHECK(everything(y).size() == 4);
  CHECK(Traversal(std::span(&y, 1), Traversal::Visit::differentiable).size() == 3);
}

TEST_CASE("only nodes between targets and outputs are relevant") {
  const Tensor a = tensor(2.0).requires_grad_();
  const Tensor b = tensor(3.0).requires_grad_();
  const Tensor left = a * a, right = b * b;
  const Tensor sum = left + right;
  const Traversal traversal(std::span(&sum, 1), std::span(&left, 1),
                            Traversal::Visit::differentiable);
  int relevant = 0;
  for (std::size_t i = 0; i < traversal.size(); ++i) relevant += traversal.relevant(i);
  CHECK(relevant == 2);  // left and sum
  CHECK(traversal.is_target(traversal.target(0)));
  CHECK(&traversal.node(traversal.target(0)) == left.node());
}

TEST_CASE("a target that is not reached, and an output without graph") {
  const Tensor a = tensor(2.0).requires_grad_(), b = tensor(2.0).requires_grad_();
  const Tensor out = a * a, plain = tensor(1.0);
  const Traversal one(std::span(&out, 1), std::span(&b, 1), Traversal::Visit::differentiable);
  CHECK(one.target(0) == Traversal::none);
  const Traversal other(std::span(&plain, 1), Traversal::Visit::everything);
  CHECK(other.size() == 0);
  CHECK(other.output(0) == Traversal::none);
}

TEST_CASE("two outputs with a common part") {
  const Tensor a = tensor(2.0).requires_grad_();
  const Tensor shared = a * a;
  const std::vector<Tensor> outputs = {shared + 1.0, shared * 3.0, shared + 1.0};
  const Traversal traversal(outputs, Traversal::Visit::differentiable);
  CHECK(traversal.size() == 5);
  check_order(traversal);
}

TEST_SUITE_END();
