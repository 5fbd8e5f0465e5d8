#include <chainrule/graph/emission/eigen.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <string_view>

#include <chainrule/core/create.hpp>
#include <chainrule/core/op.hpp>
#include <chainrule/graph/emission/arithmetic.hpp>
#include <chainrule/ops/elementwise/convert.hpp>
#include <chainrule/ops/nn/softmax.hpp>
#include <chainrule/ops/reduce/reduction.hpp>

namespace chainrule::emission {

namespace {

using Strength = Code::Strength;
using Form = Code::Form;

// Elementwise functions: what stands behind an array, and what is called with a double.
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
constexpr std::string_view others[] = {
    "add",     "sub",     "mul", "div",     "neg",         "reciprocal", "relu_slope",  "pow",
    "maximum", "minimum", "to",  "where",   "logical_and", "logical_or", "logical_not", "sum",
    "mean",    "max",     "min", "softmax", "log_softmax", "logsumexp",  "clamp"};
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

// --- reductions ---

// What a reduction over the rows leaves is a row, and as a tensor of one axis a column.
Code as_column_of(Code row, const Shape& shape) {
  row.shape = Shape{1, shape[0]};
  row = row.transposed();
  row.shape = shape;
  return row;
}

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
  if (over_rows && !p.keepdim) result = as_column_of(std::move(result), node.shape());
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

std::vector<std::string_view> ops_with_form() {
  std::vector<std::string_view> names(std::begin(others), std::end(others));
  for (const Function& function : functions) names.push_back(function.op);
  for (const Comparison& comparison : comparisons) names.push_back(comparison.op);
  names.insert(names.end(), std::begin(products), std::end(products));
  names.insert(names.end(), std::begin(helper_functions), std::end(helper_functions));
  names.insert(names.end(), std::begin(moves), std::end(moves));
  return names;
}

bool has_form(const Expression& e) {
  static const std::vector<std::string_view> known = ops_with_form();
  return std::ranges::find(known, std::string_view(e.op()->name())) != known.end();
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
    return compared(x, comparison->sign, comparison->reversed, operands[1]);
  if (has_product(e)) return product(e, operands);
  if (name == "add") return added(x, "+", operands[1]);
  if (name == "sub") return added(x, "-", operands[1]);
  if (name == "mul") return multiplied(x, operands[1]);
  if (name == "div") return divided(x, operands[1]);
  if (name == "reciprocal") return divided(literal_code(1), x);
  if (name == "neg") return negated(x);
  if (name == "relu_slope") return multiplied(x, compared(operands[1], ">", "<", literal_code(0)));
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
    return p.mask == 1 && !p.keepdim ? as_column_of(std::move(result), e.shape) : result;
  }
  fail(e);
}

std::string slope_function(const Expression& slope) {
  const std::string name = std::string(slope.op()->name()) + "_slope";
  const Node& node = *slope.application;
  if (node.parameter_size() == 0) return name;
  const std::string_view bytes(reinterpret_cast<const char*>(&node.parameters<unsigned char>()),
                               node.parameter_size());
  return fmt::format("{}_{:x}", name, std::hash<std::string_view>{}(bytes));
}

Code EigenWriter::part(const Expression& e) {
  using Kind = Expression::Kind;
  switch (e.kind) {
    case Kind::number:
      return literal_code(e.number);
    case Kind::tensor:
    case Kind::gradient:
    case Kind::constant: {
      Code code{symbol_(e), e.shape};
      code.is_vector = e.shape.rank() == 1;
      return code;
    }
    case Kind::slope: {
      const std::string name = slope_function(e);
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
