#pragma once

#include <string_view>

#include <chainrule/core/create.hpp>
#include <chainrule/core/op.hpp>
#include <chainrule/ops/kernels/elementwise/loops.hpp>
#include <chainrule/ops/operand.hpp>

/// What the definition of an op is written with. Together with core/op.hpp this is all that
/// somebody needs who adds one; see docs/adding_an_op.md.
namespace chainrule {

namespace detail {

[[noreturn]] void throw_dtype(const char* op, const Tensor& x, bool integers, const Where& where);
[[noreturn]] void throw_dtypes(const char* op, const Tensor& a, const Tensor& b, const Where& where,
                               const char* a_is = "", const char* b_is = "");
[[noreturn]] void throw_shape(const char* op, const char* which, const Tensor& x,
                              const Shape& expected, const Where& where);
}  // namespace detail

// Those that check an operand throw ValueError where it is no tensor at all.

/// Throws DTypeError unless x is floating, or also i64 when `integers`.
inline void check_dtype(const char* op, const Tensor& x, bool integers, const Where& where) {
  const DType dtype = x.value(where, op, "operand").dtype();
  if (!is_floating(dtype) && !(integers && dtype == i64))
    detail::throw_dtype(op, x, integers, where);
}

/// Throws DTypeError unless both have the same dtype, and a floating one, or also i64 when
/// `integers`.
inline void check_dtypes(const char* op, const Tensor& a, const Tensor& b, bool integers,
                         const Where& where) {
  if (a.value(where, op, "first of two operands").dtype() !=
      b.value(where, op, "second of two operands").dtype())
    detail::throw_dtypes(op, a, b, where);
  check_dtype(op, a, integers, where);
}

/// The same for operands that messages call by what they are to the op, "prediction" and "target".
inline void check_operands(const char* op, const char* a_is, const Tensor& a, const char* b_is,
                           const Tensor& b, const Where& where) {
  if (a.value(where, op, a_is).dtype() != b.value(where, op, b_is).dtype())
    detail::throw_dtypes(op, a, b, where, a_is, b_is);
  check_dtype(op, a, false, where);
}

/// Throws ShapeError unless x, which messages call by what it is to the op, has this shape.
inline void check_shape(const char* op, const char* which, const Tensor& x, const Shape& expected,
                        const Where& where) {
  if (x.value(where, op, which).shape() != expected)
    detail::throw_shape(op, which, x, expected, where);
}
/// The same for the shape of another operand.
inline void check_shape(const char* op, const char* which, const Tensor& x, const Value& like,
                        const Where& where) {
  if (!x.value(where, op, which).same_shape(like))
    detail::throw_shape(op, which, x, like.shape(), where);
}

/// The shape that a and b broadcast to: aligned at the last axis, extents equal or 1. Throws
/// ShapeError, which calls them by what they are to the op, if that is given.
Shape broadcast_shape(const char* op, const Tensor& a, const Tensor& b, const Where& where,
                      const char* a_is = "", const char* b_is = "");

/// Throws ShapeError when a result of op(x) would have more than max_rank axes.
void check_rank(const char* op, int rank, const Tensor& x, const Where& where);

/// `axis` counted from 0; negative ones count from the end. Throws IndexError out of range.
int normalize_axis(const char* op, std::int64_t axis, int rank, const Tensor& x,
                   const Where& where);

/// An uninitialised result. Throws ShapeError and MemoryError that name the op and the line.
inline Ref<Value> make_result(const char* op, DType dtype, const std::int64_t* dims, int rank,
                              const Where& where) {
  try {
    return Value::make(dtype, dims, rank);
  } catch (const Error&) {
    detail::rethrow_result(op, dtype, Shape(std::span(dims, static_cast<std::size_t>(rank))),
                           where);
  }
}
inline Ref<Value> make_result(const char* op, DType dtype, const Shape& shape, const Where& where) {
  return make_result(op, dtype, shape.data(), shape.rank(), where);
}

/// The same, of the shape of x.
inline Ref<Value> make_result_like(const char* op, DType dtype, const Value& x,
                                   const Where& where) {
  try {
    return Value::make_like(dtype, x);
  } catch (const Error&) {
    detail::rethrow_result(op, dtype, x.shape(), where);
  }
}

/// An uninitialised result of the shape that a and b broadcast to.
inline Ref<Value> make_broadcast(const char* op, DType dtype, const Tensor& a, const Tensor& b,
                                 const Where& where) {
  const Value &x = *a.value_ref(), &y = *b.value_ref();
  if (x.same_shape(y) || (y.numel() == 1 && y.rank() <= x.rank()))
    return make_result_like(op, dtype, x, where);
  return make_result(op, dtype, broadcast_shape(op, a, b, where), where);
}

inline bool needs_grad(const Tensor& x) noexcept { return x.requires_grad(); }

/// Adds a part of a tangent to those before it, of which there may be none.
void add_to(Tensor& sum, const Tensor& part);

/// Calls f(a, b) with both operands as tensors: a number adapts to the other one's dtype, and two
/// numbers are of `otherwise`.
template <class F>
Tensor with_tensors(const char* op, const Operand& a, const Operand& b, DType otherwise,
                    const Where& where, F f) {
  if (!a.is_number() && !b.is_number()) return f(a.tensor(), b.tensor());
  if (!a.is_number()) {
    const DType dtype = a.tensor().value(where, op, "operand 0").dtype();
    return f(a.tensor(), b.as_tensor(op, dtype, &a.tensor()));
  }
  if (!b.is_number()) {
    const DType dtype = b.tensor().value(where, op, "operand 1").dtype();
    return f(a.as_tensor(op, dtype, &b.tensor()), b.tensor());
  }
  return f(a.as_tensor(op, otherwise), b.as_tensor(op, otherwise));
}

/// Infers a result of the shape that operands 0 and 1 broadcast to.
inline void infer_broadcast(Inference& call, DType dtype) {
  const Value &x = call.in(0), &y = call.in(1);
  if (x.same_shape(y) || (y.numel() == 1 && y.rank() <= x.rank()))
    call.output_like(dtype, x);
  else
    call.output(dtype, broadcast_shape(call.name(), call.tensor(0), call.tensor(1), call.where()));
}

namespace detail {

/// Whether x is a number with a name, or little arithmetic with one: its functions have a place in
/// the graph, as its sums and products do, so that formulas show √λ.
inline bool is_named_number(const Tensor& x) noexcept {
  const Tensor* const numbers[] = {&x, &x};
  return mode.recording && x.node() && !x.requires_grad() && follow_names(numbers);
}

}  // namespace detail

/// An elementwise op of one operand. `Self` gives
///
///     static constexpr bool integers = …;                // whether it takes i64, too
///     static constexpr Node::SavedMask saved = …;        // what slope() reads
///     template <class T> static T value(T x);            // the function, or else
///     template <class T> static void values(T* to, const T* x, std::int64_t n);  // n at once
///     static Tensor slope(const Application& r, Tensor g);  // g · f'(x)
///     std::vector<Sample> samples() const override;
///
/// The Jacobian is diagonal, so one slope serves the reverse and the forward rule. It is given g
/// for good, and may use its memory as in_place() of binary ops does.
template <class Self>
class UnaryOp : public Op {
 public:
  using Op::Op;

  // The same as apply(), without a detour: the result is like the operand.
  Tensor operator()(const Tensor& x, const Where& where) const {
    const Tensor* const inputs[] = {&x};
    const Call call(*this, inputs, {}, where);
    const Value& in = checked(call);
    Ref<Value> out = make_result_like(name(), in.dtype(), in, where);
    detail::naming_op(name(), where, [&] { compute(*out, in); });
    if (detail::is_named_number(x)) [[unlikely]] {
      if (detail::mode.observer) detail::observe(call, std::span(&out, 1));
      return detail::record_node(call, std::move(out), {}, Self::saved);
    }
    return finish(static_cast<const Self&>(*this), call, std::move(out));
  }

  void infer(Inference& call) const final {
    const Value& x = checked(call);
    call.output_like(x.dtype(), x);
  }
  void evaluate(Evaluation& call) const final { compute(call.out(), call.in(0)); }
  Node::SavedMask reads(const Call&) const final { return Self::saved; }

  void vjp(Vjp& r) const final {
    if (r.needs(0)) r.give(0, Self::slope(r, r.take_g()));
  }
  Tensor jvp(Jvp& r) const final { return Self::slope(r, r.tangent(0)); }
  bool elementwise() const noexcept final { return true; }

 private:
  static const Value& checked(const Call& call) {
    const Value& x = call.in(0);
    check_dtype(call.name(), call.tensor(0), Self::integers, call.where());
    return x;
  }
  template <class Function, class T>
  static void compute_as(Value& out, const Value& in) {
    if constexpr (requires(T* to, const T* x, std::int64_t n) { Function::values(to, x, n); })
      kernels::map_runs<T>(out, in,
                           [](T* to, const T* x, std::int64_t n) { Function::values(to, x, n); });
    else
      kernels::map<T, T>(out, in, [](T e) { return Function::value(e); });
  }
  static void compute(Value& out, const Value& in) {
    const auto run = [&](auto zero) { compute_as<Self, decltype(zero)>(out, in); };
    if constexpr (Self::integers) {
      if (in.dtype() == i64) return run(std::int64_t{});
    }
    visit_floating(in.dtype(), run);
  }
};

namespace detail {

/// Whether a result from a and b may be computed in the memory of a, which is given away.
inline bool fits_into(const Tensor& a, const Tensor& b) noexcept {
  if (mode.recording || mode.observer || !a.defined() || !b.defined() || a.node()) return false;
  const Value &x = *a.value_ref(), &y = *b.value_ref();
  return x.exclusive() && y.contiguous() && x.same_shape(y) && x.dtype() == y.dtype() &&
         is_floating(x.dtype());
}

}  // namespace detail

/// An elementwise op of two operands that broadcast. `Self` gives `integers`, `value(x, y)`, the
/// rules vjp() and jvp(), samples(), and
///
///     static Node::SavedMask saved(bool needs_a, bool needs_b);  // what its rules read
template <class Self>
class BinaryOp : public Op {
 public:
  using Op::Op;

  Tensor operator()(const Operand& a, const Operand& b) const { return (*this)(a, b, a.where()); }
  Tensor operator()(const Operand& a, const Operand& b, const Where& where) const {
    return with_tensors(name(), a, b, f32, where,
                        [&](const Tensor& x, const Tensor& y) { return of_tensors(x, y, where); });
  }
  /// The same in the memory of a, which is given away, where nobody else sees that: for rules,
  /// whose gradients are read for the last time.
  Tensor in_place(Tensor&& a, const Tensor& b, const Where& where) const {
    if (!detail::fits_into(a, b)) return of_tensors(a, b, where);
    Value& out = *a.value_ref();
    visit_floating(out.dtype(), [&](auto zero) {
      using T = decltype(zero);
      kernels::map_in_place<T>(out, *b.value_ref(), [](T p, T q) { return Self::value(p, q); });
    });
    return std::move(a);
  }

  void infer(Inference& call) const final {
    check(call);
    infer_broadcast(call, call.in(0).dtype());
  }
  void evaluate(Evaluation& call) const final { compute(call.out(), call.in(0), call.in(1)); }
  Node::SavedMask reads(const Call& call) const final {
    return Self::saved(call.needs_grad(0), call.needs_grad(1));
  }
  bool elementwise() const noexcept override { return true; }

 private:
  // The same as apply(), without a detour.
  Tensor of_tensors(const Tensor& a, const Tensor& b, const Where& where) const {
    const Tensor* const inputs[] = {&a, &b};
    const Call call(*this, inputs, {}, where);
    check(call);
    const Value &x = *a.value_ref(), &y = *b.value_ref();
    Ref<Value> out = make_broadcast(name(), x.dtype(), a, b, where);
    detail::naming_op(name(), where, [&] { compute(*out, x, y); });
    return finish(static_cast<const Self&>(*this), call, std::move(out));
  }
  static void check(const Call& call) {
    call.in(0), call.in(1);  // defined
    check_dtypes(call.name(), call.tensor(0), call.tensor(1), Self::integers, call.where());
  }
  static void compute(Value& out, const Value& a, const Value& b) {
    const auto run = [&](auto zero) {
      using T = decltype(zero);
      kernels::map<T, T, T>(out, a, b, [](T p, T q) { return Self::value(p, q); });
    };
    if constexpr (Self::integers) {
      if (out.dtype() == i64) return run(std::int64_t{});
    }
    visit_floating(out.dtype(), run);
  }
};

/// A linear map of its first operand: its tangent is the map again. `Self` gives infer(),
/// evaluate(), samples(), and
///
///     Tensor adjoint(const Application& r, const Tensor& g) const;  // the transposed map
///
/// and, where that is zero but for a part (a slice's gradient), so that only the part costs,
///
///     bool give_part(Vjp& r) const;  // adds it to *r.sum_from_zeros(0); false where that is null
///
/// A gradient of the broadcast shape is summed to the operand's by the traversal. The operands
/// behind the first, of which there are `others` (the index of a look-up), have no gradient: they
/// say which map it is, and are saved for the rules.
template <class Self, std::size_t others = 0>
class LinearMap : public Op {
 public:
  using Op::Op;

  Node::SavedMask reads(const Call&) const override {
    Node::SavedMask mask = 0;
    for (std::size_t i = 1; i <= others; ++i) mask |= Node::input(i);
    return mask;
  }
  void vjp(Vjp& r) const final {
    if (!r.needs(0)) return;
    const Self& self = static_cast<const Self&>(*this);
    if constexpr (requires { self.give_part(r); })
      if (self.give_part(r)) return;
    r.give(0, self.adjoint(r, r.g()));
  }
  Tensor jvp(Jvp& r) const override {
    if (!r.has(0)) return zeros(r.node().shape(), r.node().dtype());
    const Tensor* operands[1 + others] = {&r.tangent(0)};
    for (std::size_t i = 1; i <= others; ++i) operands[i] = &r.in(i);
    return apply(static_cast<const Self&>(*this), Operands(operands), r.node().parameters(),
                 r.where());
  }
};

}  // namespace chainrule
