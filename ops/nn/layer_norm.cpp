#include <chainrule/ops/nn/layer_norm.hpp>

#include <fmt/format.h>

#include <cmath>
#include <string>

#include <chainrule/core/create.hpp>
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

struct Parameters {
  double eps;
  int axis;  // the first normalized one

  std::int64_t rows(const Value& x) const noexcept {
    return kernels::lines_along(x, axis, x.rank() - 1).outer;
  }
  std::int64_t length(const Value& x) const noexcept {
    return kernels::lines_along(x, axis, x.rank() - 1).length;
  }
};

// The statistics are one tensor (3, rows) without a gradient of its own: the rules differentiate
// through them where they differentiate for x.
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
  explicit Optional(const Tensor& x)
      : value_(x.defined() ? kernels::contiguous(x.value_ref()) : Ref<Value>()) {}
  template <class T>
  const T* data() const noexcept {
    return value_ ? static_cast<const Value&>(*value_).data<T>() : nullptr;
  }

 private:
  Ref<Value> value_;
};

// --- the rules' parts, in tensor operations ---

// The bits of the axes from `first` to before `last`.
std::uint32_t axes(int first, int last) {
  return (std::uint32_t{1} << last) - (std::uint32_t{1} << first);
}

// The mean of every row, which broadcasts to x.
Tensor row_mean(const Tensor& x, const Parameters& p, const Where& where) {
  const auto n = static_cast<double>(p.length(*x.value_ref()));
  return detail::sum_mask(x, axes(p.axis, x.rank()), true, where) * (1 / n);
}

// Σ over the rows.
Tensor sum_rows(const Tensor& x, const Parameters& p, const Where& where) {
  return detail::sum_mask(x, axes(0, p.axis), false, where);
}

Shape normalized_shape(const Value& x, const Parameters& p) {
  Shape shape;
  for (int axis = p.axis; axis < x.rank(); ++axis) shape.push_back(x.dims()[axis]);
  return shape;
}

// x̂ ⊗ w for a weight w or none.
Tensor normalized(const Tensor& x, const Tensor& w, const Parameters& p, const Where& where) {
  return layer_norm(x, normalized_shape(*x.value_ref(), p), w, {}, p.eps, where);
}

// The statistics of the rows of x.
Tensor statistics_at(const Tensor& x, const Parameters& p, const Where& where);

// x̂ = (x − μ) ⊘ √(σ² + ε), and what it was divided by.
struct Standardized {
  Tensor x, deviation;
};
Standardized standardized(const Tensor& x, const Parameters& p, const Where& where) {
  const Tensor centred = x - row_mean(x, p, where);
  const Tensor deviation = sqrt(row_mean(square(centred, where), p, where) + p.eps, where);
  return {centred / deviation, deviation};
}

// 1 / √(σ² + ε) of every row.
Tensor row_scale(const Tensor& x, const Parameters& p, const Where& where) {
  return reciprocal(standardized(x, p, where).deviation, where);
}

// J k with the (symmetric) Jacobian J of x̂ at x, where k = g ⊗ w: the gradient of layer_norm for x.
// Inputs: g, x, the statistics, and w, which may be undefined.
class LayerNormSlope final : public Op {
 public:
  LayerNormSlope() : Op("layer_norm_slope", "layer_norm'({1})·{0}") {}

  Tensor operator()(const Tensor& g, const Tensor& x, const Tensor& statistics, const Tensor& w,
                    const Parameters& p, const Where& where) const {
    const Ref<Value> seed = kernels::contiguous(g.value_ref());
    const Ref<Value> in = kernels::contiguous(x.value_ref());
    const Optional weight(w);
    Ref<Value> out = make_result_like(name(), in->dtype(), *in, where);
    visit_floating(in->dtype(), [&](auto zero) {
      using T = decltype(zero);
      const Value& s = *statistics.value_ref();
      kernels::layer_norm_slope(out->template data<T>(), seed->template data<T>(),
                                in->template data<T>(), weight.template data<T>(),
                                statistics_of<T>(s), p.rows(*in), p.length(*in));
    });
    const bool curved = needs_grad(x) || needs_grad(w);
    const Node::SavedMask saved = input(1) | input(2) | (curved ? input(0) : 0) |
                                  (w.defined() ? input(3) : Node::SavedMask{0});
    return record(*this, std::move(out), {&g, &x, &statistics, &w}, saved, where,
                  detail::bytes_of(p));
  }

  void vjp(Vjp& r) const override {
    const auto& p = r.parameters<Parameters>();
    const Where& where = r.node().where();
    const Tensor h = r.g(), x = r.in(1), statistics = r.in(2), w = weight_of(r);
    const Tensor by_k = (*this)(h, x, statistics, {}, p, where);  // J h
    if (r.needs(0)) r.give(0, w.defined() ? by_k * w : by_k);
    if (r.needs(1)) r.give(1, curvature(h, by_k, r.in(0), x, statistics, w, p, where));
    if (r.needs(3)) r.give(3, r.in(0) * by_k);
  }
  Tensor jvp(Jvp& r) const override {
    const auto& p = r.parameters<Parameters>();
    const Where& where = r.node().where();
    const Tensor x = r.in(1), statistics = r.in(2), w = weight_of(r);
    Tensor out;
    if (r.has(0)) add_to(out, (*this)(r.tangent(0), x, statistics, w, p, where));
    if (r.has(1)) {
      const Tensor t = r.tangent(1), by_t = (*this)(t, x, statistics, {}, p, where);
      add_to(out, curvature(t, by_t, r.in(0), x, statistics, w, p, where));
    }
    if (r.has(3)) add_to(out, (*this)(r.in(0), x, statistics, r.tangent(3), p, where));
    return out;
  }
  Tensor replay(const Node& node, std::span<const Tensor> inputs) const override {
    const auto& p = node.parameters<Parameters>();
    const Tensor statistics = statistics_at(inputs[1], p, node.where());
    return (*this)(inputs[0], inputs[1], statistics, inputs[3], p, node.where());
  }
  Tensor written_out(const Node& node, std::span<const Tensor> inputs) const override {
    const auto& p = node.parameters<Parameters>();
    const Where& where = node.where();
    const Tensor k = inputs[3].defined() ? inputs[0] * inputs[3] : inputs[0];
    const auto [y, s] = standardized(inputs[1], p, where);
    return (k - row_mean(k, p, where) - y * row_mean(k * y, p, where)) / s;
  }
  std::vector<Sample> samples() const override;

 private:
  static Tensor weight_of(const Application& r) {
    return r.node().saves_input(3) ? r.in(3) : Tensor();
  }

  // The gradient of ⟨h, J k⟩ for x; since x̂'s second derivative is symmetric, this is also the
  // tangent of J k when that of x is h. With a = mean(h ⊗ x̂), b = mean(k ⊗ x̂), from the derivatives
  // of 1 / √(σ² + ε), a and b:
  //     − (x̂ mean(h ⊗ J k) + b J h + a J k) / √(σ² + ε)
  Tensor curvature(const Tensor& h, const Tensor& by_h, const Tensor& g, const Tensor& x,
                   const Tensor& statistics, const Tensor& w, const Parameters& p,
                   const Where& where) const {
    const Tensor k = w.defined() ? g * w : g, by_k = (*this)(g, x, statistics, w, p, where);
    const Tensor y = normalized(x, {}, p, where);
    const auto mean = [&](const Tensor& z) { return row_mean(z, p, where); };
    return -(y * mean(h * by_k) + mean(k * y) * by_h + mean(h * y) * by_k) * row_scale(x, p, where);
  }
};
const LayerNormSlope slope_op;

// Σ g ⊗ x̂ over the rows: the gradient of layer_norm for its weight. Inputs: g, x, the statistics.
class LayerNormWeightSlope final : public Op {
 public:
  LayerNormWeightSlope() : Op("layer_norm_weight_slope", "Σ {0} ⊗ layer_norm({1})") {}

  Tensor operator()(const Tensor& g, const Tensor& x, const Tensor& statistics, const Parameters& p,
                    const Where& where) const {
    const Ref<Value> seed = kernels::contiguous(g.value_ref());
    const Ref<Value> in = kernels::contiguous(x.value_ref());
    Ref<Value> out = make_result(name(), in->dtype(), normalized_shape(*in, p), where);
    visit_floating(in->dtype(), [&](auto zero) {
      using T = decltype(zero);
      const Value& s = *statistics.value_ref();
      kernels::layer_norm_weight_slope(out->template data<T>(), seed->template data<T>(),
                                       in->template data<T>(), statistics_of<T>(s), p.rows(*in),
                                       p.length(*in));
    });
    const Node::SavedMask saved = input(1) | input(2) | (needs_grad(x) ? input(0) : 0);
    return record(*this, std::move(out), {&g, &x, &statistics}, saved, where, detail::bytes_of(p));
  }

  // The cotangent h of the result stands where a weight does: ⟨h, out⟩ = ⟨g, x̂ ⊗ h⟩.
  void vjp(Vjp& r) const override {
    const auto& p = r.parameters<Parameters>();
    const Where& where = r.node().where();
    if (r.needs(0)) r.give(0, normalized(r.in(1), r.g(), p, where));
    if (r.needs(1)) r.give(1, slope_op(r.in(0), r.in(1), r.in(2), r.g(), p, where));
  }
  Tensor jvp(Jvp& r) const override {
    const auto& p = r.parameters<Parameters>();
    const Where& where = r.node().where();
    const Tensor x = r.in(1), statistics = r.in(2);
    Tensor out;
    if (r.has(0)) out = (*this)(r.tangent(0), x, statistics, p, where);
    if (!r.has(1)) return out;
    const Tensor moved = slope_op(r.tangent(1), x, statistics, {}, p, where);
    const Tensor by_x = sum_rows(r.in(0) * moved, p, where);
    return out.defined() ? out + by_x : by_x;
  }
  Tensor replay(const Node& node, std::span<const Tensor> inputs) const override {
    const auto& p = node.parameters<Parameters>();
    return (*this)(inputs[0], inputs[1], statistics_at(inputs[1], p, node.where()), p,
                   node.where());
  }
  std::string written(const Node& node) const override {
    const int first = node.parameters<Parameters>().axis;
    const detail::ReduceParameters over{axes(0, first), false};
    return "Σ" + axes_text(node, over) + "({0} ⊗ standardized({1}))";
  }
  Tensor written_out(const Node& node, std::span<const Tensor> inputs) const override {
    const auto& p = node.parameters<Parameters>();
    return sum_rows(inputs[0] * standardized(inputs[1], p, node.where()).x, p, node.where());
  }
  std::vector<Sample> samples() const override;
};
const LayerNormWeightSlope weight_slope_op;

// Inputs: x, weight, statistics, bias; an undefined weight or bias is an input without a node.
class LayerNorm final : public Op {
 public:
  LayerNorm() : Op("layer_norm", "layer_norm({0})") {}

  Tensor operator()(const Tensor& x, const Shape& shape, const Tensor& weight, const Tensor& bias,
                    double eps, const Where& where) const {
    check(x, shape, weight, bias, eps, where);
    const Parameters p{eps, x.rank() - shape.rank()};
    const Ref<Value> in = kernels::contiguous(x.value_ref());
    const auto [out, statistics] = evaluate(in, weight, bias, p, where);
    const bool by_x = needs_grad(x), any = by_x || needs_grad(weight);
    const Node::SavedMask saved = (any ? input(0) | input(2) : Node::SavedMask{0}) |
                                  (by_x && weight.defined() ? input(1) : Node::SavedMask{0});
    return record(*this, out, {&x, &weight, &statistics, &bias}, saved, where, detail::bytes_of(p));
  }

  void vjp(Vjp& r) const override {
    const auto& p = r.parameters<Parameters>();
    const Where& where = r.node().where();
    if (r.needs(0)) r.give(0, slope_op(r.g(), r.in(0), r.in(2), weight_of(r), p, where));
    if (r.needs(1)) r.give(1, weight_slope_op(r.g(), r.in(0), r.in(2), p, where));
    if (r.needs(3)) r.give(3, r.g());
  }
  Tensor jvp(Jvp& r) const override {
    const auto& p = r.parameters<Parameters>();
    const Where& where = r.node().where();
    Tensor out;
    if (r.has(0)) {
      const Tensor moved = slope_op(r.tangent(0), r.in(0), r.in(2), {}, p, where);
      add_to(out, r.node().saves_input(1) ? moved * r.in(1) : moved);
    }
    if (r.has(1)) add_to(out, normalized(r.in(0), r.tangent(1), p, where));
    if (r.has(3)) add_to(out, r.tangent(3));
    return out;
  }
  Tensor replay(const Node& node, std::span<const Tensor> inputs) const override {
    const auto& p = node.parameters<Parameters>();
    const Shape shape = normalized_shape(*inputs[0].value_ref(), p);
    return (*this)(inputs[0], shape, inputs[1], inputs[3], p.eps, node.where());
  }
  Tensor written_out(const Node& node, std::span<const Tensor> inputs) const override {
    Tensor y = standardized(inputs[0], node.parameters<Parameters>(), node.where()).x;
    if (inputs[1].defined()) y = y * inputs[1];
    return inputs[3].defined() ? y + inputs[3] : y;
  }
  std::vector<Sample> samples() const override;

  struct Result {
    Ref<Value> out;
    Tensor statistics;
  };
  Result evaluate(const Ref<Value>& x, const Tensor& weight, const Tensor& bias,
                  const Parameters& p, const Where& where) const {
    const std::int64_t dims[] = {3, p.rows(*x)};
    Result result{make_result_like(name(), x->dtype(), *x, where),
                  Tensor(make_result(name(), x->dtype(), dims, 2, where))};
    const Optional w(weight), b(bias);
    visit_floating(x->dtype(), [&](auto zero) {
      using T = decltype(zero);
      kernels::layer_norm(result.out->template data<T>(),
                          statistics_of<T>(*result.statistics.value_ref()), x->template data<T>(),
                          w.template data<T>(), b.template data<T>(), p.eps, dims[1], p.length(*x));
    });
    return result;
  }

 private:
  static Tensor weight_of(const Application& r) {
    return r.node().saves_input(1) ? r.in(1) : Tensor();
  }

  void check(const Tensor& x, const Shape& shape, const Tensor& weight, const Tensor& bias,
             double eps, const Where& where) const {
    if (!x.defined()) detail::throw_undefined(name(), "input", where);
    const Value& in = *x.value_ref();
    check_dtype(name(), x, false, where);
    if (shape.empty())
      throw ShapeError(fmt::format("{}: the normalized shape has no axis", name()), where);
    const int axis = in.rank() - shape.rank();
    bool fits = axis >= 0;
    for (int i = 0; fits && i < shape.rank(); ++i) fits = in.dims()[axis + i] == shape[i];
    if (!fits)
      throw ShapeError(fmt::format("{}: {} does not end in the normalized shape {}", name(),
                                   describe(x), to_string(shape)),
                       where,
                       in.rank() == 2 && shape.rank() == 1 && in.dims()[0] == shape[0]
                           ? "samples stand in rows, (batch, features): pass x.T()"
                           : "");
    check_affine("weight", x, shape, weight, where);
    check_affine("bias", x, shape, bias, where);
    if (!(eps >= 0 && std::isfinite(eps)))
      throw ValueError(fmt::format("{}: the eps {} is negative or not finite", name(), eps), where);
  }

  void check_affine(const char* what, const Tensor& x, const Shape& shape, const Tensor& given,
                    const Where& where) const {
    if (!given.defined()) return;
    check_operands(name(), "input", x, what, given, where);
    if (given.shape() != shape)
      throw ShapeError(fmt::format("{}: the {} {} has not the normalized shape {}", name(), what,
                                   describe(given), to_string(shape)),
                       where);
  }
};
const LayerNorm the_layer_norm;

Tensor statistics_at(const Tensor& x, const Parameters& p, const Where& where) {
  return the_layer_norm.evaluate(kernels::contiguous(x.value_ref()), {}, {}, p, where).statistics;
}

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

Tensor statistics_for(const Tensor& x, int axis) {
  const Ref<Value> in = kernels::contiguous(x.value_ref());
  return the_layer_norm.evaluate(in, {}, {}, {sample_eps, axis}, Where::current()).statistics;
}

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
    const Tensor statistics = statistics_for(in[1], 1);
    return slope_op(in[0], in[1], statistics, in.size() > 2 ? in[2] : Tensor(), {sample_eps, 1},
                    Where::current());
  };
  return {{"rows", {g, x}, apply},
          {"rows, weight", {g, x, make_weight()}, apply},
          {"all axes", {g, x}, [](std::span<const Tensor> in) {
             return slope_op(in[0], in[1], statistics_for(in[1], 0), {}, {sample_eps, 0},
                             Where::current());
           }}};
}

std::vector<Sample> LayerNormWeightSlope::samples() const {
  return {{"rows",
           {make_g(), make_x()},
           [](std::span<const Tensor> in) {
             return weight_slope_op(in[0], in[1], statistics_for(in[1], 1), {sample_eps, 1},
                                    Where::current());
           }},
          {"two axes", {make_deep() * 0.7 + 0.3, make_deep()}, [](std::span<const Tensor> in) {
             return weight_slope_op(in[0], in[1], statistics_for(in[1], 1), {sample_eps, 1},
                                    Where::current());
           }}};
}

}  // namespace

Tensor layer_norm(const Tensor& x, const Shape& normalized_shape, const Tensor& weight,
                  const Tensor& bias, double eps, Where where) {
  return the_layer_norm(x, normalized_shape, weight, bias, eps, where);
}

}  // namespace chainrule
