#include <chainrule/graph/checking/differences.hpp>

#include <algorithm>
#include <cmath>
#include <limits>

#include <chainrule/core/create.hpp>
#include <chainrule/core/random.hpp>
#include <chainrule/graph/derivation/attempt.hpp>
#include <chainrule/graph/derivation/compare.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>

namespace chainrule::derivation {

namespace {

// Each step is this part of the one before.
constexpr double smaller = 0.1;
constexpr double largest_step = 1e-3, smallest_step = 1e-9;
// What steps agree to is good enough.
constexpr double close = 1e-8;

}  // namespace

bool Difference::finite() const noexcept { return std::isfinite(value) && std::isfinite(error); }

bool Difference::agrees(double derivative, double allowed) const noexcept {
  return kink || std::abs(value - derivative) <= allowed + 8 * error;
}

Differences::Differences(const Trace& trace, const Environment& point, const Rounding& rounding)
    : trace_(trace), point_(point), loss_(point.tensors[trace.loss()].item<double>()) {
  // Two roundings of the result, and what those on the way to it move.
  const std::uint32_t loss = trace.loss();
  noise_ = 4 * half_unit_f64 * std::abs(loss_) +
           rounding.of(tensor_expression(loss, trace.node(loss).shape()))[0];
}

double Differences::loss_with(std::uint32_t i, const Tensor& value) const {
  // Steps that leave the domain of an operation count as those to where it is not finite.
  return attempt([&] {
           return trace_.replay().changed(i, value, point_.tensors)[trace_.loss()].item<double>();
         })
      .value_or(std::numeric_limits<double>::quiet_NaN());
}

Tensor steps_of(const Tensor& x) {
  const NoGrad guard;
  std::vector<double> sizes;
  for (const double element : numbers(x))
    if (element != 0 && std::isfinite(element)) sizes.push_back(std::abs(element));
  double typical = 1;
  if (!sizes.empty()) {
    const auto middle = sizes.begin() + static_cast<std::ptrdiff_t>(sizes.size() / 2);
    std::nth_element(sizes.begin(), middle, sizes.end());
    typical = *middle;
  }
  std::vector<double> steps = numbers(x);
  for (double& element : steps) {
    const double size = std::abs(element);
    element = std::isfinite(size) && size > 0 ? size : std::min(typical, 1.0);
  }
  return from_vector(steps, x.shape());
}

std::optional<Environment> Differences::moved(double part, std::uint64_t seed,
                                              bool data_too) const {
  const NoGrad guard;
  Generator generator(seed);
  std::vector<Tensor> leaves(trace_.size());
  for (std::uint32_t i = 0; i < trace_.size(); ++i) {
    const Tensor& value = point_.tensors[i];
    if (trace_.replay().computed(i) || !value.defined() || value.dtype() != f64) continue;
    if (!data_too && !trace_.node(i).requires_grad()) continue;
    leaves[i] = value + uniform(-1, 1, value.shape(), generator, f64) * (steps(i) * part);
  }
  return attempt([&] { return trace_.at(trace_.replay().from(std::move(leaves))); });
}

Difference differentiate(const std::function<double(double)>& f, double here, double noise) {
  Difference best;
  best.value = std::numeric_limits<double>::quiet_NaN();
  best.error = std::numeric_limits<double>::infinity();
  double last = 0, last_gap = 0;
  for (double h = largest_step; h >= smallest_step; h *= smaller) {
    const double above = f(h), below = f(-h);
    const double central = (above - below) / (2 * h);
    const double before = (here - below) / h, behind = (above - here) / h;
    const double rounding = noise / h;
    if (h < largest_step && std::isfinite(central) && std::isfinite(last)) {
      const double change = central - last;
      // Smooth functions differ by a hundredth of that, by h².
      const double error = std::abs(change) * smaller + rounding;
      if (error < best.error) {
        best = {central + change * smaller * smaller, error, before, behind, false};
        // What the sides differ by goes with h, unless there is a kink.
        const double gap = std::abs(behind - before);
        best.kink = gap > 16 * rounding && gap > 0.5 * last_gap;
      }
      if (best.error <= close * std::abs(best.value) && !best.kink) break;
    }
    last = central;
    last_gap = std::abs(behind - before);
  }
  return best;
}

Difference Differences::along(std::uint32_t i, const Tensor& direction) const {
  const NoGrad guard;
  const auto loss = [&](double h) { return loss_with(i, point_.tensors[i] + direction * h); };
  return differentiate(loss, loss_, noise_);
}

Difference Differences::at(std::uint32_t i, std::int64_t position) const {
  const NoGrad guard;
  const std::vector<double> size = numbers(steps(i));
  Tensor unit = zeros(trace_.node(i).shape(), f64);
  const double step = size[static_cast<std::size_t>(position)];
  unit.mutable_data<double>()[static_cast<std::size_t>(position)] = step;
  Difference d = along(i, unit);
  for (double* number : {&d.value, &d.error, &d.before, &d.behind}) *number /= step;
  return d;
}

}  // namespace chainrule::derivation
