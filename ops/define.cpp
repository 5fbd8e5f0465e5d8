#include <chainrule/ops/define.hpp>

#include <fmt/format.h>

#include <cmath>

#include <chainrule/core/range_hint.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>

namespace chainrule {

Tensor Operand::as_tensor(const char* op, DType dtype, const Tensor* beside) const {
  Ref<Value> value = make_result(op, dtype, nullptr, 0, where_);
  if (dtype == f32) {
    *value->data<float>() = static_cast<float>(number_);
  } else if (dtype == f64) {
    *value->data<double>() = number_;
  } else if (dtype == i64) {
    // −2^63 is an i64, 2^63 is one too many.
    if (!integral_ && !(std::trunc(number_) == number_ && number_ >= -0x1p63 && number_ < 0x1p63))
      throw DTypeError(fmt::format("{}: the number {} with {}, which holds i64", op, number_,
                                   beside ? describe(*beside) : "a tensor"),
                       where_, "convert the tensor first: to(x, f32)");
    *value->data<std::int64_t>() = integral_ ? integer_ : static_cast<std::int64_t>(number_);
  } else {
    if (number_ != 0 && number_ != 1)
      throw DTypeError(fmt::format("{}: the number {} with {}, which holds boolean", op, number_,
                                   beside ? describe(*beside) : "a tensor"),
                       where_, "use true or false, or convert the tensor first: to(x, f32)");
    *value->data<bool>() = number_ != 0;
  }
  return Tensor(std::move(value));
}

void detail::throw_dtype(const char* op, const Tensor& x, bool integers, const Where& where) {
  throw DTypeError(fmt::format("{}: {} holds {}, but {} is needed", op, describe(x),
                               name_of(x.dtype()), integers ? "f32, f64 or i64" : "f32 or f64"),
                   where, "convert it: to(x, f32)");
}

namespace {

// "weight = fc1.weight (2, 3)", and what it is once where that is its name or there is none.
std::string said_as(const char* what, const Tensor& x) {
  if (x.name() == what) return describe(x);
  return fmt::format("{}{}{}", what, !*what ? "" : x.name().empty() ? " " : " = ", describe(x));
}

}  // namespace

void detail::throw_dtypes(const char* op, const Tensor& a, const Tensor& b, const Where& where,
                          const char* a_is, const char* b_is) {
  const DType left = a.dtype(), right = b.dtype();
  const auto operand = [](const char* what, const Tensor& x) {
    return fmt::format("{} is {}", said_as(what, x), name_of(x.dtype()));
  };
  const char* converted = is_floating(left) ? b_is : a_is;
  throw DTypeError(fmt::format("{}: dtypes differ: {}, {}", op, operand(a_is, a), operand(b_is, b)),
                   where,
                   fmt::format("convert one of them: to({}, {})", *converted ? converted : "x",
                               name_of(is_floating(left) ? left : right)));
}

void detail::throw_shape(const char* op, const char* which, const Tensor& x, const Shape& expected,
                         const Where& where) {
  throw ShapeError(fmt::format("{}: the {} {} has not the shape {}", op, which, describe(x),
                               to_string(expected)),
                   where,
                   x.numel() == expected.numel()
                       ? "reshape() gives it that shape"
                       : "expand() repeats along axes of extent 1, a slice is a part");
}

void check_rank(const char* op, int rank, const Tensor& x, const Where& where) {
  if (rank > max_rank)
    throw ShapeError(fmt::format("{}: {} axes from {}, but a tensor has at most {}", op, rank,
                                 describe(x), max_rank),
                     where, "join some of its axes first: flatten(), reshape()");
}

Shape broadcast_shape(const char* op, const Tensor& a, const Tensor& b, const Where& where,
                      const char* a_is, const char* b_is) {
  const Shape x = a.value(where, op, "first of two operands").shape();
  const Shape y = b.value(where, op, "second of two operands").shape();
  Shape out = x.rank() >= y.rank() ? x : y;
  for (int i = 1; i <= out.rank(); ++i) {
    const std::int64_t p = i <= x.rank() ? x[x.rank() - i] : 1;
    const std::int64_t q = i <= y.rank() ? y[y.rank() - i] : 1;
    if (p != q && p != 1 && q != 1)
      throw ShapeError(fmt::format("{}: shapes do not broadcast: {} and {} differ in axis -{}", op,
                                   said_as(a_is, a), said_as(b_is, b), i),
                       where, "shapes are aligned at the last axis; extents must be equal or 1");
    out[out.rank() - i] = p == 1 ? q : p;
  }
  return out;
}

void add_to(Tensor& sum, const Tensor& part) { sum = sum.defined() ? sum + part : part; }

int normalize_axis(const char* op, std::int64_t axis, int rank, const Tensor& x,
                   const Where& where) {
  const std::int64_t at = axis < 0 ? axis + rank : axis;
  if (at < 0 || at >= rank)
    throw IndexError(fmt::format("{}: axis {} of {}, which has {} {}", op, axis, describe(x), rank,
                                 rank == 1 ? "axis" : "axes"),
                     where, detail::range_hint("axes", rank));
  return static_cast<int>(at);
}

}  // namespace chainrule
