#pragma once

#include <vector>

#include <chainrule/graph/derivation/derive.hpp>

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
inline const Derivation::Written& left_of(const Derivation::Step::InLayer& in_layer,
                                          const DerivationView& view) {
  return view.indices ? in_layer.by_element.left : in_layer.gradient;
}
inline const Derivation::Written& right_of(const Derivation::Step::InLayer& in_layer,
                                           const DerivationView& view) {
  return view.indices ? in_layer.by_element.right : in_layer.formula;
}

/// The definitions that a view needs, for one element where that is asked for.
inline std::vector<Derivation::ByElement> definitions_of(const Derivation& derivation,
                                                         const DerivationView& view) {
  std::vector<Derivation::ByElement> shown;
  for (const Derivation::Definition& definition : derivation.definitions()) {
    if (definition.only_in_full && !view.steps) continue;
    if (definition.only_by_element && !view.indices) continue;
    shown.push_back(view.indices ? definition.by_element
                                 : Derivation::ByElement{definition.name, definition.formula});
  }
  return shown;
}

}  // namespace chainrule::derivation
