#include <chainrule/graph/gradcheck.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include <chainrule/core/create.hpp>
#include <chainrule/core/naming_all_memory.hpp>
#include <chainrule/core/random.hpp>
#include <chainrule/core/recording.hpp>
#include <chainrule/graph/derivation/compare.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/reduce/reduction.hpp>

namespace chainrule {

namespace {

using Tensors = std::vector<Tensor>;

struct Check {
  const Function& f;
  Tensors inputs;
  GradcheckOptions options;
  Where where;
  Generator random;
  GradcheckReport report;
};

// What f gives where it is to be differentiated, or near it: f64, and of one shape.
Tensor checked(const Check& check, const Tensor& result, const Shape* shape = nullptr) {
  if (!result.defined())
    throw ValueError("gradcheck: the function returned an undefined tensor", check.where,
                     "return its result from all paths; a tensor without a value is undefined");
  if (result.dtype() != f64)
    throw DTypeError(fmt::format("gradcheck: the function gives {} {}, but differences need f64",
                                 name_of(result.dtype()), describe(result)),
                     check.where, "compute it from the f64 inputs, or convert it: to(x, f64)");
  if (shape && result.shape() != *shape)
    throw ShapeError(fmt::format("gradcheck: the function gives {}, and gave {} before",
                                 to_string(result.shape()), to_string(*shape)),
                     check.where, "its result has one shape, wherever the inputs are");
  return result.detach();
}

double relative_error(double a, double b) {
  if (std::isnan(a) && std::isnan(b)) return 0;
  const double error = std::abs(a - b) / std::max({1.0, std::abs(a), std::abs(b)});
  return std::isnan(error) ? INFINITY : error;
}

double inner(const Tensor& a, const Tensor& b) {
  return no_grad([&] { return sum(a * b).item(); });
}

std::string input_name(const Check& check, std::size_t i) {
  const std::string_view name = check.inputs[i].name();
  return name.empty() ? fmt::format("input {}", i) : fmt::format("input {} ({})", i, name);
}

// Notes the worst element of two lists of numbers.
void compare(Check& check, std::string what, const Shape& shape, std::span<const double> autograd,
             std::span<const double> reference) {
  GradcheckRow row{.what = std::move(what), .shape = shape, .worst_index = {}};
  for (std::size_t i = 0; i < autograd.size(); ++i) {
    const double error = relative_error(autograd[i], reference[i]);
    if (error < row.worst_error || (i > 0 && error == row.worst_error)) continue;
    row.worst_error = error;
    row.worst_index = position_of(static_cast<std::int64_t>(i), shape);
    row.autograd = autograd[i];
    row.reference = reference[i];
  }
  row.ok = row.worst_error <= check.options.tolerance;
  check.report.rows.push_back(std::move(row));
}

// The function at a place that the user did not give. Its error says so, by what `where` gives.
template <class Text>
Tensor value_at(const Check& check, std::span<const Tensor> moved, const Shape& shape, Text where) {
  Tensor result;
  try {
    result = check.f(moved);
  } catch (const MemoryError&) {
    throw;
  } catch (Error& error) {
    if (!error.has_context()) error.set_context("in gradcheck, " + where());
    error.set_hint(
        fmt::format("the function must be defined a step of {} around its inputs: "
                    "give others, or a smaller .step",
                    check.options.step));
    throw;
  }
  return checked(check, result, &shape);
}

// ∂⟨v, f⟩/∂xᵢ by central differences, element by element, in f64.
std::vector<double> differences(const Check& check, std::size_t i, const Tensor& v) {
  const Shape shape = v.shape();
  const std::vector<double> x = check.inputs[i].to_vector<double>();
  Tensors moved = check.inputs;
  for (Tensor& each : moved) each = each.detach();
  std::vector<double> slopes(x.size());
  for (std::size_t k = 0; k < x.size(); ++k) {
    const double step = check.options.step * std::max(1.0, std::abs(x[k]));
    double values[2], places[2];
    for (int side = 0; side < 2; ++side) {
      std::vector<double> at = x;
      at[k] += side == 0 ? -step : step;
      places[side] = at[k];
      moved[i] = from_span(std::span<const double>(at), check.inputs[i].shape());
      values[side] =
          inner(v, value_at(check, moved, shape, [&] {
                  return fmt::format(
                      "where it moves element {} of {} by {:.3g}",
                      to_string(position_of(static_cast<std::int64_t>(k), moved[i].shape())),
                      input_name(check, i), at[k] - x[k]);
                }));
    }
    slopes[k] = (values[1] - values[0]) / (places[1] - places[0]);
  }
  return slopes;
}

void check_reverse(Check& check, const Tensor& v, std::span<const Tensor> grads,
                   const std::string& order) {
  for (std::size_t i = 0; i < check.inputs.size(); ++i)
    if (check.inputs[i].dtype() == f64)
      compare(check, fmt::format("{}, {}", order, input_name(check, i)), check.inputs[i].shape(),
              grads[i].to_vector<double>(), differences(check, i, v));
}

// Forward mode along a random direction u: J·u against differences along u, and ⟨v, J u⟩ = ⟨Jᵀ v,
// u⟩.
void check_forward(Check& check, const Tensor& v, std::span<const Tensor> grads) {
  Tensors primals, directions, constants = check.inputs;
  std::vector<std::size_t> places;
  for (std::size_t i = 0; i < check.inputs.size(); ++i) {
    if (check.inputs[i].dtype() != f64) continue;
    primals.push_back(check.inputs[i]);
    directions.push_back(randn(check.inputs[i].shape(), check.random, f64));
    places.push_back(i);
  }
  const Function of_floating = [&](std::span<const Tensor> at) {
    Tensors all = constants;
    for (std::size_t k = 0; k < places.size(); ++k) all[places[k]] = at[k];
    return check.f(all);
  };
  const auto [value, tangent] = jvp(of_floating, primals, directions, check.where);

  const double step = check.options.step;
  const Shape shape = v.shape();
  const auto along = [&](double t) {
    Tensors at = constants;
    for (std::size_t k = 0; k < primals.size(); ++k)
      at[places[k]] = primals[k].detach() + t * directions[k];
    return value_at(check, at, shape,
                    [] { return std::string("where it moves all inputs at once"); });
  };
  const Tensor slope = (along(step) - along(-step)) / (2 * step);
  compare(check, "forward mode, random direction", tangent.shape(), tangent.to_vector<double>(),
          slope.to_vector<double>());

  double pulled = 0;
  for (std::size_t k = 0; k < primals.size(); ++k) pulled += inner(grads[places[k]], directions[k]);
  const double pushed = inner(v, tangent);
  compare(check, "⟨v, J u⟩ against ⟨Jᵀ v, u⟩", {}, {{pushed}}, {{pulled}});
}

GradcheckReport run(Check check, const std::string& order) {
  if (!check.f)
    throw ValueError("gradcheck: there is no function", check.where,
                     "the std::function is empty: was it moved from?");
  const Tensor value = checked(check, check.f(check.inputs));
  const Tensor v = randn(value.shape(), check.random, f64);
  const ValueAndGrad pulled = vjp(check.f, check.inputs, v, check.where);
  check_reverse(check, v, pulled.grads, order);
  if (check.options.forward) check_forward(check, v, pulled.grads);

  if (check.options.order == 2) {
    // Second order: the gradient of Σᵢ ⟨wᵢ, ∂⟨v, f⟩/∂xᵢ⟩.
    Tensors weights(check.inputs.size());
    for (std::size_t i = 0; i < weights.size(); ++i)
      if (check.inputs[i].dtype() == f64)
        weights[i] = randn(check.inputs[i].shape(), check.random, f64);
    const Function slopes = [&](std::span<const Tensor> at) {
      const EnableGrad recording;
      Tensors places(at.begin(), at.end());
      for (Tensor& place : places)
        if (place.dtype() == f64 && !place.requires_grad()) place.requires_grad_();
      const ValueAndGrad inside = vjp(check.f, places, v, check.where);
      Tensor total = zeros({}, f64);
      for (std::size_t i = 0; i < places.size(); ++i)
        if (weights[i].defined()) total = total + sum(weights[i] * inside.grads[i]);
      return total;
    };
    GradcheckOptions once = check.options;
    once.order = 1;
    const GradcheckReport second =
        run({slopes, check.inputs, once, check.where, check.random, {}}, "second order");
    for (const GradcheckRow& row : second.rows) {
      check.report.rows.push_back(row);
      if (!row.what.starts_with("second")) check.report.rows.back().what += ", second order";
    }
  }
  return check.report;
}

std::string table_of(std::span<const GradcheckRow> rows) {
  std::size_t width = 4;
  for (const GradcheckRow& row : rows) width = std::max(width, row.what.size());
  std::string text = fmt::format("{:<{}}  {:<12} {:>9}  {:<12} {:>17} {:>17}\n", "what", width,
                                 "shape", "error", "at", "autograd", "differences");
  for (const GradcheckRow& row : rows)
    text += fmt::format("{:<{}}  {:<12} {:>9.2e}  {:<12} {:>17.10g} {:>17.10g}{}\n", row.what,
                        width, chainrule::to_string(row.shape), row.worst_error,
                        chainrule::to_string(row.worst_index), row.autograd, row.reference,
                        row.ok ? "" : "  WRONG");
  return text;
}

}  // namespace

bool GradcheckReport::ok() const noexcept { return std::ranges::all_of(rows, &GradcheckRow::ok); }

std::string GradcheckReport::to_string(Where where) const {
  return detail::naming_memory("to_string", where, [&] { return table_of(rows); });
}

GradcheckReport gradcheck(const Function& f, std::span<const Tensor> inputs,
                          GradcheckOptions options, Where where) {
  if (options.order != 1 && options.order != 2)
    throw ValueError(fmt::format("gradcheck: order {} is neither 1 nor 2", options.order), where,
                     "order 1 checks gradients, 2 also the gradients of gradients");
  if (!(options.step > 0) || !(options.tolerance > 0))
    throw ValueError(fmt::format("gradcheck: step {} and tolerance {} must be positive",
                                 options.step, options.tolerance),
                     where, "leave them as they are: GradcheckOptions has what suits f64");
  bool any = false;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const std::string operand = fmt::format("input {}", i);
    if (inputs[i].value(where, "gradcheck", operand.c_str()).dtype() == f32)
      throw DTypeError(fmt::format("gradcheck: input {}, {}, is f32, too coarse for differences", i,
                                   describe(inputs[i])),
                       where, "convert it: to(x, f64)");
    any |= inputs[i].dtype() == f64;
  }
  if (!any)
    throw ValueError("gradcheck: no input is f64, so there is nothing to check", where,
                     "convert what is to be differentiated: to(x, f64)");
  return detail::naming_all_memory("gradcheck", where, [&] {
    return run(
        {f, Tensors(inputs.begin(), inputs.end()), options, where, Generator(options.seed), {}},
        "gradient");
  });
}

GradcheckReport gradcheck(const Function& f, std::initializer_list<Tensor> inputs,
                          GradcheckOptions options, Where where) {
  return gradcheck(f, std::span(inputs.begin(), inputs.size()), options, where);
}

}  // namespace chainrule
