#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include <chainrule/graph/derivation/algebra.hpp>
#include <chainrule/graph/derivation/trace.hpp>

namespace chainrule::derivation {

/// One form of a gradient on the way from the rule to the textbook, and why it equals the form
/// before.
struct Stage {
  Expr expression;
  std::vector<Reason> reasons;
  /// It is longer than the form before, and needs no other gradient.
  bool independent = false;
};

/// Two points near the recorded one, at which forms are compared: other values of the parameters.
/// Data stays, as formulas may rest on what it is. Nearer ones where an operation is not defined,
/// or not finite, at those; fewer where there are none.
std::vector<Environment> certifying_points(const Trace& trace);

/// Whether what is finite at the recorded point is so at another one.
bool is_finite_at(const Trace& trace, const Environment& point);

/// The gradient of node i, first as the rules give it, last in the simplest form found. Every form
/// has been compared with the one before at the recorded point and at `points`; one that differs is
/// not among them.
std::vector<Stage> simplified(const Trace& trace, std::uint32_t i,
                              const std::vector<Environment>& points);

/// A formula as the algebra writes it by its simplest rules, multiplied out and collected; as it is
/// where that should be another one at the recorded point.
Expr multiplied_out(const Trace& trace, const Expr& formula);

/// One more form, in which the short formulas of other gradients stand in their places, where that
/// is shorter; nothing else. `formula_of` gives the last form of a gradient, or null.
std::optional<Stage> shortened(const Trace& trace, std::uint32_t i, const Expr& formula,
                               const std::function<Expr(std::uint32_t)>& formula_of,
                               const std::vector<Environment>& points);

/// A formula with those of tensors without a name, such as 1 − x, in their places.
Expr without_unnamed(const Trace& trace, const Expr& formula);

}  // namespace chainrule::derivation
