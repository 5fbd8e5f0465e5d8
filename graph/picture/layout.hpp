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

/// An arrow from one box to another, and the points that it passes, ends included. Between two of
/// them it may be bent, within the rectangle of which they are corners: no other box is there.
struct Arrow {
  std::uint32_t from = 0, to = 0;
  std::vector<Point> points;
};

/// The part of a window in which a picture is to be read.
inline constexpr Point room{960, 780};

/// How large a picture of this size can be shown there; 1 where it fits as it is.
double scale_of(Point size) noexcept;

/// Places boxes in layers, every box below those that point to it, with few crossings; a drawing
/// that is too tall for the room goes on at the top of another column, as text in a newspaper.
/// Boxes come in topological order. Returns the size of the picture.
Point place(std::span<Box> boxes, std::span<Arrow> arrows);

}  // namespace chainrule::picture
