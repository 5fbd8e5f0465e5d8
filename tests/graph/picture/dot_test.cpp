#include <chainrule/graph/picture/dot.hpp>

#include <doctest/doctest.h>

#include <chainrule/core/create.hpp>
#include <chainrule/ops/define.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/linalg/matmul.hpp>
#include <chainrule/tests/core/error_of.hpp>

using namespace chainrule;

TEST_SUITE_BEGIN("graph");

namespace {

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t n = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++n;
  return n;
}

}  // namespace

TEST_CASE("names, ops, shapes and dtypes of a small graph") {
  const Tensor w = zeros({2, 3}, f64).named("W1").requires_grad_();
  const Tensor x = zeros({3, 1}, f64).named("x");
  const Tensor z = (matmul(w, x) + 1.0).named("z\"1");
  const std::string text = to_dot(z);
  CHECK(text.starts_with("digraph chainrule {"));
  CHECK(text.ends_with("}\n"));
  CHECK(count(text, "label=\"W1\\nparameter\\n(2, 3) f64\"") == 1);
  CHECK(count(text, "label=\"x\\nconstant\\n(3, 1) f64\"") == 1);
  CHECK(count(text, "label=\"matmul\\n(2, 1) f64\"") == 1);
  CHECK(count(text, "label=\"z\\\"1\\nadd\\n(2, 1) f64\"") == 1);
  CHECK(count(text, "label=\"constant\\n()\"") == 1);  // the 1.0
  CHECK(count(text, " -> ") == 4);
  CHECK(count(text, "dot_test.cpp:") == 4);
}

namespace {

struct Quoted final : UnaryOp<Quoted> {
  Quoted() : UnaryOp("twice\"\\") {}
  static constexpr bool integers = false;
  static constexpr Node::SavedMask saved = 0;
  template <class T>
  static T value(T x) {
    return 2 * x;
  }
  static Tensor slope(const Application&, const Tensor& g) { return 2.0 * g; }
  std::vector<Sample> samples() const override { return {}; }
};

}  // namespace

TEST_CASE("what an op is called is escaped as names of tensors are") {
  const Quoted twice;
  const Tensor x = tensor(1.0, f64).requires_grad_();
  const Tensor y = twice(x, Where::current());
  CHECK(count(to_dot(y), "label=\"twice\\\"\\\\\\n() f64\"") == 1);
  CHECK(count(to_dot(y.named("y")), "label=\"y\\ntwice\\\"\\\\\\n() f64\"") == 1);
}

TEST_CASE("a shared tensor is one node with an edge for each use") {
  const Tensor x = tensor(2.0).requires_grad_();
  const std::string text = to_dot(x * x);
  CHECK(count(text, "parameter") == 1);
  CHECK(count(text, " -> ") == 2);
}

TEST_CASE("a tensor without a graph, and none at all") {
  CHECK(count(to_dot(zeros({2})), "label=\"(2,) f32\"") == 1);
  CHECK(error_of<ValueError>([&] {
          to_dot(Tensor());
        }).starts_with("to_dot: the output is undefined\n  at HERE"));
  const std::vector<Tensor> two = {zeros({2}), Tensor()};
  CHECK(error_of<ValueError>([&] {
          to_dot(two);
        }).starts_with("to_dot: output 1 is undefined\n  at HERE"));
}

TEST_CASE("a chain of a hundred thousand nodes") {
  Tensor y = tensor(1.0).requires_grad_();
  for (int i = 0; i < 100'000; ++i) y = -y;
  CHECK(count(to_dot(y), " -> ") == 100'000);
}

TEST_SUITE_END();
