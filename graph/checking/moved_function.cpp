#include <chainrule/graph/checking/moved_function.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <exception>
#include <optional>

#include <chainrule/core/random.hpp>
#include <chainrule/core/recording.hpp>
#include <chainrule/graph/checking/rounding.hpp>
#include <chainrule/graph/derivation/attempt.hpp>
#include <chainrule/graph/derivation/compare.hpp>
#include <chainrule/graph/replay.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/elementwise/select.hpp>
#include <chainrule/ops/reduce/reduction.hpp>

namespace chainrule::derivation {

namespace {

// What two calls at the same place may differ by, relative to the element.
constexpr double repeats = 1e-9;
constexpr int number_of_roundings = 8;

}  // namespace

MovedFunction::MovedFunction(const Function& f, std::span<const Tensor> inputs, const Where& where)
    : f_(f), inputs_(inputs.begin(), inputs.end()), where_(where) {
  for (std::size_t i = 0; i < inputs_.size(); ++i)
    if (inputs_[i].dtype() == f64) floating_.push_back(i);
  try {
    value_ = checked(f_(inputs_), nullptr);
  } catch (const GradError&) {
    takes_gradients_ = true;
    value_ = checked(at(inputs_), nullptr);
  }
  const Shape shape = value_.shape();
  const std::vector<double> first = numbers(value_);
  const std::vector<double> second = numbers(checked(at(inputs_), &shape));
  for (std::size_t e = 0; e < first.size(); ++e) {
    const double allowed = std::isfinite(first[e]) ? repeats * std::abs(first[e]) : 0;
    if (difference(first[e], second[e]) <= allowed) continue;
    throw ValueError(
        fmt::format("gradcheck: the function does not repeat: it gave {:.6g} at {}, and then "
                    "{:.6g} for the same inputs",
                    first[e], to_string(position_of(static_cast<std::int64_t>(e), shape)),
                    second[e]),
        where_, "draw what is random in it anew from the same seed in each call");
  }
}

// The inputs as leaves of a graph.
std::vector<Tensor> MovedFunction::recorded(std::span<const Tensor> inputs) const {
  std::vector<Tensor> leaves(inputs.begin(), inputs.end());
  for (const std::size_t i : floating_) leaves[i] = leaves[i].detach().requires_grad_();
  return leaves;
}

Tensor MovedFunction::at(std::span<const Tensor> inputs) const {
  if (!takes_gradients_) return f_(inputs);
  const EnableGrad recording;
  return f_(recorded(inputs)).detach();
}

Tensor MovedFunction::checked(const Tensor& result, const Shape* shape) const {
  if (!result.defined())
    throw ValueError("gradcheck: the function returned an undefined tensor", where_,
                     "return its result from all paths; a tensor without a value is undefined");
  if (result.dtype() != f64)
    throw DTypeError(fmt::format("gradcheck: the function gives {} {}, but differences need f64",
                                 name_of(result.dtype()), describe(result)),
                     where_, "compute it from the f64 inputs, or convert it: to(x, f64)");
  if (shape && result.shape() != *shape)
    throw ShapeError(fmt::format("gradcheck: the function gives {}, and gave {} before",
                                 to_string(result.shape()), to_string(*shape)),
                     where_, "its result has one shape, wherever the inputs are");
  return result.detach();
}

std::vector<Tensor> MovedFunction::moved(std::span<const Tensor> from,
                                         std::span<const Tensor> directions, double by) const {
  const NoGrad guard;
  std::vector<Tensor> place(from.begin(), from.end());
  for (std::size_t i = 0; i < place.size(); ++i)
    if (directions[i].defined()) place[i] = place[i].detach() + by * directions[i];
  return place;
}

std::vector<Tensor> MovedFunction::random_steps(std::uint64_t seed) const {
  const NoGrad guard;
  Generator generator(seed);
  std::vector<Tensor> steps(inputs_.size());
  for (const std::size_t i : floating_)
    steps[i] = uniform(-1, 1, inputs_[i].shape(), generator, f64) * steps_of(inputs_[i]);
  return steps;
}

MovedFunction::Reading MovedFunction::reading(const Tensor& v) const {
  return [this, v](const Tensor& result) {
    const NoGrad guard;
    const Shape shape = value_.shape();
    const Tensor value = checked(result, &shape);
    if (!v.defined()) return numbers(value);
    // What has no weight may be infinite.
    return std::vector{sum(where(v == 0.0, 0.0, v * value)).item<double>()};
  };
}

MovedFunction::Place MovedFunction::place(std::span<const Tensor> inputs,
                                          const Reading& read) const {
  const EnableGrad recording;
  const Tensor result = f_(recorded(inputs));
  Place place{{inputs.begin(), inputs.end()}, read, read(result), {}};
  const std::vector<double>& here = place.here;
  std::vector<double>& noise = place.noise;
  for (const double x : here)
    noise.push_back(std::isfinite(x) ? 2 * half_unit_f64 * std::abs(x) : 0);

  const Traversal traversal(std::span(&result, 1), Traversal::Visit::everything);
  const std::uint32_t output = traversal.output(0);
  if (output == Traversal::none) return place;
  // What cannot be computed again is known by its value's rounding alone.
  attempt([&] {
    const NoGrad guard;
    const Replay replay(traversal, std::span(&result, 1), "gradcheck", where_);
    for (int k = 0; k < number_of_roundings; ++k) {
      Generator generator(static_cast<std::uint64_t>(k) + 41);
      const Replay::Adjust round = rounding_at_random(generator, half_unit_f64);
      std::vector<Tensor> moved(traversal.places());
      for (const std::uint32_t leaf : traversal.leaves()) {
        const std::size_t place = traversal.first_place(leaf);
        moved[place] = round(replay.value(static_cast<std::uint32_t>(place)));
      }
      const std::optional<std::vector<double>> there =
          attempt([&] { return read(replay.from(std::move(moved), round)[output]); });
      for (std::size_t e = 0; there && e < here.size(); ++e)
        if (const double by = std::abs((*there)[e] - here[e]); std::isfinite(by))
          noise[e] = std::max(noise[e], by);
    }
    return true;
  });
  return place;
}

std::vector<Difference> MovedFunction::along(const Place& from, std::span<const Tensor> directions,
                                             double first, const std::string& moves) const {
  std::exception_ptr thrown;
  bool defined = false;  // somewhere
  const auto f = [&](double h) -> std::vector<double> {
    Tensor result;
    try {
      result = at(moved(from.inputs, directions, h));
    } catch (const std::bad_alloc&) {
      throw;
    } catch (const MemoryError&) {
      throw;
    } catch (Error& error) {
      if (!error.has_context()) error.set_context("in gradcheck, where it moves " + moves);
      error.set_hint("the function must be defined around its inputs: give others");
      thrown = std::current_exception();
      return {};
    } catch (...) {
      thrown = std::current_exception();
      return {};
    }
    defined = true;
    return from.read(result);
  };
  std::vector<Difference> found = differentiate(f, from.here, from.noise, first);
  if (thrown && !defined) std::rethrow_exception(thrown);
  return found;
}

}  // namespace chainrule::derivation
