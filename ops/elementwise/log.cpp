#include <chainrule/ops/elementwise/log.hpp>

#include <fmt/format.h>

#include <bit>
#include <cmath>
#include <limits>

#include <chainrule/core/create.hpp>
#include <chainrule/ops/define.hpp>
#include <chainrule/ops/elementwise/activations.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/elementwise/functions.hpp>
#include <chainrule/ops/kernels/elementwise/vector_math.hpp>
#include <chainrule/ops/kernels/nn/softmax.hpp>
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
const Log the_log;

// --- the logarithm of what is known to come from exponentials of z ---

enum class Argument : std::uint32_t { softmax, sigmoid, sum_exp };

struct StableParameters {
  Argument of = Argument::softmax;
  ReduceParameters axes;  // that softmax or the sum went over
};

struct Origin {
  Tensor z;  // undefined: none of them
  StableParameters parameters;
};

Origin origin_of(const Tensor& x) {
  const Node* node = x.node();
  if (!node || node->is_leaf()) return {};
  if (node->op() == &detail::softmax_op()) {
    const int axis = node->parameters<SoftmaxParameters>().axis;
    return {detail::argument_of(x, detail::softmax_op()),
            {Argument::softmax,
             {std::uint32_t{1} << axis, true, static_cast<std::uint32_t>(node->rank())}}};
  }
  if (node->op() == &detail::sigmoid_op())
    return {detail::argument_of(x, detail::sigmoid_op()), {Argument::sigmoid, {}}};
  if (node->op() != &detail::sum_op() || x.value_ref()->version() != 0) return {};
  // With recording the sum has an edge to exp, which keeps z; without, it keeps z itself.
  const Node* e = node->inputs()[0];
  return {e ? detail::argument_of(e, detail::exp_op()) : detail::argument_of(x, detail::sum_op()),
          {Argument::sum_exp, node->parameters<ReduceParameters>()}};
}

// The logarithm of softmax(z), sigmoid(z) or Σ exp(z).
template <class T>
void stable_log(Value& out, const Ref<Value>& z, const StableParameters& p) {
  switch (p.of) {
    case Argument::softmax:
      return kernels::log_softmax(out.data<T>(), kernels::contiguous(z)->data<T>(),
                                  kernels::lines_along(*z, std::countr_zero(p.axes.mask)));
    case Argument::sigmoid:
      return kernels::map<T, T>(out, *z, [](T e) { return -kernels::softplus(-e); });
    default:
      return logsumexp_into(out, z, p.axes.mask);
  }
}

// Whether x is exp(y), but for the rounding of both.
template <class T>
bool is_exp(T x, T y) {
  const T e = kernels::exp(y);
  const T slack = (16 + 2 * std::abs(y)) * std::numeric_limits<T>::epsilon();
  return x == e || std::abs(x - e) < slack * e;
}

// exp(z) / Σ exp(z). A shift does not change it, so that max z counts as a constant.
Tensor weights(const Tensor& z, std::uint32_t mask) {
  if (mask != 0 && (mask & (mask - 1)) == 0) return softmax(z, std::countr_zero(mask));
  if (z.numel() == 0) return zeros_like(z);
  const Tensor e = exp(z - max(z.detach(), Axes::of_mask(mask), true));
  return e / detail::sum_mask(e, mask, true, Where::current());
}

class StableLog final : public Op {
 public:
  StableLog() : Op("stable_log", "log({0})") {}
  Role role(const Parameters&) const override { return Role::Kind::logarithm; }

  void infer(Inference& call) const override {
    const Value &x = call.in(0), &z = call.in(1);
    check_dtypes(name(), call.tensor(0), call.tensor(1), false, call.where());
    const auto& p = call.parameters<StableParameters>();
    Shape shape = z.shape();
    if (p.of != Argument::sigmoid) {
      const Shape remains = infer_reduced(call, p.axes, 1);
      if (p.of == Argument::sum_exp) shape = remains;
    }
    if (x.shape() != shape)
      throw ShapeError(
          fmt::format("stable_log: {} cannot come from {}, of which it would be {}",
                      describe(call.tensor(0)), describe(call.tensor(1)), to_string(shape)),
          call.where());
    call.output_like(x.dtype(), x);
  }
  void evaluate(Evaluation& call) const override {
    const auto& p = call.parameters<StableParameters>();
    const Value& x = call.in(0);
    visit_floating(x.dtype(), [&](auto zero) {
      using T = decltype(zero);
      if (comes_from_z(call)) return stable_log<T>(call.out(), call.in_ref(1), p);
      // Computed again, x may have been changed apart from z: then it is x that counts.
      const Ref<Value> y = Value::make_like(x.dtype(), call.out());
      stable_log<T>(*y, call.in_ref(1), p);
      kernels::map<T, T, T>(call.out(), x, *y,
                            [](T e, T l) { return is_exp(e, l) ? l : kernels::log(e); });
    });
  }
  Node::SavedMask reads(const Call& call) const override {
    const bool by_sum = call.parameters<StableParameters>().of == Argument::sum_exp;
    return input(0) | (by_sum ? input(1) : output);
  }

  void vjp(Vjp& r) const override {
    const auto& p = r.parameters<StableParameters>();
    if (steps_over_target(r, p)) {
      if (r.needs(0)) r.give(0, r.g() / r.in(0));
      return;
    }
    if (!r.needs(1)) return;
    const Tensor& g = r.g();
    switch (p.of) {
      case Argument::softmax:  // the softmax is exp(out)
        return r.give(1, g - exp(r.out()) * sum_over(g, p));
      case Argument::sigmoid:  // 1 − σ, without cancellation
        return r.give(1, -(g * expm1(r.out())));
      default:
        return r.give(1, with_axes(g, r.shape_of(1), p.axes) * weights(r.in(1), p.axes.mask));
    }
  }
  Tensor jvp(Jvp& r) const override {
    const auto& p = r.parameters<StableParameters>();
    if (!r.has(1)) return r.tangent(0) / r.in(0);
    const Tensor& t = r.tangent(1);
    switch (p.of) {
      case Argument::softmax:
        return t - sum_over(exp(r.out()) * t, p);
      case Argument::sigmoid:
        return -(t * expm1(r.out()));
      default:
        return sum_over(t * weights(r.in(1), p.axes.mask), p);
    }
  }

  // What is exact where the exponentials underflow.
  Tensor written_out(const Node& node, std::span<const Tensor> inputs) const override {
    const auto& p = node.parameters<StableParameters>();
    const Tensor& z = inputs[1];
    switch (p.of) {
      case Argument::softmax:
        return log_softmax(z, std::countr_zero(p.axes.mask), node.where());
      case Argument::sigmoid:
        return log_sigmoid(z, node.where());
      default:
        return logsumexp(z, Axes::of_mask(p.axes.mask), p.axes.keepdim, node.where());
    }
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
  // Whether x is known to be made of z. Otherwise its numbers must say it.
  static bool comes_from_z(const Evaluation& call) {
    const Origin origin = origin_of(call.tensor(0));
    return origin.z.value_ref().get() == call.in_ref(1).get() &&
           Parameters(origin.parameters) == call.parameters();
  }

  static Tensor sum_over(const Tensor& x, const StableParameters& p) {
    return detail::sum_mask(x, p.axes.mask, p.axes.keepdim, Where::current());
  }

  // Whether the gradient of x, or of the exp between x and z, is itself wanted.
  static bool steps_over_target(const Vjp& r, const StableParameters& p) {
    const Node* x = r.node().inputs()[0];
    if (!x) return false;
    if (r.asked_for(x)) return true;
    const Node* e = p.of == Argument::sum_exp ? x->inputs()[0] : nullptr;
    return e && r.asked_for(e);
  }
};
const StableLog the_stable_log;

}  // namespace

Tensor log(const Tensor& x, Where where) {
  if (const Origin origin = origin_of(x); origin.z.defined())
    return apply(the_stable_log, {&x, &origin.z}, origin.parameters, where);
  return the_log(x, where);
}

}  // namespace chainrule
