#include <chainrule/ops/nn/layer_norm.hpp>

#include <fmt/format.h>

#include <cmath>
#include <span>
#include <string>

#include <chainrule/core/create.hpp>
#include <chainrule/ops/axis_text.hpp>
#include <chainrule/ops/define.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/elementwise/functions.hpp>
#include <chainrule/ops/kernels/nn/layer_norm.hpp>
#include <chainrule/ops/kernels/reduce/lines.hpp>
#include <chainrule/ops/reduce/reduced.hpp>
#include <chainrule/ops/reduce/reduction.hpp>

namespace chainrule {

namespace {

using detail::input;

struct LayerNormParameters {
  double eps = 0;
  std::int32_t axis = 0;  // the first normalized one
  std::int32_t rank = 0;  // of x

  std::int64_t rows(const Value& x) const noexcept {
    return kernels::lines_along(x, axis, x.rank() - 1).outer;
  }
  std::int64_t length(const Value& x) const noexcept {
    return kernels::lines_along(x, axis, x.rank() - 1).length;
  }
};

// The statistics are one value (3, rows) that each of the ops saves, and no operand: the rules
// differentiate through them where they differentiate for x.
template <class T>
kernels::RowStatistics<T> statistics_of(Value& s) {
  T* first = s.data<T>();
  return {first, first + s.dims()[1], first + 2 * s.dims()[1]};
}
template <class T>
kernels::RowStatistics<const T> statistics_of(const Value& s) {
  const T* first = s.data<T>();
  return {first, first + s.dims()[1], first + 2 * s.dims()[1]};
}

// The elements of an operand that may be left out, row-major as long as this lives.
class Optional {
 public:
  Optional(const Evaluation& call, std::size_t i)
      : value_(call.given(i) ? kernels::contiguous(call.in_ref(i)) : Ref<Value>()) {}
  template <class T>
  const T* data() const noexcept {
    return value_ ? static_cast<const Value&>(*value_).data<T>() : nullptr;
  }

 private:
  Ref<Value> value_;
};

// What rules hand on of the statistics that somebody has computed.
using Known = std::span<const Ref<Value>>;
Known statistics_in(const Application& r) { return {&r.saved(0).value_ref(), 1}; }

// Computes those of the rows of x for a slope to which nobody told them; x̂ goes to `scratch`.
void compute_statistics(Evaluation& call, const Value& x, Value& scratch) {
  const auto& p = call.parameters<LayerNormParameters>();
  visit_floating(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    kernels::layer_norm<T>(scratch.data<T>(), statistics_of<T>(call.saved(0)), x.data<T>(), nullptr,
                           nullptr, p.eps, p.rows(x), p.length(x));
  });
}

Shape normalized_shape(const Value& x, const LayerNormParameters& p) {
  return Shape(std::span(x.dims() + p.axis, static_cast<std::size_t>(x.rank() - p.axis)));
}

// Throws unless operand i is an x that the parameters are for.
void check_x(const Call& call, std::size_t i) {
  const Value& x = call.in(i);
  const auto& p = call.parameters<LayerNormParameters>();
  check_dtype(call.name(), call.tensor(i), false, call.where());
  if (x.rank() != p.rank)
    throw ShapeError(fmt::format("{}: the axes are those of a tensor with {} axes, but {} has {}",
                                 call.name(), p.rank, describe(call.tensor(i)), x.rank()),
                     call.where(), "a graph is evaluated again with tensors of as many axes");
}

// The same for a slope, which has the gradient g in front of x.
void check_g_and_x(const Call& call) {
  call.in(0);
  check_x(call, 1);
  check_dtypes(call.name(), call.tensor(0), call.tensor(1), false, call.where());
  check_shape(call.name(), "gradient", call.tensor(0), call.in(1), call.where());
}

// Throws unless operand i is left out or a weight or bias for operand x.
void check_affine(const Call& call, const char* what, std::size_t i, std::size_t x) {
  if (!call.given(i)) return;
  const Tensor& given = call.tensor(i);
  check_operands(call.name(), "input", call.tensor(x), what, given, call.where());
  const Shape shape = normalized_shape(call.in(x), call.parameters<LayerNormParameters>());
  if (given.shape() != shape)
    throw ShapeError(fmt::format("{}: the {} {} has not the normalized shape {}", call.name(), what,
                                 describe(given), to_string(shape)),
                     call.where(), "it has one element for each that is normalized together");
}

void infer_statistics(Inference& call, const Value& x) {
  call.saves(x.dtype(), {3, call.parameters<LayerNormParameters>().rows(x)});
}

// --- the rules' parts, in tensor operations ---

// The bits of the axes from `first` to before `last`.
std::uint32_t axes(int first, int last) {
  return (std::uint32_t{1} << last) - (std::uint32_t{1} << first);
}

// The mean of every row, which broadcasts to x.
Tensor row_mean(const Tensor& x, const LayerNormParameters& p, const Where& where) {
  const auto n = static_cast<double>(p.length(*x.value_ref()));
  return detail::sum_mask(x, axes(p.axis, x.rank()), true, where) * (1 / n);
}

// What stands behind the name of a layer norm: axes other than the last one alone, the operand, and
// an ε other than the usual one.
std::string operand_text(const Node& node, const char* operand) {
  const auto& p = node.parameters<LayerNormParameters>();
  std::string text;
  for (int axis = p.axis; axis < p.rank && p.axis < p.rank - 1; ++axis)
    text += axis_subscript(axis);
  return text + (p.eps == 1e-5 ? fmt::format("({})", operand)
                               : fmt::format("({}, ε = {:.6g})", operand, p.eps));
}

// Σ over the rows.
Tensor sum_rows(const Tensor& x, const LayerNormParameters& p, const Where& where) {
  return detail::sum_mask(x, axes(0, p.axis), false, where);
}

// x̂ ⊗ w for a weight w or none.
Tensor normalized(const Tensor& x, const Tensor& w, const LayerNormParameters& p,
                  const Where& where) {
  return layer_norm(x, normalized_shape(*x.value_ref(), p), w, {}, p.eps, where);
}

// x̂ = (x − μ) ⊘ √(σ² + ε), and what it was divided by.
struct Standardized {
  Tensor x, deviation;
};
Standardized standardized(const Tensor& x, const LayerNormParameters& p, const Where& where) {
  const Tensor centred = x - row_mean(x, p, where);
  const Tensor deviation = sqrt(row_mean(square(centred, where), p, where) + p.eps, where);
  return {centred / deviation, deviation};
}

// 1 / √(σ² + ε) of every row.
Tensor row_scale(const Tensor& x, const LayerNormParameters& p, const Where& where) {
  return reciprocal(standardized(x, p, where).deviation, where);
}

// J k with the (symmetric) Jacobian J of x̂ at x, where k = g ⊗ w: the gradient of layer_norm for x.
// Operands: g, x, and w, which may be left out.
class LayerNormSlope final : public Op {
 public:
  LayerNormSlope() : Op("layer_norm_slope", "layer_norm'({1})·{0}") {}

  Tensor operator()(const Tensor& g, const Tensor& x, const Tensor& w, const LayerNormParameters& p,
                    const Where& where, Known statistics = {}) const {
    return apply(*this, {&g, &x, &w}, p, where, statistics);
  }

  void infer(Inference& call) const override {
    check_g_and_x(call);
    check_affine(call, "weight", 2, 1);
    const Value& x = call.in(1);
    call.output_like(x.dtype(), x);
    infer_statistics(call, x);
  }
  void evaluate(Evaluation& call) const override {
    const Ref<Value> seed = kernels::contiguous(call.in_ref(0));
    const Ref<Value> in = kernels::contiguous(call.in_ref(1));
    const Optional weight(call, 2);
    Value& out = call.out();
    if (!call.knows(0)) compute_statistics(call, *in, out);
    const auto& p = call.parameters<LayerNormParameters>();
    visit_floating(in->dtype(), [&](auto zero) {
      using T = decltype(zero);
      const Value& s = call.saved(0);
      kernels::layer_norm_slope(out.data<T>(), seed->template data<T>(), in->template data<T>(),
                                weight.template data<T>(), statistics_of<T>(s), p.rows(*in),
                                p.length(*in));
    });
  }
  Node::SavedMask reads(const Call& call) const override {
    const bool curved = call.needs_grad(1) || call.needs_grad(2);
    return input(1) | detail::intermediate(0) | (curved ? input(0) : 0) |
           (call.given(2) ? input(2) : 0);
  }

  void vjp(Vjp& r) const override {
    const auto& p = r.parameters<LayerNormParameters>();
    const Where& where = r.where();
    const Tensor h = r.g(), x = r.in(1), w = weight_of(r);
    const Tensor by_k = (*this)(h, x, {}, p, where, statistics_in(r));  // J h
    if (r.needs(0)) r.give(0, w.defined() ? by_k * w : by_k);
    if (r.needs(1)) r.give(1, curvature(r, h, by_k));
    if (r.needs(2)) r.give(2, r.in(0) * by_k);
  }
  Tensor jvp(Jvp& r) const override {
    const auto& p = r.parameters<LayerNormParameters>();
    const Where& where = r.where();
    const Tensor x = r.in(1);
    const Known statistics = statistics_in(r);
    Tensor out;
    if (r.has(0)) add_to(out, (*this)(r.tangent(0), x, weight_of(r), p, where, statistics));
    if (r.has(1)) {
      const Tensor t = r.tangent(1);
      add_to(out, curvature(r, t, (*this)(t, x, {}, p, where, statistics)));
    }
    if (r.has(2)) add_to(out, (*this)(r.in(0), x, r.tangent(2), p, where, statistics));
    return out;
  }
  std::string written(const Node& node) const override {
    const std::string name = "layer_norm'" + operand_text(node, "{1}");
    return name + (node.given(2) ? "·({2} ⊗ {0})" : "·{0}");
  }
  Tensor written_out(const Node& node, std::span<const Tensor> inputs) const override {
    const auto& p = node.parameters<LayerNormParameters>();
    const Where& where = node.where();
    const Tensor k = inputs[2].defined() ? inputs[0] * inputs[2] : inputs[0];
    const auto [y, s] = standardized(inputs[1], p, where);
    return (k - row_mean(k, p, where) - y * row_mean(k * y, p, where)) / s;
  }
  std::vector<Sample> samples() const override;

 private:
  static Tensor weight_of(const Application& r) { return r.given(2) ? r.in(2) : Tensor(); }

  // The gradient of ⟨h, J k⟩ for x; since x̂'s second derivative is symmetric, this is also the
  // tangent of J k when that of x is h. With a = mean(h ⊗ x̂), b = mean(k ⊗ x̂), from the derivatives
  // of 1 / √(σ² + ε), a and b:
  //     − (x̂ mean(h ⊗ J k) + b J h + a J k) / √(σ² + ε)
  Tensor curvature(const Application& r, const Tensor& h, const Tensor& by_h) const {
    const auto& p = r.parameters<LayerNormParameters>();
    const Where& where = r.where();
    const Tensor g = r.in(0), x = r.in(1), w = weight_of(r);
    const Tensor k = w.defined() ? g * w : g;
    const Tensor by_k = (*this)(g, x, w, p, where, statistics_in(r));
    const Tensor y = normalized(x, {}, p, where);
    const auto mean = [&](const Tensor& z) { return row_mean(z, p, where); };
    return -(y * mean(h * by_k) + mean(k * y) * by_h + mean(h * y) * by_k) * row_scale(x, p, where);
  }
};
CHAINRULE_EARLY const LayerNormSlope slope_op;

// Σ g ⊗ x̂ over the rows: the gradient of layer_norm for its weight. Operands: g, x.
class LayerNormWeightSlope final : public Op {
 public:
  LayerNormWeightSlope() : Op("layer_norm_weight_slope", "Σ {0} ⊗ layer_norm({1})") {}

  Tensor operator()(const Tensor& g, const Tensor& x, const LayerNormParameters& p,
                    const Where& where, Known statistics = {}) const {
    return apply(*this, {&g, &x}, p, where, statistics);
  }

  void infer(Inference& call) const override {
    check_g_and_x(call);
    const Value& x = call.in(1);
    call.output(x.dtype(), normalized_shape(x, call.parameters<LayerNormParameters>()));
    infer_statistics(call, x);
  }
  void evaluate(Evaluation& call) const override {
    const Ref<Value> seed = kernels::contiguous(call.in_ref(0));
    const Ref<Value> in = kernels::contiguous(call.in_ref(1));
    if (!call.knows(0))
      compute_statistics(call, *in, *make_result_like(name(), in->dtype(), *in, call.where()));
    const auto& p = call.parameters<LayerNormParameters>();
    visit_floating(in->dtype(), [&](auto zero) {
      using T = decltype(zero);
      const Value& s = call.saved(0);
      kernels::layer_norm_weight_slope(call.out().template data<T>(), seed->template data<T>(),
                                       in->template data<T>(), statistics_of<T>(s), p.rows(*in),
                                       p.length(*in));
    });
  }
  Node::SavedMask reads(const Call& call) const override {
    return input(1) | detail::intermediate(0) | (call.needs_grad(1) ? input(0) : 0);
  }

  // The cotangent h of the result stands where a weight does: ⟨h, out⟩ = ⟨g, x̂ ⊗ h⟩.
  void vjp(Vjp& r) const override {
    const auto& p = r.parameters<LayerNormParameters>();
    const Where& where = r.where();
    if (r.needs(0)) r.give(0, normalized(r.in(1), r.g(), p, where));
    if (r.needs(1)) r.give(1, slope_op(r.in(0), r.in(1), r.g(), p, where, statistics_in(r)));
  }
  Tensor jvp(Jvp& r) const override {
    const auto& p = r.parameters<LayerNormParameters>();
    const Where& where = r.where();
    const Tensor x = r.in(1);
    const Known statistics = statistics_in(r);
    Tensor out;
    if (r.has(0)) out = (*this)(r.tangent(0), x, p, where, statistics);
    if (!r.has(1)) return out;
    const Tensor moved = slope_op(r.tangent(1), x, {}, p, where, statistics);
    const Tensor by_x = sum_rows(r.in(0) * moved, p, where);
    return out.defined() ? out + by_x : by_x;
  }
  std::string written(const Node& node) const override {
    const int first = node.parameters<LayerNormParameters>().axis;
    const std::string term = "{0} ⊗ standardized" + operand_text(node, "{1}");
    return first == 0 ? term : "Σ" + axes_text(node, {axes(0, first), 0}) + "(" + term + ")";
  }
  Tensor written_out(const Node& node, std::span<const Tensor> inputs) const override {
    const auto& p = node.parameters<LayerNormParameters>();
    return sum_rows(inputs[0] * standardized(inputs[1], p, node.where()).x, p, node.where());
  }
  std::vector<Sample> samples() const override;
};
CHAINRULE_EARLY const LayerNormWeightSlope weight_slope_op;

// Operands: x, weight, bias; the last two may be left out.
class LayerNorm final : public Op {
 public:
  LayerNorm() : Op("layer_norm", "layer_norm({0})") {}

  Tensor operator()(const Tensor& x, const Shape& shape, const Tensor& weight, const Tensor& bias,
                    double eps, const Where& where) const {
    check_trailing(x, shape, where);
    const LayerNormParameters p{eps, x.rank() - shape.rank(), x.rank()};
    return apply(*this, {&x, &weight, &bias}, p, where);
  }

  void infer(Inference& call) const override {
    const Value& x = call.in(0);
    check_x(call, 0);
    check_affine(call, "weight", 1, 0);
    check_affine(call, "bias", 2, 0);
    const double eps = call.parameters<LayerNormParameters>().eps;
    if (!(eps >= 0 && std::isfinite(eps)))
      throw ValueError(fmt::format("{}: the eps {} is negative or not finite", name(), eps),
                       call.where(), "it keeps the variance from 0: 1e-5 is usual");
    call.output_like(x.dtype(), x);
    infer_statistics(call, x);
  }
  void evaluate(Evaluation& call) const override {
    const Ref<Value> in = kernels::contiguous(call.in_ref(0));
    const Optional weight(call, 1), bias(call, 2);
    const auto& p = call.parameters<LayerNormParameters>();
    visit_floating(in->dtype(), [&](auto zero) {
      using T = decltype(zero);
      kernels::layer_norm(call.out().template data<T>(), statistics_of<T>(call.saved(0)),
                          in->template data<T>(), weight.template data<T>(),
                          bias.template data<T>(), p.eps, p.rows(*in), p.length(*in));
    });
  }
  Node::SavedMask reads(const Call& call) const override {
    const bool by_x = call.needs_grad(0), any = by_x || call.needs_grad(1);
    return (any ? input(0) | detail::intermediate(0) : 0) | (by_x && call.given(1) ? input(1) : 0);
  }

  void vjp(Vjp& r) const override {
    const auto& p = r.parameters<LayerNormParameters>();
    const Where& where = r.where();
    if (r.needs(0)) r.give(0, slope_op(r.g(), r.in(0), weight_of(r), p, where, statistics_in(r)));
    if (r.needs(1)) r.give(1, weight_slope_op(r.g(), r.in(0), p, where, statistics_in(r)));
    if (r.needs(2)) r.give(2, r.g());
  }
  Tensor jvp(Jvp& r) const override {
    const auto& p = r.parameters<LayerNormParameters>();
    const Where& where = r.where();
    Tensor out;
    if (r.has(0)) {
      const Tensor moved = slope_op(r.tangent(0), r.in(0), {}, p, where, statistics_in(r));
      add_to(out, r.given(1) ? moved * r.in(1) : moved);
    }
    if (r.has(1)) add_to(out, normalized(r.in(0), r.tangent(1), p, where));
    if (r.has(2)) add_to(out, r.tangent(2));
    return out;
  }
  // With what scales and shifts it.
  std::string written(const Node& node) const override {
    const bool affine = node.given(1) || node.given(2);
    return (affine ? "standardized" : "layer_norm") + operand_text(node, "{0}") +
           (node.given(1) ? " ⊗ {1}" : "") + (node.given(2) ? " + {2}" : "");
  }
  Tensor written_out(const Node& node, std::span<const Tensor> inputs) const override {
    Tensor y = standardized(inputs[0], node.parameters<LayerNormParameters>(), node.where()).x;
    if (inputs[1].defined()) y = y * inputs[1];
    return inputs[2].defined() ? y + inputs[2] : y;
  }
  std::vector<Sample> samples() const override;

 private:
  static Tensor weight_of(const Application& r) { return r.given(1) ? r.in(1) : Tensor(); }

  void check_trailing(const Tensor& x, const Shape& shape, const Where& where) const {
    const Value& in = x.value(where, name(), "input");
    check_dtype(name(), x, false, where);
    if (shape.empty())
      throw ShapeError(fmt::format("{}: the normalized shape has no axis", name()), where,
                       "give the extents of the trailing axes: {features}");
    const int axis = in.rank() - shape.rank();
    bool fits = axis >= 0;
    for (int i = 0; fits && i < shape.rank(); ++i) fits = in.dims()[axis + i] == shape[i];
    if (!fits)
      throw ShapeError(fmt::format("{}: {} does not end in the normalized shape {}", name(),
                                   describe(x), to_string(shape)),
                       where,
                       in.rank() == 2 && shape.rank() == 1 && in.dims()[0] == shape[0]
                           ? "samples stand in rows, (batch, features): pass x.T()"
                           : "it is what the shape of x ends in, all of it or the last axes");
  }
};
CHAINRULE_EARLY const LayerNorm the_layer_norm;

// --- samples ---

Tensor make_x() { return tensor({{0.7, -1.3, 2.1, 0.4}, {-0.4, 1.9, 0.6, 1.1}}, f64); }
Tensor make_g() { return tensor({{0.3, 1.2, -0.8, 0.5}, {1.4, -0.2, 0.9, -1.1}}, f64); }
Tensor make_deep() {
  return tensor({{{0.3, -0.9}, {1.4, 0.2}}, {{-0.6, 0.8}, {2.1, -0.5}}, {{1.2, 0.1}, {0.7, 1.5}}},
                f64);
}
Tensor make_weight() { return tensor({1.1, 0.6, -0.7, 1.6}, f64); }
Tensor make_bias() { return tensor({0.2, -0.5, 0.1, 0.9}, f64); }

constexpr double sample_eps = 0.01;

std::vector<Sample> LayerNorm::samples() const {
  const Tensor x = make_x(), w = make_weight(), b = make_bias();
  return {
      {"rows",
       {x},
       [](std::span<const Tensor> in) { return layer_norm(in[0], {4}, {}, {}, sample_eps); }},
      {"rows, weight and bias",
       {x, w, b},
       [](std::span<const Tensor> in) { return layer_norm(in[0], {4}, in[1], in[2], sample_eps); }},
      {"rows, weight",
       {x, w},
       [](std::span<const Tensor> in) { return layer_norm(in[0], {4}, in[1], {}, sample_eps); }},
      {"rows, bias",
       {x, b},
       [](std::span<const Tensor> in) { return layer_norm(in[0], {4}, {}, in[1], sample_eps); }},
      {"two axes, weight and bias",
       {make_deep(), tensor({{1.1, 0.6}, {-0.7, 1.6}}, f64),
        tensor({{0.2, -0.5}, {0.1, 0.9}}, f64)},
       [](std::span<const Tensor> in) {
         return layer_norm(in[0], {2, 2}, in[1], in[2], sample_eps);
       }},
      {"all axes",
       {x},
       [](std::span<const Tensor> in) { return layer_norm(in[0], {2, 4}, {}, {}, sample_eps); }},
      {"rows, none of them, weight and bias",
       {zeros({0, 4}, f64), w, b},
       [](std::span<const Tensor> in) { return layer_norm(in[0], {4}, in[1], in[2], sample_eps); }},
      {"rows of nothing", {zeros({2, 0}, f64)}, [](std::span<const Tensor> in) {
         return layer_norm(in[0], {0}, {}, {}, sample_eps);
       }}};
}

std::vector<Sample> LayerNormSlope::samples() const {
  const Tensor g = make_g(), x = make_x();
  const auto apply = [](std::span<const Tensor> in) {
    return slope_op(in[0], in[1], in.size() > 2 ? in[2] : Tensor(), {sample_eps, 1, 2},
                    Where::current());
  };
  return {{"rows", {g, x}, apply},
          {"rows, weight", {g, x, make_weight()}, apply},
          {"all axes", {g, x}, [](std::span<const Tensor> in) {
             return slope_op(in[0], in[1], {}, {sample_eps, 0, 2}, Where::current());
           }}};
}

std::vector<Sample> LayerNormWeightSlope::samples() const {
  return {{"rows",
           {make_g(), make_x()},
           [](std::span<const Tensor> in) {
             return weight_slope_op(in[0], in[1], {sample_eps, 1, 2}, Where::current());
           }},
          {"two axes", {make_deep() * 0.7 + 0.3, make_deep()}, [](std::span<const Tensor> in) {
             return weight_slope_op(in[0], in[1], {sample_eps, 1, 3}, Where::current());
           }}};
}

}  // namespace

Tensor layer_norm(const Tensor& x, const Shape& normalized_shape, const Tensor& weight,
                  const Tensor& bias, double eps, Where where) {
  return the_layer_norm(x, normalized_shape, weight, bias, eps, where);
}

}  // namespace chainrule
