#pragma once

#include <functional>
#include <string>

#include <chainrule/graph/derivation/expression.hpp>

namespace chainrule::derivation {

/// What a formula calls a tensor, a gradient or a constant; empty to write a tensor by what it was
/// computed from.
using Names = std::function<std::string(const Expression&)>;

/// An expression as Unicode text in the notation of textbooks: products of matrices ·, elementwise
/// ⊗ and ⊘, transposes ᵀ, derivatives σ'. Parentheses only where they are needed.
std::string text_of(const Expr& expression, const Names& names);

}  // namespace chainrule::derivation
