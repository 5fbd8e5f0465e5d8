#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <chainrule/graph/derivation/style.hpp>

namespace chainrule::derivation {

/// How strongly something holds together: what stands in a tighter place needs parentheses.
enum class Strength : std::uint8_t {
  list,  ///< a, b
  disjunction,
  conjunction,
  relation,
  sum,
  unknown_sign,  ///< a ∘ b, a mod 3: of signs whose place among products nobody knows
  product,
  matrix_product,
  prefix,
  power,
  atom
};

/// A part of a formula as it is written.
struct Written {
  /// What a prefix at the end of a text reaches over, were a product to follow it.
  enum class Open : std::uint8_t {
    no,
    linear,  ///< Σ a, which is the same over a number: Σ a / 6
    yes,     ///< log a, 1 ⊘ Σ a
  };
  std::string text;
  Strength strength = Strength::atom;
  bool single = false;    ///< one letter, or in parentheses: it may be raised as it stands
  bool negation = false;  ///< −y, which may begin a product as it stands
  Open open = Open::no;
  bool below = false;  ///< a / 2, behind which a factor without a sign would stand under the line
};

/// Whether a text cannot stand behind a number: 2 x behind 3 were 3 2 x.
bool begins_with_number(const Written& text);

/// The notation of an op with its operands in it, read by the usual precedence: parentheses stand
/// where it would be read otherwise.
Written read(std::string_view notation, const std::vector<Written>& operands, const Style& style);

}  // namespace chainrule::derivation
