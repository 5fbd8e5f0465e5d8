#include <fmt/format.h>

#include <array>
#include <cmath>
#include <limits>

#include <chainrule/ops/define.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/elementwise/functions.hpp>
#include <chainrule/ops/kernels/reduce/reduce.hpp>
#include <chainrule/ops/reduce/reduced.hpp>

namespace chainrule {

namespace {

using detail::input;
using detail::ReduceParameters;

struct MomentParameters {
  double correction = 1;
  ReduceParameters axes;
  std::uint32_t zero = 0;

  // What the sum of squares is divided by.
  double divisor(const Shape& shape) const {
    const double freedom = static_cast<double>(reduced_count(shape, axes.mask)) - correction;
    return freedom > 0 ? freedom : std::numeric_limits<double>::quiet_NaN();
  }
};

template <class T>
void variance_into(Value& out, const Ref<Value>& mean, const Value& x, const MomentParameters& p) {
  const std::uint32_t mask = p.axes.mask;
  const Shape shape = x.shape(), kept = reduced_shape(shape, mask, true);
  const Ref<Value> shift = Value::view(mean, kept, contiguous_strides(kept), 0);
  const Ref<Value> terms = Value::make_like(x.dtype(), x);
  // Without the rounding of the mean the deviations would have the sum 0.
  const Ref<Value> rest = Value::make_like(x.dtype(), *mean);
  kernels::map<T, T, T>(*terms, x, *shift, [](T e, T m) { return e - m; });
  kernels::reduce(kernels::Fold::sum, *rest, *terms, mask);
  kernels::map<T, T, T>(*terms, x, *shift, [](T e, T m) { return (e - m) * (e - m); });
  kernels::reduce(kernels::Fold::sum, out, *terms, mask);
  const T n = static_cast<T>(reduced_count(shape, mask)),
          divisor = static_cast<T>(p.divisor(shape));
  T* to = out.data<T>();
  const T* off = rest->data<T>();
  for (std::int64_t i = 0; i < out.numel(); ++i) {
    const T squares = to[i] - off[i] * (off[i] / n);
    to[i] = (squares < 0 ? T{0} : squares) / divisor;
  }
}

// Output 0 is the variance, output 1 the mean.
struct VarMeanOp final : Op {
  VarMeanOp() : Op("var_mean") {}

  void infer(Inference& call) const override {
    const DType dtype = call.in(0).dtype();
    check_dtype(name(), call.tensor(0), false, call.where());
    const ReduceParameters& axes = call.parameters<MomentParameters>().axes;
    const Shape shape = infer_reduced(call, axes);
    check_not_empty(name(), call.tensor(0), axes.mask, call.where());
    call.output(dtype, shape);
    call.output(dtype, shape);
  }
  void evaluate(Evaluation& call) const override {
    const auto& p = call.parameters<MomentParameters>();
    const Value& x = call.in(0);
    mean_into(call.out(1), x, p.axes.mask);
    visit_floating(x.dtype(), [&](auto zero) {
      variance_into<decltype(zero)>(call.out(0), call.out_ref(1), x, p);
    });
  }
  Node::SavedMask reads(const Call&) const override { return input(0) | Node::output_at(1); }

  // ∂var/∂xᵢ = 2 (xᵢ − mean) / (n − correction): through the mean nothing comes, for the deviations
  // have the sum 0.
  void vjp(Vjp& r) const override {
    if (!r.needs(0)) return;
    const auto& p = r.parameters<MomentParameters>();
    const Shape shape = r.shape_of(0);
    Tensor gradient;
    if (r.has_g(0))
      gradient = deviations(r, p) * with_axes(r.g(0) * (2 / p.divisor(shape)), shape, p.axes);
    if (r.has_g(1)) {
      const double n = static_cast<double>(reduced_count(shape, p.axes.mask));
      add_to(gradient, spread(r.g(1) / n, shape, p.axes));
    }
    r.give(0, gradient);
  }
  Tensor jvp(Jvp& r) const override {
    const auto& p = r.parameters<MomentParameters>();
    const Shape shape = r.shape_of(0);
    const auto total = [&](const Tensor& x) {
      return detail::sum_mask(x, p.axes.mask, p.axes.keepdim, r.where());
    };
    const Tensor& t = r.tangent(0);
    if (r.output() == 1) return total(t) / static_cast<double>(reduced_count(shape, p.axes.mask));
    return total(deviations(r, p) * t) * (2 / p.divisor(shape));
  }

  std::string written(const Node& node) const override {
    return name() + axes_text(node, node.parameters<MomentParameters>().axes) + "({0})";
  }
  std::string written_output(const Node& node, std::size_t k) const override {
    return (k == 0 ? "var" : "mean") + axes_text(node, node.parameters<MomentParameters>().axes) +
           "({0})";
  }
  Tensor output_written_out(const Node& node, std::span<const Tensor> inputs,
                            std::size_t k) const override {
    const auto& p = node.parameters<MomentParameters>();
    const Axes axes = Axes::of_mask(p.axes.mask);
    const Where& where = node.where();
    if (k == 1) return mean(inputs[0], axes, p.axes.keepdim, where);
    const Tensor deviations = inputs[0] - mean(inputs[0], axes, true, where);
    return sum(square(deviations, where), axes, p.axes.keepdim, where) *
           (1 / p.divisor(inputs[0].shape()));
  }
  std::vector<Sample> samples() const override;

 private:
  static Tensor deviations(const Application& r, const MomentParameters& p) {
    return r.in(0) - with_axes(r.out(1), r.shape_of(0), p.axes);
  }
};
CHAINRULE_EARLY const VarMeanOp the_var_mean;

// --- samples: each result alone, and both in one ---

Tensor variance(const Tensor& x, const Axes& axes, bool keepdim, Where where) {
  return var_mean(x, axes, 1, keepdim, where).var;
}
Tensor mean_alone(const Tensor& x, const Axes& axes, bool keepdim, Where where) {
  return var_mean(x, axes, 1, keepdim, where).mean;
}
Tensor both(const Tensor& x, const Axes& axes, bool keepdim, Where where) {
  const auto [var, mean] = var_mean(x, axes, 0, keepdim, where);
  return var + 0.5 * mean;
}

std::vector<Sample> VarMeanOp::samples() const {
  std::vector<Sample> samples;
  const auto add = [&](const std::string& what, std::vector<Sample> more) {
    for (Sample& sample : more) {
      sample.label = what + ", " + sample.label;
      samples.push_back(std::move(sample));
    }
  };
  add("var", reduction_samples<variance>());
  // Of a single element it is NaN.
  std::erase_if(samples, [](const Sample& s) {
    return s.label == "var, scalar" || s.label == "var, no axis";
  });
  add("mean", reduction_samples<mean_alone>());
  add("both", reduction_samples<both>());
  return samples;
}

}  // namespace

VarMean var_mean(const Tensor& x, const Axes& axes, double correction, bool keepdim, Where where) {
  const std::uint32_t mask = axes.resolve(the_var_mean.name(), x, where);
  if (!std::isfinite(correction)) [[unlikely]]
    throw ValueError(fmt::format("var_mean: a correction of {}", correction), where,
                     "1 is for an estimate from a sample, 0 for the numbers themselves");
  const MomentParameters p{correction, {mask, keepdim, static_cast<std::uint32_t>(x.rank())}};
  const std::array operands{&x};
  std::vector<Tensor> results = apply_several(the_var_mean, operands, p, where);
  return {std::move(results[0]), std::move(results[1])};
}

}  // namespace chainrule
