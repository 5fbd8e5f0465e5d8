#include <chainrule/graph/checking/kinks.hpp>

#include <algorithm>
#include <cmath>
#include <optional>

#include <chainrule/graph/derivation/compare.hpp>

namespace chainrule::derivation {

namespace {

constexpr int number_of_moves = 8;

// The gradient with the parameters moved by this part of their sizes, each to a side of its own and
// then to the other one.
void widen(SideValues& sides, const Differences& differences, std::uint32_t i, double part) {
  for (int k = 0; k < number_of_moves; ++k) {
    const std::optional<Environment> there =
        differences.moved(k % 2 == 0 ? part : -part, static_cast<std::uint64_t>(k / 2) + 31, true);
    if (!there) continue;
    const std::vector<double> gradient = numbers(there->gradients[i]);
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

SideValues side_values(const Trace& trace, const Differences& differences, std::uint32_t i) {
  constexpr double far = 1e-6, near = 1e-9;
  const std::vector<double> here = numbers(trace.environment().gradients[i]);
  SideValues wide{here, here, {}}, sides{here, here, {}};
  widen(wide, differences, i, far);
  widen(sides, differences, i, near);
  // What is smooth is a thousandth as wide for the nearer ones.
  for (std::size_t e = 0; e < here.size(); ++e) {
    const double width = sides.most[e] - sides.least[e];
    sides.kink.push_back(width > 0.1 * (wide.most[e] - wide.least[e]) &&
                         width > 1e-7 * std::abs(here[e]));
  }
  return sides;
}

}  // namespace chainrule::derivation
