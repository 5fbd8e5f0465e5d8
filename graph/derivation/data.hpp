#pragma once

#include <chainrule/graph/derivation/trace.hpp>

namespace chainrule::derivation {

/// Data that a program made from named data without recording it, in terms of that: y again, or
/// 1 − y. Null for other constants.
Expr in_named_data(const Trace& trace, const Expr& constant);

}  // namespace chainrule::derivation
