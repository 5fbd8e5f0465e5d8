#include <chainrule/ops/nn/softmax.hpp>

#include <chainrule/core/create.hpp>
#include <chainrule/ops/define.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/elementwise/functions.hpp>
#include <chainrule/ops/kernels/nn/softmax.hpp>
#include <chainrule/ops/reduce/reduced.hpp>
#include <chainrule/ops/reduce/reduction.hpp>
#include <chainrule/ops/shape/manipulation.hpp>

namespace chainrule {

namespace {

using detail::input;
using detail::output;
using detail::SoftmaxParameters;

int axis_of(const Application& r) { return r.parameters<SoftmaxParameters>().axis; }

// The axis as a subscript; "" when it is the only one.
std::string axis_text(const Node& node) {
  return axes_text(node, {std::uint32_t{1} << node.parameters<SoftmaxParameters>().axis, true});
}

// Σ along the axis, which stays with extent 1.
Tensor sum_along(const Tensor& x, int axis, const Where& where) {
  return detail::sum_mask(x, std::uint32_t{1} << axis, true, where);
}

int checked_axis(const char* op, const Tensor& x, int axis, const Where& where) {
  const int rank = x.rank(where);
  check_dtype(op, x, false, where);
  return normalize_axis(op, axis, rank, x, where);
}

// A result of the shape of x: kernel(its elements, those of x, the lines along the axis).
template <class Kernel>
Ref<Value> along(int axis, const Tensor& x, Kernel kernel) {
  const Ref<Value> in = kernels::contiguous(x.value_ref());
  Ref<Value> out = Value::make_like(in->dtype(), *in);
  const kernels::Lines lines = kernels::lines_along(*in, axis);
  visit_floating(in->dtype(), [&](auto zero) {
    using T = decltype(zero);
    kernel(out->template data<T>(), in->template data<T>(), lines);
  });
  return out;
}

Tensor make_sample() { return tensor({{0.7, -1.3, 2.1}, {-0.4, 1.9, 0.6}}, f64); }
Tensor second_sample() { return tensor({{1.2, 0.8, -1.7}, {2.3, -0.9, 1.1}}, f64); }

// p ⊗ (g − Σ p⊗g). Symmetric in g and a second cotangent: ⟨h, slope(g, p)⟩ = ⟨g, slope(h, p)⟩.
class SoftmaxSlope final : public Op {
 public:
  SoftmaxSlope() : Op("softmax_slope", "{1} ⊗ ({0} − Σ({1} ⊗ {0}))") {}

  Tensor operator()(const Tensor& g, const Tensor& p, int axis, const Where& where) const {
    const Ref<Value> at = kernels::contiguous(p.value_ref());
    Ref<Value> out = along(axis, g, [&]<class T>(T* to, const T* from, const auto& lines) {
      kernels::softmax_slope(to, from, at->data<T>(), lines);
    });
    const SoftmaxParameters parameters{axis};
    return record(*this, std::move(out), {&g, &p},
                  input(1) | (needs_grad(p) ? input(0) : Node::SavedMask{0}), where,
                  detail::bytes_of(parameters));
  }

  // With the cotangent h, b = Σ p⊗h and d = Σ p⊗g: ⟨h, out⟩ = Σ h⊗p⊗g − b d.
  void vjp(Vjp& r) const override {
    const int axis = axis_of(r);
    const Where& where = r.node().where();
    const Tensor h = r.g(), p = r.in(1);
    if (r.needs(0)) r.give(0, (*this)(h, p, axis, where));
    if (!r.needs(1)) return;
    const Tensor g = r.in(0);
    const Tensor b = sum_along(p * h, axis, where), d = sum_along(p * g, axis, where);
    r.give(1, g * (h - b) - h * d);
  }
  Tensor jvp(Jvp& r) const override {
    const int axis = axis_of(r);
    const Where& where = r.node().where();
    const Tensor p = r.in(1);
    if (!r.has(1)) return (*this)(r.tangent(0), p, axis, where);
    const Tensor g = r.in(0), t = r.tangent(1);
    const Tensor by_p = t * (g - sum_along(p * g, axis, where)) - p * sum_along(t * g, axis, where);
    return r.has(0) ? by_p + (*this)(r.tangent(0), p, axis, where) : by_p;
  }
  Tensor replay(const Node& node, std::span<const Tensor> inputs) const override {
    return (*this)(inputs[0], inputs[1], node.parameters<SoftmaxParameters>().axis, node.where());
  }
  Tensor written_out(const Node& node, std::span<const Tensor> inputs) const override {
    const Tensor &g = inputs[0], &p = inputs[1];
    const int axis = node.parameters<SoftmaxParameters>().axis;
    return p * (g - sum_along(p * g, axis, node.where()));
  }
  std::string written(const Node& node) const override {
    return "{1} ⊗ ({0} − Σ" + axis_text(node) + "({1} ⊗ {0}))";
  }
  std::vector<Sample> samples() const override {
    const Tensor g = make_sample(), p = softmax(second_sample(), 1).detach();
    return {{"rows",
             {g, p},
             [](std::span<const Tensor> in) {
               return detail::softmax_slope(in[0], in[1], 1, Where::current());
             }},
            {"columns", {g, p}, [](std::span<const Tensor> in) {
               return detail::softmax_slope(in[0], in[1], 0, Where::current());
             }}};
  }
};
const SoftmaxSlope slope_op;

class Softmax final : public Op {
 public:
  Softmax() : Op("softmax") {}

  Tensor operator()(const Tensor& x, int axis, const Where& where) const {
    const SoftmaxParameters parameters{checked_axis(name(), x, axis, where)};
    Ref<Value> out = along(parameters.axis, x, [](auto* to, const auto* from, const auto& lines) {
      kernels::softmax(to, from, lines);
    });
    // The rules read the output; the input is for log().
    return record_provenance(*this, std::move(out), {&x}, input(0) | output, where,
                             detail::bytes_of(parameters));
  }

  void vjp(Vjp& r) const override {
    if (r.needs(0)) r.give(0, slope_op(r.g(), r.out(), axis_of(r), r.node().where()));
  }
  Tensor jvp(Jvp& r) const override {
    return slope_op(r.tangent(0), r.out(), axis_of(r), r.node().where());
  }
  Tensor replay(const Node& node, std::span<const Tensor> inputs) const override {
    return (*this)(inputs[0], node.parameters<SoftmaxParameters>().axis, node.where());
  }
  std::vector<Sample> samples() const override {
    const Tensor x = make_sample();
    const auto last = [](std::span<const Tensor> in) { return softmax(in[0]); };
    return {{"rows", {x}, last},
            {"columns", {x}, [](std::span<const Tensor> in) { return softmax(in[0], 0); }},
            {"middle axis",
             {tensor({{{0.3, -0.9}, {1.4, 0.2}, {-0.6, 0.8}}}, f64)},
             [](std::span<const Tensor> in) { return softmax(in[0], 1); }},
            {"vector", {tensor({0.4, -1.1, 0.9}, f64)}, last},
            {"no rows", {zeros({0, 3}, f64)}, last},
            {"no classes", {zeros({2, 0}, f64)}, last}};
  }
};
const Softmax the_softmax;

// g − exp(l) Σ g, where l is a log_softmax.
class LogSoftmaxSlope final : public Op {
 public:
  LogSoftmaxSlope() : Op("log_softmax_slope", "{0} − exp({1}) ⊗ Σ {0}") {}

  Tensor operator()(const Tensor& g, const Tensor& l, int axis, const Where& where) const {
    const Ref<Value> at = kernels::contiguous(l.value_ref());
    Ref<Value> out = along(axis, g, [&]<class T>(T* to, const T* from, const auto& lines) {
      kernels::log_softmax_slope(to, from, at->data<T>(), lines);
    });
    const SoftmaxParameters parameters{axis};
    return record(*this, std::move(out), {&g, &l},
                  input(1) | (needs_grad(l) ? input(0) : Node::SavedMask{0}), where,
                  detail::bytes_of(parameters));
  }

  void vjp(Vjp& r) const override {
    const int axis = axis_of(r);
    const Where& where = r.node().where();
    const Tensor h = r.g(), hp = h * exp(r.in(1));
    if (r.needs(0)) r.give(0, h - sum_along(hp, axis, where));
    if (r.needs(1)) r.give(1, -(hp * sum_along(r.in(0), axis, where)));
  }
  Tensor jvp(Jvp& r) const override {
    const int axis = axis_of(r);
    const Where& where = r.node().where();
    if (!r.has(1)) return (*this)(r.tangent(0), r.in(1), axis, where);
    const Tensor by_l = -(exp(r.in(1)) * r.tangent(1) * sum_along(r.in(0), axis, where));
    return r.has(0) ? by_l + (*this)(r.tangent(0), r.in(1), axis, where) : by_l;
  }
  Tensor replay(const Node& node, std::span<const Tensor> inputs) const override {
    return (*this)(inputs[0], inputs[1], node.parameters<SoftmaxParameters>().axis, node.where());
  }
  Tensor written_out(const Node& node, std::span<const Tensor> inputs) const override {
    const Tensor &g = inputs[0], &l = inputs[1];
    return g - exp(l) * sum_along(g, node.parameters<SoftmaxParameters>().axis, node.where());
  }
  std::string written(const Node& node) const override {
    return "{0} − exp({1}) ⊗ Σ" + axis_text(node) + " {0}";
  }
  std::vector<Sample> samples() const override;
};
const LogSoftmaxSlope log_slope_op;

std::vector<Sample> LogSoftmaxSlope::samples() const {
  const Tensor g = make_sample(), l = log_softmax(second_sample(), 1).detach();
  return {
      {"rows",
       {g, l},
       [](std::span<const Tensor> in) { return log_slope_op(in[0], in[1], 1, Where::current()); }},
      {"columns", {g, l}, [](std::span<const Tensor> in) {
         return log_slope_op(in[0], in[1], 0, Where::current());
       }}};
}

class LogSoftmax final : public Op {
 public:
  LogSoftmax() : Op("log_softmax") {}

  Tensor operator()(const Tensor& x, int axis, const Where& where) const {
    const SoftmaxParameters parameters{checked_axis(name(), x, axis, where)};
    Ref<Value> out = along(parameters.axis, x, [](auto* to, const auto* from, const auto& lines) {
      kernels::log_softmax(to, from, lines);
    });
    return record(*this, std::move(out), {&x}, output, where, detail::bytes_of(parameters));
  }

  void vjp(Vjp& r) const override {
    if (r.needs(0)) r.give(0, log_slope_op(r.g(), r.out(), axis_of(r), r.node().where()));
  }
  // The tangent t less its mean under softmax: t − Σ p⊗t.
  Tensor jvp(Jvp& r) const override {
    const Tensor t = r.tangent(0);
    return t - sum_along(exp(r.out()) * t, axis_of(r), r.node().where());
  }
  Tensor replay(const Node& node, std::span<const Tensor> inputs) const override {
    return (*this)(inputs[0], node.parameters<SoftmaxParameters>().axis, node.where());
  }
  std::vector<Sample> samples() const override {
    const Tensor x = make_sample();
    const auto last = [](std::span<const Tensor> in) { return log_softmax(in[0]); };
    return {{"rows", {x}, last},
            {"columns", {x}, [](std::span<const Tensor> in) { return log_softmax(in[0], 0); }},
            {"middle axis",
             {tensor({{{0.3, -0.9}, {1.4, 0.2}, {-0.6, 0.8}}}, f64)},
             [](std::span<const Tensor> in) { return log_softmax(in[0], 1); }},
            {"vector", {tensor({0.4, -1.1, 0.9}, f64)}, last},
            {"no rows", {zeros({0, 3}, f64)}, last},
            {"no classes", {zeros({2, 0}, f64)}, last}};
  }
};
const LogSoftmax the_log_softmax;

}  // namespace

Tensor softmax(const Tensor& x, int axis, Where where) { return the_softmax(x, axis, where); }
Tensor log_softmax(const Tensor& x, int axis, Where where) {
  return the_log_softmax(x, axis, where);
}

namespace detail {

const Op& softmax_op() { return the_softmax; }

Tensor softmax_slope(const Tensor& g, const Tensor& p, int axis, const Where& where) {
  return slope_op(g, p, axis, where);
}

}  // namespace detail
}  // namespace chainrule
