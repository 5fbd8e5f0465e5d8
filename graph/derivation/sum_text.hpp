#pragma once

#include <optional>
#include <unordered_map>

#include <chainrule/graph/derivation/expression.hpp>
#include <chainrule/graph/derivation/layers.hpp>
#include <chainrule/graph/derivation/notation_reader.hpp>
#include <chainrule/graph/derivation/text.hpp>

namespace chainrule::derivation {

/// How the parts of an expression are written, as far as that is known.
using WrittenParts = std::unordered_map<const Expression*, Written>;

/// A sum whose terms differ in a number in the names alone, which runs from one to another, with Σ:
/// Σₜ₌₁³ (hₜ₋₁)ᵀ·dzₜ for (h2)ᵀ·dz3 + (h1)ᵀ·dz2 + (h0)ᵀ·dz1. Positions may run with it: X[t−1]·dzₜ.
/// Nothing for other sums, and for fewer
/// than three terms. Terms that do not belong to them stand behind.
std::optional<Written> sum_over_steps(const Expression& sum, const WrittenParts& parts,
                                      const Names& names, Format format, Mark derivative);

/// An expression as it stands in another one; in terms of a layer where that is given.
Written written_of(const Expr& expression, const Names& names, Format format, Mark derivative,
                   const std::optional<InLayer>& layer = std::nullopt);

/// a − y ⊗ z for a + (−y) ⊗ z, and a + y ⊗ z for what subtracts that; nothing for other sums.
std::optional<Written> sum_with_sign(const Expression& sum, const WrittenParts& parts,
                                     const Names& names, Format format, Mark derivative);

}  // namespace chainrule::derivation
