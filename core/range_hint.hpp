#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <string>

namespace chainrule::detail {

/// A hint at what is in range where −count … count − 1 are: "axes go from -2 to 1"; or that there
/// is nothing.
inline std::string range_hint(const char* what, std::int64_t count) {
  if (count == 0) return fmt::format("there are no {}", what);
  return fmt::format("{} go from {} to {}", what, -count, count - 1);
}

}  // namespace chainrule::detail
