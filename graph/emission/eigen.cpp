#include <chainrule/graph/emission/eigen.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string_view>

#include <chainrule/core/detail/text.hpp>
#include <chainrule/core/op.hpp>
#include <chainrule/graph/derivation/role_check.hpp>
#include <chainrule/graph/derivation/tried.hpp>
#include <chainrule/graph/emission/arithmetic.hpp>
#include <chainrule/graph/emission/helpers.hpp>
#include <chainrule/graph/emission/identifiers.hpp>
#include <chainrule/graph/said_by_op.hpp>

namespace chainrule::emission {

namespace {

using Strength = Code::Strength;
using Form = Code::Form;

// How strongly the code of an op holds together: what stands outside of all brackets decides.
Strength strength_of(std::string_view text) {
  Strength strength = Strength::atom;
  const auto weaken = [&](Strength to) { strength = std::min(strength, to); };
  int depth = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const std::string_view rest = text.substr(i);
    if (rest[0] == '(' || rest[0] == '[' || rest[0] == '{') ++depth;
    if (rest[0] == ')' || rest[0] == ']' || rest[0] == '}') --depth;
    if (depth != 0) continue;
    if (i == 0 && (rest[0] == '-' || rest[0] == '!')) weaken(Strength::prefix);
    if (i == 0 || rest.starts_with("->") || text.substr(i - 1).starts_with("->")) continue;
    if (rest[0] == '*' || rest[0] == '/' || rest[0] == '%') weaken(Strength::product);
    if (rest[0] == '+' || rest[0] == '-') weaken(Strength::sum);
    if (std::string_view("<>=!&|?^").find(rest[0]) != std::string_view::npos)
      weaken(Strength::comparison);
  }
  return strength;
}

// What stands alone between parentheses or commas needs no parentheses of its own.
bool is_argument(std::string_view before, std::string_view behind) {
  return (before.ends_with('(') || before.ends_with(", ")) &&
         before.find('(') != std::string_view::npos &&
         (behind.starts_with(')') || behind.starts_with(','));
}

// Calls f(k, before, behind) for every {k} in the code of an op.
template <class F>
void for_each_operand(std::string_view text, F&& f) {
  for (std::size_t at = 0; at < text.size(); ++at)
    if (const auto k = operand_at(text.substr(at))) f(*k, text.substr(0, at), text.substr(at + 3));
}

// The code of an op with its operands in the places {0}, {1} …
std::string filled(std::string_view text, const std::vector<Code>& operands) {
  std::string result;
  std::size_t done = 0;
  for_each_operand(text, [&](std::size_t k, std::string_view before, std::string_view behind) {
    const Code& x = operands.at(k);
    result += before.substr(done);
    result += is_argument(before, behind) ? x.text : x.in(Strength::atom);
    done = text.size() - behind.size();
  });
  result += text.substr(done);
  // What stands behind a comment at the end is code.
  const std::size_t last = text.rfind('\n');
  if (text.find("//", last == std::string_view::npos ? 0 : last) != std::string_view::npos)
    result += '\n';
  return result;
}

// Whether a number may stand for all elements of operand k: where that is all that a member of
// Eigen's takes which takes numbers, too. Elsewhere its own members may be called.
bool may_be_number(std::string_view text, std::size_t operand) {
  static constexpr std::string_view members[] = {".max(", ".min(", ".pow(", ".cwiseMax(",
                                                 ".cwiseMin("};
  bool may = true;
  for_each_operand(text, [&](std::size_t k, std::string_view before, std::string_view behind) {
    if (k == operand)
      may = may && behind.starts_with(')') &&
            std::ranges::any_of(members, [&](auto member) { return before.ends_with(member); });
  });
  return may;
}

// One number stands for all elements of an operand, where the operation makes the same of each.
std::vector<Code> with_all_elements(const Expression& e, std::vector<Code> operands) {
  const auto is_whole = [&](std::size_t k) {
    return !e.operands[k] || operands[k].shape.numel() == e.operands[k]->shape.numel();
  };
  for (std::size_t k = 0; k < operands.size(); ++k) {
    if (is_whole(k)) continue;
    if (derivation::acts_elementwise(e).value_or(false)) break;
    operands[k] = operands[k].materialized(e.operands[k]->shape);
  }
  return operands;
}

// What they broadcast to.
Shape shape_of(const std::vector<Code>& operands) {
  Shape shape;
  for (const Code& x : operands) shape = broadcast(shape, x.shape);
  return shape;
}

// An elementwise operation: of doubles, of matrices where Eigen has it, else of arrays, all of one
// shape.
Code elementwise(const Expression& e, const EigenForm& form, std::vector<Code> operands) {
  const Shape shape = shape_of(operands);
  const bool masks = form.kind == EigenForm::Kind::mask;
  if (masks)
    for (Code& x : operands) x = as_mask(x);
  const bool gives_mask = masks || e.application->dtype() == boolean;
  const Form gives = gives_mask ? Form::mask : Form::array;
  const bool scalar = std::ranges::all_of(operands, &Code::is_scalar);
  if (scalar) {
    check_given(e, form.scalar, "scalar");
    if (!masks)
      for (Code& x : operands) x = x.as_matrix();
    return made(filled(form.scalar, operands), shape, strength_of(form.scalar), gives);
  }
  const bool of_matrix = operands[0].form == Form::matrix && !form.matrix.empty();
  const std::string& text = of_matrix ? form.matrix : form.array;
  check_given(e, text, "array");
  for (std::size_t k = 0; k < operands.size(); ++k) {
    Code& x = operands[k];
    if (masks)
      x = whole_mask(x, shape);
    else if (!x.is_scalar() || !may_be_number(text, k))
      x = of_matrix ? x.materialized(shape).as_matrix() : x.materialized(shape).as_array();
    else
      x = x.as_matrix();
  }
  const bool is_vector =
      std::ranges::all_of(operands, [](const Code& x) { return x.is_vector || x.is_scalar(); });
  Code result =
      made(filled(text, operands), shape, strength_of(text), of_matrix ? Form::matrix : gives);
  result.is_vector = is_vector;
  return result;
}

// A function of doubles, or of matrices of one shape.
Code called(std::string_view function, const std::vector<Code>& operands) {
  const Shape shape = shape_of(operands);
  std::string arguments;
  for (const Code& x : operands)
    arguments += (arguments.empty() ? "" : ", ") +
                 (x.shape == shape ? x : x.materialized(shape)).as_matrix().text;
  return made(fmt::format("{}({})", function, arguments), shape, Strength::atom, Form::matrix);
}

// That of the op's own definition.
Code called(const Expression& e, const std::vector<Code>& operands) {
  const Argument of = shape_of(operands).numel() == 1 ? Argument::number : Argument::matrix;
  check_defined(e, e.op()->name(), std::vector(operands.size(), of), of);
  return called(function_name(*e.op(), e.op()->name()), operands);
}

// --- reductions ---

// What a reduction over the rows leaves is a row, and as a tensor of one axis a column.
Code as_column_of(Code row, const Shape& shape) {
  row.shape = Shape{1, shape[0]};
  row = row.transposed();
  row.shape = shape;
  return row;
}

// A reduction over axes: a member function of matrices, or a function of ours for all elements,
// columns or rows.
Code reduced(const Expression& e, const EigenForm& form, const Code& x) {
  const Shape &from = e.operands[0]->shape, &to = e.shape;
  const bool has_function = form.array.empty();
  const Role role = e.role();
  const bool adds = role.is(Role::Kind::total) || role.is(Role::Kind::mean);
  // Of what Eigen's arrays have as its matrices do.
  static constexpr std::string_view of_arrays[] = {"sum()", "mean()", "maxCoeff()", "minCoeff()",
                                                   "prod()"};
  const bool of_matrix = std::ranges::find(of_arrays, form.array) == std::end(of_arrays);
  const Code whole = of_matrix                            ? x.materialized(from).as_matrix()
                     : x.is_scalar() && from.numel() == 1 ? x
                     : x.form == Form::mask               ? x.as_array().materialized(from)
                     : x.shape == from                    ? x
                                                          : x.materialized(from);
  const std::uint32_t every = (std::uint32_t{1} << from.rank()) - 1;
  if (adds && (from.numel() == 1 || (form.axes & every) == 0))
    return made(whole.text, to, whole.strength, whole.form);
  const bool all = (form.axes & every) == every || to.numel() == 1, over_rows = form.axes == 1;
  const std::string matrix =
      whole.is_scalar() ? fmt::format("MatrixXd::Constant(1, 1, {})", whole.as_matrix().text)
                        : whole.text;
  if (has_function) {
    const std::string function = std::string(e.op()->name()) + (all         ? ""
                                                                : over_rows ? "_columns"
                                                                            : "_rows");
    check_defined(e, function, {Argument::matrix}, all ? Argument::number : Argument::matrix);
    Code result = made(fmt::format("{}({})", function_name(*e.op(), function), matrix), to,
                       Strength::atom, Form::matrix);
    return !all && over_rows && !form.keepdim ? as_column_of(std::move(result), to) : result;
  }
  if (all)
    return made((whole.is_scalar() ? Code{matrix, from} : whole).member(form.array), to,
                Strength::atom, Form::matrix);
  Code result =
      made(whole.member(fmt::format("{}().{}", over_rows ? "colwise" : "rowwise", form.array)), to,
           Strength::atom, whole.form);
  // What remains is a row.
  if (over_rows && !form.keepdim) result = as_column_of(std::move(result), to);
  result.is_vector = to.rank() == 1 || !over_rows;
  return result;
}

// softmax and its relatives: a function of ours for columns, and one for rows.
Code along(const Expression& e, const EigenForm& form, const Code& x) {
  const std::string name =
      fmt::format("{}_{}", e.op()->name(), form.axes == 1 ? "columns" : "rows");
  check_defined(e, name, {Argument::matrix}, Argument::matrix);
  const std::string function = function_name(*e.op(), name);
  const Code whole = x.materialized(e.shape).as_matrix();
  if (whole.is_scalar())
    return made(fmt::format("{}(MatrixXd::Constant(1, 1, {}))(0, 0)", function, whole.text),
                e.shape, Strength::atom, Form::matrix);
  return made(fmt::format("{}({})", function, whole.text), e.shape, Strength::atom, Form::matrix);
}

// --- products ---

Code product(const Expression& e, const std::vector<Code>& operands) {
  const Role role = e.role();
  const Shape &shape_a = e.operands[0]->shape, &shape_b = e.operands[1]->shape;
  Code a = operands[0].materialized(shape_a).as_matrix();
  Code b = operands[1].materialized(shape_b).as_matrix();
  if (role.transposed[0]) a = a.transposed();
  if (role.transposed[1]) b = b.transposed();
  const bool outer = role.is(Role::Kind::outer_product);
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

bool is_said_by_role(const Expression& e) {
  using enum Role::Kind;
  static constexpr Role::Kind roles[] = {
      sum,       difference, negation,       Role::Kind::product, quotient,     reciprocal,
      selection, conversion, copy,           permutation,         reshape,      slice,
      scatter,   join,       matrix_product, outer_product,       inner_product};
  return e.output == 0 && std::ranges::find(roles, e.role().kind) != std::end(roles);
}

[[noreturn]] void fail(const Expression& e) {
  if (e.is_saved())
    throw ValueError(
        fmt::format("emit_cpp: the gradient rule of {} computes with what the op saved "
                    "on the way, value {}, and emitted code does not have it",
                    e.op()->name(), e.output - e.application->output_count()),
        e.application->where(),
        "write the rule with operands and results, or hand the value to an op of its "
        "own");
  throw ValueError(
      fmt::format("emit_cpp: {} has no form in Eigen that this writes", e.op()->name()),
      e.application->where(),
      e.application->output_count() > 1
          ? "an op of several results gives simpler operations by Op::output_written_out()"
          : "an op can give one by Op::eigen(), or in simpler operations by Op::written_out()");
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
  if (e.is_saved()) return false;
  if (is_said_by_role(e)) return true;
  return e.output == 0 && form_of(e).kind != EigenForm::Kind::none;
}

// What the op is in algebra says how it is written.
Code EigenWriter::by_role(const Expression& e, const std::vector<Code>& operands) {
  using enum Role::Kind;
  const Code& x = operands[0];
  switch (e.role().kind) {
    case sum:
      return added(x, "+", operands[1]);
    case difference:
      return added(x, "-", operands[1]);
    case negation:
      return negated(x);
    case Role::Kind::product:
      return multiplied(x, operands[1]);
    case quotient:
      return divided(x, operands[1]);
    case reciprocal:
      return divided(literal_code(1), x);
    case selection:
      return chosen(x, operands[1], operands[2], e.shape);
    case conversion:
      return x.form == Form::mask ? x.as_array() : x;
    case copy:
    case permutation:
    case reshape:
    case slice:
      return moved(e, x);
    case scatter:
      return scattered(e, x, helpers_);
    case join:
      return joined(e, operands, helpers_);
    default:
      return emission::product(e, operands);
  }
}

Code EigenWriter::operation(const Expression& e, const std::vector<Code>& operands) {
  if (!has_form(e)) fail(e);
  check_axes(e);
  if (is_said_by_role(e) ||
      chainrule::detail::eigen_said(*e.application).kind == EigenForm::Kind::none)
    derivation::check_numbers(e);
  if (is_said_by_role(e)) return by_role(e, operands);
  EigenForm form = form_of(e);
  check_form(e, form);
  const Op& op = *e.op();
  const char* name = op.name();
  if (*op.eigen_definition()) helpers_.emplace(function_name(op, name), definition_of(op));
  const Code& x = operands[0];
  switch (form.kind) {
    case EigenForm::Kind::function:
      return called(e, with_all_elements(e, operands));
    case EigenForm::Kind::reduction:
      return reduced(e, form, x);
    case EigenForm::Kind::lines:
      return along(e, form, x);
    case EigenForm::Kind::comparison:
      if (x.is_scalar() && !operands[1].is_scalar())
        check_given(e, form.scalar, "scalar");
      else
        check_given(e, form.array, "array");
      return compared(x, form.array, form.scalar, operands[1]);
    default: {
      for (std::string* code : {&form.array, &form.scalar, &form.matrix})
        *code = calling(op, *code);
      Code code = elementwise(e, form, with_all_elements(e, operands));
      check_mask(e, form);
      return code;
    }
  }
}

std::string slope_function(const Expression& slope) {
  std::string name = slope.op()->name();
  if (!is_identifier(name)) {
    // What no two have in common stands behind what is left of it.
    const std::size_t whole = std::hash<std::string>{}(name);
    std::erase_if(name, [](char c) { return !detail::is_letter(c) && !detail::is_digit(c); });
    name = fmt::format("op_{}_{:x}", name, whole);
  }
  name += "_slope";
  const std::span<const std::byte> bytes = slope.application->parameters().bytes();
  if (bytes.empty()) return name;
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  return fmt::format("{}_{:x}", name, std::hash<std::string_view>{}(text));
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
      return called(name, {known_.at(e.operands[0].get())});
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
