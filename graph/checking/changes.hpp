#pragma once

#include <string>

#include <chainrule/graph/checking/candidate.hpp>

namespace chainrule::derivation {

/// What has to be changed in one of the forms of the right formula to give a person's numbers. ""
/// where no change explains them.
///
/// An axis, a transpose, a slope, a slice.
std::string changed_operations(const Trace& trace, const Comparison& comparison, const Text& text);
/// Another tensor, or the data of another step.
std::string other_tensors(const Trace& trace, const Comparison& comparison, const Text& text);
/// Two parts in the place of each other; a tensor that is left out wherever it stands, or that is
/// computed with a mistake; a function for its derivative.
std::string exchanged_or_left_out(const Trace& trace, const Comparison& comparison,
                                  const Text& text);
/// A tensor that is left out wherever it stands in one of these forms of the right formula.
std::string left_out_of(const std::vector<Expr>& forms, const Trace& trace,
                        const Comparison& comparison, const Text& text);
/// A factor or a term comes to it, or a parameter was updated before.
std::string too_many_operands(const Trace& trace, const Comparison& comparison, const Text& text);
/// A small part of the program or of the formula stands in the place of another.
std::string other_parts(const Trace& trace, const Comparison& comparison, const Text& text);

}  // namespace chainrule::derivation
