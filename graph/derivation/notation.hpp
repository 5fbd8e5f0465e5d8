#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include <chainrule/core/node.hpp>

namespace chainrule::derivation {

/// An operand in the notation of an op: "{0}".
struct OperandMark {
  std::size_t index;   ///< of the operand
  std::size_t length;  ///< of the mark
};

/// How the op of an application shows its result `output`, of this many operands. Throws ValueError
/// that names op and line where braces hold anything else than the number of one of them.
std::string notation_of(const Node& application, std::size_t output, std::size_t operands);

/// The mark that such a notation begins with at its '{'.
OperandMark operand_mark(std::string_view notation);

/// The operands that a notation shows, as often as it does, from left to right.
std::vector<std::size_t> operands_in(std::string_view notation);

/// How a formula shows the derivative of an elementwise op: "σ'({0})" from "σ({0})", else
/// "name'({0})"; and what stands in front of the parentheses.
std::string slope_notation(const Node& application);
std::string slope_name(const Node& application);

}  // namespace chainrule::derivation
