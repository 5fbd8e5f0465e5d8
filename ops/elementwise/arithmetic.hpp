#pragma once

#include <chainrule/ops/operand.hpp>

namespace chainrule {

/// Elementwise arithmetic. Operands broadcast: shapes are aligned at the last axis, and extents
/// must be equal or 1. A number on either side adapts to the other operand's dtype. Throws
/// ShapeError for shapes that do not broadcast, DTypeError for different dtypes.

/// a + b. Gradients: g and g.
Tensor operator+(const Operand& a, const Operand& b);
Tensor add(const Operand& a, const Operand& b, Where where = Where::current());
/// a − b. Gradients: g and −g.
Tensor operator-(const Operand& a, const Operand& b);
Tensor sub(const Operand& a, const Operand& b, Where where = Where::current());
/// a ⊗ b. Gradients: g ⊗ b and g ⊗ a.
Tensor operator*(const Operand& a, const Operand& b);
Tensor mul(const Operand& a, const Operand& b, Where where = Where::current());
/// a ⊘ b, for floating operands. Gradients: g ⊘ b and −g ⊗ a ⊘ b².
Tensor operator/(const Operand& a, const Operand& b);
Tensor div(const Operand& a, const Operand& b, Where where = Where::current());
/// −x. Gradient: −g.
Tensor operator-(const Operand& x);
Tensor neg(const Tensor& x, Where where = Where::current());

namespace detail {

/// a ⊗ b for rules, in the memory of a where that was given away and nobody else sees it.
Tensor times_in_place(Tensor a, const Tensor& b, Where where = Where::current());

}  // namespace detail

}  // namespace chainrule
