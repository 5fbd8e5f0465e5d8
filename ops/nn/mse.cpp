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

struct Parameters {
  Reduction reduction;
  std::int64_t elements;

  // What a difference counts in the gradient.
  double scale() const noexcept {
    return reduction == Reduction::mean ? 2.0 / static_cast<double>(elements) : 2.0;
  }
};

// The numbers of every element, as they enter the result.
Tensor reduced(const Tensor& each, const Parameters& p, const Where& where) {
  return p.reduction == Reduction::none ? each : sum(each, {}, false, where);
}

// Why a prediction and a target of the same numbers of elements differ in shape, most likely.
std::string shape_hint(const Value& y, const Value& t) {
  if (y.numel() != t.numel()) return "";
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
                    const Parameters& p, const Where& where) const {
    const Ref<Value> y = kernels::contiguous(prediction.value_ref());
    const Ref<Value> t = kernels::contiguous(target.value_ref());
    const Ref<Value> seed = kernels::contiguous(g.value_ref());
    Ref<Value> out = make_result_like(name(), y->dtype(), *y, where);
    visit_floating(y->dtype(), [&](auto zero) {
      using T = decltype(zero);
      kernels::scaled_differences(out->template data<T>(), y->template data<T>(),
                                  t->template data<T>(), seed->template data<T>(),
                                  p.reduction == Reduction::none ? 1 : 0, static_cast<T>(p.scale()),
                                  y->numel());
    });
    return record(*this, std::move(out), {&prediction, &target, &g}, input(0) | input(1) | input(2),
                  where, detail::bytes_of(p));
  }

  // With the cotangent h: ⟨h, out⟩ = scale Σ h ⊗ (y − t) ⊗ g.
  void vjp(Vjp& r) const override {
    const auto& p = r.parameters<Parameters>();
    const Where& where = r.node().where();
    const Tensor h = r.g();
    if (r.needs(0) || r.needs(1)) {
      const Tensor by_y = h * r.in(2) * p.scale();
      if (r.needs(0)) r.give(0, by_y);
      if (r.needs(1)) r.give(1, -by_y);
    }
    if (r.needs(2)) r.give(2, reduced(h * (r.in(0) - r.in(1)), p, where) * p.scale());
  }
  Tensor jvp(Jvp& r) const override {
    const auto& p = r.parameters<Parameters>();
    const Where& where = r.node().where();
    Tensor out;
    if (r.has(0)) add_to(out, r.tangent(0) * r.in(2) * p.scale());
    if (r.has(1)) add_to(out, -(r.tangent(1) * r.in(2) * p.scale()));
    if (r.has(2)) add_to(out, (*this)(r.in(0), r.in(1), r.tangent(2), p, where));
    return out;
  }
  Tensor replay(const Node& node, std::span<const Tensor> inputs) const override {
    return (*this)(inputs[0], inputs[1], inputs[2], node.parameters<Parameters>(), node.where());
  }
  std::string written(const Node& node) const override {
    const auto& p = node.parameters<Parameters>();
    return p.reduction == Reduction::mean
               ? fmt::format("2 ({{0}} − {{1}}) ⊗ {{2}} / {}", p.elements)
               : notation();
  }
  Tensor written_out(const Node& node, std::span<const Tensor> inputs) const override {
    return (inputs[0] - inputs[1]) * (inputs[2] * node.parameters<Parameters>().scale());
  }
  std::vector<Sample> samples() const override;
};
const MseSlope slope_op;

std::vector<Sample> MseSlope::samples() const {
  const Tensor y = make_prediction(), t = make_target();
  const Tensor one = tensor(0.8, f64);
  const Tensor each = tensor({{0.8, -0.3, 1.2}, {-0.6, 0.5, 1.7}}, f64);
  return {{"mean",
           {y, t, one},
           [](std::span<const Tensor> in) {
             return slope_op(in[0], in[1], in[2], {Reduction::mean, 6}, Where::current());
           }},
          {"sum",
           {y, t, one},
           [](std::span<const Tensor> in) {
             return slope_op(in[0], in[1], in[2], {Reduction::sum, 6}, Where::current());
           }},
          {"each", {y, t, each}, [](std::span<const Tensor> in) {
             return slope_op(in[0], in[1], in[2], {Reduction::none, 6}, Where::current());
           }}};
}

class MseLoss final : public Op {
 public:
  MseLoss() : Op("mse_loss") {}

  Tensor operator()(const Tensor& prediction, const Tensor& target, Reduction reduction,
                    const Where& where) const {
    check_operands(name(), "prediction", prediction, "target", target, where);
    const Value &in = *prediction.value_ref(), &wanted = *target.value_ref();
    if (!in.same_shape(wanted))
      throw ShapeError(fmt::format("{}: the shapes differ: prediction {} and target {}", name(),
                                   describe(prediction), describe(target)),
                       where, shape_hint(in, wanted));
    const Parameters p{reduction, in.numel()};
    if (p.elements == 0 && reduction == Reduction::mean)
      throw ShapeError(fmt::format("{}: the mean of no elements: {}", name(), describe(prediction)),
                       where, "Reduction::sum of no elements is 0");
    const Ref<Value> y = kernels::contiguous(prediction.value_ref());
    const Ref<Value> t = kernels::contiguous(target.value_ref());
    Ref<Value> out = reduction == Reduction::none ? make_result_like(name(), in.dtype(), in, where)
                                                  : Value::make(in.dtype(), nullptr, 0);
    visit_floating(in.dtype(), [&](auto zero) {
      using T = decltype(zero);
      T* to = out->template data<T>();
      const T *a = y->template data<T>(), *b = t->template data<T>();
      if (reduction == Reduction::none) return kernels::squared_differences(to, a, b, p.elements);
      *to = kernels::sum_squared_differences(a, b, p.elements);
      if (reduction == Reduction::mean) *to /= static_cast<T>(p.elements);
    });
    return record(*this, std::move(out), {&prediction, &target}, input(0) | input(1), where,
                  detail::bytes_of(p));
  }

  void vjp(Vjp& r) const override {
    const auto& p = r.parameters<Parameters>();
    const Where& where = r.node().where();
    if (r.needs(0)) r.give(0, slope_op(r.in(0), r.in(1), r.g(), p, where));
    if (r.needs(1)) r.give(1, slope_op(r.in(1), r.in(0), r.g(), p, where));
  }
  Tensor jvp(Jvp& r) const override {
    const auto& p = r.parameters<Parameters>();
    const Tensor tangent = !r.has(1)   ? r.tangent(0)
                           : !r.has(0) ? -r.tangent(1)
                                       : r.tangent(0) - r.tangent(1);
    return reduced((r.in(0) - r.in(1)) * tangent, p, r.node().where()) * p.scale();
  }
  Tensor replay(const Node& node, std::span<const Tensor> inputs) const override {
    return (*this)(inputs[0], inputs[1], node.parameters<Parameters>().reduction, node.where());
  }
  Tensor written_out(const Node& node, std::span<const Tensor> inputs) const override {
    const Tensor each = square(inputs[0] - inputs[1], node.where());
    switch (node.parameters<Parameters>().reduction) {
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
const MseLoss the_mse_loss;

}  // namespace

Tensor mse_loss(const Tensor& prediction, const Tensor& target, Reduction reduction, Where where) {
  return the_mse_loss(prediction, target, reduction, where);
}

}  // namespace chainrule
