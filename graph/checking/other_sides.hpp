#pragma once

#include <cstdint>
#include <map>
#include <unordered_map>
#include <utility>
#include <vector>

#include <chainrule/graph/checking/points_nearby.hpp>

namespace chainrule::derivation {

/// Whether a rule goes by a side of a kink of one element, as that of a hinge for one example.
bool has_sides_of_scalars(const Trace& trace);

/// What gradients would be at a point if all stayed on the sides of kinks on which it is at
/// another, as z of relu(z).
class OtherSides {
 public:
  OtherSides(const Trace& trace, const PointsNearby& nearby);

  /// Values of the parameters so far from the recorded ones that units are on other sides; all of
  /// the loss is finite there.
  const std::vector<Environment>& points() const noexcept { return points_; }
  /// The gradient for node i at a point, on the sides of another; undefined where it has none.
  Tensor gradient_on(const Environment& sides, std::uint32_t i, const Environment& point) const;

 private:
  // The gradients at a point, on the sides of another; of results with names.
  const Environment& on(const Environment& sides, const Environment& point) const;
  // A rule on the sides of another point.
  Expr on(const Environment& sides, const Expr& rule, const Environment& point) const;
  // Whether a part of a rule, or the slope in it, takes a few values alone, as that of relu does.
  bool is_side(const Expr& part) const;

  const Trace& trace_;
  const PointsNearby& nearby_;
  std::vector<Environment> points_;
  // Found once: the parts of rules, and points.
  mutable std::unordered_map<const Expression*, bool> sides_;
  mutable std::map<std::pair<const Environment*, const Environment*>, Environment> on_;
};

}  // namespace chainrule::derivation
