#include <chainrule/graph/checking/differences.hpp>

#include <cmath>
#include <limits>

#include <chainrule/core/create.hpp>
#include <chainrule/core/random.hpp>
#include <chainrule/graph/derivation/attempt.hpp>
#include <chainrule/graph/derivation/compare.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/elementwise/convert.hpp>

namespace chainrule::derivation {

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

std::vector<Tensor> Differences::moved_leaves(double part, Generator& generator) const {
  std::vector<Tensor> leaves(trace_.size());
  for (std::uint32_t i = 0; i < trace_.size(); ++i) {
    const Tensor& value = point_.tensors[i];
    if (trace_.replay().computed(i) || !value.defined() || value.dtype() != f64) continue;
    if (!trace_.node(i).requires_grad()) continue;
    leaves[i] = value + uniform(-1, 1, value.shape(), generator, f64) * (steps(i) * part);
  }
  return leaves;
}

std::optional<Environment> Differences::moved(double part, std::uint64_t seed) const {
  const NoGrad guard;
  Generator generator(seed);
  return attempt([&] { return trace_.at(trace_.replay().from(moved_leaves(part, generator))); });
}

std::optional<Environment> Differences::moved_apart(double part, std::uint64_t seed) const {
  const NoGrad guard;
  Generator generator(seed);
  const Replay::AdjustAt move = [&](std::uint32_t i, Tensor x) {
    // What a rule reads of its own result fits the operands, as the largest is one of them.
    const Node& node = trace_.node(i);
    const bool moves = i != trace_.loss() && !node.is_output() && !node.saved_output();
    return moves && is_floating(x.dtype())
               ? to(x, f64) + uniform(-1, 1, x.shape(), generator, f64) * (steps(i) * part)
               : std::move(x);
  };
  return attempt(
      [&] { return trace_.at(trace_.replay().from(moved_leaves(part, generator), move)); });
}

std::optional<Environment> Differences::moved(const Environment& point, std::uint32_t i,
                                              double part, std::uint64_t seed) const {
  const NoGrad guard;
  Generator generator(seed + 7);
  const Tensor& value = point.tensors[i];
  return attempt([&] {
    const Tensor there = value + uniform(-1, 1, value.shape(), generator, f64) * (steps(i) * part);
    return trace_.at(trace_.replay().changed(i, there, point.tensors));
  });
}

Difference Differences::along(std::uint32_t i, const Tensor& direction) const {
  return differentiate([&](double h) { return loss_at(i, direction, h); }, loss_, noise_);
}

double Differences::loss_at(std::uint32_t i, const Tensor& direction, double h) const {
  const NoGrad guard;
  return loss_with(i, point_.tensors[i] + direction * h);
}

Difference Differences::at(std::uint32_t i, std::int64_t position) const {
  const NoGrad guard;
  const std::vector<double> size = numbers(steps(i));
  Tensor unit = zeros(trace_.node(i).shape(), f64);
  const double step = size[static_cast<std::size_t>(position)];
  unit.mutable_data<double>()[static_cast<std::size_t>(position)] = step;
  Difference d = along(i, unit);
  d.divide(step);
  return d;
}

}  // namespace chainrule::derivation
