#pragma once

#include <cstdint>

namespace chainrule {

/// What becomes of the losses of single samples or elements: each of them, their mean, or their
/// sum.
enum class Reduction : std::uint8_t { none, mean, sum };

}  // namespace chainrule
