#pragma once

#include <cstddef>

#include <chainrule/core/value.hpp>

namespace chainrule::kernels {

/// Writes the elements of `from` into `to`, of the same shape and dtype and any strides; no two
/// elements of `to` share a place.
void assign(Value& to, const Value& from);

/// The same, added to what is there, for floating dtypes.
void add(Value& to, const Value& from);

/// Copies `count` pieces of so many bytes, which stand one after the other, to places that are
/// `stride` bytes apart.
void copy_pieces(char* to, std::size_t stride, const char* from, std::size_t bytes,
                 std::size_t count);

/// Makes all elements of a row-major value zero.
void set_zero(Value& value) noexcept;

}  // namespace chainrule::kernels
