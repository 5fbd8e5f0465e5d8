#include <chainrule/graph/checking/points_nearby.hpp>

#include <cmath>
#include <utility>

#include <chainrule/graph/derivation/compare.hpp>
#include <chainrule/graph/derivation/simplify.hpp>

namespace chainrule::derivation {

namespace {

// In units of the parameters' sizes.
constexpr double near_distance = 1e-3, nearest_distance = 1e-8;
// Parts of that for points where the loss is defined and finite, if it is not at the first.
constexpr double nearer[] = {1, 0.1, 0.01};
constexpr std::uint64_t seed = 71, directions = 6;

}  // namespace

const std::vector<Environment>& PointsNearby::at(
    double distance, std::optional<std::vector<Environment>>& points) const {
  if (points) return *points;
  points.emplace();
  for (const double side : {distance, -distance})
    for (const double part : nearer) {
      std::optional<Environment> point = differences_.moved(side * part, seed);
      if (!point || !is_finite_at(trace_, *point)) continue;
      points->push_back(std::move(*point));
      break;
    }
  return *points;
}

const std::vector<Environment>& PointsNearby::near() const { return at(near_distance, near_); }
const std::vector<Environment>& PointsNearby::nearest() const {
  return at(nearest_distance, nearest_);
}

const std::vector<Environment>& PointsNearby::around() const {
  if (around_) return *around_;
  around_.emplace();
  for (std::uint64_t direction = 0; direction < directions; ++direction)
    for (const double distance : {nearest_distance, -nearest_distance})
      if (std::optional<Environment> point =
              differences_.moved_apart(distance, seed + 1 + direction))
        around_->push_back(std::move(*point));
  return *around_;
}

std::vector<bool> PointsNearby::grows_straight(std::uint32_t i) const {
  std::vector<bool> straight(static_cast<std::size_t>(trace_.node(i).shape().numel()));
  const std::vector<Environment>& points = nearest();
  const std::optional<Environment> halfway = differences_.moved(nearest_distance / 2, seed);
  if (points.size() != 2 || !halfway) return straight;
  const std::vector<double> there = numbers(points[0].gradients[i]),
                            opposite = numbers(points[1].gradients[i]),
                            half = numbers(halfway->gradients[i]);
  for (std::size_t e = 0; e < straight.size(); ++e) {
    const double bend = 1e-3 * std::abs(there[e]);
    straight[e] =
        std::abs(there[e] + opposite[e]) <= bend && std::abs(there[e] - 2 * half[e]) <= bend;
  }
  return straight;
}

}  // namespace chainrule::derivation
