#include <chainrule/graph/checking/confused_functions.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <numbers>

#include <chainrule/core/create.hpp>
#include <chainrule/core/op.hpp>
#include <chainrule/graph/derivation/build.hpp>
#include <chainrule/graph/derivation/compare.hpp>
#include <chainrule/graph/derivation/notation.hpp>
#include <chainrule/ops/elementwise/activations.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/elementwise/convert.hpp>
#include <chainrule/ops/elementwise/functions.hpp>
#include <chainrule/ops/elementwise/log.hpp>
#include <chainrule/ops/elementwise/select.hpp>

namespace chainrule::derivation {

namespace {

using Kind = Expression::Kind;

constexpr NamedFunction functions[] = {
    {"the operand", [](const Tensor& x) { return x * 1.0; }},
    {"sin", [](const Tensor& x) { return sin(x); }, true},
    {"cos", [](const Tensor& x) { return cos(x); }, true},
    {"−sin", [](const Tensor& x) { return -sin(x); }, true},
    {"tanh", [](const Tensor& x) { return tanh(x); }},
    {"tanh'", [](const Tensor& x) { return 1 - tanh(x) * tanh(x); }},
    {"σ", [](const Tensor& x) { return sigmoid(x); }},
    {"σ'", [](const Tensor& x) { return sigmoid(x) * sigmoid(-x); }},
    {"softplus", [](const Tensor& x) { return softplus(x); }},
    {"relu", [](const Tensor& x) { return relu(x); }},
    {"sign", [](const Tensor& x) { return sign(x); }},
    {"abs", [](const Tensor& x) { return abs(x); }},
    {"exp", [](const Tensor& x) { return exp(x); }},
    {"log", [](const Tensor& x) { return log(x); }},
    {"the square", [](const Tensor& x) { return x * x; }},
    {"the square root", [](const Tensor& x) { return sqrt(x); }},
    {"the inverse", [](const Tensor& x) { return 1 / x; }}};

constexpr NamedFunction known_slopes[] = {
    {"σ'", [](const Tensor& x) { return sigmoid(x) * sigmoid(-x); }},
    {"tanh'", [](const Tensor& x) { return 1 - tanh(x) * tanh(x); }},
    {"arctan'", [](const Tensor& x) { return 1 / (1 + x * x); }},
    {"Φ'", [](const Tensor& x) { return exp(-x * x / 2) / std::sqrt(2 * std::numbers::pi); }},
    {"exp", [](const Tensor& x) { return exp(x); }},
    {"σ", [](const Tensor& x) { return sigmoid(x); }},
    {"step", [](const Tensor& x) { return to(x > 0.0, f64); }}};

Tensor of_sigmoid(const Tensor& y) { return y * (1 - y); }
Tensor of_tanh(const Tensor& y) { return 1 - y * y; }

constexpr SlopeOfResult of_results[] = {{"σ'", "y ⊗ (1 − y), as of a sigmoid,", of_sigmoid},
                                        {"tanh'", "1 − y², as of tanh,", of_tanh}};

constexpr WrongSlope slopes[] = {
    {[](const Tensor& y, const Tensor&, const Tensor&) { return ones_like(y); }, "{0} is missing"},
    {[](const Tensor& y, const Tensor&, const Tensor&) { return y * 1.0; },
     "{1} in the place of {0}"},
    {[](const Tensor& y, const Tensor&, const Tensor&) { return y * y; },
     "{1}² in the place of {0}"},
    {[](const Tensor& y, const Tensor&, const Tensor&) { return 1 - y; },
     "1 − {1} in the place of {0}"},
    {[](const Tensor& y, const Tensor&, const Tensor&) { return of_sigmoid(y); },
     "{1} ⊗ (1 − {1}), which is the slope of a sigmoid, in the place of {0}"},
    {[](const Tensor& y, const Tensor&, const Tensor&) { return of_tanh(y); },
     "1 − {1}², which is the slope of tanh, in the place of {0}"},
    {[](const Tensor& y, const Tensor&, const Tensor&) { return 1 + y * y; },
     "a wrong sign: 1 + {1}² in the place of {0}"},
    {[](const Tensor&, const Tensor& z, const Tensor&) { return of_sigmoid(z); },
     "z ⊗ (1 − z) in the place of {0}: taken of the operand instead of {1}, which is another "
     "tensor"},
    {[](const Tensor&, const Tensor& z, const Tensor&) { return of_tanh(z); },
     "1 − z² in the place of {0}: taken of the operand instead of {1}, which is another tensor"},
    {[](const Tensor&, const Tensor& z, const Tensor&) { return z * 1.0; },
     "the operand in the place of {0}"},
    {[](const Tensor& y, const Tensor&, const Tensor&) { return -y; }, "−{1} in the place of {0}"},
    {[](const Tensor&, const Tensor&, const Tensor& slope) { return 1 - slope; },
     "reversed: 1 − {0} in the place of {0}"},
    {[](const Tensor&, const Tensor&, const Tensor& slope) { return slope * slope; },
     "{0} stands there twice"}};

}  // namespace

bool is_function(const Expr& e) {
  return e->kind == Kind::operation && e->operands.size() == 1 && e->operands[0] &&
         e->op()->elementwise() && !e->is(Role::Kind::negation) && !e->is(Role::Kind::conversion);
}

Functions functions_in(const Expr& formula) {
  Functions functions;
  visit_parts(formula, [&](const Expr& e) {
    const bool is_slope = e->kind == Kind::slope;
    if (e->kind != Kind::operation && !is_slope) return;
    if (const Op* of = e->role().is(Role::Kind::slope) ? e->role().of : nullptr)
      functions.insert(of);
    else if (is_slope || (e->operands.size() == 1 && e->op()->elementwise()))
      functions.insert(e->op());
  });
  return functions;
}
Functions functions_in(const Trace& trace) {
  Functions functions;
  for (std::uint32_t i = 0; i < trace.size(); ++i)
    if (trace.forward(i)) functions.merge(functions_in(trace.forward(i)));
  return functions;
}

bool NamedFunction::made_of(const Functions& functions) const {
  const Environment nowhere;
  Builder builder(nowhere);
  const Expr any = number_expression(0.5, {});
  const Expr made = builder.build([&] { return of(builder.value(any)); });
  bool all = true;
  visit_parts(
      made, [&](const Expr& e) { all = all && (!is_function(e) || functions.contains(e->op())); });
  return all;
}

bool NamedFunction::is_plain_at(const Tensor& operand) const {
  const std::vector<double> values = numbers(of(operand));
  const auto are = [&](double number) {
    return std::ranges::all_of(values, [&](double x) { return x == number; });
  };
  return are(0) || (are(1) && !made_of({}));
}

bool is_piecewise_constant(const Expr& slope, const Tensor& operand) {
  const auto at = [&](const Tensor& x) {
    return numbers(evaluate(slope_expression(slope->application, constant_expression(x)), {}));
  };
  return at(operand) == at(operand * 1.001);
}

std::span<const NamedFunction> named_functions() { return functions; }
std::span<const NamedFunction> named_slopes() { return known_slopes; }
std::span<const SlopeOfResult> slopes_of_results() { return of_results; }
std::span<const WrongSlope> wrong_slopes() { return slopes; }

std::vector<NamedFunction> likely_functions(const Trace& trace, const Expr& right,
                                            const Expr& written) {
  std::vector<NamedFunction> likely(std::begin(functions), std::end(functions));
  if (!written) return likely;
  Functions mine = functions_in(written), all = functions_in(trace);
  for (const Op* op : functions_in(right)) mine.erase(op);
  const auto is_mine = [&](const NamedFunction& function) {
    return !function.made_of({}) && function.made_of(mine);
  };
  all.merge(functions_in(written));
  std::erase_if(likely, [&](const NamedFunction& function) { return !function.made_of(all); });
  std::ranges::stable_partition(likely, is_mine);
  return likely;
}

std::string function_name(const Node& application) {
  const std::string slope = slope_name(application);
  return slope.substr(0, slope.size() - 1);
}

Expr WrongSlope::made(const Expr& slope, const Environment& point) const {
  return built(point, [&](Builder& builder) {
    const Expr function = operation_expression(slope->application, slope->operands);
    return of(builder.value(function), builder.value(slope->operands[0]), builder.value(slope));
  });
}

std::string WrongSlope::said(const std::string& called) const {
  return fmt::format(fmt::runtime(words), called, called.substr(0, called.size() - 1));
}

}  // namespace chainrule::derivation
