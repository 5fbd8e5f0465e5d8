#pragma once

#include <cstdint>
#include <span>

#include <chainrule/graph/checking/rounding.hpp>

namespace chainrule::derivation {

/// A formula with other values for some of its numbers and constants: those with which it comes
/// nearest to the gradient for node i, at the point at which it was computed last without
/// roundings, or first. So it is what a formula may be whose numbers were read from tensors. Null
/// where there are no fewer of these numbers than elements, with which it would be right whatever
/// it is, or too many. A number of one element is one wherever it stands; of more it is a tensor
/// whose elements are equal at the recorded point alone.
Computation refitted(const Expr& formula, std::span<const Expr> numbers, std::uint32_t i);

}  // namespace chainrule::derivation
