#pragma once

#include <chainrule/core/value.hpp>

namespace chainrule::kernels {

/// Writes the elements of `from` into `to`, of the same shape and dtype and any strides; no two
/// elements of `to` share a place.
void assign(Value& to, const Value& from);

/// The same, added to what is there, for floating dtypes.
void add(Value& to, const Value& from);

/// Makes all elements of a row-major value zero.
void set_zero(Value& value) noexcept;

}  // namespace chainrule::kernels
