#include <chainrule/ops/nn/mse.hpp>

#include <fmt/format.h>

#include <string>

#include <chainrule/core/create.hpp>
#include <chainrule/ops/define.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/elementwise/functions.hpp>
#include <chainrule/ops/kernels/nn/mse.hpp>
#include <chainrule/ops/reduce/reduction.hpp>

namespace chainrule {

namespace {

using detail::input;

// What a difference counts in the gradient. The parameters of both ops are the reduction alone.
double scale(Reduction reduction, std::int64_t elements) noexcept {
  return reduction == Reduction::mean ? 2.0 / static_cast<double>(elements) : 2.0;
}

// The numbers of every element, as they enter the result.
Tensor reduced(const Tensor& each, Reduction reduction, const Where& where) {
  return reduction == Reduction::none ? each : sum(each, {}, false, where);
}

// Why a prediction and a target of the same numbers of elements differ in shape, most likely.
std::string shape_hint(const Value& y, const Value& t) {
  if (y.numel() != t.numel()) return "there is one target for each element of the prediction";
  if (y.rank() == t.rank() + 1 && y.dims()[y.rank() - 1] == 1)
    return "give the target the shape of the prediction, unsqueeze(target, -1), or drop the last "
           "axis of the prediction, squeeze(prediction, -1)";
  if (t.rank() == y.rank() + 1 && t.dims()[t.rank() - 1] == 1)
    return "drop the last axis of the target: squeeze(target, -1)";
  return "reshape one of them";
}

Tensor make_prediction() { return tensor({{0.7, -1.3, 2.1}, {-0.4, 1.9, 0.6}}, f64); }
Tensor make_target() { return tensor({{1.2, 0.8, 2.4}, {0.3, -0.9, 1.1}}, f64); }

// 2 (y − t) g, or that / N: the gradient for the prediction in one pass. Inputs: prediction y,
// target t, and the gradient g of the result.
class MseSlope final : public Op {
 public:
  MseSlope() : Op("mse_slope", "2 ({0} − {1}) ⊗ {2}") {}

  Tensor operator()(const Tensor& prediction, const Tensor& target, const Tensor& g,
                    Reduction reduction, const Where& where) const {
    return apply(*this, {&prediction, &target, &g}, reduction, where);
  }

  void infer(Inference& call) const override {
    const Value& y = call.in(0);
    const Where& where = call.where();
    call.in(2);
    check_operands(name(), "prediction", call.tensor(0), "target", call.tensor(1), where);
    check_dtypes(name(), call.tensor(0), call.tensor(2), false, where);
    check_shape(name(), "target", call.tensor(1), y, where);
    if (call.parameters<Reduction>() == Reduction::none)
      check_shape(name(), "gradient", call.tensor(2), y, where);
    else
      check_shape(name(), "gradient", call.tensor(2), Shape(), where);
    call.output_like(y.dtype(), y);
  }
  void evaluate(Evaluation& call) const override {
    const Ref<Value> y = kernels::contiguous(call.in_ref(0));
    const Ref<Value> t = kernels::contiguous(call.in_ref(1));
    const Ref<Value> seed = kernels::contiguous(call.in_ref(2));
    const Reduction reduction = call.parameters<Reduction>();
    visit_floating(y->dtype(), [&](auto zero) {
      using T = decltype(zero);
      kernels::scaled_differences(call.out().template data<T>(), y->template data<T>(),
                                  t->template data<T>(), seed->template data<T>(),
                                  reduction == Reduction::none ? 1 : 0,
                                  static_cast<T>(scale(reduction, y->numel())), y->numel());
    });
  }
  Node::SavedMask reads(const Call&) const override { return input(0) | input(1) | input(2); }

  // With the cotangent h: ⟨h, out⟩ = scale Σ h ⊗ (y − t) ⊗ g.
  void vjp(Vjp& r) const override {
    const Reduction reduction = r.parameters<Reduction>();
    const double times = scale(reduction, r.node().shape().numel());
    const Tensor h = r.g();
    if (r.needs(0) || r.needs(1)) {
      const Tensor by_y = h * r.in(2) * times;
      if (r.needs(0)) r.give(0, by_y);
      if (r.needs(1)) r.give(1, -by_y);
    }
    if (r.needs(2)) r.give(2, reduced(h * (r.in(0) - r.in(1)), reduction, r.where()) * times);
  }
  Tensor jvp(Jvp& r) const override {
    const Reduction reduction = r.parameters<Reduction>();
    const double times = scale(reduction, r.node().shape().numel());
    Tensor out;
    if (r.has(0)) add_to(out, r.tangent(0) * r.in(2) * times);
    if (r.has(1)) add_to(out, -(r.tangent(1) * r.in(2) * times));
    if (r.has(2)) add_to(out, (*this)(r.in(0), r.in(1), r.tangent(2), reduction, r.where()));
    return out;
  }
  std::string written(const Node& node) const override {
    return node.parameters<Reduction>() == Reduction::mean
               ? fmt::format("2 ({{0}} − {{1}}) ⊗ {{2}} / {}", node.shape().numel())
               : notation();
  }
  Tensor written_out(const Node& node, std::span<const Tensor> inputs) const override {
    const double times = scale(node.parameters<Reduction>(), inputs[0].numel());
    return (inputs[0] - inputs[1]) * (inputs[2] * times);
  }
  std::vector<Sample> samples() const override;
};
CHAINRULE_EARLY const MseSlope slope_op;

std::vector<Sample> MseSlope::samples() const {
  const Tensor y = make_prediction(), t = make_target();
  const Tensor one = tensor(0.8, f64);
  const Tensor each = tensor({{0.8, -0.3, 1.2}, {-0.6, 0.5, 1.7}}, f64);
  return {{"mean",
           {y, t, one},
           [](std::span<const Tensor> in) {
             return slope_op(in[0], in[1], in[2], Reduction::mean, Where::current());
           }},
          {"sum",
           {y, t, one},
           [](std::span<const Tensor> in) {
             return slope_op(in[0], in[1], in[2], Reduction::sum, Where::current());
           }},
          {"each", {y, t, each}, [](std::span<const Tensor> in) {
             return slope_op(in[0], in[1], in[2], Reduction::none, Where::current());
           }}};
}

class MseLoss final : public Op {
 public:
  MseLoss() : Op("mse_loss") {}

  void infer(Inference& call) const override {
    const Tensor &prediction = call.tensor(0), &target = call.tensor(1);
    const Where& where = call.where();
    check_operands(name(), "prediction", prediction, "target", target, where);
    const Value &y = call.in(0), &t = call.in(1);
    if (!y.same_shape(t))
      throw ShapeError(fmt::format("{}: the shapes differ: prediction {} and target {}", name(),
                                   describe(prediction), describe(target)),
                       where, shape_hint(y, t));
    const Reduction reduction = call.parameters<Reduction>();
    if (y.numel() == 0 && reduction == Reduction::mean)
      throw ShapeError(fmt::format("{}: the mean of no elements: {}", name(), describe(prediction)),
                       where, "Reduction::sum of no elements is 0");
    if (reduction == Reduction::none)
      call.output_like(y.dtype(), y);
    else
      call.output(y.dtype(), Shape());
  }
  void evaluate(Evaluation& call) const override {
    const Ref<Value> y = kernels::contiguous(call.in_ref(0));
    const Ref<Value> t = kernels::contiguous(call.in_ref(1));
    const Reduction reduction = call.parameters<Reduction>();
    visit_floating(y->dtype(), [&](auto zero) {
      using T = decltype(zero);
      T* to = call.out().template data<T>();
      const T *a = y->template data<T>(), *b = t->template data<T>();
      const std::int64_t n = y->numel();
      if (reduction == Reduction::none) return kernels::squared_differences(to, a, b, n);
      *to = kernels::sum_squared_differences(a, b, n);
      if (reduction == Reduction::mean) *to /= static_cast<T>(n);
    });
  }
  Node::SavedMask reads(const Call&) const override { return input(0) | input(1); }

  void vjp(Vjp& r) const override {
    const Reduction reduction = r.parameters<Reduction>();
    if (r.needs(0)) r.give(0, slope_op(r.in(0), r.in(1), r.g(), reduction, r.where()));
    if (r.needs(1)) r.give(1, slope_op(r.in(1), r.in(0), r.g(), reduction, r.where()));
  }
  Tensor jvp(Jvp& r) const override {
    const Reduction reduction = r.parameters<Reduction>();
    const Tensor tangent = !r.has(1)   ? r.tangent(0)
                           : !r.has(0) ? -r.tangent(1)
                                       : r.tangent(0) - r.tangent(1);
    return reduced((r.in(0) - r.in(1)) * tangent, reduction, r.where()) *
           scale(reduction, r.in(0).numel());
  }
  Tensor written_out(const Node& node, std::span<const Tensor> inputs) const override {
    const Tensor each = square(inputs[0] - inputs[1], node.where());
    switch (node.parameters<Reduction>()) {
      case Reduction::none:
        return each;
      case Reduction::sum:
        return sum(each, {}, false, node.where());
      default:
        return mean(each, {}, false, node.where());
    }
  }
  std::vector<Sample> samples() const override {
    const Tensor y = make_prediction(), t = make_target(), none = zeros({0, 3}, f64);
    const auto average = [](std::span<const Tensor> in) { return mse_loss(in[0], in[1]); };
    const auto total = [](std::span<const Tensor> in) {
      return mse_loss(in[0], in[1], Reduction::sum);
    };
    const auto each = [](std::span<const Tensor> in) {
      return mse_loss(in[0], in[1], Reduction::none);
    };
    return {{"mean", {y, t}, average},
            {"mean of a vector", {tensor({0.4, -1.1}, f64), tensor({0.9, 0.2}, f64)}, average},
            {"mean of a scalar", {tensor(0.4, f64), tensor(-1.1, f64)}, average},
            {"sum", {y, t}, total},
            {"sum of nothing", {none, none}, total},
            {"each", {y, t}, each},
            {"each of nothing", {none, none}, each}};
  }
};
CHAINRULE_EARLY const MseLoss the_mse_loss;

}  // namespace

Tensor mse_loss(const Tensor& prediction, const Tensor& target, Reduction reduction, Where where) {
  return apply(the_mse_loss, {&prediction, &target}, reduction, where);
}

}  // namespace chainrule
