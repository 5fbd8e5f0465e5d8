#pragma once

#include <span>
#include <string>

#include <chainrule/graph/teaching/exercise.hpp>

/// The parts of an exercise in a terminal and on paper.
namespace chainrule::teaching {

/// The program: an equation on each line, with shapes.
std::string program_text(const Exercise& exercise);
/// "where t1 = …", a line each; nothing where nothing is abbreviated.
std::string definitions_text(const Exercise& exercise);
/// The formulas that are offered, each behind its letter.
std::string choices_text(const Exercise::Line& line);
/// "dW2[0, 1]"
std::string element_name(const Exercise::Line& line);
/// Tensors and their elements, with three digits, below each other.
std::string values_text(std::span<const Exercise::Element::Given> values);
/// As a person writes it: four digits, "−" for a minus.
std::string number_text(double number);
/// The letter of choice k.
std::string letter(std::size_t k);

}  // namespace chainrule::teaching
