#pragma once

#include <string>

#include <chainrule/graph/derivation/naming.hpp>

namespace chainrule::derivation {

/// How a report shows formulas: what they abbreviate is said at the end of a sentence.
class Wording {
 public:
  explicit Wording(const Trace& trace) : trace_(trace), names_(trace) {}

  std::string text(const Expr& expression) { return names_.text(expression); }
  /// The sentence and, behind it, what the abbreviations in it stand for.
  std::string with_definitions(std::string sentence);

 private:
  const Trace& trace_;
  Naming names_;
};

}  // namespace chainrule::derivation
