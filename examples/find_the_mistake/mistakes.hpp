#pragma once

#include <string>
#include <vector>

#include <chainrule/examples/find_the_mistake/models.hpp>

namespace mistakes {

/// A derivation that goes wrong in one place.
struct Planted {
  std::string what;      ///< what the person did
  std::string formula;   ///< the first formula that is wrong
  std::string expected;  ///< how the diagnosis begins
  Derived derivation;
};

/// Twenty-five of them, in networks of one to six layers, for one sample and for batches.
std::vector<Planted> planted_mistakes();

}  // namespace mistakes
