#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

#include <chainrule/graph/checking/points_nearby.hpp>

namespace chainrule::derivation {

/// What gradients would be elsewhere if all stayed on the side of its kinks on which it was
/// recorded, as z of relu(z).
class OtherSides {
 public:
  OtherSides(const Trace& trace, const PointsNearby& nearby);

  /// Values of the parameters so far from the recorded ones that units are on other sides; all of
  /// the loss is finite there.
  const std::vector<Environment>& points() const noexcept { return points_; }
  /// The gradient for node i at a point, on the recorded sides; undefined where it has none.
  Tensor gradient_on_recorded(std::uint32_t i, const Environment& point) const;

 private:
  // The gradients at a point, on the recorded sides; of results with names.
  const Environment& on_recorded(const Environment& point) const;
  // A rule on the recorded sides, for a point.
  Expr on_recorded(const Expr& rule, const Environment& point) const;
  // Whether a part of a rule, or the slope in it, takes a few values alone, as that of relu does.
  bool is_side(const Expr& part) const;

  const Trace& trace_;
  const PointsNearby& nearby_;
  std::vector<Environment> points_;
  // Found once: the parts of rules, and points.
  mutable std::unordered_map<const Expression*, bool> sides_;
  mutable std::unordered_map<const Environment*, Environment> on_recorded_;
};

}  // namespace chainrule::derivation
