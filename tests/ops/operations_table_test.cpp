#include <doctest/doctest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>

#include <chainrule/core/op.hpp>

// docs/operations.md is written from the ops themselves, and compared with them here. To bring it
// up to date, run this test with CHAINRULE_WRITE_DOCS=1 in the environment.

using namespace chainrule;

TEST_SUITE_BEGIN("ops");

namespace {

std::string notation_of(const Op& op) {
  std::string text = op.notation();
  if (text.empty()) return std::string(op.name()) + "(…)";
  const char* const operands[] = {"a", "b", "c", "d"};
  for (std::size_t i = 0; i < 4; ++i) {
    const std::string place = "{" + std::to_string(i) + "}";
    for (std::size_t at = text.find(place); at != std::string::npos; at = text.find(place))
      text.replace(at, place.size(), operands[i]);
  }
  // A bar would end the cell of the table.
  for (std::size_t at = text.find('|'); at != std::string::npos; at = text.find('|', at + 2))
    text.insert(at, 1, '\\');
  return text;
}

std::string table() {
  std::string text =
      "# Operations\n\n"
      "Every operation that leaves a node in the graph, or is tested like one that does, by the "
      "name "
      "that\nerrors and pictures use. Formulas, shapes and gradients stand at the functions in "
      "`ops/`; "
      "names with\nan underscore and no function of their own are the fused gradients of others. "
      "This "
      "page is written by\n`tests/ops/operations_table_test.cpp`.\n\n"
      "| name | written | differentiable | samples in the tests |\n|---|---|---|---|\n";
  for (const Op* op : all_ops())
    text += std::string("| `") + op->name() + "` | " + notation_of(*op) + " | " +
            (op->differentiable() ? "yes" : "no") + " | " + std::to_string(op->samples().size()) +
            " |\n";
  return text;
}

}  // namespace

TEST_CASE("docs/operations.md lists the operations there are") {
  const std::string path = CHAINRULE_DOCS "/operations.md";
  if (const char* write = std::getenv("CHAINRULE_WRITE_DOCS"); write && *write == '1')
    std::ofstream(path) << table();
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  CHECK(text.str() == table());
}

TEST_SUITE_END();
