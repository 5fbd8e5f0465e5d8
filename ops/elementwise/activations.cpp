#include <chainrule/ops/elementwise/activations.hpp>

#include <chainrule/core/create.hpp>
#include <chainrule/ops/define.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/elementwise/convert.hpp>
#include <chainrule/ops/elementwise/functions.hpp>
#include <chainrule/ops/elementwise/log.hpp>
#include <chainrule/ops/elementwise/select.hpp>
#include <chainrule/ops/elementwise/stable_log.hpp>
#include <chainrule/ops/kernels/elementwise/slopes.hpp>
#include <chainrule/ops/kernels/elementwise/vector_math.hpp>

namespace chainrule {

namespace {

using detail::input;
using detail::output;
using Inputs = std::span<const Tensor>;

Tensor real_numbers() { return tensor({{0.7, -1.3, 2.1}, {-0.4, 1.9, -0.6}}, f64); }

std::vector<Sample> unary_samples(Tensor (*apply)(Inputs)) {
  return {{"matrix", {real_numbers()}, apply},
          {"large", {tensor({30.0, -30.0}, f64)}, apply},
          {"scalar", {tensor(0.3, f64)}, apply},
          {"empty", {zeros({2, 0}, f64)}, apply}};
}

// A gradient, and operands of the function that it is of.
std::vector<Sample> slope_samples(Tensor (*apply)(Inputs)) {
  const Tensor at = tensor({{0.9, -0.3, 0.5}, {-0.8, 0.2, -0.1}}, f64);
  return {{"matrix", {real_numbers(), at}, apply},
          {"scalar", {tensor(0.3, f64), tensor(0.6, f64)}, apply},
          {"empty", {zeros({2, 0}, f64), zeros({2, 0}, f64)}, apply}};
}

// g ⊗ φ'(z) of g, y = φ(z) and z, linear in g. It takes z, as y has lost its digits where φ is
// flat; in formulas it is y that stands for both, and the gradient goes through y. `Self` gives
// value(g, y, z), and by_result(r, h): h times the derivative for y.
template <class Self>
struct SlopeOp : Op {
  using Op::Op;

  Tensor operator()(const Tensor& g, const Tensor& y, const Tensor& z, const Where& where) const {
    return apply(static_cast<const Self&>(*this), {&g, &y, &z}, {}, where);
  }
  // The same in the memory of g where nobody else sees that.
  Tensor in_place(Tensor&& g, const Tensor& y, const Tensor& z, const Where& where) const {
    if (!detail::fits_into(g, y) || !detail::fits_into(g, z)) return (*this)(g, y, z, where);
    Value& out = *g.value_ref();
    visit_floating(out.dtype(), [&](auto zero) {
      using T = decltype(zero);
      kernels::map_in_place<T>(out, *y.value_ref(), *z.value_ref(),
                               [](T p, T q, T r) { return Self::value(p, q, r); });
    });
    return std::move(g);
  }

  void infer(Inference& call) const final {
    const Value &g = call.in(0), &y = call.in(1);
    call.in(2);
    check_dtypes(call.name(), call.tensor(0), call.tensor(2), false, call.where());
    check_dtypes(call.name(), call.tensor(1), call.tensor(2), false, call.where());
    check_shape(call.name(), "operand", call.tensor(2), y, call.where());
    infer_broadcast(call, g.dtype());
  }
  void evaluate(Evaluation& call) const final {
    visit_floating(call.out().dtype(), [&](auto zero) {
      using T = decltype(zero);
      kernels::map<T, T, T, T>(call.out(), call.in(0), call.in(1), call.in(2),
                               [](T p, T q, T r) { return Self::value(p, q, r); });
    });
  }
  // g for the gradient of y only.
  Node::SavedMask reads(const Call& call) const final {
    return input(1) | input(2) | (call.needs_grad(1) ? input(0) : 0);
  }
  void vjp(Vjp& r) const final {
    if (r.needs(0)) r.give(0, (*this)(r.g(), r.in(1), r.in(2), Where::current()));
    if (r.needs(1)) r.give(1, Self::by_result(r, r.g()));
  }
  Tensor jvp(Jvp& r) const final {
    Tensor tangent;
    if (r.has(0)) add_to(tangent, (*this)(r.tangent(0), r.in(1), r.in(2), Where::current()));
    if (r.has(1)) add_to(tangent, Self::by_result(r, r.tangent(1)));
    return tangent.defined() ? tangent : zeros({}, r.node().dtype());
  }
};

// g ⊗ σ''/σ', of which 1 − 2y alone has no digits left near 0.
struct SigmoidCurvature final : SlopeOp<SigmoidCurvature> {
  SigmoidCurvature() : SlopeOp("sigmoid_curvature", "{0} ⊗ (1 − 2 {1})") {}
  template <class T>
  static T value(T g, T y, T z) {
    return kernels::sigmoid_curvature(g, y, z);
  }
  static Tensor by_result(const Application& r, const Tensor& h) { return -2 * h * r.in(0); }
  Tensor written_out(const Node&, std::span<const Tensor> inputs) const override {
    return inputs[0] * (1 - 2 * inputs[1]);
  }
  std::vector<Sample> samples() const override;
};
CHAINRULE_EARLY const SigmoidCurvature the_sigmoid_curvature;

std::vector<Sample> SigmoidCurvature::samples() const {
  return slope_samples([](Inputs in) {
    return the_sigmoid_curvature(in[0], sigmoid(in[1]), in[1], Where::current());
  });
}

struct SigmoidSlope final : SlopeOp<SigmoidSlope> {
  SigmoidSlope() : SlopeOp("sigmoid_slope", "{0} ⊗ {1} ⊗ (1 − {1})") {}
  Role role(const Parameters&) const override;
  template <class T>
  static T value(T g, T y, T z) {
    return kernels::sigmoid_slope(g, y, z);
  }
  static Tensor by_result(const Application& r, const Tensor& h) {
    return the_sigmoid_curvature.in_place(h * r.in(0), r.in(1), r.in(2), Where::current());
  }
  Tensor written_out(const Node&, std::span<const Tensor> inputs) const override {
    return inputs[0] * (inputs[1] * (1 - inputs[1]));
  }
  std::vector<Sample> samples() const override {
    return slope_samples(
        [](Inputs in) { return detail::sigmoid_slope(in[0], sigmoid(in[1]), in[1]); });
  }
};
CHAINRULE_EARLY const SigmoidSlope the_sigmoid_slope;

struct Sigmoid final : UnaryOp<Sigmoid> {
  Sigmoid() : UnaryOp("sigmoid", "σ({0})") {}
  EigenForm eigen(const Parameters&) const override { return {.kind = EigenForm::Kind::function}; }
  const char* eigen_definition() const noexcept override {
    return R"(
inline double sigmoid(double z) { return 1.0 / (1.0 + std::exp(-z)); }
inline MatrixXd sigmoid(const MatrixXd& z) {
  return (1.0 / (1.0 + (-z.array()).exp())).matrix();
}
)";
  }
  static constexpr bool integers = false;
  // log() reads the input, too.
  static constexpr Node::SavedMask saved = input(0) | output;
  Tensor remembered(const Call& call) const override { return call.tensor(0); }
  Logarithm logarithm(const Tensor& x) const override;
  template <class T>
  static T value(T x) {
    return kernels::sigmoid(x);
  }
  static Tensor slope(const Application& r, Tensor g) {
    return the_sigmoid_slope.in_place(std::move(g), r.out(), r.in(0), r.where());
  }
  std::vector<Sample> samples() const override {
    return unary_samples([](Inputs in) { return sigmoid(in[0]); });
  }
};
CHAINRULE_EARLY const Sigmoid the_sigmoid;

struct TanhSlope final : SlopeOp<TanhSlope> {
  TanhSlope() : SlopeOp("tanh_slope", "{0} ⊗ (1 − {1}²)") {}
  Role role(const Parameters&) const override;
  template <class T>
  static T value(T g, T y, T z) {
    return kernels::tanh_slope(g, y, z);
  }
  static Tensor by_result(const Application& r, const Tensor& h) {
    return -2 * h * r.in(0) * r.in(1);
  }
  Tensor written_out(const Node&, std::span<const Tensor> inputs) const override {
    return inputs[0] * (1 - inputs[1] * inputs[1]);
  }
  std::vector<Sample> samples() const override {
    return slope_samples([](Inputs in) { return detail::tanh_slope(in[0], tanh(in[1]), in[1]); });
  }
};
CHAINRULE_EARLY const TanhSlope the_tanh_slope;

struct Tanh final : UnaryOp<Tanh> {
  Tanh() : UnaryOp("tanh") {}
  EigenForm eigen(const Parameters&) const override {
    return EigenForm::member("tanh()", "std::tanh({0})");
  }
  static constexpr bool integers = false;
  static constexpr Node::SavedMask saved = input(0) | output;
  template <class T>
  static T value(T x) {
    return kernels::tanh(x);
  }
  static Tensor slope(const Application& r, Tensor g) {
    return the_tanh_slope.in_place(std::move(g), r.out(), r.in(0), r.where());
  }
  std::vector<Sample> samples() const override {
    return unary_samples([](Inputs in) { return tanh(in[0]); });
  }
};
CHAINRULE_EARLY const Tanh the_tanh;

// The second operand only switches: its gradient is 0, and not worth a tensor.
struct ReluSlope final : BinaryOp<ReluSlope> {
  ReluSlope() : BinaryOp("relu_slope", "{0} ⊗ [{1} > 0]") {}
  Role role(const Parameters&) const override;
  static constexpr bool integers = false;
  template <class T>
  static T value(T g, T y) {
    return kernels::relu_slope(g, y);
  }
  static Node::SavedMask saved(bool, bool) { return input(1); }
  void vjp(Vjp& r) const override {
    if (r.needs(0)) r.give(0, (*this)(r.g(), r.in(1)));
  }
  Tensor jvp(Jvp& r) const override {
    const Tensor y = r.in(1);
    return r.has(0) ? (*this)(r.tangent(0), y) : zeros({}, y.dtype());
  }
  Tensor written_out(const Node&, std::span<const Tensor> inputs) const override {
    return inputs[0] * to(inputs[1] > 0, inputs[0].dtype());
  }
  std::vector<Sample> samples() const override {
    return slope_samples([](Inputs in) { return detail::relu_slope(in[0], in[1]); });
  }
};
CHAINRULE_EARLY const ReluSlope the_relu_slope;

struct Relu final : UnaryOp<Relu> {
  Relu() : UnaryOp("relu") {}
  EigenForm eigen(const Parameters&) const override {
    return EigenForm::member("max(0.0)", "std::max({0}, 0.0)", "cwiseMax(0.0)");
  }
  static constexpr bool integers = false;
  static constexpr Node::SavedMask saved = output;
  template <class T>
  static T value(T x) {
    return kernels::relu(x);
  }
  static Tensor slope(const Application& r, Tensor g) {
    return the_relu_slope.in_place(std::move(g), r.out(), r.where());
  }
  std::vector<Sample> samples() const override {
    return unary_samples([](Inputs in) { return relu(in[0]); });
  }
};
CHAINRULE_EARLY const Relu the_relu;

struct Softplus final : UnaryOp<Softplus> {
  Softplus() : UnaryOp("softplus") {}
  EigenForm eigen(const Parameters&) const override { return {.kind = EigenForm::Kind::function}; }
  const char* eigen_definition() const noexcept override {
    return R"(
// log(1 + exp z), without overflow.
inline double softplus(double z) { return std::max(z, 0.0) + std::log1p(std::exp(-std::abs(z))); }
inline MatrixXd softplus(const MatrixXd& z) {
  return (z.array().max(0.0) + (-z.array().abs()).exp().log1p()).matrix();
}
)";
  }
  static constexpr bool integers = false;
  static constexpr Node::SavedMask saved = input(0);
  template <class T>
  static T value(T x) {
    return kernels::softplus(x);
  }
  static Tensor slope(const Application& r, Tensor g) {
    return detail::times_in_place(std::move(g), the_sigmoid(r.in(0), Where::current()));
  }
  std::vector<Sample> samples() const override {
    return unary_samples([](Inputs in) { return softplus(in[0]); });
  }
};
CHAINRULE_EARLY const Softplus the_softplus;

struct LogSigmoid final : UnaryOp<LogSigmoid> {
  LogSigmoid() : UnaryOp("log_sigmoid", "log σ({0})") {}
  Role role(const Parameters&) const override {
    Role role;
    role.of = &the_sigmoid;
    return role;
  }
  EigenForm eigen(const Parameters&) const override { return {.kind = EigenForm::Kind::function}; }
  const char* eigen_definition() const noexcept override {
    return R"(
// −log(1 + exp −z), without overflow.
inline double log_sigmoid(double z) { return std::min(z, 0.0) - std::log1p(std::exp(-std::abs(z))); }
inline MatrixXd log_sigmoid(const MatrixXd& z) {
  return (z.array().min(0.0) - (-z.array().abs()).exp().log1p()).matrix();
}
)";
  }
  static constexpr bool integers = false;
  static constexpr Node::SavedMask saved = input(0);
  template <class T>
  static T value(T x) {
    return -kernels::softplus(-x);
  }
  static Tensor slope(const Application& r, Tensor g) {
    return detail::times_in_place(std::move(g), the_sigmoid(-r.in(0), Where::current()));
  }
  std::vector<Sample> samples() const override {
    return unary_samples([](Inputs in) { return log_sigmoid(in[0]); });
  }
};
CHAINRULE_EARLY const LogSigmoid the_log_sigmoid;

struct LogOfSigmoid final : StableLog {
  LogOfSigmoid() : StableLog("log_of_sigmoid", the_log_sigmoid) {}
  std::vector<Sample> samples() const override {
    return unary_samples([](Inputs in) { return log(sigmoid(in[0])); });
  }
};
CHAINRULE_EARLY const LogOfSigmoid log_of_sigmoid;

Op::Logarithm Sigmoid::logarithm(const Tensor& x) const {
  return {&log_of_sigmoid, detail::argument_of(x, *this)};
}

Role SigmoidSlope::role(const Parameters&) const { return Role::slope_of(the_sigmoid); }
Role TanhSlope::role(const Parameters&) const { return Role::slope_of(the_tanh); }
Role ReluSlope::role(const Parameters&) const { return Role::slope_of(the_relu); }

}  // namespace

Tensor sigmoid(const Tensor& x, Where where) { return the_sigmoid(x, where); }
Tensor tanh(const Tensor& x, Where where) { return the_tanh(x, where); }
Tensor relu(const Tensor& x, Where where) { return the_relu(x, where); }
Tensor softplus(const Tensor& x, Where where) { return the_softplus(x, where); }
Tensor log_sigmoid(const Tensor& x, Where where) { return the_log_sigmoid(x, where); }

namespace detail {

Tensor sigmoid_slope(Tensor g, const Tensor& s, const Tensor& x, Where where) {
  return the_sigmoid_slope.in_place(std::move(g), s, x, where);
}
Tensor tanh_slope(Tensor g, const Tensor& t, const Tensor& x, Where where) {
  return the_tanh_slope.in_place(std::move(g), t, x, where);
}
Tensor relu_slope(Tensor g, const Tensor& y, Where where) {
  return the_relu_slope.in_place(std::move(g), y, where);
}

}  // namespace detail
}  // namespace chainrule
