#pragma once

#include <string>
#include <vector>

#include <chainrule/graph/traversal.hpp>

namespace chainrule::picture {

/// A loop of the program that repeated the same operations of the same lines, as over time or over
/// layers.
struct Steps {
  int count = 0;  ///< how often, at least four times; 0: there is none
  /// In which step each node is, "step 3", or in which of several, "steps 9 – 12", where there are
  /// more than a picture has room for; "" outside of all. A leaf that is used in steps alone is in
  /// the first of them.
  std::vector<std::string> step_of;
};

/// The loop that most operations are of.
Steps steps_of(const Traversal& traversal);

}  // namespace chainrule::picture
