#pragma once

#include <cstddef>
#include <cstdint>

namespace chainrule {

class Op;

/// What an operation is in algebra. Formulas, their checks, pictures and emitted code ask for this
/// and know no op by its name, so that a program's own ops take part like the library's. One that
/// the operands and the shapes rule out is a GradError that names the op, where it is asked for.
struct Role {
  enum class Kind : std::uint8_t {
    other,
    // elementwise, of one or two operands that broadcast
    sum,          ///< a + b
    difference,   ///< a − b
    negation,     ///< −a
    product,      ///< a ⊗ b
    quotient,     ///< a ⊘ b
    reciprocal,   ///< 1 ⊘ a
    square,       ///< a ⊗ a
    exponential,  ///< eᵃ
    logarithm,    ///< ln a, where a is operand `argument`
    slope,        ///< g ⊗ φ'(z), of operands g and y = φ(z) or z, where φ is `of`
    comparison,   ///< a boolean from two operands
    selection,    ///< b where a holds, else c
    conversion,   ///< a in another dtype
    // of the elements as they are
    copy,         ///< a, or a broadcast
    permutation,  ///< a with its axes in another order
    reshape,      ///< the elements of a in the same order, in another shape
    slice,        ///< some positions of each axis of a, evenly spaced
    scatter,      ///< a in some places of a tensor of zeros
    join,         ///< the operands one behind the other
    // that bring elements together
    total,           ///< Σ a over axes
    mean,            ///< the same by how many they are
    matrix_product,  ///< a·b, either transposed or not
    outer_product,   ///< a·bᵀ of vectors
    inner_product,   ///< aᵀ·b of vectors
  };
  Kind kind = Kind::other;
  bool transposed[2] = {false, false};  ///< which operands of a matrix product are
  bool swaps_axes = false;              ///< a permutation that transposes a matrix
  std::uint8_t argument = 0;            ///< which operand a logarithm is of
  const Op* of = nullptr;               ///< what a slope belongs to, or `other` is ln of
  bool at_operand = false;              ///< a slope whose operand 1 is z, not φ(z)

  constexpr Role() noexcept = default;
  constexpr Role(Kind which) noexcept : kind(which) {}
  /// g ⊗ φ'(z) from g and y = φ(z).
  static Role slope_of(const Op& function) noexcept {
    Role role = Kind::slope;
    role.of = &function;
    return role;
  }
  /// The same from g and z.
  static Role slope_at(const Op& function) noexcept {
    Role role = slope_of(function);
    role.at_operand = true;
    return role;
  }
  constexpr bool is(Kind which) const noexcept { return kind == which; }
  /// True of those whose element i comes from element i of the operands, which broadcast.
  constexpr bool elementwise() const noexcept {
    return kind >= Kind::sum && kind <= Kind::conversion;
  }
  /// How many operands it takes at least.
  constexpr std::size_t operands() const noexcept {
    switch (kind) {
      case Kind::other:
        return 0;
      case Kind::sum:
      case Kind::difference:
      case Kind::product:
      case Kind::quotient:
      case Kind::slope:
      case Kind::comparison:
      case Kind::matrix_product:
      case Kind::outer_product:
      case Kind::inner_product:
        return 2;
      case Kind::selection:
        return 3;
      default:
        return std::size_t{1} + argument;
    }
  }
};

}  // namespace chainrule
