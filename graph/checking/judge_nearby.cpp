// Whether a formula is right for other values of the parameters, too.
#include <chainrule/graph/checking/judge.hpp>

#include <algorithm>
#include <cmath>
#include <optional>

#include <chainrule/graph/derivation/attempt.hpp>
#include <chainrule/graph/derivation/compare.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>

namespace chainrule::derivation {

const OtherSides& Judge::other_sides() const {
  if (!other_sides_) other_sides_.emplace(trace_, nearby_);
  return *other_sides_;
}

bool Judge::is_wrong_far_away(std::uint32_t i, const Computation& formula,
                              const Truth& truth) const {
  constexpr double visible = 1e-3;   // of the largest element
  constexpr double nothing = 1e-12;  // of the largest gradient
  const Computation rule = computation_of(trace_.gradient(i));
  for (const Environment& point : other_sides().points()) {
    const std::optional<Tensor> value = attempt([&] { return formula(point, {}, {}); });
    if (!value) continue;
    const std::vector<double> given = numbers(*value), right = numbers(point.gradients[i]);
    if (given.size() != right.size()) return true;
    const double scale = std::max(largest(given), largest(right));
    // What loops over numbers round is not known where all is next to nothing, as of saturated
    // units.
    if (truth.bare && scale <= nothing * largest_gradient(point)) continue;
    std::vector<double> rounded;  // found out where it matters
    for (std::size_t e = 0; e < given.size(); ++e) {
      const double apart = std::abs(given[e] - right[e]);
      if (!std::isfinite(apart) || apart <= visible * scale) continue;
      if (rounded.empty()) {
        const Computation forms[] = {formula, rule};
        rounded = moved(i, forms, rounding_at(point, single_), truth.bare);
        for (double& by : rounded) by *= 2 * safety_of_samples;
      }
      if (apart <= rounded[e]) continue;
      return !is_backed(point, Differences(trace_, point, rounding_at(point, false)), i, *value,
                        rounded);
    }
  }
  return false;
}

bool Judge::Range::holds(std::size_t e, double number, double error) const {
  // Several kinks together may give others, too.
  const double width = most[e] - least[e] + error;
  return number >= least[e] - width && number <= most[e] + width;
}

Judge::Range Judge::range_on_sides(std::uint32_t i, const Environment& point,
                                   const std::vector<double>& there) const {
  Range range{there, there};
  const auto widen = [&](const Environment& sides) {
    const Tensor gradient = other_sides().gradient_on(sides, i, point);
    if (!gradient.defined()) return;
    const std::vector<double> found = numbers(gradient);
    for (std::size_t e = 0; e < there.size(); ++e) {
      range.least[e] = std::min(range.least[e], found[e]);
      range.most[e] = std::max(range.most[e], found[e]);
    }
  };
  widen(trace_.environment());
  for (const Environment& other : nearby_.around()) widen(other);
  return range;
}

bool Judge::is_zero(const Truth& truth) {
  for (std::size_t e = 0; e < truth.gradient.size(); ++e)
    if (!(std::abs(truth.gradient[e]) <= truth.allowed[e])) return false;
  return true;
}

const Rounding& Judge::rounding_at(const Environment& point, bool numbers_too) const {
  std::unique_ptr<Rounding>& mine = roundings_there_[{&point, numbers_too}];
  if (!mine)
    mine =
        std::make_unique<Rounding>(trace_, point, half_unit_f64, numbers_too ? half_unit_f32 : 0);
  return *mine;
}

std::vector<double> Judge::rounded_there(std::uint32_t i, const Environment& point,
                                         const Computation& formula, const Truth& truth,
                                         bool masked) const {
  const Computation rule = computation_of(trace_.gradient(i));
  const Computation forms[] = {formula, rule};
  std::vector<double> most = moved(i, forms, rounding_at(point, false), truth.bare);
  const auto widen = [&](const std::vector<double>& by) {
    for (std::size_t e = 0; e < most.size(); ++e) most[e] = std::max(most[e], by[e]);
  };
  if (masked || single_)
    widen(moved(i, forms, rounding(Precision::f64_throughout, false), truth.bare));
  if (!single_ || masked) return most;
  widen(rounding_at(point, true)
            .of_change(rounding(Precision::f32_numbers, false), apart_from(rule, formula)));
  return most;
}

Judge::Nearby Judge::nearby(std::uint32_t i, const Computation& formula, const Truth& truth,
                            bool masked) const {
  // Numbers that are rounded to f32 are off by more than what is wrong so near; but by the same
  // here and there, so that what counts is how the values change.
  const bool by_change = masked || single_;
  const std::optional<Tensor> here =
      by_change ? attempt([&] { return formula(trace_.environment(), {}, {}); }) : std::nullopt;
  if (by_change && !here) return Nearby::unknown;
  const std::vector<double> given_here = here ? numbers(*here) : std::vector<double>();
  const double rounding_there = single_ ? half_unit_f64 / half_unit_f32 : 1;
  // At a kink two forms may differ on one side; what is wrong does on both, or on
  // the only one where they can be compared.
  int compared = 0;
  std::vector<int> sides(truth.gradient.size());
  bool backed = true;
  const std::vector<Environment>& points = masked ? nearby_.nearest() : nearby_.near();
  const std::vector<bool> straight = masked && is_zero(truth)
                                         ? nearby_.grows_straight(i)
                                         : std::vector<bool>(truth.gradient.size());
  for (const Environment& point : points) {
    const std::vector<double> right = numbers(point.gradients[i]);
    // Where it is not defined nothing is said of it.
    const std::optional<Tensor> value = attempt([&] { return formula(point, {}, {}); });
    if (!value) continue;
    const std::vector<double> given = numbers(*value);
    if (given.size() != right.size()) return Nearby::wrong;
    ++compared;
    const double scale = largest(right);
    const auto goes_on = [&](std::size_t e) {  // as it is here
      return std::abs(truth.gradient[e] - right[e]) <= (masked ? 1e-5 : 1) * scale || straight[e];
    };
    double of_numbers = 0;
    for (std::size_t e = 0; e < right.size() && by_change; ++e)
      if (goes_on(e))
        of_numbers =
            std::max(of_numbers, (masked ? 1e-6 : 1e-9) * std::abs(truth.gradient[e] - right[e]));
    const auto before_of = [&](std::size_t e) {
      return by_change ? given_here[e] - truth.gradient[e] : 0;
    };
    const auto differs = [&](std::size_t e, double allowed) {
      return goes_on(e) && std::abs(given[e] - right[e] - before_of(e)) >
                               allowed + of_numbers + 1e-13 * std::abs(right[e]);
    };
    // Rounding there, and what masks that stay would give, found out where it matters.
    std::vector<double> mine;
    std::optional<Range> sides_there;
    bool is_wrong = false;
    for (std::size_t e = 0; e < given.size(); ++e) {
      if (!differs(e, 4 * rounding_there * truth.allowed[e])) continue;
      if (mine.empty()) mine = rounded_there(i, point, formula, truth, masked);
      const double allowed = (masked ? 4 : 2) * safety_of_samples * mine[e];
      if (!differs(e, allowed)) continue;
      if (masked && !sides_there) sides_there = range_on_sides(i, point, right);
      if (masked && sides_there->holds(e, given[e] - before_of(e), allowed + of_numbers)) continue;
      ++sides[e];
      is_wrong = true;
    }
    if (!is_wrong || !backed) continue;
    for (double& rounded : mine) rounded *= 2 * safety_of_samples;
    backed =
        is_backed(point, Differences(trace_, point, rounding_at(point, false)), i, *value, mine);
  }
  if (compared == 0) return Nearby::unknown;
  if (std::ranges::find(sides, compared) == sides.end()) return Nearby::right;
  if (masked) {
    // A mask that stays is one side of a kink, of which there may be others there.
    const std::vector<bool> kinks = at_kinks(trace_, differences_, i);
    bool is_wrong = false;
    for (std::size_t e = 0; e < sides.size(); ++e)
      is_wrong = is_wrong || (sides[e] == compared && !kinks[e]);
    if (!is_wrong) return Nearby::right;
  }
  return backed ? Nearby::backed : Nearby::wrong;
}

}  // namespace chainrule::derivation
