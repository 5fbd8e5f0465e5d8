#include <chainrule/graph/gradcheck.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>
#include <optional>

#include <chainrule/core/create.hpp>
#include <chainrule/core/naming_all_memory.hpp>
#include <chainrule/core/random.hpp>
#include <chainrule/core/recording.hpp>
#include <chainrule/graph/checking/kinks.hpp>
#include <chainrule/graph/checking/moved_function.hpp>
#include <chainrule/graph/derivation/attempt.hpp>
#include <chainrule/graph/derivation/compare.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/elementwise/select.hpp>
#include <chainrule/ops/reduce/reduction.hpp>

namespace chainrule {

namespace {

using derivation::Difference;
using derivation::numbers;
using Tensors = std::vector<Tensor>;
using Doubles = std::vector<double>;
using Place = derivation::MovedFunction::Place;

// How far inputs are moved off a kink, in parts of their sizes, and the first step there.
constexpr double off_kinks = 1e-3, step_off_kinks = 1e-5;
// How much more an output may weigh than others.
constexpr double widest = 1e8;
// How far the slopes on the sides of a kink are known, in parts of what they differ by.
constexpr double of_slopes = 0.01;
// Differences know themselves but for so many times their error.
constexpr double safety = 8;

// Of one output, by how much it weighs.
std::pair<double, double> slopes_of(const Difference& d, double weight) {
  if (!d.kink) return {weight * d.value, weight * d.value};
  const double before = weight * d.before, behind = weight * d.behind;
  return {std::min(before, behind), std::max(before, behind)};
}

double inner(const Tensor& a, const Tensor& b) {
  return no_grad([&] { return sum(a * b).item(); });
}

std::string place_of(std::size_t element, const Shape& shape) {
  return to_string(position_of(static_cast<std::int64_t>(element), shape));
}

// |a − b| relative to the larger one, but for what b may be off by rounding: that is no more than
// the tolerance.
double relative_error(double a, double b, double unknown, double tolerance) {
  if (a == b) return 0;
  const double error = std::abs(a - b) / std::max({std::abs(a), std::abs(b), unknown / tolerance});
  return std::isnan(error) ? INFINITY : error;
}

bool is_hidden(const Difference& d) { return std::abs(d.value) < safety * d.error; }

// The elements of which a row has something to say.
struct Elements {
  std::vector<std::size_t> found;
  void add(std::size_t element) { found.push_back(element); }
  std::string text(const Shape& shape) const {
    const std::string first = place_of(found.at(0), shape);
    return found.size() == 1 ? "at " + first
                             : fmt::format("at {} elements, the first {}", found.size(), first);
  }
};

// A derivative of the function: by autograd at some inputs, and of some of its elements by
// differences.
struct Derivative {
  std::string what;
  Shape shape;
  Doubles here;
  std::function<Doubles(std::span<const Tensor>)> autograd;
  std::function<std::vector<Difference>(std::span<const Tensor>, const std::vector<std::size_t>&,
                                        double first_step)>
      differences;
  // The least and the most that the slopes on the two sides of an element give, where each output
  // is on a side of its own; NaN where they are not known.
  std::function<std::pair<double, double>(std::size_t, const Difference&)> slopes;
};

class Check {
 public:
  Check(const Function& f, std::span<const Tensor> inputs, const GradcheckOptions& options,
        const Where& where, std::uint64_t seed)
      : f_(f, inputs, where), options_(options), where_(where), random_(seed) {}

  std::vector<GradcheckRow> run(int order, const std::string& of_what);

 private:
  std::string name(std::size_t i) const;
  Tensor pushed(std::span<const Tensor> at, std::span<const Tensor> directions) const;
  Tensor weights_of_outputs();
  Function pulled(const Tensor& v, const Tensors& directions) const;
  double noise_of(const Function& scalar) const;

  class Beside;
  void check_reverse(const Tensor& v, std::span<const Tensor> grads, const std::string& of_what);
  void check_forward(const Tensor& v, std::span<const Tensor> grads);
  void compare(const Derivative& derivative);
  bool is_right_off_kinks(const Derivative& derivative,
                          const std::vector<std::size_t>& kinks) const;

  derivation::MovedFunction f_;
  const GradcheckOptions& options_;
  Where where_;
  Generator random_;
  std::string left_out_;  // the outputs that are not finite
  std::vector<GradcheckRow> rows_;
};

std::string Check::name(std::size_t i) const {
  const std::string_view name = f_.inputs()[i].name();
  return name.empty() ? fmt::format("input {}", i) : fmt::format("input {} ({})", i, name);
}

bool Check::is_right_off_kinks(const Derivative& derivative,
                               const std::vector<std::size_t>& kinks) const {
  const auto agrees = derivation::attempt([&] {
    const Tensors place = f_.moved(f_.inputs(), f_.random_steps(options_.seed + 29), off_kinks);
    const Doubles there = derivative.autograd(place);
    const auto differences = derivative.differences(place, kinks, step_off_kinks);
    for (std::size_t k = 0; k < kinks.size(); ++k) {
      const Difference& d = differences[k];
      if (!d.finite() || d.kink) continue;
      if (!(relative_error(there[kinks[k]], d.value, safety * d.error, options_.tolerance) <=
            options_.tolerance))
        return false;
    }
    return true;
  });
  return agrees.value_or(true);
}

// What autograd gives next to the inputs; asked for when it is needed.
class Check::Beside {
 public:
  Beside(const Check& check, const Derivative& derivative)
      : check_(check), derivative_(derivative) {}

  // Whether there is a kink, so that several numbers may be meant.
  bool is_kink(std::size_t e, const Difference& d) {
    find();
    return d.kink || sides_->kink[e];
  }
  // Whether the number at the inputs is one of a kink's there.
  bool is_subgradient(std::size_t e, const Difference& d) {
    if (!is_kink(e, d)) return false;
    const double here = derivative_.here[e];
    const double error = tolerance_of(sides_->most[e]) + safety * d.error;
    if (sides_->allow(e, here, error)) return true;
    const auto [least, most] = derivative_.slopes(e, d);
    const double allowed = of_slopes * (most - least) + tolerance_of(most) + safety * d.error;
    return least - allowed <= here && here <= most + allowed;
  }
  // How far rounding moves what autograd gives: where summands cancel, as of residuals at an exact
  // fit, that is more than units in the last place of the sum. 0 where that is no rounding but a
  // jump, which is as large for a larger move.
  double rounding(std::size_t e, const Difference& d) {
    find();
    if (d.kink || sides_->kink[e] || near_.empty()) return 0;
    double rounding = 0;
    for (const Doubles& there : rounded_)
      rounding = std::max(rounding, std::abs(there[e] - derivative_.here[e]));
    constexpr double of_a_larger_move = 1e-3;  // that is some 10^7 times as large
    const double most = of_a_larger_move * std::abs(near_[e] - derivative_.here[e]);
    return rounding <= most ? rounding : 0;
  }
  // Whether it is that of the differences, so that only the inputs themselves are apart.
  bool agrees(std::size_t e, const Difference& d) {
    find();
    const double allowed = tolerance_of(d.value) + safety * d.error;
    return std::abs(sides_->least[e] - d.value) <= allowed &&
           std::abs(sides_->most[e] - d.value) <= allowed;
  }

 private:
  double tolerance_of(double number) const { return check_.options_.tolerance * std::abs(number); }
  void find() {
    if (sides_) return;
    const derivation::MovedFunction& f = check_.f_;
    const derivation::Moved moved = [&](double part, std::uint64_t seed) {
      return derivation::attempt([&] {
               return derivative_.autograd(f.moved(f.inputs(), f.random_steps(seed), part));
             })
          .value_or(Doubles());
    };
    near_ = moved(1e-9, 1);
    sides_ = derivation::side_values(near_.empty() ? derivative_.here : near_, moved);
    constexpr std::uint64_t times = 4;
    for (std::uint64_t seed = 1; seed <= times; ++seed)
      if (Doubles there = moved(std::numeric_limits<double>::epsilon(), seed); !there.empty())
        rounded_.push_back(std::move(there));
  }

  const Check& check_;
  const Derivative& derivative_;
  std::optional<derivation::SideValues> sides_;
  Doubles near_;                  // at inputs moved a little
  std::vector<Doubles> rounded_;  // at inputs moved by a unit in the last place
};

void Check::compare(const Derivative& derivative) {
  GradcheckRow row{.what = derivative.what, .shape = derivative.shape, .worst_index = {}};
  const Doubles& here = derivative.here;
  std::vector<std::size_t> all(here.size());
  std::iota(all.begin(), all.end(), std::size_t{0});
  const std::vector<Difference> differences =
      derivative.differences(f_.inputs(), all, options_.step);

  Beside beside(*this, derivative);
  Elements kinks, infinite, hidden, apart, outside;
  double worst = -1;
  for (const std::size_t e : all) {
    const Difference& d = differences[e];
    // An infinite output that has no weight leaves NaN behind, as 0·∞.
    if (!d.finite() || (!left_out_.empty() && std::isnan(here[e]))) {
      infinite.add(e);
      continue;
    }
    double error = relative_error(here[e], d.value, safety * d.error, options_.tolerance);
    if (!(error <= options_.tolerance)) {
      if (beside.is_subgradient(e, d)) {
        kinks.add(e);
        error = 0;
      } else if (const double known =
                     relative_error(here[e], d.value, safety * (d.error + beside.rounding(e, d)),
                                    options_.tolerance);
                 known <= options_.tolerance) {
        error = known;
      } else if (beside.agrees(e, d)) {
        apart.add(e);
      } else if (beside.is_kink(e, d)) {
        outside.add(e);
      }
    } else if (d.kink) {
      kinks.add(e);
    } else if (here[e] != 0 && is_hidden(d) && std::abs(here[e]) < safety * d.error) {
      hidden.add(e);
    }
    if (error <= worst) continue;
    worst = error;
    row.worst_error = error;
    row.worst_index = position_of(static_cast<std::int64_t>(e), derivative.shape);
    row.autograd = here[e];
    row.reference = d.value;
  }
  row.ok = worst <= options_.tolerance;

  const auto say = [&](const Elements& elements, std::string_view what) {
    if (elements.found.empty()) return;
    if (!row.note.empty()) row.note += "; ";
    row.note += fmt::format("{} {}", what, elements.text(derivative.shape));
  };
  say(infinite, "no finite differences");
  say(hidden, "rounding of the function hides the derivative");
  say(apart, "autograd agrees beside it: an operation treats this point apart");
  say(outside, "autograd is not between the slopes on the sides of a kink");
  say(kinks, "a kink");
  if (!kinks.found.empty() && row.ok && !is_right_off_kinks(derivative, kinks.found)) {
    row.ok = false;
    row.note += ", and beside it autograd does not agree with differences";
  }
  rows_.push_back(std::move(row));
}

void Check::check_reverse(const Tensor& v, std::span<const Tensor> grads,
                          const std::string& of_what) {
  const Place at_inputs = f_.place(f_.inputs(), f_.reading(v));
  std::optional<Place> outputs;  // each of them there, where it is asked for
  const Doubles weights = numbers(v);
  for (const std::size_t i : f_.floating()) {
    const Shape shape = f_.inputs()[i].shape();
    const auto autograd = [&](std::span<const Tensor> at) {
      return numbers(vjp(f_.function(), at, v, where_).grads[i]);
    };
    const auto along = [&](const Place& place, std::size_t e, double step, double first) {
      Tensors directions(place.inputs.size());
      directions[i] = zeros(shape, f64);
      directions[i].mutable_data<double>()[e] = step;
      return f_.along(place, directions, first,
                      fmt::format("element {} of {}", place_of(e, shape), name(i)));
    };
    const auto differences = [&](std::span<const Tensor> at,
                                 const std::vector<std::size_t>& elements, double first_step) {
      const Doubles steps = numbers(derivation::steps_of(at[i]));
      const bool is_moved = at.data() != f_.inputs().data();
      const Place place = is_moved ? f_.place(at, at_inputs.read) : at_inputs;
      std::vector<Difference> found;
      for (const std::size_t e : elements) {
        Difference d = along(place, e, steps[e], first_step)[0];
        // Where rounding hides what so small an element does, steps as for one of size 1 may not.
        if (steps[e] < 1 && is_hidden(d))
          if (const Difference wide = along(place, e, steps[e], first_step / steps[e])[0];
              wide.error < d.error)
            d = wide;
        d.divide(steps[e]);
        found.push_back(d);
      }
      return found;
    };
    const auto slopes = [&](std::size_t e, const Difference&) {
      const double step = numbers(derivation::steps_of(f_.inputs()[i]))[e];
      if (!outputs) outputs = f_.place(f_.inputs(), f_.reading({}));
      const std::vector<Difference> of_outputs = along(*outputs, e, step, options_.step);
      std::pair<double, double> sum{0, 0};
      for (std::size_t o = 0; o < of_outputs.size(); ++o) {
        if (weights[o] == 0) continue;
        const auto [least, most] = slopes_of(of_outputs[o], weights[o] / step);
        sum = {sum.first + least, sum.second + most};
      }
      return sum;
    };
    compare({fmt::format("{}, {}", of_what, name(i)), shape, numbers(grads[i]), autograd,
             differences, slopes});
    std::string& note = rows_.back().note;
    if (!left_out_.empty()) note += (note.empty() ? "" : "; ") + left_out_;
  }
}

// J·u at some inputs, by forward mode.
Tensor Check::pushed(std::span<const Tensor> at, std::span<const Tensor> directions) const {
  Tensors primals, tangents, place(at.begin(), at.end());
  for (const std::size_t i : f_.floating()) {
    primals.push_back(at[i]);
    tangents.push_back(directions[i]);
  }
  const Function of_floating = [&](std::span<const Tensor> moving) {
    for (std::size_t k = 0; k < moving.size(); ++k) place[f_.floating()[k]] = moving[k];
    return f_.function()(place);
  };
  return jvp(of_floating, primals, tangents, where_).second;
}

// Σᵢ ⟨uᵢ, ∂⟨v, f⟩/∂xᵢ⟩, whose gradients are second derivatives.
Function Check::pulled(const Tensor& v, const Tensors& directions) const {
  return [this, v, directions](std::span<const Tensor> at) {
    const EnableGrad recording;
    Tensors places(at.begin(), at.end());
    for (const std::size_t i : f_.floating())
      if (!places[i].requires_grad()) places[i].requires_grad_();
    const ValueAndGrad inside = vjp(f_.function(), places, v, where_);
    Tensor total = zeros({}, f64);
    for (const std::size_t i : f_.floating()) total = total + sum(directions[i] * inside.grads[i]);
    return total;
  };
}

double Check::noise_of(const Function& scalar) const {
  const derivation::MovedFunction f(scalar, f_.inputs(), where_);
  return f.place(f_.inputs(), f.reading({})).noise[0];
}

// Forward mode along a random direction u: J·u against differences along u, and ⟨v, J u⟩ = ⟨Jᵀ v,
// u⟩.
void Check::check_forward(const Tensor& v, std::span<const Tensor> grads) {
  const Tensors directions = f_.random_steps(options_.seed + 5);
  const auto differences = [&](std::span<const Tensor> at, const std::vector<std::size_t>& elements,
                               double first_step) {
    const std::vector<Difference> all =
        f_.along(f_.place(at, f_.reading({})), directions, first_step, "all inputs at once");
    std::vector<Difference> found;
    for (const std::size_t e : elements) found.push_back(all[e]);
    return found;
  };
  const Tensor tangent = pushed(f_.inputs(), directions).detach();
  compare({"forward mode, random direction", tangent.shape(), numbers(tangent),
           [&](std::span<const Tensor> at) { return numbers(pushed(at, directions)); }, differences,
           [](std::size_t, const Difference& d) { return slopes_of(d, 1); }});

  GradcheckRow row{.what = "⟨v, J u⟩ against ⟨Jᵀ v, u⟩", .shape = {}, .worst_index = {}};
  row.autograd = inner(v, tangent);
  for (const std::size_t i : f_.floating()) row.reference += inner(grads[i], directions[i]);
  const double rounding =
      noise_of(pulled(v, directions)) +
      noise_of([&](std::span<const Tensor> at) { return sum(v * pushed(at, directions)); });
  if (std::isfinite(row.autograd) && std::isfinite(row.reference))
    row.worst_error =
        relative_error(row.autograd, row.reference, safety * rounding, options_.tolerance);
  else
    row.note = "one of them is not finite";
  row.ok = row.worst_error <= options_.tolerance;
  rows_.push_back(std::move(row));
}

// The direction v of ⟨v, f⟩, random but for this: outputs are weighted by how well they are known,
// so that those in hundreds do not hide those in hundredths. What is not finite is left out.
Tensor Check::weights_of_outputs() {
  const NoGrad guard;
  const Tensor noise = from_vector(f_.place(f_.inputs(), f_.reading({})).noise, f_.value().shape());
  const Tensor sizes = derivation::steps_of(noise);
  const double most = derivation::largest(numbers(sizes));
  Elements infinite;
  const Doubles values = numbers(f_.value());
  for (std::size_t e = 0; e < values.size(); ++e)
    if (!std::isfinite(values[e])) infinite.add(e);
  if (!infinite.found.empty())
    left_out_ = "without the output that is not finite " + infinite.text(noise.shape());
  const Tensor weights = randn(noise.shape(), random_, f64) * clamp(most / sizes, 1.0, widest);
  return where(isfinite(f_.value()), weights, 0.0);
}

std::vector<GradcheckRow> Check::run(int order, const std::string& of_what) {
  const Doubles values = numbers(f_.value());
  if (!values.empty() && std::ranges::none_of(values, [](double x) { return std::isfinite(x); })) {
    rows_.push_back({.what = of_what, .shape = f_.value().shape(), .worst_index = {}});
    rows_.back().note = "nothing that it gives is finite, so that nothing can be compared";
    return std::move(rows_);
  }
  const Tensor v = weights_of_outputs();
  const ValueAndGrad at_inputs = vjp(f_.function(), f_.inputs(), v, where_);
  check_reverse(v, at_inputs.grads, of_what);
  if (options_.forward) check_forward(v, at_inputs.grads);
  if (order == 1) return std::move(rows_);

  Tensors weights(f_.inputs().size());
  for (const std::size_t i : f_.floating())
    weights[i] = randn(f_.inputs()[i].shape(), random_, f64);
  const Function slopes = pulled(v, weights);
  for (GradcheckRow& row :
       Check(slopes, f_.inputs(), options_, where_, options_.seed + 1).run(1, "second order")) {
    if (!row.what.starts_with("second")) row.what += ", second order";
    rows_.push_back(std::move(row));
  }
  return std::move(rows_);
}

}  // namespace

GradcheckReport gradcheck(const Function& f, std::span<const Tensor> inputs,
                          GradcheckOptions options, Where where) {
  if (options.order != 1 && options.order != 2)
    throw ValueError(fmt::format("gradcheck: order {} is neither 1 nor 2", options.order), where,
                     "order 1 checks gradients, 2 also the gradients of gradients");
  if (!(options.step > 0) || !(options.tolerance > 0))
    throw ValueError(fmt::format("gradcheck: step {} and tolerance {} must be positive",
                                 options.step, options.tolerance),
                     where, "leave them as they are: GradcheckOptions has what suits f64");
  // Smaller ones leave numbers of any size where they are.
  if (!std::isfinite(options.step) || options.step < std::numeric_limits<double>::epsilon())
    throw ValueError(fmt::format("gradcheck: step {} is no part of an element's size that it "
                                 "could be moved by",
                                 options.step),
                     where, "leave it as it is: GradcheckOptions has what suits f64");
  if (!f)
    throw ValueError("gradcheck: there is no function", where,
                     "the std::function is empty: was it moved from?");
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
    return GradcheckReport{
        Check(f, inputs, options, where, options.seed).run(options.order, "gradient")};
  });
}

GradcheckReport gradcheck(const Function& f, std::initializer_list<Tensor> inputs,
                          GradcheckOptions options, Where where) {
  return gradcheck(f, std::span(inputs.begin(), inputs.size()), options, where);
}

}  // namespace chainrule
