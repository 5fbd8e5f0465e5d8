#pragma once

#include <span>
#include <string>
#include <string_view>

#include <chainrule/core/call.hpp>
#include <chainrule/graph/derivation/expression.hpp>

namespace chainrule::derivation {

/// Two numbers that should be the same, and the element that they are.
struct Different {
  double first, second;
  Shape at;

  /// One of them, in as many digits as tell them apart.
  std::string written(double number) const;
  /// "{what} does not repeat: it gave …", of an operation or of its rule.
  std::string not_repeating(std::string_view what) const;
};

/// The remedy.
inline constexpr const char* how_to_repeat =
    "give what is random as an operand, or draw it anew from a seed among the op's parameters";

/// Throws ValueError, which names the op and its line, where an operation gives other numbers when
/// it is computed again from the same ones, GradError where infer() says another result: no formula
/// says what it computes, and differences say nothing. `recorded` serves where it takes no others.
void check_repeats(const Expression& operation, const Environment& recorded);

/// Throws GradError where a gradient rule applied an op with saved values that the op does not
/// compute from the operands: a formula would say that it does.
void check_known(const Node& application, Operands operands, std::span<const Ref<Value>> results);

}  // namespace chainrule::derivation
