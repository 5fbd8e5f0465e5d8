#pragma once

#include <cstdint>
#include <span>

#include <chainrule/graph/derivation/trace.hpp>

namespace chainrule::derivation {

/// The gradient of node i by the rules, where a gradient that comes to it through one of `given`
/// alone stands as that: the rules call the gradient of r in s = r − L by the name of ds. One that
/// nobody gave is what one of `given` tells of it, as that is the same in another shape or with its
/// axes in another order, or by a factor: of u = f(r ⊘ σ) that for σ goes on from dr.
Expr gradient_through(const Trace& trace, std::uint32_t i, std::span<const std::uint32_t> given);

}  // namespace chainrule::derivation
