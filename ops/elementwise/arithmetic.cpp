#include <chainrule/ops/elementwise/arithmetic.hpp>

#include <chainrule/core/create.hpp>
#include <chainrule/ops/define.hpp>

namespace chainrule {

namespace {

using detail::input;
using detail::output;

// Integers wrap around instead of overflowing.
template <class T, class F>
T wrapping(T x, T y, F f) {
  if constexpr (std::is_integral_v<T>)
    return static_cast<T>(f(static_cast<std::uint64_t>(x), static_cast<std::uint64_t>(y)));
  else
    return f(x, y);
}

// The shapes on which every binary op is tested: equal, broadcast either way, scalars, no elements.
std::vector<Sample> binary_samples(Tensor (*apply)(std::span<const Tensor>)) {
  const Tensor a = tensor({{0.7, -1.3, 2.1}, {-0.4, 1.9, 0.6}}, f64);
  const Tensor b = tensor({{1.2, 0.8, -1.7}, {2.3, -0.9, 1.1}}, f64);
  const Tensor row = tensor({-0.6, 1.4, 0.9}, f64);
  const Tensor column = tensor({{1.5}, {-0.8}}, f64);
  const Tensor scalar = tensor(1.7, f64);
  return {{"same shape", {a, b}, apply},
          {"row", {a, row}, apply},
          {"row first", {row, a}, apply},
          {"row and column", {row, column}, apply},
          {"scalar", {a, scalar}, apply},
          {"scalar first", {scalar, b}, apply},
          {"two scalars", {scalar, scalar}, apply},
          {"empty", {zeros({0, 3}, f64), row}, apply}};
}

struct Add final : BinaryOp<Add> {
  Add() : BinaryOp("add", "{0} + {1}") {}
  bool follows_names() const noexcept override { return true; }
  Role role(const Parameters&) const override { return Role::Kind::sum; }
  static constexpr bool integers = true;
  template <class T>
  static T value(T x, T y) {
    return wrapping(x, y, [](auto p, auto q) { return p + q; });
  }
  static Node::SavedMask saved(bool, bool) { return 0; }
  void vjp(Vjp& r) const override {
    if (r.needs(1)) r.give(1, r.g());
    if (r.needs(0)) r.give(0, r.take_g());
  }
  Tensor jvp(Jvp& r) const override {
    if (!r.has(0)) return r.tangent(1);
    if (!r.has(1)) return r.tangent(0);
    return r.tangent(0) + r.tangent(1);
  }
  std::vector<Sample> samples() const override {
    return binary_samples([](std::span<const Tensor> in) { return in[0] + in[1]; });
  }
};
CHAINRULE_EARLY const Add add_op;

struct Sub final : BinaryOp<Sub> {
  Sub() : BinaryOp("sub", "{0} − {1}") {}
  bool follows_names() const noexcept override { return true; }
  Role role(const Parameters&) const override { return Role::Kind::difference; }
  static constexpr bool integers = true;
  template <class T>
  static T value(T x, T y) {
    return wrapping(x, y, [](auto p, auto q) { return p - q; });
  }
  static Node::SavedMask saved(bool, bool) { return 0; }
  void vjp(Vjp& r) const override {
    if (r.needs(0)) r.give(0, r.g());
    if (r.needs(1)) r.give(1, -r.g());
  }
  Tensor jvp(Jvp& r) const override {
    if (!r.has(0)) return -r.tangent(1);
    if (!r.has(1)) return r.tangent(0);
    return r.tangent(0) - r.tangent(1);
  }
  std::vector<Sample> samples() const override {
    return binary_samples([](std::span<const Tensor> in) { return in[0] - in[1]; });
  }
};
CHAINRULE_EARLY const Sub sub_op;

// Adds g ⊗ factor to what has come together for an operand's gradient; false where that cannot be.
bool add_times(Value* sum, const Tensor& g, const Tensor& factor) {
  if (!sum) return false;
  const Value &x = *g.value_ref(), &y = *factor.value_ref();
  if (!x.contiguous() || !y.contiguous() || !x.same_shape(*sum) || !y.same_shape(*sum))
    return false;
  kernels::add_product_in_place(*sum, x, y);
  return true;
}

struct Mul final : BinaryOp<Mul> {
  Mul() : BinaryOp("mul", "{0} ⊗ {1}") {}
  bool follows_names() const noexcept override { return true; }
  Role role(const Parameters&) const override { return Role::Kind::product; }
  static constexpr bool integers = true;
  template <class T>
  static T value(T x, T y) {
    return wrapping(x, y, [](auto p, auto q) { return p * q; });
  }
  static Node::SavedMask saved(bool needs_a, bool needs_b) {
    return (needs_a ? input(1) : 0) | (needs_b ? input(0) : 0);
  }
  void vjp(Vjp& r) const override {
    if (r.needs(1) && !add_times(r.sum_of(1), r.g(), r.in(0))) r.give(1, r.g() * r.in(0));
    if (r.needs(0) && !add_times(r.sum_of(0), r.g(), r.in(1)))
      r.give(0, detail::times_in_place(r.take_g(), r.in(1)));
  }
  Tensor jvp(Jvp& r) const override {
    if (!r.has(0)) return r.in(0) * r.tangent(1);
    if (!r.has(1)) return r.tangent(0) * r.in(1);
    return r.tangent(0) * r.in(1) + r.in(0) * r.tangent(1);
  }
  std::vector<Sample> samples() const override {
    return binary_samples([](std::span<const Tensor> in) { return in[0] * in[1]; });
  }
};
CHAINRULE_EARLY const Mul mul_op;

struct Div final : BinaryOp<Div> {
  Div() : BinaryOp("div", "{0} ⊘ {1}") {}
  bool follows_names() const noexcept override { return true; }
  Role role(const Parameters&) const override { return Role::Kind::quotient; }
  static constexpr bool integers = false;
  template <class T>
  static T value(T x, T y) {
    return x / y;
  }
  static Node::SavedMask saved(bool, bool needs_b) { return input(1) | (needs_b ? output : 0); }
  void vjp(Vjp& r) const override {
    if (r.needs(1)) r.give(1, by_divisor(r.g(), r.out(), r.in(1)));
    if (r.needs(0)) r.give(0, in_place(r.take_g(), r.in(1), Where::current()));
  }
  Tensor jvp(Jvp& r) const override {
    if (!r.has(1)) return r.tangent(0) / r.in(1);
    const Tensor divisor = r.out() * r.tangent(1);
    return (r.has(0) ? r.tangent(0) - divisor : -divisor) / r.in(1);
  }
  std::vector<Sample> samples() const override {
    return binary_samples([](std::span<const Tensor> in) { return in[0] / in[1]; });
  }

 private:
  // −(g ⊗ out) ⊘ b, not −(g ⊘ b) ⊗ out: g ⊘ b may overflow where this does not. In one go where
  // nobody is to see the operations.
  Tensor by_divisor(const Tensor& g, const Tensor& out, const Tensor& b) const {
    if (detail::mode.recording || detail::mode.observer)
      return (*this)(-g * out, b, Where::current());
    Ref<Value> to = Value::make_like(g.dtype(), *g.value_ref());
    visit_floating(g.dtype(), [&](auto zero) {
      using T = decltype(zero);
      kernels::map<T, T, T, T>(*to, *g.value_ref(), *out.value_ref(), *b.value_ref(),
                               [](T p, T q, T s) { return -(p * q) / s; });
    });
    return Tensor(std::move(to));
  }
};
CHAINRULE_EARLY const Div div_op;

struct Neg final : UnaryOp<Neg> {
  Neg() : UnaryOp("neg", "−{0}") {}
  bool follows_names() const noexcept override { return true; }
  Role role(const Parameters&) const override { return Role::Kind::negation; }
  static constexpr bool integers = true;
  static constexpr Node::SavedMask saved = 0;
  template <class T>
  static T value(T x) {
    if constexpr (std::is_integral_v<T>)
      return wrapping(T{0}, x, [](auto p, auto q) { return p - q; });
    else
      return -x;
  }
  static Tensor slope(const Application&, Tensor g) { return -g; }
  std::vector<Sample> samples() const override {
    const auto apply = [](std::span<const Tensor> in) { return -in[0]; };
    return {{"matrix", {tensor({{0.7, -1.3}, {0.0, 2.5}}, f64)}, apply},
            {"scalar", {tensor(-0.3, f64)}, apply},
            {"empty", {zeros({2, 0}, f64)}, apply}};
  }
};
CHAINRULE_EARLY const Neg neg_op;

}  // namespace

Tensor operator+(const Operand& a, const Operand& b) { return add_op(a, b); }
Tensor operator-(const Operand& a, const Operand& b) { return sub_op(a, b); }
Tensor operator*(const Operand& a, const Operand& b) { return mul_op(a, b); }
Tensor operator/(const Operand& a, const Operand& b) { return div_op(a, b); }
Tensor operator-(const Operand& x) {
  return neg_op(x.is_number() ? x.as_tensor(neg_op.name(), f32) : x.tensor(), x.where());
}

Tensor add(const Operand& a, const Operand& b, Where where) { return add_op(a, b, where); }
Tensor sub(const Operand& a, const Operand& b, Where where) { return sub_op(a, b, where); }
Tensor detail::times_in_place(Tensor a, const Tensor& b, Where where) {
  return mul_op.in_place(std::move(a), b, where);
}
Tensor mul(const Operand& a, const Operand& b, Where where) { return mul_op(a, b, where); }
Tensor div(const Operand& a, const Operand& b, Where where) { return div_op(a, b, where); }
Tensor neg(const Tensor& x, Where where) { return neg_op(x, where); }

}  // namespace chainrule
