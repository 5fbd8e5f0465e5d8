#pragma once

#include <functional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include <chainrule/graph/derivation/expression.hpp>
#include <chainrule/graph/emission/code.hpp>

namespace chainrule::emission {

using derivation::Expr;
using derivation::Expression;

/// Functions that emitted code calls and Eigen does not have: "sigmoid", "softmax_rows" …
using Helpers = std::set<std::string>;

/// Writes expressions as C++ with Eigen.
class EigenWriter {
 public:
  /// `symbol` names tensors, gradients and constants. The names of functions that the code calls
  /// come into `helpers`.
  EigenWriter(std::function<std::string(const Expression&)> symbol, Helpers& helpers)
      : symbol_(std::move(symbol)), helpers_(helpers) {}

  /// The code of an expression, with all its elements. Throws ValueError for an op that has none.
  Code write(const Expr& expression);
  /// From now on this expression is in a variable.
  void keep_in(const Expr& expression, std::string variable);

 private:
  Code part(const Expression& e);
  Code operation(const Expression& e, const std::vector<Code>& operands);

  std::function<std::string(const Expression&)> symbol_;
  Helpers& helpers_;
  std::unordered_map<const Expression*, Code> known_;
  std::vector<Expr> held_;
};

/// What emitted code calls the derivative of an elementwise op: one name for each op and its
/// parameters.
std::string slope_function(const Expression& slope);

/// Whether an application of an op has a direct form, and need not be written out.
bool has_form(const Expression& operation);

/// An operation that only moves elements (transpose, reshape, slice, concat …); undefined text when
/// it is another.
Code moved(const Expression& operation, const std::vector<Code>& operands, Helpers& helpers);
bool is_move(const Expression& operation);

}  // namespace chainrule::emission
