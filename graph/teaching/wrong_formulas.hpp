#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <chainrule/graph/teaching/listing.hpp>

namespace chainrule::teaching {

/// A formula that somebody might write for a gradient.
struct WrongFormula {
  derivation::Expr formula;  ///< null where the shapes do not fit
  Exercise::Written written;
  std::string mistake;  ///< in the words of a diagnosis: "σ' is missing"
  std::string kind;     ///< the same for mistakes of one kind
  int rank;             ///< 1: likely; 2: possible; 3: far-fetched
  /// Gives `formula` and `written`, as few of many are looked at.
  std::function<void(WrongFormula&)> make;
};

/// Mistakes in the right formula for the gradient of node i: those that for_each_mutant() makes,
/// and other tensors in the place of one, whether their shapes fit or not. None has been compared
/// with the right formula; `most_characters`: longer ones are left out.
std::vector<WrongFormula> wrong_formulas(Listing& listing, std::uint32_t i,
                                         const derivation::Expr& right,
                                         std::size_t most_characters);

}  // namespace chainrule::teaching
