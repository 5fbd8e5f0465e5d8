#pragma once

#include <span>
#include <string_view>

#include <chainrule/tests/ops/linalg/arrays.hpp>

namespace reference {

/// The value of one op by its definition, in plain loops over long double, for the inputs of its
/// sample `label` or others of their shapes. Throws UnknownSample when the label says what to do
/// (an axis, a position) and is none of those known.
using Function = Array (*)(std::span<const Array> in, std::string_view label);

struct Entry {
  std::string_view op;
  Function function;
};

/// The reference of an op, or null.
Function of(std::string_view op);

/// The families' references; of() looks through all of them.
std::span<const Entry> elementwise();
std::span<const Entry> linear();
std::span<const Entry> arrangement();
std::span<const Entry> reduction();
std::span<const Entry> softmax_family();
std::span<const Entry> fused();

}  // namespace reference
