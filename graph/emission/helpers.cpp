#include <chainrule/graph/emission/helpers.hpp>

#include <chainrule/core/op.hpp>

namespace chainrule::emission {

const std::string_view placed_definition = R"(
// Zeros with a block of something else at (row, column).
inline MatrixXd placed(const MatrixXd& block, Eigen::Index row, Eigen::Index column,
                       Eigen::Index rows, Eigen::Index columns) {
  MatrixXd whole = MatrixXd::Zero(rows, columns);
  whole.block(row, column, block.rows(), block.cols()) = block;
  return whole;
}
)";

const std::string_view beside_definition = R"(
inline MatrixXd beside(const MatrixXd& left, const MatrixXd& right) {
  MatrixXd both(left.rows(), left.cols() + right.cols());
  both << left, right;
  return both;
}
)";

const std::string_view above_definition = R"(
inline MatrixXd above(const MatrixXd& upper, const MatrixXd& lower) {
  MatrixXd both(upper.rows() + lower.rows(), upper.cols());
  both << upper, lower;
  return both;
}
)";

std::vector<std::string> function_names() {
  std::vector<std::string> names{"placed", "beside", "above"};
  for (const Op* op : all_ops()) {
    const std::string name = op->name();
    if (*op->eigen_definition())
      for (const char* of : {"", "_rows", "_columns"}) names.push_back(name + of);
    if (op->elementwise()) names.push_back(name + "_slope");
  }
  return names;
}

}  // namespace chainrule::emission
