#pragma once

#include <cstdint>
#include <string>

namespace chainrule {

/// How C++ with Eigen alone writes one application of an op whose role does not say it already.
/// Tensors of one element are doubles there, those of one axis columns, those of two axes matrices.
struct EigenForm {
  enum class Kind : std::uint8_t {
    none,         ///< not known: what written_out() gives is written
    elementwise,  ///< `array`, of Eigen arrays of one shape; `scalar`, of doubles
    mask,         ///< the same for booleans
    comparison,   ///< of two operands: `array` is the sign, `scalar` that for exchanged operands
    function,     ///< Op::eigen_definition()'s function, of matrices of one shape or of doubles
    reduction,    ///< over axes: `array`, a member of matrices, or where that is empty the function
    lines,        ///< along an axis: the function with "_rows" or "_columns" behind its name
  };
  Kind kind = Kind::none;
  std::string array{};     ///< "{0}.exp()"
  std::string scalar{};    ///< "std::exp({0})"
  std::string matrix{};    ///< "{0}.cwiseSqrt()", where Eigen has it for matrices, too
  std::uint32_t axes = 0;  ///< bit i: along, or over, axis i
  bool keepdim = false;

  /// An elementwise function that Eigen has as a member of arrays: exp, "exp()", "std::exp({0})".
  static EigenForm member(const std::string& call, std::string scalar,
                          const std::string& of_matrix = {}) {
    return {.kind = Kind::elementwise,
            .array = "{0}." + call,
            .scalar = std::move(scalar),
            .matrix = of_matrix.empty() ? of_matrix : "{0}." + of_matrix};
  }
};

/// A number as a double of C++, in the shortest digits that read back as the same.
std::string eigen_number(double number);

}  // namespace chainrule
