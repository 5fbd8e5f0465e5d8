#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace chainrule::derivation {

/// An equation in terms of the number of its layer, and that number.
struct Numbered {
  std::string equation;
  std::string with_positions;  ///< where positions are relative, too; empty without any
  int k;
};

/// Equations that differ in the layer's number alone, where those are evenly spaced: two or more.
struct Repeated {
  std::vector<std::size_t> places;
  bool with_positions;  ///< or in that and positions
};

/// They are found under the place of the first one.
std::map<std::size_t, Repeated> repeated(const std::vector<std::optional<Numbered>>& equations);

/// "for k = 3 … 1", of the equations at these places.
std::string layers_text(const std::vector<std::optional<Numbered>>& equations,
                        const std::vector<std::size_t>& places);

}  // namespace chainrule::derivation
