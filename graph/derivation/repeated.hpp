#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace chainrule::derivation {

/// An equation in terms of the number of its layer, and that number.
struct Numbered {
  std::string equation;
  int k;
};

/// The places of equations that differ in the layer's number alone, where those are evenly spaced:
/// two or more, found under the first of them.
std::map<std::size_t, std::vector<std::size_t>> repeated(
    const std::vector<std::optional<Numbered>>& equations);

/// "for k = 3 … 1", of the equations at these places.
std::string layers_text(const std::vector<std::optional<Numbered>>& equations,
                        const std::vector<std::size_t>& places);

}  // namespace chainrule::derivation
