#include <chainrule/graph/emission/arithmetic.hpp>

#include <fmt/format.h>

#include <cmath>
#include <utility>

namespace chainrule::emission {

using Strength = Code::Strength;
using Form = Code::Form;

Shape broadcast(const Shape& a, const Shape& b) {
  const Shape& longer = a.rank() >= b.rank() ? a : b;
  const Shape& other = a.rank() >= b.rank() ? b : a;
  Shape shape = longer;
  for (int i = 0; i < other.rank(); ++i) {
    const int at = longer.rank() - other.rank() + i;
    if (shape[at] == 1) shape[at] = other[i];
  }
  return shape;
}

namespace {

// One sign between two matrices, arrays, or masks of the same form, one of which may be a row or
// column that goes with each of the other's.
Code elementwise(const Code& left, std::string_view sign, const Code& right, Strength strength,
                 bool commutes) {
  const Shape shape = broadcast(left.shape, right.shape);
  const auto aligned = [&](const Code& x) {
    return shape.rank() == 2 && x.shape.rank() == 1 && !x.is_scalar() ? x.transposed() : x;
  };
  Code a = aligned(left), b = aligned(right);
  const Code whole{"", shape};
  const auto is_whole = [&](const Code& x) {
    return x.rows() == whole.rows() && x.columns() == whole.columns();
  };
  const auto tighter = static_cast<Strength>(static_cast<int>(strength) + 1);
  if (!is_whole(a) && is_whole(b) && commutes) std::swap(a, b);
  const Form form = a.form;
  if (is_whole(a) && !is_whole(b) && form != Form::mask) {
    const bool column = b.columns() == 1 && b.rows() == whole.rows();
    return made(fmt::format("{} {} {}", a.member(column ? "colwise()" : "rowwise()"), sign,
                            column ? b.as_column() : b.as_row()),
                shape, strength, form);
  }
  const auto in_full = [&](const Code& x) {
    if (is_whole(x)) return x;
    if (x.is_scalar() || shape.numel() == 0) return x.materialized(shape).as_array();
    return made(x.member(fmt::format("replicate({}, {})", whole.rows() / x.rows(),
                                     whole.columns() / x.columns())),
                shape, Strength::atom, x.form);
  };
  a = in_full(a);
  b = in_full(b);
  const bool is_vector = a.is_vector && b.is_vector;
  Code result =
      made(fmt::format("{} {} {}", a.in(strength), sign, b.in(tighter)), shape, strength, form);
  result.is_vector = is_vector;
  return result;
}

// A matrix or array where it does not matter which: arrays if one of them is.
void same_form(Code& a, Code& b) {
  if (a.form == b.form) return;
  a = a.as_array();
  b = b.as_array();
}

// A number with two axes makes a row of a tensor with one: (1, 1) and (n) give (1, n).
void align(Code& a, Code& b) {
  const int rank = broadcast(a.shape, b.shape).rank();
  for (Code* x : {&a, &b})
    if (rank == 2 && x->shape.rank() == 1 && !x->is_scalar()) *x = x->transposed();
}

// The whole number of which a literal is the inverse, or 0.
double inverse_of(const Code& x) {
  if (!x.number || *x.number == 0 || !(std::abs(*x.number) < 1)) return 0;
  const double inverse = std::round(1 / *x.number);
  return std::isfinite(inverse) && *x.number == 1 / inverse ? inverse : 0;
}

}  // namespace

Code added(Code a, std::string_view sign, Code b) {
  align(a, b);
  const bool minus = sign == "-";
  if (a.is_scalar() && b.is_scalar())
    return made(fmt::format("{} {} {}", a.in(Strength::sum), sign, b.in(Strength::product)),
                broadcast(a.shape, b.shape), Strength::sum, Form::matrix);
  if (a.is_scalar() || b.is_scalar()) {
    const Shape shape = broadcast(a.shape, b.shape);
    a = a.as_array();
    b = b.as_array();
    return made(fmt::format("{} {} {}", a.in(Strength::sum), sign, b.in(Strength::product)), shape,
                Strength::sum, Form::array);
  }
  same_form(a, b);
  return elementwise(a, sign, b, Strength::sum, !minus);
}

Code negated(const Code& x) {
  if (x.strength == Strength::prefix && x.text.starts_with('-'))
    return made(x.text.substr(1), x.shape, Strength::atom, x.form);
  return made("-" + x.in(Strength::prefix), x.shape, Strength::prefix, x.form);
}

Code multiplied(Code a, Code b) {
  align(a, b);
  const Shape shape = broadcast(a.shape, b.shape);
  if (a.form == Form::mask) a = a.is_scalar() ? a.as_matrix() : a.as_array();
  if (b.form == Form::mask) b = b.is_scalar() ? b.as_matrix() : b.as_array();
  if (a.is_scalar() || b.is_scalar()) {
    if (!a.is_scalar() || (b.is_scalar() && inverse_of(b) != 0)) std::swap(a, b);
    if (a.number == 1.0) return b;
    if (b.number == 1.0) return a;
    if (a.number == -1.0) return negated(b);
    // x / 6 rather than 0.1666… x.
    if (const double inverse = inverse_of(a); inverse != 0)
      return made(fmt::format("{} / {}", b.in(Strength::product), eigen_number(inverse)), shape,
                  Strength::product, b.form);
    return made(fmt::format("{} * {}", a.in(Strength::product), b.in(Strength::prefix)), shape,
                Strength::product, b.form);
  }
  const bool one_shape = a.shape == b.shape;
  if (one_shape && a.form == Form::matrix && b.form == Form::matrix) {
    Code product = made(fmt::format("{}.cwiseProduct({})", a.in(Strength::atom), b.text), shape,
                        Strength::atom, Form::matrix);
    product.is_vector = a.is_vector && b.is_vector;
    return product;
  }
  return elementwise(a.as_array(), "*", b.as_array(), Strength::product, true);
}

Code divided(Code a, Code b) {
  align(a, b);
  const Shape shape = broadcast(a.shape, b.shape);
  if (b.number == 1.0) return a;
  if (b.is_scalar())
    return made(fmt::format("{} / {}", a.in(Strength::product), b.in(Strength::prefix)), shape,
                Strength::product, a.form);
  if (a.is_scalar()) {
    if (a.number == 1.0 && b.form == Form::matrix)
      return made(b.member("cwiseInverse()"), shape, Strength::atom, Form::matrix);
    return made(fmt::format("{} / {}", a.in(Strength::product), b.as_array().in(Strength::prefix)),
                shape, Strength::product, Form::array);
  }
  if (a.shape == b.shape && a.form == Form::matrix && b.form == Form::matrix)
    return made(fmt::format("{}.cwiseQuotient({})", a.in(Strength::atom), b.text), shape,
                Strength::atom, Form::matrix);
  return elementwise(a.as_array(), "/", b.as_array(), Strength::product, false);
}

Code compared(Code a, std::string_view sign, std::string_view reversed, Code b) {
  align(a, b);
  const Shape shape = broadcast(a.shape, b.shape);
  if (a.is_scalar() && !b.is_scalar())
    return made(
        fmt::format("{} {} {}", b.as_array().in(Strength::sum), reversed, a.in(Strength::sum)),
        shape, Strength::comparison, Form::mask);
  if (b.is_scalar())
    return made(fmt::format("{} {} {}", a.as_array().in(Strength::sum), sign, b.in(Strength::sum)),
                shape, Strength::comparison, Form::mask);
  const Code array_a = a.materialized(shape).as_array(), array_b = b.materialized(shape).as_array();
  return made(fmt::format("{} {} {}", array_a.in(Strength::sum), sign, array_b.in(Strength::sum)),
              shape, Strength::comparison, Form::mask);
}

Code as_mask(const Code& x) {
  if (x.form == Form::mask) return x;
  return made(fmt::format("{} != 0.0", x.as_array().in(Strength::sum)), x.shape,
              Strength::comparison, Form::mask);
}

Code whole_mask(const Code& mask, const Shape& shape) {
  if (mask.shape == shape) return mask;
  const Code full = mask.as_matrix().materialized(shape);
  return made(fmt::format("{} != 0.0", full.as_array().in(Strength::sum)), shape,
              Strength::comparison, Form::mask);
}

Code chosen(const Code& condition, const Code& a, const Code& b, const Shape& shape) {
  const Code mask = as_mask(condition);
  if (mask.is_scalar()) {
    const Code yes = a.materialized(shape), no = b.materialized(shape);
    return made(fmt::format("({} ? {} : {})", mask.in(Strength::sum),
                            shape.numel() == 1 ? yes.text : fmt::format("MatrixXd({})", yes.text),
                            shape.numel() == 1 ? no.text : fmt::format("MatrixXd({})", no.text)),
                shape, Strength::atom, Form::matrix);
  }
  const Code whole = whole_mask(mask, shape);
  const auto arm = [&](const Code& x, bool other_is_scalar) {
    return x.is_scalar() && !other_is_scalar ? x.text : x.materialized(shape).as_array().text;
  };
  const bool both = a.is_scalar() && b.is_scalar();
  return made(whole.member(fmt::format("select({}, {})", arm(a, both), arm(b, false))), shape,
              Strength::atom, Form::array);
}

}  // namespace chainrule::emission
