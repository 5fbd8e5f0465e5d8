#pragma once

#include <functional>
#include <optional>
#include <string>

#include <chainrule/graph/derivation/expression.hpp>
#include <chainrule/graph/derivation/layers.hpp>

namespace chainrule::derivation {

/// How a formula is written down.
enum class Format : std::uint8_t { unicode, latex, mathml };

/// What stands at a symbol: dW3 is the gradient of W3, Ẇ3 the tangent.
enum class Mark : std::uint8_t { none, gradient, tangent };

/// What a formula calls a tensor (or the tensor of a gradient), or a constant.
using Names = std::function<std::string(const Expression&)>;

/// An expression in the notation of textbooks: products of matrices ·, elementwise ⊗ and ⊘,
/// transposes ᵀ, derivatives σ'. Parentheses only where they are needed. Iterative.
/// Gradients have the mark `derivative`. In terms of a layer where that is given.
std::string text_of(const Expr& expression, const Names& names, Format format,
                    Mark derivative = Mark::gradient,
                    const std::optional<InLayer>& layer = std::nullopt);

/// The symbol of a tensor, and that of its gradient: W3 and dW3.
std::string symbol_text(std::string_view name, Format format, Mark mark = Mark::none);
std::string gradient_text(std::string_view name, Format format);

}  // namespace chainrule::derivation
