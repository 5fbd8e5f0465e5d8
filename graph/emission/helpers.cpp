#include <chainrule/graph/emission/helpers.hpp>

#include <fmt/format.h>

#include <algorithm>

#include <chainrule/graph/emission/identifiers.hpp>

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

const std::string_view placed_apart_definition = R"(
// Zeros with something else in rows row, row + row_step, … and columns likewise.
inline MatrixXd placed_apart(const MatrixXd& block, Eigen::Index row, Eigen::Index row_step,
                             Eigen::Index column, Eigen::Index column_step, Eigen::Index rows,
                             Eigen::Index columns) {
  MatrixXd whole = MatrixXd::Zero(rows, columns);
  whole(Eigen::seqN(row, block.rows(), row_step),
        Eigen::seqN(column, block.cols(), column_step)) = block;
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

namespace {

constexpr const char* helpers[] = {"placed", "placed_apart", "beside", "above"};

// What the emitted files call things besides what Identifiers knows: the parameters and functions
// that would hide an op's function or be taken for it, and harm no tensor.
constexpr std::string_view others[] = {"z",     "e",      "move",     "elements",
                                       "count", "agrees", "the_loss", "ops"};

}  // namespace

std::vector<std::string> function_names() {
  std::vector<std::string> names(std::begin(helpers), std::end(helpers));
  for (const Op* op : all_ops()) {
    const std::string name = op->name();
    if (*op->eigen_definition())
      for (const char* of : {"", "_rows", "_columns"}) names.push_back(name + of);
    if (op->elementwise()) names.push_back(name + "_slope");
  }
  return names;
}

namespace {

// The names of the functions that an op may define.
std::vector<std::string> functions_of(const Op& op) {
  std::vector<std::string> names;
  const Words words = words_in(op.eigen_definition());
  for (const char* part : {"", "_rows", "_columns"})
    if (std::string name = op.name() + std::string(part); words.contains(name))
      names.push_back(std::move(name));
  return names;
}

bool stands_apart(const Op& op) {
  const auto means_something = [](const std::string& name) {
    return Identifiers::is_of_the_files(name) ||
           std::ranges::find(helpers, name) != std::end(helpers) ||
           std::ranges::find(others, name) != std::end(others);
  };
  const std::vector<std::string> mine = functions_of(op);
  if (mine.empty()) return false;
  if (std::ranges::any_of(mine, means_something)) return true;
  for (const Op* other : all_ops()) {
    if (other == &op) continue;
    std::vector<std::string> theirs = functions_of(*other);
    if (other->elementwise()) theirs.push_back(std::string(other->name()) + "_slope");
    // Of two the one with the longer name.
    for (const std::string& name : mine)
      if (std::string_view(op.name()).size() > std::string_view(other->name()).size() &&
          std::ranges::find(theirs, name) != theirs.end())
        return true;
  }
  return false;
}

}  // namespace

std::string function_name(const Op& op, const std::string& name) {
  return stands_apart(op) ? "ops::" + name : name;
}

std::string definition_of(const Op& op) {
  std::string text = op.eigen_definition();
  if (!text.starts_with('\n')) text.insert(0, "\n");
  if (!text.ends_with('\n')) text += '\n';
  return stands_apart(op) ? fmt::format("\nnamespace ops {{{}}}  // namespace ops\n", text) : text;
}

std::string calling(const Op& op, std::string_view code) {
  if (!stands_apart(op)) return std::string(code);
  const std::vector<std::string> names = functions_of(op);
  std::string text;
  while (!code.empty()) {
    std::size_t end = 0;
    while (end < code.size() && is_identifier(code.substr(0, end + 1))) ++end;
    const std::string word(code.substr(0, std::max<std::size_t>(end, 1)));
    const bool is_member = text.ends_with('.') || text.ends_with("->") || text.ends_with("::");
    if (!is_member && std::ranges::find(names, word) != names.end()) text += "ops::";
    text += word;
    code.remove_prefix(word.size());
  }
  return text;
}

}  // namespace chainrule::emission
