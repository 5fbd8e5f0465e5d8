#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <chainrule/graph/derivation/naming.hpp>
#include <chainrule/graph/derivation/simplify.hpp>

namespace chainrule::derivation {

/// How a report shows formulas: what they abbreviate is said at the end of a sentence.
class Wording {
 public:
  explicit Wording(const Trace& trace) : trace_(trace), names_(trace) {}

  std::string text(const Expr& expression) { return names_.text(expression); }
  /// "0.2756 or a constant (3, 2)": of numbers and constants one after the other.
  std::string alternatives(std::span<const Expr> constants);
  /// The sentence and, behind it, what the abbreviations in it stand for: t1, and the gradient dt1.
  std::string with_definitions(std::string sentence);

 private:
  std::string gradient_of(std::uint32_t i);

  const Trace& trace_;
  Naming names_;
  std::optional<std::vector<Environment>> points_;  // at which forms of gradients are compared
};

}  // namespace chainrule::derivation
