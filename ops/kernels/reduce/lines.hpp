#pragma once

#include <cstdint>

#include <chainrule/core/threads.hpp>
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

/// Calls f(part, element, line) for parts of the outer lines, in parallel where there is enough to
/// do; they begin at that element and at that line.
template <class F>
void in_parts(const Lines& lines, const F& f) {
  const std::int64_t lines_each = lines.inner, elements_each = lines.length * lines.inner;
  chainrule::detail::parallel_rows(
      lines.outer, elements_each, [&](std::int64_t begin, std::int64_t end) {
        f(Lines{end - begin, lines.length, lines.inner}, begin * elements_each, begin * lines_each);
      });
}

}  // namespace chainrule::kernels
