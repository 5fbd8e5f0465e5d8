#pragma once

#include <string_view>

#include <chainrule/graph/emission/code.hpp>

/// Elementwise arithmetic on code whose shapes broadcast, in the words that read best: cwiseProduct
/// for two matrices, * for arrays, .colwise() + b for a column that goes with each.
namespace chainrule::emission {

/// `sign` is + or -.
Code added(Code a, std::string_view sign, Code b);
Code multiplied(Code a, Code b);
Code divided(Code a, Code b);
Code negated(const Code& x);
/// `reversed` is the sign for exchanged operands.
Code compared(Code a, std::string_view sign, std::string_view reversed, Code b);
/// A mask, from one or from numbers that stand for one.
Code as_mask(const Code& x);
/// A mask with all its elements, as one.
Code whole_mask(const Code& mask, const Shape& shape);
/// a where the condition is true, else b.
Code chosen(const Code& condition, const Code& a, const Code& b, const Shape& shape);

/// The shape that two broadcast to.
Shape broadcast(const Shape& a, const Shape& b);

}  // namespace chainrule::emission
