#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

namespace chainrule::derivation {

/// An operand in the notation of an op: "{0}".
struct OperandMark {
  std::size_t index;   ///< of the operand
  std::size_t length;  ///< of the mark
};

/// The mark that `notation` begins with at its '{'. Throws ValueError for anything else than a
/// number in the braces.
OperandMark operand_mark(std::string_view notation);

/// The operands that a notation shows, as often as it does, from left to right.
std::vector<std::size_t> operands_in(std::string_view notation);

}  // namespace chainrule::derivation
