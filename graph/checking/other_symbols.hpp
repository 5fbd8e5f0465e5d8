#pragma once

#include <cstdint>

#include <chainrule/graph/derivation/trace.hpp>

namespace chainrule::derivation {

/// Whether node i may stand in the place of a symbol, or of a slope at one, in the formula for the
/// gradient of node `target`: of its shape, known by a name, another.
bool may_stand_for(const Trace& trace, const Environment& point, std::uint32_t target,
                   std::uint32_t i, const Expr& symbol);

/// Whether one of them is the other one with its sign changed.
bool is_negative(const Expr& a, const Expr& b, const Environment& point);

/// Node i as a symbol, or the slope at it, as this is one.
Expr same_kind(const Expr& symbol, std::uint32_t i);

}  // namespace chainrule::derivation
