#pragma once

#include <functional>
#include <vector>

#include <chainrule/graph/derivation/expression.hpp>

namespace chainrule::derivation {

/// An expression with these operands in the place of its own, which have the same shapes.
Expr with_operands(const Expr& expression, std::vector<Expr> operands);

/// What becomes of a part, which is given as it was, and with its operands rewritten.
using Rewrite = std::function<Expr(const Expr& part, Expr now)>;
/// An expression whose parts were all rewritten, operands first; what does not change is shared.
Expr rewritten(const Expr& expression, const Rewrite& rewrite);

}  // namespace chainrule::derivation
