#pragma once

#include <vector>

#include <chainrule/graph/derivation/index_formula.hpp>

/// The parts of formulas element by element, put together: products and sums of such in one row,
/// numbers in front, Σ over all letters at once.
namespace chainrule::derivation {

/// An element of a symbol, of the shape of another expression or of its own.
IndexFormula element_of(const Expr& symbol, const Shape& shape, const Indices& at);
IndexFormula element_of(const Expr& symbol, const Indices& at);
/// An element of a formula that is not said by elements.
IndexFormula whole_term(const Expr& formula, const Indices& at);
IndexFormula number_term(double number);
IndexFormula sum_term(std::vector<IndexFormula> parts, std::vector<bool> subtracted);
IndexFormula product_term(std::vector<IndexFormula> parts, double number = 1);
IndexFormula quotient_term(IndexFormula above, IndexFormula below);
IndexFormula square_term(IndexFormula of);
IndexFormula total_term(std::vector<int> letters, IndexFormula of);
/// Σ of a product, of which factors that are sums over letters themselves are put into one.
IndexFormula contraction_term(std::vector<int> letters, std::vector<IndexFormula> factors);
/// [a = b]: 1 where that is so, else 0.
IndexFormula equal_term(const Index& a, const Index& b);

}  // namespace chainrule::derivation
