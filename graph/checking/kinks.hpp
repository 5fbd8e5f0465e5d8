#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include <chainrule/graph/checking/differences.hpp>

namespace chainrule::derivation {

/// What the elements of a gradient are when parameters and data are moved by next to nothing. Where
/// the loss has a kink at the recorded point, every number between is a derivative that a textbook
/// may choose (a subgradient): [z > 0] or [z ≥ 0] at z = 0, sign(0), the first or the second of two
/// that are the largest.
struct SideValues {
  std::vector<double> least, most;
  std::vector<bool> kink;     ///< by element: whether they stay apart for smaller moves
  std::vector<bool> several;  ///< whether there are more than the two of one kink

  /// Whether a number is one between, but for `error`. Several kinks together may give others, too,
  /// as each is chosen by itself.
  bool allow(std::size_t element, double number, double error) const;
};

/// A gradient with everything that it depends on moved by up to this part of its size, at random
/// from a seed; nothing where that is not defined.
using Moved = std::function<std::vector<double>(double part, std::uint64_t seed)>;

/// So many places beside a point are looked at, where few kinks meet.
inline constexpr int few_moves = 8;

/// From `here`, and where that is moved.
SideValues side_values(const std::vector<double>& here, const Moved& moved, int moves = few_moves);
SideValues side_values(const Trace& trace, const Differences& differences, std::uint32_t i,
                       int moves = few_moves);

/// Which elements of the gradient for node i go by the side of a kink; also those that are the same
/// on each as a gradient that they are a product with is 0.
std::vector<bool> at_kinks(const Trace& trace, const Differences& differences, std::uint32_t i);

}  // namespace chainrule::derivation
