#pragma once

#include <string_view>

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
[[noreturn]] void throw_undefined(const char* op, const char* which, const Where& where);
[[noreturn]] void rethrow_result(const char* op, DType dtype, const Shape& shape,
                                 const Where& where);

}  // namespace detail

/// Throws DTypeError unless x is floating, or also i64 when `integers`.
inline void check_dtype(const char* op, const Tensor& x, bool integers, const Where& where) {
  const DType dtype = x.value_ref()->dtype();
  if (!is_floating(dtype) && !(integers && dtype == i64))
    detail::throw_dtype(op, x, integers, where);
}

/// Throws DTypeError unless both have the same dtype, and a floating one, or also i64 when
/// `integers`.
inline void check_dtypes(const char* op, const Tensor& a, const Tensor& b, bool integers,
                         const Where& where) {
  if (a.value_ref()->dtype() != b.value_ref()->dtype()) detail::throw_dtypes(op, a, b, where);
  check_dtype(op, a, integers, where);
}

/// The same for operands that messages call by what they are to the op, "prediction" and "target".
/// Throws ValueError when one is no tensor at all.
inline void check_operands(const char* op, const char* a_is, const Tensor& a, const char* b_is,
                           const Tensor& b, const Where& where) {
  if (!a.defined()) detail::throw_undefined(op, a_is, where);
  if (!b.defined()) detail::throw_undefined(op, b_is, where);
  if (a.value_ref()->dtype() != b.value_ref()->dtype())
    detail::throw_dtypes(op, a, b, where, a_is, b_is);
  check_dtype(op, a, false, where);
}

/// The shape that a and b broadcast to: aligned at the last axis, extents equal or 1. Throws
/// ShapeError.
Shape broadcast_shape(const char* op, const Tensor& a, const Tensor& b, const Where& where);

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

/// An elementwise op of one operand. `Self` gives
///
///     static constexpr bool integers = …;                // whether it takes i64, too
///     static constexpr Node::SavedMask saved = …;        // what slope() reads
///     template <class T> static T value(T x);            // the function
///     static Tensor slope(const Application& r, const Tensor& g);  // g · f'(x)
///     std::vector<Sample> samples() const override;
///
/// The Jacobian is diagonal, so one slope serves the reverse and the forward rule.
template <class Self>
class UnaryOp : public Op {
 public:
  using Op::Op;

  Tensor operator()(const Tensor& x, const Where& where) const {
    Ref<Value> out = evaluate(x, where);
    return record(*this, std::move(out), {&x}, Self::saved, where);
  }

  void vjp(Vjp& r) const final {
    if (r.needs(0)) r.give(0, Self::slope(r, r.g()));
  }
  Tensor jvp(Jvp& r) const final { return Self::slope(r, r.tangent(0)); }
  bool elementwise() const noexcept final { return true; }
  Tensor replay(const Node& node, std::span<const Tensor> inputs) const final {
    return static_cast<const Self&>(*this)(inputs[0], node.where());
  }

 protected:
  Ref<Value> evaluate(const Tensor& x, const Where& where) const {
    const Value& in = x.value(where);
    check_dtype(name(), x, Self::integers, where);
    Ref<Value> out = make_result_like(name(), in.dtype(), in, where);
    if constexpr (Self::integers) {
      if (in.dtype() == i64) {
        kernels::map<std::int64_t, std::int64_t>(*out, in, [](auto e) { return Self::value(e); });
        return out;
      }
    }
    visit_floating(in.dtype(), [&](auto zero) {
      using T = decltype(zero);
      kernels::map<T, T>(*out, in, [](T e) { return Self::value(e); });
    });
    return out;
  }
};

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
    if (!a.is_number() && !b.is_number()) return apply(a.tensor(), b.tensor(), where);
    if (!a.is_number())
      return apply(a.tensor(), b.as_tensor(name(), a.tensor().dtype(where)), where);
    if (!b.is_number())
      return apply(a.as_tensor(name(), b.tensor().dtype(where)), b.tensor(), where);
    return apply(a.as_tensor(name(), f32), b.as_tensor(name(), f32), where);
  }

  Tensor replay(const Node& node, std::span<const Tensor> inputs) const final {
    return apply(inputs[0], inputs[1], node.where());
  }

 private:
  Tensor apply(const Tensor& a, const Tensor& b, const Where& where) const {
    const Value &x = a.value(where), &y = b.value(where);
    check_dtypes(name(), a, b, Self::integers, where);
    Ref<Value> out = make_broadcast(name(), x.dtype(), a, b, where);
    evaluate(*out, x, y);
    return record(*this, std::move(out), {&a, &b}, Self::saved(needs_grad(a), needs_grad(b)),
                  where);
  }

  static void evaluate(Value& out, const Value& x, const Value& y) {
    const auto run = [&](auto zero) {
      using T = decltype(zero);
      kernels::map<T, T, T>(out, x, y, [](T p, T q) { return Self::value(p, q); });
    };
    if constexpr (Self::integers) {
      if (out.dtype() == i64) return run(std::int64_t{});
    }
    visit_floating(out.dtype(), run);
  }
};

}  // namespace chainrule
