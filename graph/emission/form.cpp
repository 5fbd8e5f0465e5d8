#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <string>

#include <chainrule/core/create.hpp>
#include <chainrule/core/detail/text.hpp>
#include <chainrule/core/op.hpp>
#include <chainrule/graph/derivation/role_check.hpp>
#include <chainrule/graph/emission/eigen.hpp>
#include <chainrule/graph/emission/identifiers.hpp>
#include <chainrule/graph/said_by_op.hpp>
#include <chainrule/ops/reduce/reduced.hpp>
#include <chainrule/ops/reduce/reduction.hpp>
#include <chainrule/ops/shape/manipulation.hpp>

// What an op says of its code, and whether that can be.

namespace chainrule::emission {

namespace {

using derivation::broadcast_of;

// The same numbers, up to rounding: sums of some thousand whole numbers, divided.
bool is_same(const std::vector<double>& a, const std::vector<double>& b) {
  return std::ranges::equal(
      a, b, [](double x, double y) { return std::abs(x - y) <= 1e-9 * std::abs(y); });
}

// A sum or mean over the axes that the op itself, applied to numbers, turns out to have.
EigenForm reduction_form(const Expression& e) {
  const Role role = e.role();
  const bool is_mean = role.is(Role::Kind::mean);
  const NoGrad guard;
  const Shape& from = e.operands[0]->shape;
  const Tensor numbers = reshape(arange(1, from.numel() + 1, 1, f64), from);
  const std::vector<double> made =
      apply_again(*e.application, std::span(&numbers, 1)).to_vector<double>();
  const bool keepdim = e.shape.rank() == from.rank();
  for (std::uint32_t axes = 0; axes < std::uint32_t{1} << std::min(from.rank(), 2); ++axes) {
    if (reduced_shape(from, axes, keepdim) != e.shape && e.shape.numel() != 1) continue;
    Tensor reduced = numbers;
    for (int axis = 0; axis < from.rank(); ++axis)
      if (axes >> axis & 1)
        reduced = is_mean ? mean(reduced, axis, true) : sum(reduced, axis, true);
    if (!is_same(reduced.to_vector<double>(), made)) continue;
    return {.kind = EigenForm::Kind::reduction,
            .array = is_mean ? "mean()" : "sum()",
            .axes = axes,
            .keepdim = keepdim};
  }
  derivation::throw_wrong_role(e, role, "it computes something else");
}

EigenForm form_by_role(const Expression& e) {
  using enum Role::Kind;
  const Role role = e.role();
  switch (role.kind) {
    case square:
      return EigenForm::member("square()", "{0} * {0}");
    case exponential:
      return EigenForm::member("exp()", "std::exp({0})");
    case logarithm:
      if (role.argument != 0) return {};
      return EigenForm::member("log()", "std::log({0})");
    case total:
    case mean:
      return e.operands[0]->shape.rank() > 2 ? EigenForm{} : reduction_form(e);
    default:
      return {};
  }
}

[[noreturn]] void fail(const Expression& e, const std::string& what, const char* hint) {
  throw ValueError(fmt::format("emit_cpp: the eigen() of {} {}", e.op()->name(), what),
                   e.application->where(), hint);
}

const char* name_of(EigenForm::Kind kind) {
  static constexpr const char* names[] = {"none",     "elementwise", "mask", "comparison",
                                          "function", "reduction",   "lines"};
  static_assert(std::size(names) == static_cast<std::size_t>(EigenForm::Kind::lines) + 1);
  return names[static_cast<std::size_t>(kind)];
}

std::string shapes_of(const Expression& e) {
  std::string text;
  for (const Expr& operand : e.operands)
    text += (text.empty() ? "" : ", ") + (operand ? to_string(operand->shape) : "nothing");
  return text;
}

void check_operands(const Expression& e, std::string_view code) {
  for (std::size_t at = 0; at < code.size(); ++at)
    if (const auto k = operand_at(code.substr(at));
        k && !(*k < e.operands.size() && e.operands[*k]))
      fail(e,
           fmt::format("names {{{}}}, and the op {}", *k,
                       *k < e.operands.size()
                           ? "was applied without it"
                           : "has " + chainrule::detail::counted(std::ssize(e.operands), "operand",
                                                                 "operands")),
           "name operands that are there, from {0} on");
}

void check_reduction(const Expression& e, const EigenForm& form) {
  const Shape& from = e.operands[0]->shape;
  const Shape left = reduced_shape(from, form.axes, form.keepdim);
  if (left.numel() != e.shape.numel() || (left.numel() != 1 && left != e.shape))
    fail(e,
         fmt::format("says a reduction that leaves {} of {}, but the result has {}",
                     to_string(left), to_string(from), to_string(e.shape)),
         "bit i of axes stands for axis i, and keepdim for extents 1 in their places");
  const Role role = e.role();
  const bool adds = role.is(Role::Kind::total) || role.is(Role::Kind::mean);
  if (!adds && from.numel() != 1 && (form.axes & ((std::uint32_t{1} << from.rank()) - 1)) == 0)
    fail(e, "says a reduction over no axis", "over none give none, and written_out() instead");
}

}  // namespace

std::optional<std::size_t> operand_at(std::string_view text) {
  if (text.size() < 3 || text[0] != '{' || text[2] != '}') return {};
  return text[1] >= '0' && text[1] <= '9' ? std::optional<std::size_t>(text[1] - '0')
                                          : std::nullopt;
}

EigenForm form_of(const Expression& e) {
  EigenForm form = chainrule::detail::eigen_said(*e.application);
  return form.kind == EigenForm::Kind::none ? form_by_role(e) : form;
}

void check_form(const Expression& e, const EigenForm& form) {
  using enum EigenForm::Kind;
  if (e.operands.empty() || !e.operands[0])
    fail(e, "gives code, and there is no operand 0", "give none, and written_out() instead");
  switch (form.kind) {
    case reduction:
      return check_reduction(e, form);
    case lines:
      if (form.axes != 1 && form.axes != 2)
        fail(e, fmt::format("says lines along axes {}", form.axes),
             "axes has one bit: 1 for columns, 2 for rows");
      if (e.operands[0]->shape != e.shape)
        fail(e,
             fmt::format("says lines of {}, but the result has {}", shapes_of(e),
                         to_string(e.shape)),
             "operand and result have one shape");
      return;
    case function:
    case comparison:
      for (std::size_t k = 0;
           k < std::max<std::size_t>(e.operands.size(), form.kind == comparison ? 2 : 0); ++k)
        check_operands(e, fmt::format("{{{}}}", k));
      break;
    default:
      for (const std::string* code : {&form.array, &form.scalar, &form.matrix})
        check_operands(e, *code);
  }
  if (broadcast_of(e.operands) != e.shape)
    fail(e,
         fmt::format("says {}, but the result {} is not what {} broadcast to", name_of(form.kind),
                     to_string(e.shape), shapes_of(e)),
         "give none, and written_out() instead");
}

void check_mask(const Expression& e, const EigenForm& form) {
  const DType dtype = e.application->dtype();
  if (form.kind != EigenForm::Kind::mask || dtype == boolean) return;
  fail(e, fmt::format("says a mask, but the result is {}", chainrule::name_of(dtype)),
       "a mask is boolean, and so are its operands: give elementwise");
}

void check_given(const Expression& e, const std::string& code, const char* member) {
  if (!code.empty()) return;
  fail(e, fmt::format("needs .{} for {}, and it is empty", member, shapes_of(e)),
       "give array for Eigen arrays, and scalar for doubles, which tensors of one element are");
}

namespace {

const char* name_of(Argument argument) {
  return argument == Argument::number ? "double" : "MatrixXd";
}

}  // namespace

void check_defined(const Expression& e, const std::string& function,
                   const std::vector<Argument>& arguments, Argument result) {
  if (!Identifiers::is_function(function))
    fail(e, fmt::format("needs a function {}, and none can be called so in C++", function),
         "call the op otherwise, or give code that names no function of its name");
  const auto fail_with = [&](const std::string& needs, const char* how, const char* hint) {
    fail(e, fmt::format("needs a function {}, which its eigen_definition() {}", needs, how), hint);
  };
  const char* code = e.op()->eigen_definition();
  const Defined defined = words_in(code).contains(function)
                              ? defined_in(code, function, arguments, result)
                              : Defined::no;
  std::string taken;
  for (const Argument argument : arguments)
    taken += (taken.empty() ? "" : ", ") + std::string(name_of(argument));
  switch (defined) {
    case Defined::no:
      fail_with(function, "does not define",
                "define it, or say the operation in simpler ones by written_out()");
      break;
    case Defined::declared:
      fail_with(function, "declares, but does not define",
                "give its body there, or say the operation in simpler ones by written_out()");
      break;
    case Defined::for_others:
      fail_with(fmt::format("{}({})", function, taken), "has for other arguments alone",
                "what the code calls is of doubles where tensors have one element, else of "
                "matrices, which are constant: define it for these, too, or say the operation in "
                "simpler ones by written_out()");
      break;
    case Defined::giving_other:
      fail_with(fmt::format("{}({}) that gives {}", function, taken, name_of(result)),
                "has with another result alone",
                "tensors of one element are doubles in the code, and others matrices");
      break;
    case Defined::yes:
      break;
  }
}

}  // namespace chainrule::emission
