#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include <chainrule/graph/derivation/expression.hpp>

/// What an operation does is seen from what it makes of other operands.
namespace chainrule::derivation {

/// The values of an operation's operands; undefined for those that it was applied without, and that
/// have none.
std::vector<Tensor> values_of_operands(const Expression& operation, const Environment& environment);

/// The result for these operands; nothing where the operation does not take them.
std::optional<Tensor> applied(const Expression& operation, const std::vector<Tensor>& operands);

using Position = std::vector<std::int64_t>;
/// The position on each axis of an element in row-major order.
Position unfolded(std::int64_t flat, const Shape& shape);

/// The shape of an operand whose extents tell its axes apart: 2, 3, 4 …
Shape telling(int rank);

/// 1, 2, 3 … from `first` on: they tell the elements apart.
Tensor counted(const Shape& shape, double first = 1);

/// From where each element of a slice comes, or to where each of a scatter goes, in row-major order
/// of the whole: by what the operation makes of counted().
std::vector<std::int64_t> places_of(const Expression& move, const std::vector<double>& moved);

/// The place on each axis of a whole for a position in a part: offset + Σ strides · position.
struct Steps {
  std::int64_t offset = 0;
  std::vector<std::int64_t> strides;
};
/// That of the given places, one for each element of the part; nothing where they are not evenly
/// spaced.
std::optional<std::vector<Steps>> steps_of(const std::vector<std::int64_t>& places,
                                           const Shape& part, const Shape& whole);

/// Whether element i of the result depends on element i of the operands alone, which broadcast, and
/// on these alike for every i; nothing where the operation does not take other numbers.
std::optional<bool> acts_elementwise(const Expression& operation);

/// Which axes of its operand a reduction takes.
std::optional<std::vector<bool>> axes_of(const Expression& reduction);

}  // namespace chainrule::derivation
