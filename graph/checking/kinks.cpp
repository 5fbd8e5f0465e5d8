#include <chainrule/graph/checking/kinks.hpp>

#include <algorithm>
#include <cmath>
#include <optional>

#include <chainrule/graph/derivation/compare.hpp>

namespace chainrule::derivation {

namespace {

constexpr int number_of_moves = 8;

// What the gradient is with everything moved by this part of its size, each to a side of its own
// and then to the other one.
void widen(SideValues& sides, const Moved& moved, double part) {
  for (int k = 0; k < number_of_moves; ++k) {
    const std::vector<double> gradient =
        moved(k % 2 == 0 ? part : -part, static_cast<std::uint64_t>(k / 2) + 31);
    for (std::size_t e = 0; e < gradient.size(); ++e) {
      if (!std::isfinite(gradient[e])) continue;
      sides.least[e] = std::min(sides.least[e], gradient[e]);
      sides.most[e] = std::max(sides.most[e], gradient[e]);
    }
  }
}

}  // namespace

bool SideValues::allow(std::size_t e, double number) const {
  const double width = 2 * (most[e] - least[e]);
  return kink[e] && number >= least[e] - width && number <= most[e] + width;
}

SideValues side_values(const std::vector<double>& here, const Moved& moved) {
  constexpr double far = 1e-6, near = 1e-9;
  SideValues wide{here, here, {}}, sides{here, here, {}};
  widen(wide, moved, far);
  widen(sides, moved, near);
  // What is smooth is a thousandth as wide for the nearer ones.
  for (std::size_t e = 0; e < here.size(); ++e) {
    const double width = sides.most[e] - sides.least[e];
    sides.kink.push_back(width > 0.1 * (wide.most[e] - wide.least[e]) &&
                         width > 1e-7 * std::abs(here[e]));
  }
  return sides;
}

SideValues side_values(const Trace& trace, const Differences& differences, std::uint32_t i) {
  return side_values(numbers(trace.environment().gradients[i]),
                     [&](double part, std::uint64_t seed) {
                       const std::optional<Environment> there = differences.moved(part, seed, true);
                       return there ? numbers(there->gradients[i]) : std::vector<double>();
                     });
}

}  // namespace chainrule::derivation
