#include <chainrule/graph/emission/eigen.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <string_view>

#include <chainrule/core/create.hpp>
#include <chainrule/core/op.hpp>
#include <chainrule/ops/convert.hpp>
#include <chainrule/ops/reduction.hpp>
#include <chainrule/ops/softmax.hpp>

namespace chainrule::emission {

namespace {

using Strength = Code::Strength;
using Form = Code::Form;

// Elementwise functions: what stands behind an array, and what is called with a double. `helper`
// is one of ours, which takes both.
struct Function {
  std::string_view op;
  std::string_view of_array;
  std::string_view of_double;
  std::string_view of_matrix = "";  // where Eigen has it for matrices, too
};
constexpr Function functions[] = {
    {"square", "square()", "({0} * {0})"},
    {"sqrt", "sqrt()", "std::sqrt({0})", "cwiseSqrt()"},
    {"exp", "exp()", "std::exp({0})"},
    {"expm1", "expm1()", "std::expm1({0})"},
    {"log", "log()", "std::log({0})"},
    {"log1p", "log1p()", "std::log1p({0})"},
    {"sin", "sin()", "std::sin({0})"},
    {"cos", "cos()", "std::cos({0})"},
    {"tanh", "tanh()", "std::tanh({0})"},
    {"abs", "abs()", "std::abs({0})", "cwiseAbs()"},
    {"sign", "sign()", "double(({0} > 0.0) - ({0} < 0.0))"},
    {"relu", "max(0.0)", "std::max({0}, 0.0)", "cwiseMax(0.0)"},
    {"isnan", "isNaN()", "std::isnan({0})"},
    {"isinf", "isInf()", "std::isinf({0})"},
    {"isfinite", "isFinite()", "std::isfinite({0})"},
};
constexpr std::string_view helper_functions[] = {"sigmoid", "log_sigmoid", "softplus"};

struct Comparison {
  std::string_view op, sign, reversed;
};
constexpr Comparison comparisons[] = {{"eq", "==", "=="}, {"ne", "!=", "!="}, {"lt", "<", ">"},
                                      {"le", "<=", ">="}, {"gt", ">", "<"},   {"ge", ">=", "<="}};

template <class Table>
const auto* find(const Table& table, std::string_view op) {
  const auto* at = std::ranges::find(table, op, [](const auto& row) { return row.op; });
  return at == std::end(table) ? nullptr : at;
}

bool is_one_of(std::initializer_list<std::string_view> names, std::string_view name) {
  return std::ranges::find(names, name) != names.end();
}

Code made(std::string text, const Shape& shape, Strength strength, Form form) {
  return {std::move(text), shape, strength,
          shape.numel() == 1 && form == Form::array ? Form::matrix : form};
}

// The shape that two broadcast to.
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
  Code result = made(fmt::format("{} {} {}", a.in(strength), sign,
                                 b.in(commutes && sign == "+" ? strength : tighter)),
                     shape, strength, form);
  result.is_vector = is_vector;
  return result;
}

// A matrix or array where it does not matter which: arrays if one of them is.
void same_form(Code& a, Code& b) {
  if (a.form == b.form) return;
  a = a.as_array();
  b = b.as_array();
}

Code added(Code a, std::string_view sign, Code b) {
  const bool minus = sign == "-";
  if (a.is_scalar() && b.is_scalar())
    return made(fmt::format("{} {} {}", a.in(Strength::sum), sign,
                            b.in(minus ? Strength::product : Strength::sum)),
                broadcast(a.shape, b.shape), Strength::sum, Form::matrix);
  if (a.is_scalar() || b.is_scalar()) {
    const Shape shape = broadcast(a.shape, b.shape);
    a = a.as_array();
    b = b.as_array();
    return made(fmt::format("{} {} {}", a.in(Strength::sum), sign,
                            b.in(minus ? Strength::product : Strength::sum)),
                shape, Strength::sum, Form::array);
  }
  same_form(a, b);
  return elementwise(a, sign, b, Strength::sum, !minus);
}

Code negated(const Code& x) {
  if (x.strength == Strength::prefix && x.text.starts_with('-'))
    return made(x.text.substr(1), x.shape, Strength::atom, x.form);
  return made("-" + x.in(Strength::prefix), x.shape, Strength::prefix, x.form);
}

// The whole number of which a literal is the inverse, or 0.
double inverse_of(const std::string& text) {
  if (text.empty() || text.find_first_not_of("0123456789.e-") != std::string::npos) return 0;
  const double number = std::stod(text);
  const double inverse = number == 0 ? 0 : std::round(1 / number);
  return std::abs(number) < 1 && inverse != 0 && number == 1 / inverse ? inverse : 0;
}

Code multiplied(Code a, Code b) {
  const Shape shape = broadcast(a.shape, b.shape);
  if (a.form == Form::mask) a = a.is_scalar() ? a.as_matrix() : a.as_array();
  if (b.form == Form::mask) b = b.is_scalar() ? b.as_matrix() : b.as_array();
  if (a.is_scalar() || b.is_scalar()) {
    if (!a.is_scalar() || (b.is_scalar() && inverse_of(b.text) != 0)) std::swap(a, b);
    if (a.text == "1.0") return b;
    if (b.text == "1.0" && b.is_scalar()) return a;
    if (a.text == "-1.0") return negated(b);
    // x / 6 rather than 0.1666… x.
    if (const double inverse = inverse_of(a.text); inverse != 0)
      return made(fmt::format("{} / {}", b.in(Strength::product), literal(inverse)), shape,
                  Strength::product, b.form);
    return made(fmt::format("{} * {}", a.in(Strength::product), b.in(Strength::prefix)), shape,
                Strength::product, b.form);
  }
  const Code whole{"", shape};
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
  const Shape shape = broadcast(a.shape, b.shape);
  if (b.text == "1.0") return a;
  if (b.is_scalar())
    return made(fmt::format("{} / {}", a.in(Strength::product), b.in(Strength::prefix)), shape,
                Strength::product, a.form);
  if (a.is_scalar()) {
    if (a.text == "1.0" && b.form == Form::matrix)
      return made(b.member("cwiseInverse()"), shape, Strength::atom, Form::matrix);
    return made(fmt::format("{} / {}", a.in(Strength::product), b.as_array().in(Strength::prefix)),
                shape, Strength::product, Form::array);
  }
  if (a.shape == b.shape && a.form == Form::matrix && b.form == Form::matrix)
    return made(fmt::format("{}.cwiseQuotient({})", a.in(Strength::atom), b.text), shape,
                Strength::atom, Form::matrix);
  return elementwise(a.as_array(), "/", b.as_array(), Strength::product, false);
}

Code called(std::string_view function, const Code& x) {
  return made(fmt::format("{}({})", function, x.as_matrix().text), x.shape, Strength::atom,
              Form::matrix);
}

Code applied(const Function& function, const Code& x) {
  const bool gives_mask = function.op.starts_with("is");
  const Form form = gives_mask ? Form::mask : Form::array;
  if (x.is_scalar())
    return made(fmt::format(fmt::runtime(function.of_double),
                            function.of_double.starts_with("std") ? x.text : x.in(Strength::atom)),
                x.shape, Strength::atom, form);
  const bool stays = x.form == Form::matrix && !function.of_matrix.empty();
  Code result = stays ? made(x.member(function.of_matrix), x.shape, Strength::atom, Form::matrix)
                      : made(x.as_array().member(function.of_array), x.shape, Strength::atom, form);
  result.is_vector = x.is_vector;
  return result;
}

Code compared(const Comparison& comparison, Code a, Code b) {
  const Shape shape = broadcast(a.shape, b.shape);
  if (a.is_scalar() && !b.is_scalar())
    return made(fmt::format("{} {} {}", b.as_array().in(Strength::sum), comparison.reversed,
                            a.in(Strength::sum)),
                shape, Strength::comparison, Form::mask);
  if (b.is_scalar())
    return made(fmt::format("{} {} {}", a.as_array().in(Strength::sum), comparison.sign,
                            b.in(Strength::sum)),
                shape, Strength::comparison, Form::mask);
  const Code array_a = a.materialized(shape).as_array(), array_b = b.materialized(shape).as_array();
  return made(fmt::format("{} {} {}", array_a.in(Strength::sum), comparison.sign,
                          array_b.in(Strength::sum)),
              shape, Strength::comparison, Form::mask);
}

// A mask, from one or from numbers that stand for one.
Code as_mask(const Code& x) {
  if (x.form == Form::mask) return x;
  return made(fmt::format("{} != 0.0", x.as_array().in(Strength::sum)), x.shape,
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
  Code whole = mask;
  if (mask.shape != shape) {
    const Code full = mask.as_matrix().materialized(shape);
    whole = made(fmt::format("{} != 0.0", full.as_array().in(Strength::sum)), shape,
                 Strength::comparison, Form::mask);
  }
  const auto arm = [&](const Code& x, bool other_is_scalar) {
    return x.is_scalar() && !other_is_scalar ? x.text : x.materialized(shape).as_array().text;
  };
  const bool both = a.is_scalar() && b.is_scalar();
  return made(whole.member(fmt::format("select({}, {})", arm(a, both), arm(b, false))), shape,
              Strength::atom, Form::array);
}

// --- reductions ---

// f over the reduced axes: a member function of matrices.
Code reduced(const Code& x, const Shape& from, const Node& node, std::string_view member) {
  const auto& p = node.parameters<detail::ReduceParameters>();
  const Code whole = x.is_scalar() && from.numel() == 1 ? x
                     : x.form == Form::mask             ? x.as_array().materialized(from)
                     : x.shape == from                  ? x
                                                        : x.materialized(from);
  const std::uint32_t every = (std::uint32_t{1} << from.rank()) - 1;
  if (from.numel() == 1 || p.mask == 0)
    return made(whole.text, node.shape(), whole.strength, whole.form);
  if (p.mask == every || node.shape().numel() == 1)
    return made(whole.member(fmt::format("{}()", member)), node.shape(), Strength::atom,
                Form::matrix);
  const bool over_rows = p.mask == 1;  // what remains is a row
  Code result =
      made(whole.member(fmt::format("{}().{}()", over_rows ? "colwise" : "rowwise", member)),
           node.shape(), Strength::atom, whole.form);
  if (over_rows && !p.keepdim) {
    result.shape = Shape{1, node.shape()[0]};
    result = result.transposed();
    result.shape = node.shape();
  }
  result.is_vector = node.shape().rank() == 1 || !over_rows;
  return result;
}

// softmax and its relatives: a function of ours for columns, and one for rows.
Code along(const Code& x, const Shape& from, int axis, const std::string& name, Helpers& helpers) {
  const std::string function = name + (axis == 0 ? "_columns" : "_rows");
  helpers.insert(function);
  return made(fmt::format("{}({})", function, x.materialized(from).as_matrix().text), from,
              Strength::atom, Form::matrix);
}

// --- products ---

Code product(const Expression& e, const std::vector<Code>& operands) {
  const std::string_view name = e.op()->name();
  const Shape &shape_a = e.operands[0]->shape, &shape_b = e.operands[1]->shape;
  Code a = operands[0].materialized(shape_a).as_matrix();
  Code b = operands[1].materialized(shape_b).as_matrix();
  if (name == "matmul_tn" || name == "matmul_tt") a = a.transposed();
  if (name == "matmul_nt" || name == "matmul_tt") b = b.transposed();
  const bool outer = name == "outer";
  if (!outer && shape_a.rank() == 1 && shape_b.rank() == 2 && !a.is_scalar()) {
    // aᵀB as a column is Bᵀa.
    const Code column = a;
    a = b.transposed();
    b = column;
  }
  if (a.is_scalar() || b.is_scalar()) {
    Code result = multiplied(a, b);
    // (1)·(1, k) is a column here.
    if (Code{"", result.shape}.columns() != Code{"", e.shape}.columns() && !result.is_scalar())
      result = result.transposed();
    result.shape = e.shape;
    return result;
  }
  if (outer)
    return made(
        fmt::format("{} * {}", a.in(Strength::product), b.transposed().in(Strength::prefix)),
        e.shape, Strength::product, Form::matrix);
  if (e.shape.numel() == 1) {
    const std::string row = shape_a.rank() == 1 ? a.as_column() : a.as_row();
    return made(fmt::format("{}.dot({})", row, b.as_column()), e.shape, Strength::atom,
                Form::matrix);
  }
  Code result = made(fmt::format("{} * {}", a.in(Strength::product), b.in(Strength::prefix)),
                     e.shape, Strength::product, Form::matrix);
  result.is_vector = b.is_vector;
  return result;
}

constexpr std::string_view products[] = {"matmul",    "matmul_nt", "matmul_tn",
                                         "matmul_tt", "outer",     "dot"};

bool has_product(const Expression& e) {
  return std::ranges::find(products, std::string_view(e.op()->name())) != std::end(products);
}

std::array<double, 2> bounds_of_clamp(const Expression& e) {
  const NoGrad guard;
  const double infinity = std::numeric_limits<double>::infinity();
  std::array<double, 2> bounds{};
  for (const int k : {0, 1}) {
    const Tensor at = full({}, k == 0 ? -infinity : infinity, f64);
    bounds[static_cast<std::size_t>(k)] =
        e.op()->replay(*e.application, std::span(&at, 1)).to_vector<double>()[0];
  }
  return bounds;
}

[[noreturn]] void fail(const Expression& e) {
  throw ValueError(
      fmt::format("emit_cpp: {} has no form in Eigen that this writes", e.op()->name()),
      e.application->where(),
      "an op of your own can give one in simpler operations: Op::written_out()");
}

void check_axes(const Expression& e) {
  for (const Expr& operand : e.operands)
    if (operand && operand->shape.rank() > 2 && operand->shape.numel() != 1)
      throw ValueError(fmt::format("emit_cpp: {} works on {}, and matrices of Eigen have two axes",
                                   e.op()->name(), to_string(operand->shape)),
                       e.application->where(),
                       "write the model for one sample, or with the samples in rows or columns");
}

}  // namespace

bool has_form(const Expression& e) {
  const std::string_view name = e.op()->name();
  return find(functions, name) || find(comparisons, name) || has_product(e) || is_move(e) ||
         std::ranges::find(helper_functions, name) != std::end(helper_functions) ||
         is_one_of({"relu_slope",  "add",        "sub",         "mul",       "div",  "neg",
                    "reciprocal",  "pow",        "maximum",     "minimum",   "to",   "where",
                    "logical_and", "logical_or", "logical_not", "sum",       "mean", "max",
                    "min",         "softmax",    "log_softmax", "logsumexp", "clamp"},
                   name);
}

Code EigenWriter::operation(const Expression& e, const std::vector<Code>& operands) {
  const std::string_view name = e.op()->name();
  if (!has_form(e)) fail(e);
  check_axes(e);
  const Code x = operands.empty() ? Code{} : operands[0];
  if (is_move(e)) return moved(e, operands, helpers_);
  if (const Function* function = find(functions, name)) return applied(*function, x);
  if (std::ranges::find(helper_functions, name) != std::end(helper_functions)) {
    helpers_.insert(std::string(name));
    return called(name, x);
  }
  if (const Comparison* comparison = find(comparisons, name))
    return compared(*comparison, x, operands[1]);
  if (has_product(e)) return product(e, operands);
  if (name == "add") return added(x, "+", operands[1]);
  if (name == "sub") return added(x, "-", operands[1]);
  if (name == "mul") return multiplied(x, operands[1]);
  if (name == "div") return divided(x, operands[1]);
  if (name == "reciprocal") return divided({literal(1), {}}, x);
  if (name == "neg") return negated(x);
  if (name == "relu_slope")
    return multiplied(x, compared(*find(comparisons, "gt"), operands[1], {literal(0), {}}));
  if (detail::is_conversion(*e.application)) return x.form == Form::mask ? x.as_array() : x;
  if (name == "pow") {
    const Code& exponent = operands[1];
    if (x.is_scalar() && exponent.is_scalar())
      return made(fmt::format("std::pow({}, {})", x.text, exponent.text), e.shape, Strength::atom,
                  Form::matrix);
    const Code base = x.is_scalar() ? x.materialized(e.shape) : x;
    const Shape shape = broadcast(base.shape, exponent.shape);
    const bool same = exponent.is_scalar() || base.shape == exponent.shape;
    return made(
        (same ? base : base.materialized(shape))
            .as_array()
            .member(fmt::format(
                "pow({})", exponent.is_scalar()
                               ? exponent.text
                               : (same ? exponent : exponent.materialized(shape)).as_array().text)),
        shape, Strength::atom, Form::array);
  }
  if (name == "maximum" || name == "minimum") {
    const char* member = name == "maximum" ? "max" : "min";
    if (x.is_scalar() && operands[1].is_scalar())
      return made(fmt::format("std::{}({}, {})", member, x.text, operands[1].text), e.shape,
                  Strength::atom, Form::matrix);
    const bool turned = x.is_scalar();
    const Code &a = turned ? operands[1] : x, &b = turned ? x : operands[1];
    const Shape shape = broadcast(a.shape, b.shape);
    return made(
        a.materialized(shape).as_array().member(fmt::format(
            "{}({})", member, b.is_scalar() ? b.text : b.materialized(shape).as_array().text)),
        shape, Strength::atom, Form::array);
  }
  if (name == "clamp") {
    const auto [low, high] = bounds_of_clamp(e);
    if (x.is_scalar())
      return made(
          fmt::format("std::min(std::max({}, {}), {})", x.text, literal(low), literal(high)),
          x.shape, Strength::atom, Form::matrix);
    return made(x.as_array().member(fmt::format("max({}).min({})", literal(low), literal(high))),
                x.shape, Strength::atom, Form::array);
  }
  if (name == "where") return chosen(x, operands[1], operands[2], e.shape);
  if (name == "logical_not")
    return made("!" + as_mask(x).in(Strength::atom), x.shape, Strength::prefix, Form::mask);
  if (name == "logical_and" || name == "logical_or")
    return made(
        fmt::format("({} {} {})", as_mask(x).in(Strength::sum), name == "logical_and" ? "&&" : "||",
                    as_mask(operands[1]).in(Strength::sum)),
        e.shape, Strength::atom, Form::mask);
  const Shape from = e.operands[0]->shape;
  static constexpr std::pair<std::string_view, std::string_view> reductions[] = {
      {"sum", "sum"}, {"mean", "mean"}, {"max", "maxCoeff"}, {"min", "minCoeff"}};
  for (const auto& [op, member] : reductions)
    if (name == op) return reduced(x, from, *e.application, member);
  if (name == "softmax" || name == "log_softmax")
    return along(x, from, e.application->parameters<detail::SoftmaxParameters>().axis,
                 std::string(name), helpers_);
  if (name == "logsumexp") {
    const auto& p = e.application->parameters<detail::ReduceParameters>();
    const Code whole = x.materialized(from).as_matrix();
    if (from.numel() == 1) return made(whole.text, e.shape, whole.strength, whole.form);
    if (e.shape.numel() == 1) {
      helpers_.insert("logsumexp");
      return made(fmt::format("logsumexp({})", whole.text), e.shape, Strength::atom, Form::matrix);
    }
    const std::string function = p.mask == 1 ? "logsumexp_columns" : "logsumexp_rows";
    helpers_.insert(function);
    Code result =
        made(fmt::format("{}({})", function, whole.text), e.shape, Strength::atom, Form::matrix);
    if (p.mask == 1 && !p.keepdim) {
      result.shape = Shape{1, e.shape[0]};
      result = result.transposed();
      result.shape = e.shape;
    }
    return result;
  }
  fail(e);
}

Code EigenWriter::part(const Expression& e) {
  using Kind = Expression::Kind;
  switch (e.kind) {
    case Kind::number:
      return made(literal(e.number), {}, e.number < 0 ? Strength::prefix : Strength::atom,
                  Form::matrix);
    case Kind::tensor:
    case Kind::gradient:
    case Kind::constant: {
      Code code{symbol_(e), e.shape};
      code.is_vector = e.shape.rank() == 1;
      return code;
    }
    case Kind::slope: {
      const std::string name = std::string(e.op()->name()) + "_slope";
      helpers_.insert(name);
      return called(name, known_.at(e.operands[0].get()));
    }
    default:
      break;
  }
  std::vector<Code> operands;
  for (const Expr& operand : e.operands)
    operands.push_back(operand ? known_.at(operand.get()) : Code{});
  return operation(e, operands);
}

Code EigenWriter::write(const Expr& expression) {
  visit_parts(
      expression,
      [&](const Expr& e) {
        if (known_.contains(e.get())) return;
        Code code = part(*e);
        known_.emplace(e.get(), std::move(code));
        held_.push_back(e);
      },
      [&](const Expr& e) { return !known_.contains(e.get()); });
  return known_.at(expression.get()).materialized(expression->shape);
}

void EigenWriter::keep_in(const Expr& expression, std::string variable) {
  Code code{std::move(variable), expression->shape};
  code.is_vector = expression->shape.rank() == 1;
  known_[expression.get()] = std::move(code);
  held_.push_back(expression);
}

}  // namespace chainrule::emission
