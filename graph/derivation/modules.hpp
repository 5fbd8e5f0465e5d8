#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <chainrule/graph/traversal.hpp>

namespace chainrule::derivation {

/// To which module each node of a graph belongs, as the names of the parameters say it:
/// "encoder.0.weight" is of encoder.0, and so is what it is used in; what lies between encoder.0
/// and encoder.2 is of encoder; "" is outside of all.
std::vector<std::string> modules_of(const Traversal& traversal);

/// The first `depth` parts of a path: "encoder" of "encoder.0" for 1.
std::string_view outer_module(std::string_view path, int depth);

}  // namespace chainrule::derivation
