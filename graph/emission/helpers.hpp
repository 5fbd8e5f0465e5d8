#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <chainrule/graph/emission/eigen.hpp>

namespace chainrule::emission {

/// Definitions of the functions that `helpers` names and this knows, and of those that they call.
std::string definitions_of(const Helpers& helpers);

/// The names of all of them.
std::vector<std::string_view> helper_names();

}  // namespace chainrule::emission
