#pragma once

#include <cstddef>
#include <string>
#include <utility>

/// How formulas show the axes of an op. For ops, not for users.
namespace chainrule {

/// The last digit of an axis as a subscript.
inline std::string axis_subscript(int axis) {
  return std::string("₀₁₂₃₄₅₆₇₈₉").substr(3 * static_cast<std::size_t>(axis % 10), 3);
}

/// The notation of an op that works along an axis: "take({0}, {1})", and along another one than the
/// first "take₁({0}, {1})".
inline std::string along_axis(std::string notation, int axis) {
  if (axis > 0) notation.insert(notation.find('('), axis_subscript(axis));
  return notation;
}

}  // namespace chainrule
