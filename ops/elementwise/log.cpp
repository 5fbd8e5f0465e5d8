#include <chainrule/ops/elementwise/log.hpp>

#include <chainrule/core/create.hpp>
#include <chainrule/ops/define.hpp>
#include <chainrule/ops/elementwise/activations.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/elementwise/functions.hpp>
#include <chainrule/ops/kernels/elementwise/vector_math.hpp>
#include <chainrule/ops/nn/softmax.hpp>
#include <chainrule/ops/reduce/reduced.hpp>

namespace chainrule {

namespace {

using detail::input;
using detail::output;
using detail::ReduceParameters;
using detail::SoftmaxParameters;
using Inputs = std::span<const Tensor>;

struct Log final : UnaryOp<Log> {
  Log() : UnaryOp("log") {}
  static constexpr bool integers = false;
  static constexpr Node::SavedMask saved = input(0);
  template <class T>
  static T value(T x) {
    return kernels::log(x);
  }
  static Tensor slope(const Application& r, const Tensor& g) { return g / r.in(0); }
  std::vector<Sample> samples() const override {
    const auto apply = [](Inputs in) { return log(in[0]); };
    return {{"matrix", {tensor({{0.7, 1.3, 2.1}, {0.04, 1.9, 25.0}}, f64)}, apply},
            {"scalar", {tensor(0.3, f64)}, apply},
            {"empty", {zeros({2, 0}, f64)}, apply}};
  }
};
const Log the_log;

// --- the logarithm of what is known to come from exponentials of z ---

enum class Form : std::uint8_t { softmax, sigmoid, sum_exp };

struct StableParameters {
  Form form;
  ReduceParameters axes;  // that softmax or the sum went over
};

struct Origin {
  Tensor z;  // undefined: none of the forms
  StableParameters parameters;
};

Origin origin_of(const Tensor& x) {
  const Node* node = x.node();
  if (!node || node->is_leaf()) return {};
  if (node->op() == &detail::softmax_op()) {
    const int axis = node->parameters<SoftmaxParameters>().axis;
    return {detail::argument_of(x, detail::softmax_op()),
            {Form::softmax, {std::uint32_t{1} << axis, true}}};
  }
  if (node->op() == &detail::sigmoid_op())
    return {detail::argument_of(x, detail::sigmoid_op()), {Form::sigmoid, {}}};
  if (node->op() != &detail::sum_op() || x.value_ref()->version() != 0) return {};
  // With recording the sum has an edge to exp, which keeps z; without, it keeps z itself.
  const Node* e = node->inputs()[0];
  return {e ? detail::argument_of(e, detail::exp_op()) : detail::argument_of(x, detail::sum_op()),
          {Form::sum_exp, node->parameters<ReduceParameters>()}};
}

Tensor stable_value(const Tensor& z, const StableParameters& p, const Where& where) {
  const detail::ModeScope scope({.recording = false, .provenance = false});
  switch (p.form) {
    case Form::softmax:
      return log_softmax(z, __builtin_ctz(p.axes.mask), where);
    case Form::sigmoid:
      return log_sigmoid(z, where);
    default:
      return logsumexp(z, Axes::of_mask(p.axes.mask), p.axes.keepdim, where);
  }
}

// exp(z) / Σ exp(z). A shift does not change it, so that max z counts as a constant.
Tensor weights(const Tensor& z, std::uint32_t mask) {
  if (mask != 0 && (mask & (mask - 1)) == 0) return softmax(z, __builtin_ctz(mask));
  if (z.numel() == 0) return zeros_like(z);
  const Tensor e = exp(z - max(z.detach(), Axes::of_mask(mask), true));
  return e / detail::sum_mask(e, mask, true, Where::current());
}

class StableLog final : public Op {
 public:
  StableLog() : Op("stable_log", "log({0})") {}

  Tensor operator()(const Tensor& x, const Origin& origin, const Where& where) const {
    const StableParameters& p = origin.parameters;
    const Tensor out = stable_value(origin.z, p, where);
    const Node::SavedMask reads = p.form == Form::sum_exp ? input(1) : output;
    return record(*this, out.value_ref(), {&x, &origin.z}, input(0) | reads, where,
                  detail::bytes_of(p));
  }

  void vjp(Vjp& r) const override {
    const auto& p = r.parameters<StableParameters>();
    if (steps_over_target(r, p)) {
      if (r.needs(0)) r.give(0, r.g() / r.in(0));
      return;
    }
    if (!r.needs(1)) return;
    const Tensor& g = r.g();
    switch (p.form) {
      case Form::softmax:  // the softmax is exp(out)
        return r.give(1, g - exp(r.out()) * sum_over(g, p));
      case Form::sigmoid:  // 1 − σ, without cancellation
        return r.give(1, -(g * expm1(r.out())));
      default:
        return r.give(1, with_axes(g, r.shape_of(1), p.axes) * weights(r.in(1), p.axes.mask));
    }
  }
  Tensor jvp(Jvp& r) const override {
    const auto& p = r.parameters<StableParameters>();
    if (!r.has(1)) return r.tangent(0) / r.in(0);
    const Tensor& t = r.tangent(1);
    switch (p.form) {
      case Form::softmax:
        return t - sum_over(exp(r.out()) * t, p);
      case Form::sigmoid:
        return -(t * expm1(r.out()));
      default:
        return sum_over(t * weights(r.in(1), p.axes.mask), p);
    }
  }

  Tensor replay(const Node& node, std::span<const Tensor> inputs) const override {
    // Of x, which may have been changed apart from z; of z only where x has no logarithm.
    if (inputs[0].numel() != 0 && min(inputs[0]).item<double>() > 0)
      return the_log(inputs[0], node.where());
    return (*this)(inputs[0], {inputs[1], node.parameters<StableParameters>()}, node.where());
  }
  std::vector<Sample> samples() const override {
    const Tensor z = tensor({{0.7, -1.3, 2.1}, {-0.4, 1.9, 0.6}}, f64);
    const auto sigmoids = [](Inputs in) { return log(sigmoid(in[0])); };
    return {
        {"softmax, rows", {z}, [](Inputs in) { return log(softmax(in[0])); }},
        {"softmax, columns", {z}, [](Inputs in) { return log(softmax(in[0], 0)); }},
        {"sigmoid", {z}, sigmoids},
        {"sigmoid, scalar", {tensor(0.3, f64)}, sigmoids},
        {"sum of exp, all", {z}, [](Inputs in) { return log(sum(exp(in[0]))); }},
        {"sum of exp, axis 0", {z}, [](Inputs in) { return log(sum(exp(in[0]), 0)); }},
        {"sum of exp, last, kept", {z}, [](Inputs in) { return log(sum(exp(in[0]), -1, true)); }},
        {"sigmoid, empty", {zeros({2, 0}, f64)}, sigmoids}};
  }

 private:
  static Tensor sum_over(const Tensor& x, const StableParameters& p) {
    return detail::sum_mask(x, p.axes.mask, p.axes.keepdim, Where::current());
  }

  // Whether the gradient of x, or of the exp between x and z, is itself wanted.
  static bool steps_over_target(const Vjp& r, const StableParameters& p) {
    const Node* x = r.node().inputs()[0];
    if (!x) return false;
    if (r.asked_for(x)) return true;
    const Node* e = p.form == Form::sum_exp ? x->inputs()[0] : nullptr;
    return e && r.asked_for(e);
  }
};
const StableLog the_stable_log;

}  // namespace

Tensor log(const Tensor& x, Where where) {
  if (const Origin origin = origin_of(x); origin.z.defined())
    return the_stable_log(x, origin, where);
  return the_log(x, where);
}

}  // namespace chainrule
