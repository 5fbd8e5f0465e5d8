#pragma once

#include <span>

#include <chainrule/core/call.hpp>
#include <chainrule/graph/derivation/expression.hpp>

namespace chainrule::derivation {

/// Throws ValueError, which names the op and its line, where an operation gives other numbers when
/// it is computed again from the same ones, GradError where infer() says another result: no formula
/// says what it computes, and differences say nothing. `recorded` serves where it takes no others.
void check_repeats(const Expression& operation, const Environment& recorded);

/// Throws GradError where a gradient rule applied an op with saved values that the op does not
/// compute from the operands: a formula would say that it does.
void check_known(const Node& application, Operands operands, std::span<const Ref<Value>> results);

}  // namespace chainrule::derivation
