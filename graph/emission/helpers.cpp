#include <chainrule/graph/emission/helpers.hpp>

#include <string_view>

namespace chainrule::emission {

namespace {

struct Helper {
  std::string_view name;
  std::string_view needs;
  std::string_view text;
};

// In an order in which each stands behind what it calls.
constexpr Helper helpers_known[] = {
    {"sigmoid", "", R"(
inline double sigmoid(double z) { return 1.0 / (1.0 + std::exp(-z)); }
inline MatrixXd sigmoid(const MatrixXd& z) {
  return (1.0 / (1.0 + (-z.array()).exp())).matrix();
}
)"},
    {"softplus", "", R"(
// log(1 + exp z), without overflow.
inline double softplus(double z) { return std::max(z, 0.0) + std::log1p(std::exp(-std::abs(z))); }
inline MatrixXd softplus(const MatrixXd& z) {
  return (z.array().max(0.0) + (-z.array().abs()).exp().log1p()).matrix();
}
)"},
    {"log_sigmoid", "softplus", R"(
inline double log_sigmoid(double z) { return -softplus(-z); }
inline MatrixXd log_sigmoid(const MatrixXd& z) { return -softplus(-z); }
)"},
    {"softmax_columns", "", R"(
// exp z / Σ exp z in each column; the largest is subtracted first, so that nothing overflows.
inline MatrixXd softmax_columns(const MatrixXd& z) {
  const MatrixXd e = (z.rowwise() - z.colwise().maxCoeff()).array().exp().matrix();
  return e.array().rowwise() / e.colwise().sum().array();
}
)"},
    {"softmax_rows", "", R"(
// exp z / Σ exp z in each row; the largest is subtracted first, so that nothing overflows.
inline MatrixXd softmax_rows(const MatrixXd& z) {
  const MatrixXd e = (z.colwise() - z.rowwise().maxCoeff()).array().exp().matrix();
  return e.array().colwise() / e.rowwise().sum().array();
}
)"},
    {"logsumexp", "", R"(
inline double logsumexp(const MatrixXd& z) {
  const double largest = z.maxCoeff();
  return largest + std::log((z.array() - largest).exp().sum());
}
)"},
    {"logsumexp_columns", "", R"(
inline MatrixXd logsumexp_columns(const MatrixXd& z) {
  const Eigen::RowVectorXd largest = z.colwise().maxCoeff();
  const MatrixXd e = (z.rowwise() - largest).array().exp().matrix();
  return largest + e.colwise().sum().array().log().matrix();
}
)"},
    {"logsumexp_rows", "", R"(
inline MatrixXd logsumexp_rows(const MatrixXd& z) {
  const VectorXd largest = z.rowwise().maxCoeff();
  const MatrixXd e = (z.colwise() - largest).array().exp().matrix();
  return largest + e.rowwise().sum().array().log().matrix();
}
)"},
    {"log_softmax_columns", "logsumexp_columns", R"(
inline MatrixXd log_softmax_columns(const MatrixXd& z) {
  return z.rowwise() - logsumexp_columns(z).row(0);
}
)"},
    {"log_softmax_rows", "logsumexp_rows", R"(
inline MatrixXd log_softmax_rows(const MatrixXd& z) {
  return z.colwise() - logsumexp_rows(z).col(0);
}
)"},
    {"placed", "", R"(
// Zeros with a block of something else at (row, column).
inline MatrixXd placed(const MatrixXd& block, Eigen::Index row, Eigen::Index column,
                       Eigen::Index rows, Eigen::Index columns) {
  MatrixXd whole = MatrixXd::Zero(rows, columns);
  whole.block(row, column, block.rows(), block.cols()) = block;
  return whole;
}
)"},
    {"beside", "", R"(
inline MatrixXd beside(const MatrixXd& left, const MatrixXd& right) {
  MatrixXd both(left.rows(), left.cols() + right.cols());
  both << left, right;
  return both;
}
)"},
    {"above", "", R"(
inline MatrixXd above(const MatrixXd& upper, const MatrixXd& lower) {
  MatrixXd both(upper.rows() + lower.rows(), upper.cols());
  both << upper, lower;
  return both;
}
)"},
};

}  // namespace

std::vector<std::string_view> helper_names() {
  std::vector<std::string_view> names;
  for (const Helper& helper : helpers_known) names.push_back(helper.name);
  return names;
}

std::string definitions_of(const Helpers& helpers) {
  Helpers needed;
  for (const Helper& helper : helpers_known)
    if (helpers.contains(std::string(helper.name))) {
      needed.emplace(helper.name);
      if (!helper.needs.empty()) needed.emplace(helper.needs);
    }
  std::string text;
  for (const Helper& helper : helpers_known)
    if (needed.contains(std::string(helper.name))) text += helper.text;
  return text;
}

}  // namespace chainrule::emission
