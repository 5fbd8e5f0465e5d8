#include <chainrule/ops/elementwise/functions.hpp>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numbers>
#include <type_traits>
#include <utility>

#include <chainrule/core/create.hpp>
#include <chainrule/ops/define.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/kernels/elementwise/library_math.hpp>
#include <chainrule/ops/kernels/elementwise/vector_math.hpp>

namespace chainrule {

namespace {

using detail::input;
using detail::output;
using Inputs = std::span<const Tensor>;

// The shapes on which every op of one operand is tested.
std::vector<Sample> unary_samples(Tensor (*apply)(Inputs), const Tensor& matrix) {
  return {{"matrix", {matrix}, apply},
          {"scalar", {tensor(0.3, f64)}, apply},
          {"empty", {zeros({2, 0}, f64)}, apply}};
}
Tensor real_numbers() { return tensor({{0.7, -1.3, 2.1}, {-0.4, 1.9, -0.6}}, f64); }
Tensor positive_numbers() { return tensor({{0.7, 1.3, 2.1}, {0.04, 1.9, 25.0}}, f64); }

// Integers wrap around instead of overflowing.
template <class T>
T negated(T x) {
  if constexpr (std::is_integral_v<T>)
    return static_cast<T>(std::uint64_t{0} - static_cast<std::uint64_t>(x));
  else
    return -x;
}
template <class T>
T product(T x, T y) {
  if constexpr (std::is_integral_v<T>)
    return static_cast<T>(static_cast<std::uint64_t>(x) * static_cast<std::uint64_t>(y));
  else
    return x * y;
}

struct Exp final : UnaryOp<Exp> {
  Exp() : UnaryOp("exp") {}
  EigenForm eigen(const Parameters&) const override {
    return EigenForm::member("exp()", "std::exp({0})");
  }
  Role role(const Parameters&) const override { return Role::Kind::exponential; }
  static constexpr bool integers = false;
  template <class T>
  static T value(T x) {
    return kernels::exp(x);
  }
  // The rule reads the output; the input is for log().
  static constexpr Node::SavedMask saved = input(0) | output;
  Tensor remembered(const Call& call) const override { return call.tensor(0); }
  static Tensor slope(const Application& r, Tensor g) {
    return detail::times_in_place(std::move(g), r.out());
  }
  std::vector<Sample> samples() const override {
    return unary_samples([](Inputs in) { return exp(in[0]); }, real_numbers());
  }
};
CHAINRULE_EARLY const Exp the_exp;

struct Expm1 final : UnaryOp<Expm1> {
  Expm1() : UnaryOp("expm1") {}
  EigenForm eigen(const Parameters&) const override {
    return EigenForm::member("expm1()", "std::expm1({0})");
  }
  static constexpr bool integers = false;
  static constexpr Node::SavedMask saved = input(0);
  template <class T>
  static T value(T x) {
    return kernels::expm1(x);
  }
  // Not out + 1, which is 0 where eˣ is small.
  static Tensor slope(const Application& r, Tensor g) {
    return detail::times_in_place(std::move(g), exp(r.in(0)));
  }
  std::vector<Sample> samples() const override {
    return unary_samples([](Inputs in) { return expm1(in[0]); }, real_numbers());
  }
};
CHAINRULE_EARLY const Expm1 the_expm1;

struct Log1p final : UnaryOp<Log1p> {
  Log1p() : UnaryOp("log1p") {}
  EigenForm eigen(const Parameters&) const override {
    return EigenForm::member("log1p()", "std::log1p({0})");
  }
  static constexpr bool integers = false;
  static constexpr Node::SavedMask saved = input(0);
  template <class T>
  static T value(T x) {
    return kernels::log1p(x);
  }
  static Tensor slope(const Application& r, Tensor g) { return g / (r.in(0) + 1); }
  std::vector<Sample> samples() const override {
    return unary_samples([](Inputs in) { return log1p(in[0]); },
                         tensor({{0.7, -0.8, 2.1}, {-0.4, 19.0, -0.06}}, f64));
  }
};
CHAINRULE_EARLY const Log1p the_log1p;

struct Sqrt final : UnaryOp<Sqrt> {
  Sqrt() : UnaryOp("sqrt", "√{0}") {}
  EigenForm eigen(const Parameters&) const override {
    return EigenForm::member("sqrt()", "std::sqrt({0})", "cwiseSqrt()");
  }
  static constexpr bool integers = false;
  static constexpr Node::SavedMask saved = output;
  template <class T>
  static T value(T x) {
    return std::sqrt(x);
  }
  static Tensor slope(const Application& r, Tensor g) { return g / (r.out() * 2); }
  std::vector<Sample> samples() const override {
    return unary_samples([](Inputs in) { return sqrt(in[0]); }, positive_numbers());
  }
};
CHAINRULE_EARLY const Sqrt the_sqrt;

struct Square final : UnaryOp<Square> {
  Square() : UnaryOp("square", "{0}²") {}
  EigenForm eigen(const Parameters&) const override {
    return EigenForm::member("square()", "({0} * {0})");
  }
  Role role(const Parameters&) const override { return Role::Kind::square; }
  static constexpr bool integers = true;
  static constexpr Node::SavedMask saved = input(0);
  template <class T>
  static T value(T x) {
    return product(x, x);
  }
  static Tensor slope(const Application& r, Tensor g) {
    return detail::times_in_place(std::move(g), r.in(0) * 2);
  }
  std::vector<Sample> samples() const override {
    return unary_samples([](Inputs in) { return square(in[0]); }, real_numbers());
  }
};
CHAINRULE_EARLY const Square the_square;

struct Sign final : UnaryOp<Sign> {
  Sign() : UnaryOp("sign") {}
  EigenForm eigen(const Parameters&) const override {
    return EigenForm::member("sign()", "double(({0} > 0.0) - ({0} < 0.0))");
  }
  static constexpr bool integers = true;
  static constexpr Node::SavedMask saved = 0;
  template <class T>
  static T value(T x) {
    return x > 0 ? T{1} : x < 0 ? negated(T{1}) : x;
  }
  static Tensor slope(const Application&, Tensor g) { return zeros_like(g); }
  std::vector<Sample> samples() const override {
    return unary_samples([](Inputs in) { return sign(in[0]); }, real_numbers());
  }
};
CHAINRULE_EARLY const Sign the_sign;

struct Abs final : UnaryOp<Abs> {
  Abs() : UnaryOp("abs", "|{0}|") {}
  EigenForm eigen(const Parameters&) const override {
    return EigenForm::member("abs()", "std::abs({0})", "cwiseAbs()");
  }
  static constexpr bool integers = true;
  static constexpr Node::SavedMask saved = input(0);
  template <class T>
  static T value(T x) {
    if constexpr (std::is_integral_v<T>)
      return x < 0 ? negated(x) : x;
    else
      return std::abs(x);
  }
  static Tensor slope(const Application& r, Tensor g) {
    return detail::times_in_place(std::move(g), sign(r.in(0)));
  }
  std::vector<Sample> samples() const override {
    return unary_samples([](Inputs in) { return abs(in[0]); }, real_numbers());
  }
};
CHAINRULE_EARLY const Abs the_abs;

struct Sin final : UnaryOp<Sin> {
  Sin() : UnaryOp("sin") {}
  EigenForm eigen(const Parameters&) const override {
    return EigenForm::member("sin()", "std::sin({0})");
  }
  static constexpr bool integers = false;
  static constexpr Node::SavedMask saved = input(0);
  template <class T>
  static void values(T* to, const T* x, std::int64_t n) {
    kernels::sin(to, x, n);
  }
  static Tensor slope(const Application& r, Tensor g) {
    return detail::times_in_place(std::move(g), cos(r.in(0)));
  }
  std::vector<Sample> samples() const override {
    return unary_samples([](Inputs in) { return sin(in[0]); }, real_numbers());
  }
};
CHAINRULE_EARLY const Sin the_sin;

struct Cos final : UnaryOp<Cos> {
  Cos() : UnaryOp("cos") {}
  EigenForm eigen(const Parameters&) const override {
    return EigenForm::member("cos()", "std::cos({0})");
  }
  static constexpr bool integers = false;
  static constexpr Node::SavedMask saved = input(0);
  template <class T>
  static void values(T* to, const T* x, std::int64_t n) {
    kernels::cos(to, x, n);
  }
  static Tensor slope(const Application& r, Tensor g) {
    return -detail::times_in_place(std::move(g), sin(r.in(0)));
  }
  std::vector<Sample> samples() const override {
    return unary_samples([](Inputs in) { return cos(in[0]); }, real_numbers());
  }
};
CHAINRULE_EARLY const Cos the_cos;

// g ⊗ 2/√π e^−x², from x² in two parts: rounded to one, it loses as many digits as x² has in front
// of the point.
struct ErfSlope final : BinaryOp<ErfSlope> {
  ErfSlope() : BinaryOp("erf_slope", "{0} ⊗ 2/√π exp(−{1}²)") {}
  static constexpr bool integers = false;
  template <class T>
  static T value(T g, T x) {
    using Bits = kernels::detail::Bits<T>;
    constexpr Bits upper = ~Bits{0} << (std::numeric_limits<T>::digits + 1) / 2;
    const T high = std::bit_cast<T>(std::bit_cast<Bits>(x) & upper), square = x * x;
    // Beyond, e^−x² is 0 and the parts may be infinite.
    const T rest = square < 1000 ? (high * high - square) + (x - high) * (x + high) : T{0};
    return g * (static_cast<T>(factor) * (kernels::exp(-square) * (1 - rest)));
  }
  static Node::SavedMask saved(bool, bool needs_x) {
    return input(1) | (needs_x ? output : Node::SavedMask{0});
  }
  void vjp(Vjp& r) const override {
    if (r.needs(0)) r.give(0, (*this)(r.g(), r.in(1)));
    if (r.needs(1)) r.give(1, by_point(r, r.g()));
  }
  Tensor jvp(Jvp& r) const override {
    Tensor tangent;
    if (r.has(0)) add_to(tangent, (*this)(r.tangent(0), r.in(1)));
    if (r.has(1)) add_to(tangent, by_point(r, r.tangent(1)));
    return tangent;
  }
  Tensor written_out(const Node&, std::span<const Tensor> inputs) const override {
    return inputs[0] * (exp(-square(inputs[1])) * factor);
  }
  std::vector<Sample> samples() const override;

 private:
  static constexpr double factor = 2 * std::numbers::inv_sqrtpi;
  // −2x times the slope, which is 0 before 2x is infinite.
  static Tensor by_point(const Application& r, const Tensor& h) {
    return -2 * (r.out() * r.in(1) * h);
  }
};
CHAINRULE_EARLY const ErfSlope the_erf_slope;

std::vector<Sample> ErfSlope::samples() const {
  const auto apply = [](Inputs in) { return the_erf_slope(in[0], in[1]); };
  const Tensor at = tensor({{0.9, -0.3, 0.5}, {-0.8, 1.2, -0.1}}, f64);
  return {{"matrix", {real_numbers(), at}, apply},
          {"scalar", {tensor(0.3, f64), tensor(0.6, f64)}, apply},
          {"empty", {zeros({2, 0}, f64), zeros({2, 0}, f64)}, apply}};
}

struct Erf final : UnaryOp<Erf> {
  Erf() : UnaryOp("erf") {}
  EigenForm eigen(const Parameters&) const override {
    return EigenForm::member("unaryExpr([](double e) { return std::erf(e); })", "std::erf({0})");
  }
  static constexpr bool integers = false;
  static constexpr Node::SavedMask saved = input(0);
  template <class T>
  static void values(T* to, const T* x, std::int64_t n) {
    if constexpr (std::is_same_v<T, double>)
      kernels::erf(to, x, n);
    else
      for (std::int64_t i = 0; i < n; ++i) to[i] = kernels::erf(x[i]);
  }
  static Tensor slope(const Application& r, Tensor g) {
    return the_erf_slope.in_place(std::move(g), r.in(0), r.where());
  }
  std::vector<Sample> samples() const override {
    return unary_samples([](Inputs in) { return erf(in[0]); }, real_numbers());
  }
};
CHAINRULE_EARLY const Erf the_erf;

struct Reciprocal final : UnaryOp<Reciprocal> {
  Reciprocal() : UnaryOp("reciprocal", "1 ⊘ {0}") {}
  Role role(const Parameters&) const override { return Role::Kind::reciprocal; }
  static constexpr bool integers = false;
  static constexpr Node::SavedMask saved = output;
  template <class T>
  static T value(T x) {
    return 1 / x;
  }
  static Tensor slope(const Application& r, Tensor g) {
    // Not g ⊗ out²: the square may underflow where this does not.
    return -detail::times_in_place(detail::times_in_place(std::move(g), r.out()), r.out());
  }
  std::vector<Sample> samples() const override {
    return unary_samples([](Inputs in) { return reciprocal(in[0]); }, real_numbers());
  }
};
CHAINRULE_EARLY const Reciprocal the_reciprocal;

}  // namespace

Tensor exp(const Tensor& x, Where where) { return the_exp(x, where); }
Tensor expm1(const Tensor& x, Where where) { return the_expm1(x, where); }
Tensor log1p(const Tensor& x, Where where) { return the_log1p(x, where); }
Tensor sqrt(const Tensor& x, Where where) { return the_sqrt(x, where); }
Tensor square(const Tensor& x, Where where) { return the_square(x, where); }
Tensor abs(const Tensor& x, Where where) { return the_abs(x, where); }
Tensor sign(const Tensor& x, Where where) { return the_sign(x, where); }
Tensor sin(const Tensor& x, Where where) { return the_sin(x, where); }
Tensor cos(const Tensor& x, Where where) { return the_cos(x, where); }
Tensor erf(const Tensor& x, Where where) { return the_erf(x, where); }
Tensor reciprocal(const Tensor& x, Where where) { return the_reciprocal(x, where); }

namespace {

Tensor argument_of_node(const Node* x, const Op& op) {
  if (!x || x->op() != &op) return {};
  const Node::SavedValue z = x->saved_as(input(0)), out = x->saved_as(output);
  if (!z.value || !z.unchanged() || (out.value && !out.unchanged())) return {};
  return Tensor(Ref<Value>::share(z.value), Ref<Node>::share(x->inputs()[0]));
}

}  // namespace

namespace detail {

Tensor argument_of(const Tensor& x, const Op& op) {
  // Without recording the result is not saved, but a new tensor begins at version 0.
  if (!x.node() || x.value_ref()->version() != 0) return {};
  return argument_of_node(x.node(), op);
}

Tensor exp_argument(const Tensor& e) { return argument_of(e, the_exp); }
Tensor exp_argument(const Node* e) { return argument_of_node(e, the_exp); }

}  // namespace detail
}  // namespace chainrule
