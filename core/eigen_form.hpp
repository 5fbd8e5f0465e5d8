#pragma once

#include <cstdint>
#include <string>

namespace chainrule {

/// How C++ with Eigen alone writes one application of an op whose role does not say it already, as
/// all do but other, slope and comparison. (Where square, exponential, logarithm, total and mean
/// give a form nevertheless, that is written.) One that does not fit operands, result or
/// definition is a ValueError of emit_cpp() that names the op. Tensors of one element are doubles
/// there, those of one axis columns, those of two axes matrices.
struct EigenForm {
  enum class Kind : std::uint8_t {
    none,         ///< not known: what written_out() gives is written
    elementwise,  ///< `array`, of Eigen arrays of one shape; `scalar`, of doubles
    mask,         ///< the same for booleans
    comparison,   ///< of two operands: `array` is the sign, `scalar` that for exchanged operands
    /// Op::eigen_definition()'s function, of doubles, or of matrices of one shape, which is what
    /// one number in every element is, too, where the op is not elementwise.
    function,
    /// Over `axes`: `array`, a member of matrices as "squaredNorm()"; where that is empty functions
    /// of Op::eigen_definition(), of those that are needed: name(matrix) gives the number for all
    /// elements, name_columns(matrix) a row with one for each column (axis 0 is reduced),
    /// name_rows(matrix) a column with one for each row (axis 1 is).
    reduction,
    /// Along one of `axes`, of the operand's shape: name_columns(matrix) where that is axis 0, each
    /// column by itself, name_rows(matrix) where it is axis 1.
    lines,
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
