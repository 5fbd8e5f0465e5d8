#pragma once

#include <string>
#include <vector>

#include <chainrule/graph/checking/candidate.hpp>

namespace chainrule::derivation {

/// `certain`: one term alone of a formula of three or more. `two_missing`: two that are missing of
/// such. `one`: one of two, too, and numbers that people write. `several`: two of such.
/// `any_number`: one, with a number that nobody wrote.
enum class Terms { certain, two_missing, one, several, any_number };
/// What is wrong with a formula that is the right one but for the numbers in front of its terms: a
/// term that is missing, doubled, or has another sign or factor. "" where that is not so.
std::string wrong_terms(const Trace& trace, const Comparison& comparison, const Text& text,
                        Terms which);

/// The same of terms that are missing in one of these forms of the right formula.
std::string terms_missing_in(const Trace& trace, const Comparison& comparison, const Text& text,
                             const std::vector<Expr>& forms);

/// What number a formula is too large by, in all its elements; "" without one.
std::string wrong_factor(const Trace& trace, const Comparison& comparison, const Text& text);

/// A mean that a person wrote where the sum belongs; "" for a formula that was not recorded.
std::string mean_for_sum(const Comparison& comparison, const Text& text);

}  // namespace chainrule::derivation
