#pragma once

#include <functional>
#include <span>
#include <utility>
#include <vector>

#include <chainrule/core/create.hpp>
#include <chainrule/ops/define.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/elementwise/convert.hpp>
#include <chainrule/ops/reduce/reduction.hpp>

/// An op for tests of what ops say of themselves.
namespace op_tests {

using namespace chainrule;

using Given = std::span<const Tensor>;
using Rule = std::function<Tensor(Given)>;

/// What a test says, with a gradient of ones.
struct Says final : Op {
  Rule computes, simpler = [](Given) { return Tensor(); };
  Role claims = Role::Kind::other;
  Shape result;
  explicit Says(const char* name, Rule f) : Op(name), computes(std::move(f)) {}

  Tensor operator()(const std::vector<Tensor>& x, Where where = Where::current()) const {
    std::vector<const Tensor*> inputs;
    for (const Tensor& each : x) inputs.push_back(&each);
    return apply(*this, inputs, {}, where);
  }
  void infer(Inference& call) const override { call.output(f64, result); }
  void evaluate(Evaluation& call) const override {
    const NoGrad guard;
    std::vector<Tensor> x;
    for (std::size_t k = 0; k < call.input_count(); ++k) x.push_back(call.tensor(k));
    const Tensor made = to(computes(x), f64);
    // The result has one shape, whatever the operands have.
    if (made.numel() != call.out().numel()) throw ShapeError("other operands");
    kernels::copy(call.out(), *made.value_ref());
  }
  void vjp(Vjp& r) const override {
    for (std::size_t i = 0; i < r.input_count(); ++i)
      if (r.needs(i)) r.give(i, ones(r.shape_of(i), f64) * sum(r.g()));
  }
  Tensor jvp(Jvp& r) const override {
    Tensor tangent;
    for (std::size_t i = 0; i < r.input_count(); ++i)
      if (r.has(i)) add_to(tangent, sum(r.tangent(i)));
    return tangent;
  }
  Role role(const Parameters&) const override { return claims; }
  Tensor written_out(const Node&, Given x) const override { return simpler(x); }
  std::vector<Sample> samples() const override { return {}; }
};

inline Tensor matrix() {
  return tensor({{0.5, -1.0, 2.0}, {1.5, 0.1, -0.7}}, f64).named("x").requires_grad_();
}

}  // namespace op_tests
