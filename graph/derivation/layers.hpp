#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace chainrule::derivation {

/// The number of the layer that a name tells: 3 of "W3", 2 of "layers.2.weight".
std::optional<int> layer_of(std::string_view name);

/// The name in terms of layer k: "W3" is "Wₖ₊₁" for k = 2, "layers.3.weight" "layers[k+1].weight".
/// A name without a number stays.
std::string name_in_layer(std::string_view name, int k, char letter = 'k');

}  // namespace chainrule::derivation
