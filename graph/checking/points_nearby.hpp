#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include <chainrule/graph/checking/differences.hpp>

namespace chainrule::derivation {

/// Other values of the parameters, close to the recorded ones, to one side and to the other, at
/// which the loss is defined and finite.
class PointsNearby {
 public:
  PointsNearby(const Trace& trace, const Differences& differences)
      : trace_(trace), differences_(differences) {}

  /// A thousandth of the parameters' sizes away: what is wrong differs by more than rounding.
  const std::vector<Environment>& near() const;
  /// So near that masks stay what they are.
  const std::vector<Environment>& nearest() const;
  /// As near, in several directions: on other sides of the kinks that the recorded point is at.
  const std::vector<Environment>& around() const;
  /// Which elements of the gradient for node i that is 0 here grow in proportion to the distance:
  /// those that no mask changes.
  std::vector<bool> grows_straight(std::uint32_t i) const;

 private:
  const std::vector<Environment>& at(double distance,
                                     std::optional<std::vector<Environment>>& points) const;

  const Trace& trace_;
  const Differences& differences_;
  mutable std::optional<std::vector<Environment>> near_, nearest_,
      around_;  // made when they are asked for
};

}  // namespace chainrule::derivation
