#pragma once

#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include <chainrule/graph/derivation/expression.hpp>

namespace chainrule::derivation {

class Trace;

/// Whether ops are what they say of themselves: everything that simplifies, prints or emits
/// formulas relies on it.
class OpCheck {
 public:
  /// Values are those at the trace's point; it outlives this.
  explicit OpCheck(const Trace& trace) : trace_(trace) {}

  /// Throws GradError, which names an op of the formula and its line, where its role() or
  /// written_out() is not what it computes, or where written_out() comes back to the op; ValueError
  /// where it does not repeat. Each application is asked at the operands that it has, and of those
  /// with the same parameters to the same shapes one at other numbers.
  void check(const Expr& formula);
  /// Throws GradError, which names the op of an operation of the graph, where its gradient rule, or
  /// its jvp rule in forward mode, takes numbers out of what it reads. Of applications with the
  /// same parameters to the same shapes one is asked at which that can be told.
  void check_rule(const Expr& operation);

 private:
  void check(const Expr& operation, std::vector<const Expression*>& within);
  void check_slope(const Expr& operation);
  bool differs_elsewhere(const Expr& operation) const;
  const Environment& elsewhere();
  Expr function_at(const Expr& slope) const;
  void add_values(const Expr& formula);
  const Tensor* known(const Expr& e) const;
  Expr simpler(const Expr& operation) const;

  const Trace& trace_;
  std::set<const Expression*> seen_;
  std::vector<Expr> held_;  // so that no other gets the place of one that was seen
  Values values_;           // of these, as long as they are not too large
  std::int64_t elements_ = 0;
  std::set<std::string> done_;
  std::optional<Environment> elsewhere_;
};

}  // namespace chainrule::derivation
