#pragma once

#include <functional>
#include <set>
#include <string>
#include <string_view>
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

/// The ops that have a direct form, and need not be written out; and whether this is one.
std::vector<std::string_view> ops_with_form();
bool has_form(const Expression& operation);

/// Those of them that only move elements (transpose, reshape, slice, concat …).
inline constexpr std::string_view moves[] = {"transpose", "permute",       "reshape",
                                             "expand",    "alias",         "contiguous",
                                             "slice",     "slice_scatter", "concat"};
bool is_move(const Expression& operation);
Code moved(const Expression& operation, const std::vector<Code>& operands, Helpers& helpers);

}  // namespace chainrule::emission
