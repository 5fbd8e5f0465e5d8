#include <chainrule/graph/emission/code.hpp>

#include <fmt/format.h>

#include <cmath>

namespace chainrule::emission {

std::string Code::in(Strength place) const {
  return strength < place ? fmt::format("({})", text) : text;
}

std::string Code::member(std::string_view call) const {
  return fmt::format("{}.{}", in(Strength::atom), call);
}

Code Code::as_array() const {
  if (is_scalar() || form == Form::array) return *this;
  if (form == Form::mask) return {member("cast<double>()"), shape, Strength::atom, Form::array};
  return {member("array()"), shape, Strength::atom, Form::array, is_vector, is_row};
}

Code Code::as_matrix() const {
  if (form == Form::mask)
    return is_scalar() ? Code{fmt::format("double({})", text), shape} : as_array().as_matrix();
  if (is_scalar() || form == Form::matrix) return *this;
  return {member("matrix()"), shape, Strength::atom, Form::matrix, is_vector, is_row};
}

std::string Code::as_column() const { return is_vector ? text : member("col(0)"); }

std::string Code::as_row() const { return is_row ? text : member("row(0)"); }

Code Code::transposed() const {
  if (is_scalar()) return *this;
  const Shape to = shape.rank() < 2 ? Shape{1, shape[0]} : Shape{shape[1], shape[0]};
  constexpr std::string_view call = ".transpose()";
  // The transpose of a transpose is what it was.
  if (strength == Strength::atom && text.ends_with(call) && text.find('(') == text.size() - 2)
    return {text.substr(0, text.size() - call.size()), to, Strength::atom, form, is_row, is_vector};
  return {member(call.substr(1)), to, Strength::atom, form, is_row, is_vector};
}

Code Code::materialized(const Shape& to) const {
  const Code wanted{"", to};
  const std::int64_t rows_to = wanted.rows(), columns_to = wanted.columns();
  const Code matrix = form == Form::mask ? as_array() : *this;
  if (to.numel() == 1) return as_matrix();
  if (to.numel() == 0) return {fmt::format("MatrixXd::Zero({}, {})", rows_to, columns_to), to};
  if (is_scalar()) {
    const std::string type = to.rank() < 2 ? "VectorXd" : "MatrixXd";
    const std::string size =
        to.rank() < 2 ? fmt::format("{}", rows_to) : fmt::format("{}, {}", rows_to, columns_to);
    Code all{"", to};
    all.is_vector = to.rank() < 2;
    if (number == 0.0)
      all.text = fmt::format("{}::Zero({})", type, size);
    else if (number == 1.0)
      all.text = fmt::format("{}::Ones({})", type, size);
    else
      all.text = fmt::format("{}::Constant({}, {})", type, size, as_matrix().text);
    return all;
  }
  const Code aligned = to.rank() == 2 && shape.rank() == 1 ? matrix.transposed() : matrix;
  if (aligned.rows() == rows_to && aligned.columns() == columns_to) {
    Code same = aligned;
    same.shape = to;
    return same;
  }
  return {aligned.member(fmt::format("replicate({}, {})", rows_to / aligned.rows(),
                                     columns_to / aligned.columns())),
          to, Strength::atom, aligned.form};
}

Code made(std::string text, const Shape& shape, Code::Strength strength, Code::Form form) {
  return {std::move(text), shape, strength,
          shape.numel() == 1 && form == Code::Form::array ? Code::Form::matrix : form};
}

Code literal_code(double number) {
  Code code{eigen_number(number),
            {},
            std::signbit(number) ? Code::Strength::prefix : Code::Strength::atom};
  code.number = number;
  return code;
}

std::string type_of(const Shape& shape) {
  if (shape.numel() == 1) return "double";
  return shape.rank() == 1 ? "VectorXd" : "MatrixXd";
}

}  // namespace chainrule::emission
