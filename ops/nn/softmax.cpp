#include <chainrule/ops/nn/softmax.hpp>

#include <chainrule/core/create.hpp>
#include <chainrule/ops/axis_text.hpp>
#include <chainrule/ops/define.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/elementwise/functions.hpp>
#include <chainrule/ops/elementwise/log.hpp>
#include <chainrule/ops/elementwise/select.hpp>
#include <chainrule/ops/elementwise/stable_log.hpp>
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
  return axes_text(node, {std::uint32_t{1} << node.parameters<SoftmaxParameters>().axis, 1});
}

// Σ along the axis, which stays with extent 1.
Tensor sum_along(const Tensor& x, int axis, const Where& where) {
  return detail::sum_mask(x, std::uint32_t{1} << axis, true, where);
}

int checked_axis(const char* op, const Tensor& x, int axis, const Where& where) {
  const int rank = x.value(where, op, "operand x").rank();
  check_dtype(op, x, false, where);
  return normalize_axis(op, axis, rank, x, where);
}

// Infers a result of the shape of operand 0, which has such an axis.
void infer_along(Inference& call) {
  const Value& x = call.in(0);
  checked_axis(call.name(), call.tensor(0), call.parameters<SoftmaxParameters>().axis,
               call.where());
  call.output_like(x.dtype(), x);
}

// The same for a slope, of operands g and the result of the function that it is of.
void infer_slope(Inference& call) {
  const Value& result = call.in(1);
  infer_along(call);
  check_dtypes(call.name(), call.tensor(0), call.tensor(1), false, call.where());
  check_shape(call.name(), "gradient", call.tensor(0), result, call.where());
}

// kernel(the elements of the result, those of operand 0, the lines along the axis).
template <class Kernel>
void along(Evaluation& call, Kernel kernel) {
  const Ref<Value> in = kernels::contiguous(call.in_ref(0));
  const kernels::Lines lines = kernels::lines_along(*in, call.parameters<SoftmaxParameters>().axis);
  visit_floating(in->dtype(), [&](auto zero) {
    using T = decltype(zero);
    kernel(call.out().template data<T>(), in->template data<T>(), lines);
  });
}

// What the rules of a slope read: g for the gradient of the second operand only.
Node::SavedMask slope_reads(const Call& call) {
  return input(1) | (call.needs_grad(1) ? input(0) : Node::SavedMask{0});
}

Tensor make_sample() { return tensor({{0.7, -1.3, 2.1}, {-0.4, 1.9, 0.6}}, f64); }
Tensor second_sample() { return tensor({{1.2, 0.8, -1.7}, {2.3, -0.9, 1.1}}, f64); }

// p ⊗ (g − Σ p⊗g). Symmetric in g and a second cotangent: ⟨h, slope(g, p)⟩ = ⟨g, slope(h, p)⟩.
class SoftmaxSlope final : public Op {
 public:
  SoftmaxSlope() : Op("softmax_slope", "{1} ⊗ ({0} − Σ({1} ⊗ {0}))") {}

  Tensor operator()(const Tensor& g, const Tensor& p, int axis, const Where& where) const {
    return apply(*this, {&g, &p}, SoftmaxParameters{axis}, where);
  }

  void infer(Inference& call) const override { infer_slope(call); }
  void evaluate(Evaluation& call) const override {
    const Ref<Value> at = kernels::contiguous(call.in_ref(1));
    along(call, [&]<class T>(T* to, const T* from, const auto& lines) {
      kernels::softmax_slope(to, from, at->data<T>(), lines);
    });
  }
  Node::SavedMask reads(const Call& call) const override { return slope_reads(call); }

  // With the cotangent h, b = Σ p⊗h and d = Σ p⊗g: ⟨h, out⟩ = Σ h⊗p⊗g − b d.
  void vjp(Vjp& r) const override {
    const int axis = axis_of(r);
    const Where& where = r.where();
    const Tensor h = r.g(), p = r.in(1);
    if (r.needs(0)) r.give(0, (*this)(h, p, axis, where));
    if (!r.needs(1)) return;
    const Tensor g = r.in(0);
    const Tensor b = sum_along(p * h, axis, where), d = sum_along(p * g, axis, where);
    r.give(1, g * (h - b) - h * d);
  }
  Tensor jvp(Jvp& r) const override {
    const int axis = axis_of(r);
    const Where& where = r.where();
    const Tensor p = r.in(1);
    if (!r.has(1)) return (*this)(r.tangent(0), p, axis, where);
    const Tensor g = r.in(0), t = r.tangent(1);
    const Tensor by_p = t * (g - sum_along(p * g, axis, where)) - p * sum_along(t * g, axis, where);
    return r.has(0) ? by_p + (*this)(r.tangent(0), p, axis, where) : by_p;
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
CHAINRULE_EARLY const SoftmaxSlope slope_op;

// In emitted code: a function of the columns, or of the rows.
EigenForm eigen_lines(const Parameters& parameters) {
  const int axis = parameters.as<SoftmaxParameters>().axis;
  return {.kind = EigenForm::Kind::lines, .axes = std::uint32_t{1} << axis};
}

class Softmax final : public Op {
 public:
  Softmax() : Op("softmax") {}
  std::string written(const Node& node) const override {
    return detail::softmax_text(node.shape(), node.parameters<SoftmaxParameters>().axis) + "({0})";
  }
  EigenForm eigen(const Parameters& parameters) const override { return eigen_lines(parameters); }
  const char* eigen_definition() const noexcept override {
    return R"(
// exp z / Σ exp z in each column; the largest is subtracted first, so that nothing overflows.
inline MatrixXd softmax_columns(const MatrixXd& z) {
  const MatrixXd e = (z.rowwise() - z.colwise().maxCoeff()).array().exp().matrix();
  return e.array().rowwise() / e.colwise().sum().array();
}
// exp z / Σ exp z in each row; the largest is subtracted first, so that nothing overflows.
inline MatrixXd softmax_rows(const MatrixXd& z) {
  const MatrixXd e = (z.colwise() - z.rowwise().maxCoeff()).array().exp().matrix();
  return e.array().colwise() / e.rowwise().sum().array();
}
)";
  }

  Tensor operator()(const Tensor& x, int axis, const Where& where) const {
    return apply(*this, {&x}, SoftmaxParameters{checked_axis(name(), x, axis, where)}, where);
  }

  void infer(Inference& call) const override { infer_along(call); }
  void evaluate(Evaluation& call) const override {
    along(call,
          [](auto* to, const auto* from, const auto& lines) { kernels::softmax(to, from, lines); });
  }
  // The rules read the output; the input is for log().
  Node::SavedMask reads(const Call&) const override { return input(0) | output; }
  Tensor remembered(const Call& call) const override { return call.tensor(0); }
  Logarithm logarithm(const Tensor& x) const override;

  void vjp(Vjp& r) const override {
    if (r.needs(0)) r.give(0, slope_op(r.g(), r.out(), axis_of(r), r.where()));
  }
  Tensor jvp(Jvp& r) const override {
    return slope_op(r.tangent(0), r.out(), axis_of(r), r.where());
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
CHAINRULE_EARLY const Softmax the_softmax;

// t − Σ p⊗t. Where p is near 1 nearly all of it cancels; p ⊗ (t − Σ p⊗t) is exact there.
Tensor less_mean(const Tensor& t, const Tensor& p, int axis, const Where& where) {
  const Tensor plain = t - sum_along(p * t, axis, where);
  return chainrule::where(gt(p, 0.75, where), slope_op(t, p, axis, where) / p, plain, where);
}

// g − exp(l) Σ g, where l is a log_softmax.
class LogSoftmaxSlope final : public Op {
 public:
  LogSoftmaxSlope() : Op("log_softmax_slope", "{0} − exp({1}) ⊗ Σ {0}") {}

  Tensor operator()(const Tensor& g, const Tensor& l, int axis, const Where& where) const {
    return apply(*this, {&g, &l}, SoftmaxParameters{axis}, where);
  }

  void infer(Inference& call) const override { infer_slope(call); }
  void evaluate(Evaluation& call) const override {
    const Ref<Value> at = kernels::contiguous(call.in_ref(1));
    along(call, [&]<class T>(T* to, const T* from, const auto& lines) {
      kernels::log_softmax_slope(to, from, at->data<T>(), lines);
    });
  }
  Node::SavedMask reads(const Call& call) const override { return slope_reads(call); }

  void vjp(Vjp& r) const override {
    const int axis = axis_of(r);
    const Where& where = r.where();
    const Tensor h = r.g(), p = exp(r.in(1));
    if (r.needs(0)) r.give(0, less_mean(h, p, axis, where));
    if (r.needs(1)) r.give(1, -(h * p * sum_along(r.in(0), axis, where)));
  }
  Tensor jvp(Jvp& r) const override {
    const int axis = axis_of(r);
    const Where& where = r.where();
    if (!r.has(1)) return (*this)(r.tangent(0), r.in(1), axis, where);
    const Tensor by_l = -(exp(r.in(1)) * r.tangent(1) * sum_along(r.in(0), axis, where));
    return r.has(0) ? by_l + (*this)(r.tangent(0), r.in(1), axis, where) : by_l;
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
CHAINRULE_EARLY const LogSoftmaxSlope log_slope_op;

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
  Role role(const Parameters&) const override {
    Role role;
    role.of = &the_softmax;
    return role;
  }
  std::string written(const Node& node) const override {
    return "log_" + detail::softmax_text(node.shape(), node.parameters<SoftmaxParameters>().axis) +
           "({0})";
  }
  EigenForm eigen(const Parameters& parameters) const override { return eigen_lines(parameters); }
  const char* eigen_definition() const noexcept override {
    return R"(
// z − log Σ exp z in each column; the largest is subtracted first, so that nothing overflows.
inline MatrixXd log_softmax_columns(const MatrixXd& z) {
  const MatrixXd shifted = z.rowwise() - z.colwise().maxCoeff();
  return shifted.rowwise() - shifted.array().exp().colwise().sum().log().matrix();
}
inline MatrixXd log_softmax_rows(const MatrixXd& z) {
  const MatrixXd shifted = z.colwise() - z.rowwise().maxCoeff();
  return shifted.colwise() - shifted.array().exp().rowwise().sum().log().matrix();
}
)";
  }

  Tensor operator()(const Tensor& x, int axis, const Where& where) const {
    return apply(*this, {&x}, SoftmaxParameters{checked_axis(name(), x, axis, where)}, where);
  }

  void infer(Inference& call) const override { infer_along(call); }
  void evaluate(Evaluation& call) const override {
    along(call, [](auto* to, const auto* from, const auto& lines) {
      kernels::log_softmax(to, from, lines);
    });
  }
  Node::SavedMask reads(const Call&) const override { return output; }

  void vjp(Vjp& r) const override {
    if (r.needs(0)) r.give(0, log_slope_op(r.g(), r.out(), axis_of(r), r.where()));
  }
  // The tangent t less its mean under softmax: t − Σ p⊗t.
  Tensor jvp(Jvp& r) const override {
    return less_mean(r.tangent(0), exp(r.out()), axis_of(r), r.where());
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
CHAINRULE_EARLY const LogSoftmax the_log_softmax;

struct LogOfSoftmax final : StableLog {
  LogOfSoftmax() : StableLog("log_of_softmax", the_log_softmax) {}
  std::vector<Sample> samples() const override {
    const Tensor x = make_sample();
    using Inputs = std::span<const Tensor>;
    return {{"rows", {x}, [](Inputs in) { return log(softmax(in[0])); }},
            {"columns", {x}, [](Inputs in) { return log(softmax(in[0], 0)); }}};
  }
};
CHAINRULE_EARLY const LogOfSoftmax log_of_softmax;

Op::Logarithm Softmax::logarithm(const Tensor& x) const {
  return {&log_of_softmax, detail::argument_of(x, *this)};
}

}  // namespace

Tensor softmax(const Tensor& x, int axis, Where where) { return the_softmax(x, axis, where); }
Tensor log_softmax(const Tensor& x, int axis, Where where) {
  return the_log_softmax(x, axis, where);
}

namespace detail {

std::string softmax_text(const Shape& shape, int axis) {
  const bool alone = shape.numel() == shape[axis];
  return alone ? "softmax" : "softmax" + axis_subscript(axis);
}

Tensor softmax_slope(const Tensor& g, const Tensor& p, int axis, const Where& where) {
  return slope_op(g, p, axis, where);
}

}  // namespace detail
}  // namespace chainrule
