#pragma once

#include <chainrule/core/value.hpp>
#include <chainrule/ops/kernels/reduce/lines.hpp>

namespace chainrule::kernels {

/// to = g · s, where the share s is 1 / k for the k elements of x that equal the best one of their
/// line, 0 for the others, and NaN along lines whose best is NaN. `to` and x are row-major and of
/// one floating dtype, g and `best` too, with an element for each line.
void share_among_equals(Value& to, const Value& g, const Value& x, const Value& best,
                        const Lines& lines);

}  // namespace chainrule::kernels
