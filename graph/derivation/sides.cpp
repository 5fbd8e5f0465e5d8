#include <chainrule/graph/derivation/sides.hpp>

#include <set>

namespace chainrule::derivation {

std::vector<ShownDefinition> definitions_of(const Derivation& derivation,
                                            const DerivationView& view) {
  std::vector<const Derivation::Definition*> needed;
  std::vector<std::optional<Numbered>> equations;
  for (const Derivation::Definition& definition : derivation.definitions()) {
    if (definition.only_in_full && !view.steps) continue;
    if (definition.only_by_element && !view.indices) continue;
    needed.push_back(&definition);
    equations.push_back(says_layers_once(view) ? numbered(definition.in_layer, view)
                                               : std::nullopt);
  }
  const auto layers = repeated(equations);
  std::vector<ShownDefinition> shown;
  std::set<std::size_t> done;
  for (std::size_t i = 0; i < needed.size(); ++i) {
    if (done.contains(i)) continue;
    if (const auto same = layers.find(i); same != layers.end()) {
      shown.push_back({left_of(*needed[i]->in_layer, view),
                       right_of(*needed[i]->in_layer, view, same->second.with_positions),
                       layers_text(equations, same->second.places)});
      done.insert(same->second.places.begin(), same->second.places.end());
    } else if (view.indices) {
      shown.push_back({needed[i]->by_element.left, needed[i]->by_element.right, ""});
    } else {
      shown.push_back({needed[i]->name, needed[i]->formula, ""});
    }
  }
  return shown;
}

}  // namespace chainrule::derivation
