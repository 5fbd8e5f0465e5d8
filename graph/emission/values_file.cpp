#include <fmt/format.h>

#include <utility>
#include <vector>

#include <chainrule/graph/emission/files.hpp>

namespace chainrule::emission {

Numbers numbers_of(const Program::Variable& variable) {
  const Tensor& value = variable.value;
  const std::vector<double> elements = value.to_vector<double>();
  const Code extents{"", value.shape()};
  if (elements.empty())
    return {"", fmt::format("MatrixXd::Zero({}, {})", extents.rows(), extents.columns())};
  if (elements.size() == 1) return {"", eigen_number(elements[0])};
  const std::string name = variable.identifier + "_rows";
  std::string array = fmt::format("  static const double {}[] = {{", name), line = "\n     ";
  for (const double element : elements) {
    const std::string number = " " + eigen_number(element) + ",";
    if (line.size() + number.size() > line_width) array += std::exchange(line, "\n     ");
    line += number;
  }
  array += line;
  array.back() = '}';  // instead of the last comma
  return {array + ";\n",
          fmt::format("matrix({}, {}, {})", name, extents.rows(), extents.columns())};
}

std::string values_file(const Program& program, const std::string& name) {
  std::string text = fmt::format(
      "// The parameters and the data that chainrule recorded for {0}.hpp.\n#pragma once\n\n"
      "#include \"{0}.hpp\"\n\nnamespace {0} {{\n\n"
      "/// A matrix from its elements, row by row.\n"
      "inline MatrixXd matrix(const double* rows_first, Eigen::Index rows, Eigen::Index columns) "
      "{{\n"
      "  using Rows = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;\n"
      "  return Eigen::Map<const Rows>(rows_first, rows, columns);\n}}\n",
      name);
  const auto function = [&](const char* type, const char* called,
                            const std::vector<Program::Variable>& variables) {
    text += fmt::format("\ninline {} {}() {{\n  {} result;\n", type, called, type);
    for (const Program::Variable& variable : variables) {
      const Numbers numbers = numbers_of(variable);
      text += numbers.array;
      text += fmt::format("  result.{} = {};\n", variable.identifier, numbers.value);
    }
    text += "  return result;\n}\n";
  };
  function("Parameters", "trained_parameters", program.parameters());
  function("Data", "recorded_data", program.data());
  return text + fmt::format("\n}}  // namespace {}\n", name);
}

}  // namespace chainrule::emission
