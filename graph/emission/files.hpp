#pragma once

#include <string>

#include <chainrule/graph/emission/program.hpp>

namespace chainrule::emission {

/// The columns of the files' lines.
inline constexpr std::size_t line_width = 100;

/// `name`.hpp: the structures, forward(), backward() and predict().
std::string header_file(const Program& program, const std::string& name);
/// `name`_values.hpp: the parameters and the data as recorded.
std::string values_file(const Program& program, const std::string& name);
/// `name`_test.cpp: compares the two with what was recorded, and with differences.
std::string test_file(const Program& program, const std::string& name);

/// A matrix of numbers: the definition of an array of its rows, and what makes it one.
struct Numbers {
  std::string array;
  std::string value;
};
Numbers numbers_of(const Program::Variable& variable);

}  // namespace chainrule::emission
