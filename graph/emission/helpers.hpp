#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <chainrule/core/op.hpp>

/// The functions of emitted code that belong to no single op.
namespace chainrule::emission {

/// Zeros with a block of something else in them.
extern const std::string_view placed_definition;
extern const std::string_view placed_apart_definition;
/// Two matrices side by side, and one above the other.
extern const std::string_view beside_definition;
extern const std::string_view above_definition;

/// The names of all functions that emitted code may define: these, and the ops' own.
std::vector<std::string> function_names();

/// What a function of an op's eigen_definition() is called in emitted code. Where the op is called
/// as something else there, as a helper or a structure, all of its functions stand in a namespace:
/// "ops::placed".
std::string function_name(const Op& op, const std::string& name);
/// The definition as it stands in emitted code.
std::string definition_of(const Op& op);
/// The code that calls such functions, by those names.
std::string calling(const Op& op, std::string_view code);

}  // namespace chainrule::emission
