#include <chainrule/graph/checking/rounding.hpp>

#include <algorithm>
#include <cmath>
#include <optional>

#include <chainrule/core/random.hpp>
#include <chainrule/graph/derivation/attempt.hpp>
#include <chainrule/graph/derivation/compare.hpp>
#include <chainrule/graph/in_f64.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/elementwise/functions.hpp>

namespace chainrule::derivation {

namespace {

constexpr int number_of_samples = 4;
// Where roundings lead out of an operation's domain others are taken, so many at most.
constexpr int most_samples = 16;

}  // namespace

Replay::Adjust rounding_at_random(Generator& generator, double half_unit) {
  return [&generator, half_unit](Tensor x) {
    if (!x.defined() || !is_floating(x.dtype())) return x;
    const double unit = x.dtype() == f32 ? std::max(half_unit, half_unit_f32) : half_unit;
    return detail::in_f64(x) * (1 + sign(uniform(-1, 1, x.shape(), generator, f64)) * (3 * unit));
  };
}

Rounding::Rounding(const Trace& trace, const Environment& point, double unit,
                   double unit_of_constants)
    : point_(point), unit_(unit), unit_of_constants_(unit_of_constants) {
  const NoGrad guard;
  for (int k = 0; k < most_samples && moved_.size() < number_of_samples; ++k) {
    Generator generator(static_cast<std::uint64_t>(k) + 1);
    const Replay::Adjust move = rounding_at_random(generator, unit);
    std::vector<Tensor> leaves = point.tensors;
    if (unit_of_constants > 0) {
      // Data that was rounded to f32, as the sum of it that should be 1.
      const Replay::Adjust move_data = rounding_at_random(generator, unit_of_constants);
      for (std::uint32_t i = 0; i < trace.size(); ++i)
        if (!trace.replay().computed(i) && !trace.node(i).requires_grad())
          leaves[i] = move_data(std::move(leaves[i]));
    }
    if (std::optional<Environment> moved =
            attempt([&] { return trace.at(trace.replay().from(std::move(leaves), move), move); }))
      moved_.push_back(std::move(*moved));
  }
}

Computation computation_of(const Expr& expression) {
  return [expression](const Environment& point, const Replay::Adjust& results,
                      const Replay::Adjust& constants) {
    return evaluate(expression, point, results, constants);
  };
}

std::vector<double> Rounding::of(const Computation& formula) const {
  const NoGrad guard;
  const std::vector<double> here = numbers(formula(point_, {}, {}));
  std::vector<double> most(here.size());
  for (std::size_t k = 0; k < moved_.size(); ++k) {
    Generator generator(k + 101);
    const auto there = attempt([&] {
      return numbers(formula(
          moved_[k], rounding_at_random(generator, unit_),
          unit_of_constants_ > 0 ? rounding_at_random(generator, unit_of_constants_) : nullptr));
    });
    for (std::size_t e = 0; there && e < here.size(); ++e) {
      const double moved = difference(here[e], (*there)[e]);
      if (std::isfinite(moved)) most[e] = std::max(most[e], moved);
    }
  }
  return most;
}

}  // namespace chainrule::derivation
