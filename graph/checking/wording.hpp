#pragma once

#include <string>

#include <chainrule/graph/derivation/naming.hpp>

namespace chainrule::derivation {

/// How a report shows formulas: results without names by what they are computed from, and what is
/// abbreviated nevertheless said at the end.
class Wording {
 public:
  explicit Wording(const Trace& trace) : trace_(trace), names_(trace) {}

  std::string text(const Expr& expression);
  /// The sentence and, behind it, what the abbreviations in it stand for.
  std::string with_definitions(std::string sentence);

 private:
  Expr inlined(const Expr& expression) const;

  const Trace& trace_;
  Naming names_;
};

}  // namespace chainrule::derivation
