#pragma once

#include <chainrule/graph/derivation/expression.hpp>

namespace chainrule::teaching {

/// The formula with others in the place of some of its parts, of whatever shapes: what is computed
/// from them has the shape that it gets. Null where an operation does not take them.
derivation::Expr fitted(const derivation::Expr& formula, const derivation::Replacements& others,
                        const derivation::Environment& environment);

}  // namespace chainrule::teaching
