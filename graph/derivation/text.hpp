#pragma once

#include <functional>
#include <optional>
#include <string>

#include <chainrule/graph/derivation/expression.hpp>
#include <chainrule/graph/derivation/layers.hpp>

namespace chainrule::derivation {

/// How a formula is written down.
enum class Format : std::uint8_t { unicode, latex, mathml };

/// What stands at a symbol: dW3 is the gradient of W3, Ẇ3 the tangent; where a tensor is called
/// that, ∇W3 or ∂W3, all derivatives of a derivation alike. Trace::derivative() says which.
enum class Mark : std::uint8_t { none, gradient, tangent, nabla, partial };

/// Whether it stands in front: (dW3)².
constexpr bool is_prefix(Mark mark) { return mark != Mark::none && mark != Mark::tangent; }

/// What a formula calls a tensor (or the tensor of a gradient), or a constant.
using Names = std::function<std::string(const Expression&)>;

/// An expression in the notation of textbooks: products of matrices ·, elementwise ⊗ and ⊘,
/// transposes ᵀ, derivatives σ'. Parentheses only where they are needed. Iterative.
/// Gradients have the mark `derivative`. In terms of a layer where that is given.
std::string text_of(const Expr& expression, const Names& names, Format format,
                    Mark derivative = Mark::gradient,
                    const std::optional<InLayer>& layer = std::nullopt);

/// The same of what a symbol stands for, with its shape where a reader would take it for another.
std::string definition_of(const Expr& expression, const Names& names, Format format,
                          const std::optional<InLayer>& layer = std::nullopt);

/// The symbol of a tensor: W3, dW3.
std::string symbol_text(std::string_view name, Format format, Mark mark = Mark::none);

}  // namespace chainrule::derivation
