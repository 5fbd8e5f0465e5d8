#pragma once

#include <string>

#include <chainrule/graph/checking/candidate.hpp>

namespace chainrule::derivation {

/// `certain`: one term alone, or two that are missing, of a formula of three or more. `one`: one of
/// two, too, and any number. `several`: two, with any numbers.
enum class Terms { certain, one, several };
/// What is wrong with a formula that is the right one but for the numbers in front of its terms: a
/// term that is missing, doubled, or has another sign or factor. "" where that is not so.
std::string wrong_terms(const Trace& trace, const Comparison& comparison, const Text& text,
                        Terms which);

/// What number a formula is too large by, in all its elements; "" without one.
std::string wrong_factor(const Trace& trace, const Comparison& comparison, const Text& text);

}  // namespace chainrule::derivation
