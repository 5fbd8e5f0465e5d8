#pragma once

#include <string>

#include <chainrule/graph/checking/candidate.hpp>

namespace chainrule::derivation {

/// What has to be changed in a person's formula to make it right, where that is one place of it. ""
/// where nothing was found. A formula that was not recorded is its numbers alone.
///
/// Numbers, signs, axes, sums, products, functions, and what is too much.
std::string repair_structure(const Trace& trace, const Comparison& comparison, const Text& text);
/// Sums over other axes, all of them, and a vector that stands along another one.
std::string repair_axes(const Trace& trace, const Comparison& comparison, const Text& text);
/// A number with a name that multiplies where it has to divide, or the reverse.
std::string repair_inverse(const Trace& trace, const Comparison& comparison, const Text& text);
/// A number that nobody wrote, in front of a part.
std::string repair_numbers(const Trace& trace, const Comparison& comparison, const Text& text);
/// A product or ratio of two tensors that is missing in front of the whole.
std::string repair_by_two(const Trace& trace, const Comparison& comparison, const Text& text);
/// Other tensors, and a tensor that is missing as a factor.
std::string repair_operands(const Trace& trace, const Comparison& comparison, const Text& text);
/// Small parts in the place of others, factors and terms that are missing.
std::string repair_small_parts(const Trace& trace, const Comparison& comparison, const Text& text);
/// What a formula has in the place of what, when all that it has in common with a right one is
/// taken away.
std::string repair_rest(const Trace& trace, const Comparison& comparison, const Text& text);
/// Any part of the right formula in the place of another.
std::string repair_parts(const Trace& trace, const Comparison& comparison, const Text& text);

}  // namespace chainrule::derivation
