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

// 2·x, with rules that a test says.
struct Twice final : Op {
  using Made = std::function<Tensor(const Tensor&)>;
  Made rule = [](const Tensor& g) { return 2 * g; },
       simpler = [](const Tensor&) { return Tensor(); };
  explicit Twice(const char* name) : Op(name) {}
  Tensor operator()(const Tensor& x) const { return apply(*this, {&x}, {}, Where::current()); }
  void infer(Inference& call) const override { call.output_like(call.in(0).dtype(), call.in(0)); }
  void evaluate(Evaluation& call) const override {
    const NoGrad guard;
    kernels::copy(call.out(), *(2 * call.tensor(0)).value_ref());
  }
  void vjp(Vjp& r) const override { r.give(0, rule(r.g())); }
  Tensor jvp(Jvp& r) const override { return rule(r.tangent(0)); }
  Tensor written_out(const Node&, std::span<const Tensor> x) const override {
    return simpler(x[0]);
  }
  std::vector<Sample> samples() const override { return {}; }
};

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

TEST_CASE("derive: what a rule brings along in f32 is data") {
  const Tensor x = tensor({1.0, 2.0}, f32).named("x").requires_grad_();
  const std::vector<Twice::Made> made = {
      [](const Tensor& g) {
        std::vector<float> numbers = g.to_vector<float>();
        for (float& number : numbers) number *= 2;
        return from_vector(numbers, g.shape());
      },
      [](const Tensor& g) { return rand(g.shape(), f32); },
      [](const Tensor& g) { return g * from_vector(std::vector<float>{2, 1}, {2}); },
  };
  Twice twice("twice");
  for (const Twice::Made& rule : made) {
    twice.rule = rule;
    const Tensor y = twice(x), loss = sum(square(y)).named("L");
    CHECK(has(derive(loss).text(), "c1"));
    if (&rule == &made.back())
      CHECK(has(derive_forward(loss).text(), "c1"));
    else  // made from the tangent in another way than by operations
      CHECK_THROWS_AS(derive_forward(loss), GradError);
    CHECK(!check_derivation(loss, {{"dx", x, 3 * x}}).ok());
    graph_svg(loss);
  }
  // What is written out of it as well.
  Twice simple("simple_twice");
  simple.simpler = [](const Tensor& z) {
    return z * to(from_vector(std::vector<float>{2, 2}, {2}) + 0, z.dtype());
  };
  CHECK(!emit_cpp(sum(square(simple(x)))).header.empty());
}

namespace {

// A rule in a function of its own, as jvp() differentiates it, or in plain loops.
struct Cube final : Op {
  bool loops;
  explicit Cube(bool loops) : Op("own_cube"), loops(loops) {}
  static Tensor value(const Tensor& x) { return square(x) * x; }
  Tensor operator()(const Tensor& x) const { return apply(*this, {&x}, {}, Where::current()); }
  void infer(Inference& call) const override { call.output_like(call.in(0).dtype(), call.in(0)); }
  void evaluate(Evaluation& call) const override {
    const NoGrad guard;
    kernels::copy(call.out(), *value(call.tensor(0)).value_ref());
  }
  Node::SavedMask reads(const Call&) const override { return Node::input(0); }
  void vjp(Vjp& r) const override { r.give(0, 3 * r.g() * square(r.in(0))); }
  Tensor jvp(Jvp& r) const override {
    if (!loops) return chainrule::jvp(UnaryFunction(value), r.in(0), r.tangent(0)).second;
    const Tensor slope = 3 * r.tangent(0) * square(r.in(0));
    return from_vector(slope.to_vector<double>(), slope.shape());
  }
  std::vector<Sample> samples() const override { return {}; }
};

}  // namespace

TEST_CASE("derive_forward: a rule that calls jvp() is shown by what that computes") {
  const Cube cube(false);
  const Tensor x = tensor({1.0, 2.0}, f64).named("x").requires_grad_();
  const Tensor loss = sum(cube(x)).named("L");
  const Derivation derivation = derive_forward(loss, {x}, {tensor({0.5, -1.0}, f64)});
  CAPTURE(derivation.text());
  CHECK(!has(derivation.text(), "c1"));
  CHECK(derivation.steps().back().value.item<double>() == doctest::Approx(3 * 0.5 - 12));
}

TEST_CASE("derive_forward: a rule whose operations do not show the tangent is refused") {
  const Cube cube(true);
  const Tensor x = tensor({1.0, 2.0}, f64).named("x").requires_grad_();
  const Tensor loss = sum(cube(x)).named("L");
  const std::string message = error_of<GradError>([&] { derive_forward(loss); });
  CAPTURE(message);
  CHECK(has(message, "own_cube: its jvp rule computes with numbers that it takes out of what it "));
  CHECK(has(message, "trace_test.cpp"));
}

TEST_SUITE_END();
