#include <chainrule/graph/checking/kinks.hpp>

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include <chainrule/core/random.hpp>
#include <chainrule/core/recording.hpp>
#include <chainrule/graph/derivation/attempt.hpp>
#include <chainrule/graph/derivation/compare.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>

namespace chainrule::derivation {

namespace {

// How far numbers of one side are from each other, in parts of what the sides differ by.
constexpr double of_one_side = 1e-3;

// What the gradient is with everything moved by this part of its size, each to a side of its own
// and then to the other one.
std::vector<std::vector<double>> beside(const Moved& moved, double part, int moves) {
  std::vector<std::vector<double>> gradients;
  for (int k = 0; k < moves; ++k) {
    gradients.push_back(moved(k % 2 == 0 ? part : -part, static_cast<std::uint64_t>(k / 2) + 31));
    if (gradients.back().empty()) gradients.pop_back();
  }
  return gradients;
}

// The least and the most of one element.
std::pair<double, double> range_of(const std::vector<std::vector<double>>& gradients,
                                   std::size_t e) {
  std::pair<double, double> range{HUGE_VAL, -HUGE_VAL};
  for (const std::vector<double>& gradient : gradients)
    if (std::isfinite(gradient[e]))
      range = {std::min(range.first, gradient[e]), std::max(range.second, gradient[e])};
  return range;
}

}  // namespace

bool SideValues::allow(std::size_t e, double number, double error) const {
  const double width = (several[e] ? 2 : of_one_side) * (most[e] - least[e]) + error;
  return kink[e] && number >= least[e] - width && number <= most[e] + width;
}

SideValues side_values(const std::vector<double>& here, const Moved& moved, int moves) {
  constexpr double far = 1e-6, near = 1e-9;
  const std::vector<std::vector<double>> wide = beside(moved, far, moves),
                                         close = beside(moved, near, moves);
  SideValues sides;
  for (std::size_t e = 0; e < here.size(); ++e) {
    const auto with_here = [&](std::pair<double, double> range) {
      return std::pair(std::min(range.first, here[e]), std::max(range.second, here[e]));
    };
    const auto [first, last] = range_of(close, e);
    const auto [least, most] = with_here({first, last});
    const auto [far_least, far_most] = with_here(range_of(wide, e));
    const double width = most - least;
    sides.least.push_back(least);
    sides.most.push_back(most);
    // What is smooth is a thousandth as wide for the nearer ones.
    sides.kink.push_back(width > 0.1 * (far_most - far_least) && width > 1e-7 * std::abs(here[e]));
    const double apart = of_one_side * (last - first);
    sides.several.push_back(std::ranges::any_of(close, [&](const std::vector<double>& gradient) {
      return gradient[e] > first + apart && gradient[e] < last - apart;
    }));
  }
  return sides;
}

namespace {

// A point beside the recorded one.
std::optional<Environment> moved_from(const Trace& trace, const Differences& differences,
                                      std::uint32_t i, double part, std::uint64_t seed) {
  // Most of them on sides that the parameters alone do not lead to.
  if (seed % 4 != 0) return differences.moved_apart(part, seed);
  std::optional<Environment> there = differences.moved(part, seed);
  // A result may be where it has a kink, and no leaf moves it, as it vanished.
  if (there && trace.replay().computed(i))
    if (auto beside = differences.moved(*there, i, part, seed)) there = std::move(beside);
  return there;
}

// A formula with what goes by the sides of kinks as it is at a point.
Expr with_sides_of(const Environment& point, const Expr& formula) {
  Replacements sides;
  visit_parts(formula, [&](const Expr& part) {
    if (part->kind == Expression::Kind::slope || part->is(Role::Kind::comparison))
      sides[part.get()] = constant_expression(evaluate(part, point));
  });
  return replaced(formula, sides);
}

// The gradients on the way to that for node i, with what the program compared in the place of its
// masks, which stay as they were at other points; nothing where there is no such mask.
std::vector<Expr> with_comparisons(const Trace& trace, std::uint32_t i) {
  std::vector<Expr> formulas(trace.size());
  bool any = false;
  for (const std::uint32_t j : trace.order()) {
    if (j < i || !trace.is_named(j)) continue;
    formulas[j] = trace.with_comparisons(trace.gradient(j));
    any = any || formulas[j] != trace.gradient(j);
  }
  return any ? formulas : std::vector<Expr>();
}

// The gradient for node i where every result on the way to it is another number, none of them 0.
std::vector<double> with_others_above(const Trace& trace, Environment point, std::uint32_t i) {
  Generator generator(5);  // the same ones each time
  const Replay::Adjust change = [&](Tensor x) {
    const NoGrad guard;
    return is_floating(x.dtype()) ? x + uniform(0.25, 0.75, x.shape(), generator, f64)
                                  : std::move(x);
  };
  return attempt([&] {
           for (const std::uint32_t j : trace.order())
             if (j >= i && trace.is_named(j))
               point.gradients[j] =
                   evaluate(with_sides_of(point, trace.gradient(j)), point, change);
           return numbers(point.gradients[i]);
         })
      .value_or(std::vector<double>());
}

}  // namespace

SideValues side_values(const Trace& trace, const Differences& differences, std::uint32_t i,
                       int moves) {
  const std::vector<Expr> formulas = with_comparisons(trace, i);
  return side_values(
      numbers(trace.environment().gradients[i]),
      [&](double part, std::uint64_t seed) {
        std::optional<Environment> there = moved_from(trace, differences, i, part, seed);
        if (!there) return std::vector<double>();
        if (formulas.empty()) return numbers(there->gradients[i]);
        return attempt([&] {
                 const NoGrad guard;
                 for (const std::uint32_t j : trace.order())
                   if (formulas[j]) there->gradients[j] = evaluate(formulas[j], *there);
                 return numbers(there->gradients[i]);
               })
            .value_or(std::vector<double>());
      },
      moves);
}

std::vector<bool> at_kinks(const Trace& trace, const Differences& differences, std::uint32_t i) {
  const std::vector<double> here = with_others_above(trace, trace.environment(), i);
  std::vector<bool> kinks =
      side_values(here, [&](double part, std::uint64_t seed) {
        const auto there = moved_from(trace, differences, i, part, seed);
        return there ? with_others_above(trace, *there, i) : std::vector<double>();
      }).kink;
  kinks.resize(static_cast<std::size_t>(trace.node(i).shape().numel()));
  return kinks;
}

}  // namespace chainrule::derivation
