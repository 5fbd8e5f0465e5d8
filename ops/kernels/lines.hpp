#pragma once

#include <cstdint>

#include <chainrule/core/value.hpp>

namespace chainrule::kernels {

/// A row-major value as lines along one axis: element k of line (i, j) stands at
/// (i * length + k) * inner + j.
struct Lines {
  std::int64_t outer;
  std::int64_t length;
  std::int64_t inner;
};

/// The lines along the axes first … last, taken as one.
inline Lines lines_along(const Value& x, int first, int last) noexcept {
  Lines lines{1, 1, 1};
  for (int axis = 0; axis < x.rank(); ++axis)
    (axis < first ? lines.outer : axis <= last ? lines.length : lines.inner) *= x.dims()[axis];
  return lines;
}

inline Lines lines_along(const Value& x, int axis) noexcept { return lines_along(x, axis, axis); }

}  // namespace chainrule::kernels
