#include <chainrule/core/op.hpp>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cstddef>
#include <new>
#include <string>
#include <vector>

#include <chainrule/core/create.hpp>
#include <chainrule/graph/backward.hpp>
#include <chainrule/graph/functional.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/kernels/elementwise/loops.hpp>
#include <chainrule/ops/reduce/reduction.hpp>
#include <chainrule/tests/core/error_of.hpp>

using namespace chainrule;

TEST_SUITE_BEGIN("core");

namespace {

// Throws what its parameters say, from the line of its own.
struct Throwing final : Op {
  enum class What : std::int64_t { axes, negative, operand, words, rule_words, rule_shapes };
  Throwing() : Op("throwing") {}
  void infer(Inference& call) const override {
    const What what = call.parameters<What>();
    if (what == What::axes) call.output(f64, Shape(std::vector<std::int64_t>(17, 1)));
    if (what == What::negative) return call.output(f64, Shape{2, -1});
    call.output_like(f64, call.in(what == What::operand ? 5 : 0));
  }
  void evaluate(Evaluation& call) const override {
    if (call.parameters<What>() == What::words) throw ValueError("too much", Where(), "take less");
    kernels::copy(call.out(), call.in(0));
  }
  void vjp(Vjp& r) const override {
    if (r.parameters<What>() == What::rule_words) throw ValueError("too much");
    r.give(0, r.g() + zeros({3}, f64));
  }
  Tensor jvp(Jvp& r) const override { return r.tangent(0) + zeros({3}, f64); }
  std::vector<Sample> samples() const override { return {}; }
};

}  // namespace

TEST_CASE("apply: errors of an op's own lines name the op and the user's line") {
  const Throwing op;
  using enum Throwing::What;
  const Tensor x = tensor({1.0, 2.0}, f64).requires_grad_();
  const Where here = Where::current();
  const std::string line = fmt::format("{}:{}", here.file_name(), here.line());
  const auto applied = [&](Throwing::What what, const Tensor& to) {
    return apply(op, {&to}, what, here);
  };
  const auto message = [&]<class E>(E, Throwing::What what) {
    return error_of<E>([&] { grad(sum(applied(what, x)), x); });
  };
  CHECK(message(ShapeError(""), axes)
            .starts_with("shape: 17 axes, but a tensor has at most 16\n  in throwing at " + line +
                         "\n  at "));
  CHECK(message(ShapeError(""), negative) ==
        "throwing: the result (2, -1) has a negative extent\n  at " + line +
            "\n  hint: infer() counts extents from 0");
  CHECK(message(ValueError(""), operand)
            .starts_with("throwing: asks for operand 5, but was applied to 1\n  at " + line));
  CHECK(message(ValueError(""), words) ==
        "too much\n  in throwing\n  at " + line + "\n  hint: take less");
  const Tensor* const operands[] = {&x};
  CHECK(error_of<ValueError>([&] { apply_several(op, operands, words, here); }) ==
        message(ValueError(""), words));
  CHECK(message(ValueError(""), rule_words) ==
        "too much\n  in the vjp rule of throwing\n  at " + line);
  const std::string inside = message(ShapeError(""), rule_shapes);
  CHECK(
      inside.starts_with("add: shapes do not broadcast: (2,) and (3,) differ in axis -1\n"
                         "  in the vjp rule of throwing at " +
                         line + "\n  at "));
  const std::string forward = error_of<ShapeError>(
      [&] { jvp([&](const Tensor& at) { return applied(rule_shapes, at); }, x, x); });
  CHECK(forward.find("\n  in the jvp rule of throwing at " + line + "\n  at ") !=
        std::string::npos);
}

TEST_CASE("op: a rule that is missing is an error with a remedy") {
  struct Unruly final : Op {
    Unruly() : Op("unruly") {}
    void infer(Inference& call) const override { call.output_like(f64, call.in(0)); }
    void evaluate(Evaluation& call) const override { kernels::copy(call.out(), call.in(0)); }
    std::vector<Sample> samples() const override { return {}; }
  };
  const Unruly op;
  const Tensor x = tensor({1.0, 2.0}, f64).requires_grad_();
  const auto applied = [&](const Tensor& to) { return apply(op, {&to}, {}, Where::current()); };
  CHECK(error_of<GradError>([&] { sum(applied(x)).backward(); }, 1, Where::current())
            .find("hint: override vjp(), or say by differentiable()") != std::string::npos);
  CHECK(error_of<GradError>([&] {
          jvp(applied, x.detach(), x.detach());
        }).find("hint: override jvp()") != std::string::npos);
}

TEST_CASE("op: one that has ended says so, not that a rule is missing") {
  alignas(Throwing) std::byte memory[sizeof(Throwing)];
  auto* const op = new (memory) Throwing;
  const Tensor x = tensor({1.0, 2.0}, f64).requires_grad_();
  const Tensor y = sum(apply(*op, {&x}, Throwing::What::rule_shapes, Where::current()));
  op->~Throwing();
  CHECK(error_of<GradError>([&] { y.backward(); }, 1, Where::current())
            .find("throwing: the operation has ended already") != std::string::npos);
}

namespace {

// Two copies of x, whose rule reads both gradients without asking.
struct Twins final : Op {
  Twins() : Op("twins") {}
  void infer(Inference& call) const override {
    for (int k = 0; k < 2; ++k) call.output_like(f64, call.in(0));
  }
  void evaluate(Evaluation& call) const override {
    for (const std::size_t k : {0, 1}) kernels::copy(call.out(k), call.in(0));
  }
  void vjp(Vjp& r) const override { r.give(0, r.g(0) + r.g(1)); }
  std::vector<Sample> samples() const override { return {}; }
};

}  // namespace

TEST_CASE("rules: reading the gradient of a result that nothing depends on says what to ask") {
  const Twins twins;
  const Tensor x = tensor({1.0, 2.0}, f64).requires_grad_();
  const Tensor* const in[] = {&x};
  const std::vector<Tensor> both = apply_several(twins, in, {}, Where::current());
  const std::string message = error_of<ValueError>([&] { sum(both[0]).backward(); });
  CAPTURE(message);
  CHECK(message.starts_with("add: operand 1 is an undefined tensor\n"));
  CHECK(message.find("has_g(k) before it reads g(k)") != std::string::npos);
}

TEST_CASE("ops: one without a name is an error") {
  struct Nameless final : Op {
    Nameless() : Op("") {}
    std::vector<Sample> samples() const override { return {}; }
  };
  CHECK(error_of<ValueError>([] { Nameless(); }).starts_with("op: an operation needs a name\n"));
}

TEST_SUITE_END();
