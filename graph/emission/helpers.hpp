#pragma once

#include <string>

#include <chainrule/graph/emission/eigen.hpp>

namespace chainrule::emission {

/// Definitions of the functions that `helpers` names and this knows, and of those that they call.
std::string definitions_of(const Helpers& helpers);

}  // namespace chainrule::emission
