#pragma once

#include <optional>
#include <span>
#include <string_view>

#include <chainrule/graph/derivation/expression.hpp>

namespace chainrule::derivation {

/// Throws GradError, which names the op, its line and the remedy, where its role() says something
/// that its operands and the shapes of these and of the result rule out: what reads a role relies
/// on what it takes.
void check_role(const Expression& operation, const Role& role);

/// The shape that two broadcast to, if they do.
std::optional<Shape> broadcast(const std::optional<Shape>& a, const Shape& b);

/// The shape that operands broadcast to, those that are there; nothing where they do not.
std::optional<Shape> broadcast_of(std::span<const Expr> operands);

/// The error about an op that is not what its role() says: "slice, but {what}".
[[noreturn]] void throw_wrong_role(const Expression& operation, const Role& role,
                                   std::string_view what);

/// Throws GradError, which names the op, where its role says arithmetic (a sum, a product, a
/// product of matrices, a conversion …) and it computes something else of some numbers.
void check_numbers(const Expression& operation);

}  // namespace chainrule::derivation
