#pragma once

#include <initializer_list>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include <chainrule/graph/derivation/expression.hpp>

namespace chainrule::derivation {

class Trace;

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
/// That of one whose role() says that operand 0 has what the logarithm of another is computed from.
[[noreturn]] void throw_wrong_logarithm(const Expression& operation);

/// Throws GradError, which names the op, where its role says arithmetic (a sum, a product of
/// matrices, a mean …) or a move of elements, and it makes something else of some numbers. Whether
/// the role says such a thing, and the op took numbers.
bool check_numbers(const Expression& operation);
/// The same for the operands that it has: it made `result` of these, in f64.
bool check_recorded(const Expression& operation, const std::vector<Tensor>& operands,
                    const Tensor& result);

/// What an op makes of numbers, in f64.
struct Made {
  Tensor numbers;
  bool single;  ///< it came in f32
};
/// What the op makes of these numbers, in the first of these dtypes that it takes. Nothing where it
/// takes none.
std::optional<Made> made_of(const Expression& operation, const std::vector<Tensor>& numbers,
                            std::initializer_list<DType> dtypes = {f64, f32, i64});

/// Numbers of both signs, in steps of 0.37 and in another order for each operand.
Tensor signed_numbers(const Shape& shape, std::size_t operand);
/// Whether an op made what was said, up to rounding: `tolerance` of `sizes`, element by element, of
/// what was added and may have cancelled.
bool are_same(const Made& made, const Tensor& said, const Tensor& sizes, double tolerance = 1e-12);

/// φ(z) of one operand, to which a fused slope g ⊗ φ'(z) belongs, that is given by y = φ(z) or by
/// z; null where the graph has none.
Expr function_of(const Expr& slope, const Trace& trace);
/// Throws GradError, which names the op, where it makes something else of some numbers than g ⊗
/// φ'(z) by the rule of the function's op: of made-up ones or, where it takes none of these, and
/// when `recorded`, at the z that the function has.
void check_slope(const Expression& operation, const Expression& function, const Trace& trace,
                 bool recorded);

/// Whether a role says that elements are moved as they are.
bool says_move(const Role& role);
/// check_numbers() and check_recorded() of such a role.
bool check_move(const Expression& operation);
bool check_recorded_move(const Expression& operation, const std::vector<Tensor>& operands);

}  // namespace chainrule::derivation
