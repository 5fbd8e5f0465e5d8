#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <chainrule/core/eigen_form.hpp>
#include <chainrule/core/shape.hpp>

namespace chainrule::emission {

/// An expression of C++ with Eigen. A tensor of one element is a double, one of one axis a column,
/// one of two axes a matrix.
struct Code {
  /// How strongly it holds together.
  enum class Strength : std::uint8_t { comparison, sum, product, prefix, atom };
  /// What Eigen takes it for. A mask is an array of bool, or a bool.
  enum class Form : std::uint8_t { matrix, array, mask };

  std::string text;
  Shape shape;  ///< of what it gives, which may still have to be broadcast
  Strength strength = Strength::atom;
  Form form = Form::matrix;
  bool is_vector = false;          ///< of a type with one column
  bool is_row = false;             ///< of a type with one row
  std::optional<double> number{};  ///< of a literal

  bool is_scalar() const noexcept { return shape.numel() == 1; }
  /// Its rows and columns: a tensor of one axis is a column.
  std::int64_t rows() const noexcept { return shape.empty() ? 1 : shape[0]; }
  std::int64_t columns() const noexcept { return shape.rank() < 2 ? 1 : shape[1]; }

  /// The text for a place where something of at least this strength must stand.
  std::string in(Strength place) const;
  /// With ".name(…)" behind it.
  std::string member(std::string_view call) const;
  Code as_array() const;
  Code as_matrix() const;
  /// As one column, or one row, of which Eigen knows that it is one.
  std::string as_column() const;
  std::string as_row() const;
  Code transposed() const;
  /// With all its elements, as a matrix or array: what was left to be broadcast is.
  Code materialized(const Shape& shape) const;
};

/// The code of a result; where that is a double, it is no array.
Code made(std::string text, const Shape& shape, Code::Strength strength, Code::Form form);

Code literal_code(double number);
/// The type of a variable for a tensor.
std::string type_of(const Shape& shape);

}  // namespace chainrule::emission
