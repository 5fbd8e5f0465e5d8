#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace chainrule::derivation {

/// A name without the number of its layer, and that: "W" and 3 of "W3", "layers..weight" and 2 of
/// "layers.2.weight".
struct LayerName {
  std::string stem;
  int layer;
};
std::optional<LayerName> layer_name(std::string_view name);

/// The number alone.
std::optional<int> layer_of(std::string_view name);

/// Whether two names are the same but for the numbers of their layers: "W2" and "W3".
bool differ_in_layer(std::string_view a, std::string_view b);

/// The name in terms of layer k: "W3" and "W_3" are "Wₖ₊₁" for k = 2, "layers.3.weight"
/// "layers[k+1].weight". A name without a number stays.
std::string name_in_layer(std::string_view name, int k, char letter = 'k');

/// A notation in terms of layer k: the positions in "{0}[4]" and "at[4]({0})" are [k+1] for k = 3.
std::string positions_in_layer(std::string_view notation, int k, char letter = 'k');

/// What an expression is written in terms of.
struct InLayer {
  int k;
  char letter = 'k';
  bool positions = false;  ///< those in brackets, too
};

}  // namespace chainrule::derivation
