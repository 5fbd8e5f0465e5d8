#pragma once

#include <cstdint>

#include <chainrule/core/value.hpp>

namespace chainrule::kernels {

/// What gather and take walk over, and their transposed maps too. To element e of the part belongs
/// the element of the whole at place(e) + position(e)·stride. All positions are in range.
struct Walk {
  Ref<Value> places;     ///< the whole in the part's shape, at position 0 of the axis
  Ref<Value> positions;  ///< the index broadcast to the part's shape
  std::int64_t stride;   ///< of the axis
};

/// The part at the same places but along the axis: it has the shape of the index.
Walk walk_gather(const Ref<Value>& whole, int axis, const Ref<Value>& index);
/// The part in which the index stands for the axis: it has take_shape().
Walk walk_take(const Ref<Value>& whole, int axis, const Ref<Value>& index, const Value& part);
Shape take_shape(const Shape& whole, int axis, const Shape& index);

/// Copies the part of the whole into a row-major value.
void collect(Value& part, const Walk& walk);
/// Adds the part to the whole, which its owner is; f32, f64 and i64. In row-major order of the
/// part; of many numbers at few places the sums of pieces of the part, in pairs.
void distribute(const Value& part, const Walk& walk);

}  // namespace chainrule::kernels
