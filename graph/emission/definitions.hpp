#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace chainrule::emission {

/// What emitted code hands to a function, and what it wants from it.
enum class Argument : std::uint8_t { number, matrix };

/// What a text of C++ has of a function.
enum class Defined : std::uint8_t {
  no,
  declared,      ///< and without a body
  for_others,    ///< for other arguments
  giving_other,  ///< with another result
  yes,
};

/// How far `code` defines a function of this name for these arguments, as far as can be seen
/// without its headers: what is written by macros, templates or with types that are none of Eigen's
/// counts as right.
Defined defined_in(std::string_view code, std::string_view name,
                   const std::vector<Argument>& arguments, Argument result);

}  // namespace chainrule::emission
