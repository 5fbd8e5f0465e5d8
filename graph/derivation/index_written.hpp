#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include <chainrule/graph/derivation/text.hpp>

namespace chainrule::derivation {

/// A part of a formula for one element.
struct IndexWritten {
  /// How strongly it holds together: what stands in a tighter place needs parentheses.
  enum Strength : std::uint8_t { sum = 1, product, atom };
  std::string text;
  Strength strength;
  bool open = false;    ///< Σ at its end goes as far as the product does
  bool number = false;  ///< with a number at its beginning, beside which no other may stand
};

/// What an op's notation says of one element, with its operands in it: ⊗ is the product, ⊘ the
/// fraction line.
IndexWritten in_notation(std::string_view notation,
                         const std::function<IndexWritten(std::size_t k)>& operand, Format format);

}  // namespace chainrule::derivation
