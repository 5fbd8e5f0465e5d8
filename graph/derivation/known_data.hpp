#pragma once

#include <chainrule/graph/derivation/polynomial.hpp>
#include <chainrule/graph/derivation/trace.hpp>

/// What algebra knows by values: of data, and of functions.
namespace chainrule::derivation {

/// The sum with terms that differ in a constant alone put together, where their constants are the
/// same number everywhere: −y ⊗ a − (1 − y) ⊗ a is −a, also where y has no name.
Polynomial with_constants_joined(const Polynomial& sum);

/// φ'(z) for φ'(−z) where φ' is even, as σ' and tanh' are; else as it is.
Expr without_sign(const Expr& slope, const Trace& trace);

/// Whether it is an elementwise operation of one operand; and one whose square is its operand,
/// which is seen from what it does to numbers.
bool is_function(const Expression& e);
bool is_square_root(const Expr& function);

}  // namespace chainrule::derivation
