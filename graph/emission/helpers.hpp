#pragma once

#include <string>
#include <string_view>
#include <vector>

/// The functions of emitted code that belong to no single op.
namespace chainrule::emission {

/// Zeros with a block of something else in them.
extern const std::string_view placed_definition;
/// Two matrices side by side, and one above the other.
extern const std::string_view beside_definition;
extern const std::string_view above_definition;

/// The names of all functions that emitted code may define: these, and the ops' own.
std::vector<std::string> function_names();

}  // namespace chainrule::emission
