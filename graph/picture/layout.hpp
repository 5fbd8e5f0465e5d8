#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace chainrule::picture {

struct Point {
  double x = 0, y = 0;
};

/// A box to be placed: its size is given, its centre is found.
struct Box {
  double width = 0, height = 0;
  Point centre;
};

/// An arrow from one box to another, and the points that it passes, ends included.
struct Arrow {
  std::uint32_t from = 0, to = 0;
  std::vector<Point> points;
};

/// Places boxes in layers, every box below those that point to it, with few crossings (K. Sugiyama,
/// S. Tagawa, M. Toda, "Methods for visual understanding of hierarchical system structures", 1981).
/// Boxes come in topological order. Returns the size of the picture.
Point place(std::span<Box> boxes, std::span<Arrow> arrows);

}  // namespace chainrule::picture
