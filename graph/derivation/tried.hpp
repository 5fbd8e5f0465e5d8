#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include <chainrule/graph/derivation/expression.hpp>

/// What an operation does is seen from what it makes of other operands.
namespace chainrule::derivation {

/// The result for these operands; nothing where the operation does not take them.
std::optional<Tensor> applied(const Expression& operation, const std::vector<Tensor>& operands);

using Position = std::vector<std::int64_t>;
/// The position on each axis of an element in row-major order.
Position unfolded(std::int64_t flat, const Shape& shape);

/// The shape of an operand whose extents tell its axes apart: 2, 3, 4 …
Shape telling(int rank);

/// Which axes of its operand a reduction takes.
std::optional<std::vector<bool>> axes_of(const Expression& reduction);

}  // namespace chainrule::derivation
