#include <chainrule/graph/checking/difference.hpp>

#include <algorithm>
#include <cmath>
#include <limits>

#include <chainrule/core/create.hpp>
#include <chainrule/core/recording.hpp>
#include <chainrule/graph/derivation/compare.hpp>

namespace chainrule::derivation {

namespace {

// Each step is this part of the one before. They are counted, as an infinite one stays infinite.
constexpr double smaller = 0.1;
constexpr int number_of_steps = 11;
// What steps agree to is good enough.
constexpr double close = 1e-8;

constexpr Difference unknown{.value = std::numeric_limits<double>::quiet_NaN(),
                             .error = std::numeric_limits<double>::infinity()};

// One number's derivative, step by step.
struct Search {
  Difference best = unknown;
  double last = 0, last_gap = 0, last_before = 0, last_behind = 0;
  bool done = false;

  void add(double here, double above, double below, double h, bool first, double noise) {
    const double central = (above - below) / (2 * h);
    const double before = (here - below) / h, behind = (above - here) / h;
    const double rounding = noise / h, gap = std::abs(behind - before);
    if (!first && std::isfinite(central) && std::isfinite(last)) {
      const double change = central - last;
      // Smooth functions differ by a hundredth of that, by h².
      const double error = std::abs(change) * smaller + rounding;
      // What still grows with 1 / h is a jump, or moves within less than a step.
      const bool grows = std::abs(change) > 4 * std::abs(last) + 16 * rounding ||
                         gap > 2 * last_gap + 16 * rounding;
      // Steps that were far too large may agree by chance.
      if (std::abs(central - best.value) > 16 * (best.error + rounding)) best = unknown;
      if (error < best.error && !grows) {
        best = {central + change * smaller * smaller, error, before, behind, false};
        // What the sides differ by goes with h, unless there is a kink, where each has its slope.
        best.kink =
            gap > 16 * rounding && gap > 0.5 * last_gap &&
            std::max(std::abs(before - last_before), std::abs(behind - last_behind)) < 0.25 * gap;
      }
      // Smaller steps say no more where these agree, or where rounding is all that they would show.
      done = !best.kink && (best.error <= close * std::abs(best.value) || rounding > best.error);
    }
    last = central;
    last_gap = gap;
    last_before = before;
    last_behind = behind;
  }
};

}  // namespace

bool Difference::finite() const noexcept { return std::isfinite(value) && std::isfinite(error); }

void Difference::divide(double by) noexcept {
  for (double* number : {&value, &error, &before, &behind}) *number /= by;
}

bool Difference::agrees(double derivative, double allowed) const noexcept {
  return kink || std::abs(value - derivative) <= allowed + 8 * error;
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

std::vector<Difference> differentiate(const Numbers& f, std::span<const double> here,
                                      std::span<const double> noise, double first) {
  std::vector<Search> searches(here.size());
  double h = first;
  for (int step = 0; step < number_of_steps && h > 0; ++step, h *= smaller) {
    const std::vector<double> above = f(h), below = f(-h);
    const bool defined = above.size() == here.size() && below.size() == here.size();
    bool done = true;
    for (std::size_t e = 0; e < here.size(); ++e) {
      if (searches[e].done) continue;
      searches[e].add(here[e], defined ? above[e] : unknown.value,
                      defined ? below[e] : unknown.value, h, step == 0, noise[e]);
      done = done && searches[e].done;
    }
    if (done) break;
  }
  std::vector<Difference> found;
  found.reserve(here.size());
  for (const Search& search : searches) found.push_back(search.best);
  return found;
}

Difference differentiate(const std::function<double(double)>& f, double here, double noise) {
  return differentiate([&](double h) { return std::vector{f(h)}; }, std::span(&here, 1),
                       std::span(&noise, 1))[0];
}

bool passes_over(const Difference& d, double slope, const std::function<double(double)>& f) {
  constexpr double nearer = 1.0 / 32;
  const double off = std::abs(d.value - slope);
  const auto is_slope = [&](double h) {
    return std::abs((f(h) - f(-h)) / (2 * h) - slope) <= nearer * off;
  };
  if (is_slope(largest_step)) return false;
  for (double h = largest_step * smaller; h > 1e-10; h *= smaller)
    if (is_slope(h) && is_slope(h / 2) && is_slope(h / 4)) return true;
  return false;
}

}  // namespace chainrule::derivation
