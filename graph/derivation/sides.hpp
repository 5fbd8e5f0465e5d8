#pragma once

#include <optional>
#include <string>
#include <vector>

#include <chainrule/graph/derivation/derive.hpp>
#include <chainrule/graph/derivation/repeated.hpp>

/// The sides of equations as a view shows them: of whole tensors, or of one element.
namespace chainrule::derivation {

inline const Derivation::Written& left_of(const Derivation::Step& step,
                                          const Derivation::Form& form,
                                          const DerivationView& view) {
  return view.indices ? form.by_element.left : step.gradient;
}
inline const Derivation::Written& right_of(const Derivation::Form& form,
                                           const DerivationView& view) {
  return view.indices ? form.by_element.right : form.formula;
}
inline const Derivation::Written& left_of(const Derivation::InLayer& in_layer,
                                          const DerivationView& view) {
  return view.indices ? in_layer.by_element.left : in_layer.gradient;
}
inline const Derivation::Written& right_of(const Derivation::InLayer& in_layer,
                                           const DerivationView& view,
                                           bool with_positions = false) {
  return view.indices     ? in_layer.by_element.right
         : with_positions ? in_layer.with_positions
                          : in_layer.formula;
}

/// Whether what differs in the layer's number alone is said once.
inline bool says_layers_once(const DerivationView& view) { return view.layers_once && !view.steps; }
inline std::optional<Numbered> numbered(const std::optional<Derivation::InLayer>& in_layer,
                                        const DerivationView& view) {
  if (!in_layer) return std::nullopt;
  const std::string left = left_of(*in_layer, view).text + " = ";
  const bool has_positions = !view.indices && !in_layer->with_positions.text.empty();
  return Numbered{left + right_of(*in_layer, view).text,
                  has_positions ? left + in_layer->with_positions.text : "", in_layer->k};
}

/// A definition as it is shown: of one name, or of those of several layers.
struct ShownDefinition {
  Derivation::Written left, right;
  std::string layers;  ///< "for k = 1 … 5"
};

/// The definitions that a view needs, for one element where that is asked for.
std::vector<ShownDefinition> definitions_of(const Derivation& derivation,
                                            const DerivationView& view);

}  // namespace chainrule::derivation
