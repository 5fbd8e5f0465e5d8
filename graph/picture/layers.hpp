#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include <chainrule/graph/picture/layout.hpp>

namespace chainrule::picture {

/// What stands in one layer of a drawing: a box, or the place where a long arrow passes the layer.
struct Place {
  double width = 0;
  std::size_t layer = 0;
  std::vector<std::size_t> above{}, below{};  ///< its neighbours in the layers beside it
  double x = 0;                               ///< of its middle

  bool is_passage() const noexcept { return width == 0; }
};

/// Boxes in layers, every box below those that point to it, in an order with few crossings and with
/// arrows as straight as that allows.
struct Layers {
  std::vector<Place> places;                     ///< the boxes, and behind them the passages
  std::vector<std::vector<std::size_t>> layers;  ///< places from left to right, layers from above
  std::vector<std::vector<std::size_t>> paths;   ///< of each arrow, the places from end to end
};

/// Boxes come in topological order.
Layers layers_of(std::span<const Box> boxes, std::span<const Arrow> arrows);

/// How far the middles of two neighbours of a layer are apart at least.
double distance(const Place& left, const Place& right) noexcept;

}  // namespace chainrule::picture
