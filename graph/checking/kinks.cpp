#include <chainrule/graph/checking/kinks.hpp>

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include <chainrule/graph/derivation/compare.hpp>

namespace chainrule::derivation {

namespace {

constexpr int number_of_moves = 8;
// How far numbers of one side are from each other, in parts of what the sides differ by.
constexpr double of_one_side = 1e-3;

// What the gradient is with everything moved by this part of its size, each to a side of its own
// and then to the other one.
std::vector<std::vector<double>> beside(const Moved& moved, double part) {
  std::vector<std::vector<double>> gradients;
  for (int k = 0; k < number_of_moves; ++k) {
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

SideValues side_values(const std::vector<double>& here, const Moved& moved) {
  constexpr double far = 1e-6, near = 1e-9;
  const std::vector<std::vector<double>> wide = beside(moved, far), close = beside(moved, near);
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

SideValues side_values(const Trace& trace, const Differences& differences, std::uint32_t i) {
  return side_values(numbers(trace.environment().gradients[i]),
                     [&](double part, std::uint64_t seed) {
                       std::optional<Environment> there = differences.moved(part, seed, true);
                       // A result may be where it has a kink, and no leaf moves it, as it vanished.
                       if (there && trace.replay().computed(i))
                         if (auto beside = differences.moved(*there, i, part, seed))
                           there = std::move(beside);
                       return there ? numbers(there->gradients[i]) : std::vector<double>();
                     });
}

}  // namespace chainrule::derivation
