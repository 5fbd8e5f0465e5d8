#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <chainrule/graph/derivation/text.hpp>
#include <chainrule/graph/derivation/trace.hpp>

namespace chainrule::derivation {

/// What formulas call the tensors of a graph: by their names, and those without by short ones.
class Naming {
 public:
  explicit Naming(const Trace& trace) : trace_(trace) {}

  std::string tensor(std::uint32_t i);
  /// "dW3"; "d(encoder.weight)" where the name is not a single word.
  std::string gradient(std::uint32_t i);
  std::string text(const Expr& expression);
  /// Short name and formula of the results without names that text() met, and of those that their
  /// formulas need.
  std::vector<std::pair<std::string, std::string>> definitions();

 private:
  std::string constant(const Tensor& value);
  std::string unused(const char* letter);

  const Trace& trace_;
  std::map<std::uint32_t, std::string> short_names_;
  std::map<const Value*, std::string> constants_;
  std::map<std::string, int> counts_;
  std::set<std::uint32_t> met_;
};

}  // namespace chainrule::derivation
