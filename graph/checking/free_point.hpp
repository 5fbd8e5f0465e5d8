#pragma once

#include <cstdint>
#include <optional>

#include <chainrule/graph/derivation/trace.hpp>

namespace chainrule::derivation {

/// A point where little holds by chance, or by where a tensor came from: parameters have other
/// values; so has the tensor `target` of itself, element by element, if the formula does not go
/// back to the parameters behind it; and the gradients that the formula goes on from have any, but
/// for those that follow from others of these. Operations and rules from there to the target are
/// the program's, so that its right formula is right; but D = x − xᵀ is no longer antisymmetric, a
/// gradient no longer sums to 0, and labels are no identity. None for a formula with data that was
/// not recorded, and where something is not finite.
std::optional<Environment> free_point(const Trace& trace, std::uint32_t target,
                                      const Expr& formula);

}  // namespace chainrule::derivation
