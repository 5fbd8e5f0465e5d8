#pragma once

#include <string>
#include <vector>

#include <chainrule/graph/checking/candidate.hpp>

namespace chainrule::derivation {

/// What two formulas do not have in common.
struct Contrast {
  enum class Of { formulas, factors, terms };
  Expr mine, right;  ///< null where nothing is left: a factor or a term that the other has
  Expr place;        ///< the part of the first that it was found in
  Of of = Of::formulas;
};

/// Goes down into a formula and the one that belongs in its place as long as they are the same but
/// for one operand, for some factors, or for some terms; parts are compared at all points. Forms of
/// slopes, as y ⊗ (1 − y), stay whole.
Contrast contrast(const Trace& trace, const Comparison& comparison, const Expr& mine,
                  const Expr& right);

/// Of two sums that have no term in common, the difference of each two terms that are the same but
/// for one part; the difference itself where not all go in pairs.
std::vector<Contrast> pairs_of_terms(const Trace& trace, const Comparison& comparison,
                                     const Contrast& difference);

/// "σ'" for y ⊗ (1 − y), and the like; "" for what is no form of a slope.
std::string slope_in_words(const Comparison& comparison, const Expr& formula);
/// The same where it is the slope of a function that the program has, as y is σ(z), or has one
/// itself.
std::string slope_of_program(const Trace& trace, const Comparison& comparison, const Expr& formula);

}  // namespace chainrule::derivation
