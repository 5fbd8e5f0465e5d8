#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>

#include <chainrule/graph/derivation/text.hpp>
#include <chainrule/graph/derivation/trace.hpp>

namespace chainrule::derivation {

/// What formulas call the tensors of a graph: by their names, and those without by short ones.
class Naming {
 public:
  explicit Naming(const Trace& trace);

  std::string tensor(std::uint32_t i);
  std::string constant(const Expression& constant);
  /// Of a tensor, the tensor of a gradient, or a constant.
  std::string symbol(const Expression& e);
  std::string text(const Expr& expression, Format format = Format::unicode);
  /// What text() calls the symbols of a formula, which it meets.
  Names names();
  /// The results without names that text() met, and those that their formulas need.
  std::set<std::uint32_t> abbreviated();
  /// The parameters and data without names that text() met: tensors and constants.
  const std::vector<Expr>& data() const noexcept { return data_; }

 private:
  std::string unused(const char* letter);

  const Trace& trace_;
  std::map<std::uint32_t, std::string> given_names_, short_names_;
  std::map<const Value*, std::string> constants_;
  std::map<std::string, int> counts_;
  std::set<std::string> taken_;  // names that tensors have
  std::set<std::uint32_t> met_, given_;
  std::vector<Expr> data_;
};

}  // namespace chainrule::derivation
