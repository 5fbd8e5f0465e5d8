#include <chainrule/ops/elementwise/log.hpp>

#include <fmt/format.h>

#include <chainrule/core/create.hpp>
#include <chainrule/core/op.hpp>
#include <chainrule/ops/define.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/kernels/elementwise/vector_math.hpp>

namespace chainrule {

namespace {

using detail::input;
using Inputs = std::span<const Tensor>;

struct Log final : UnaryOp<Log> {
  Log() : UnaryOp("log") {}
  Role role(const Parameters&) const override { return Role::Kind::logarithm; }
  EigenForm eigen(const Parameters&) const override {
    return EigenForm::member("log()", "std::log({0})");
  }
  static constexpr bool integers = false;
  static constexpr Node::SavedMask saved = input(0);
  template <class T>
  static T value(T x) {
    return kernels::log(x);
  }
  static Tensor slope(const Application& r, Tensor g) { return g / r.in(0); }
  std::vector<Sample> samples() const override {
    const auto apply = [](Inputs in) { return log(in[0]); };
    return {{"matrix", {tensor({{0.7, 1.3, 2.1}, {0.04, 1.9, 25.0}}, f64)}, apply},
            {"scalar", {tensor(0.3, f64)}, apply},
            {"empty", {zeros({2, 0}, f64)}, apply}};
  }
};
CHAINRULE_EARLY const Log the_log;

Op::Logarithm stable_form(const Node& node, const Tensor& x) {
  const Op& op = *node.op();
  Op::Logarithm stable =
      detail::naming_op(op.name(), node.where(), [&] { return op.logarithm(x); });
  if (stable.z.defined() && !stable.op)
    throw GradError(fmt::format("{}: its logarithm() gives a tensor, and no op", op.name()),
                    node.where(), "name the op that is the logarithm's stable form of it");
  return stable;
}

}  // namespace

Tensor log(const Tensor& x, Where where) {
  if (const Node* node = x.node(); node && !node->is_leaf())
    if (const Op::Logarithm stable = stable_form(*node, x); stable.z.defined())
      return apply(*stable.op, {&stable.z, &x}, node->parameters(), where);
  return the_log(x, where);
}

}  // namespace chainrule
