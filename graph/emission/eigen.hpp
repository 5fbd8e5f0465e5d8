#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <chainrule/graph/derivation/expression.hpp>
#include <chainrule/graph/emission/code.hpp>
#include <chainrule/graph/emission/definitions.hpp>

namespace chainrule::emission {

using derivation::Expr;
using derivation::Expression;

/// Functions that emitted code calls and Eigen does not have, by a name, with their definitions.
using Helpers = std::map<std::string, std::string>;

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
  Code by_role(const Expression& e, const std::vector<Code>& operands);

  std::function<std::string(const Expression&)> symbol_;
  Helpers& helpers_;
  std::unordered_map<const Expression*, Code> known_;
  std::vector<Expr> held_;
};

/// What emitted code calls the derivative of an elementwise op: one name for each op and its
/// parameters.
std::string slope_function(const Expression& slope);

/// Whether an operation has a form of its own in Eigen, and need not be written out.
bool has_form(const Expression& operation);

/// What an op says of its code by eigen(), or else by its role.
EigenForm form_of(const Expression& operation);
/// Throws ValueError, which names the op, its line and the remedy, where the form does not fit the
/// operands and the result, or names operands that are not there.
void check_form(const Expression& operation, const EigenForm& form);
/// The same where a part of the form that is needed, `code`, is empty; `member` is what it is
/// called.
void check_given(const Expression& operation, const std::string& code, const char* member);
/// The same where the op's eigen_definition() does not have this function, for these arguments and
/// with this result.
void check_defined(const Expression& operation, const std::string& function,
                   const std::vector<Argument>& arguments, Argument result);
/// The same where the form says a mask and the result is none.
void check_mask(const Expression& operation, const EigenForm& form);
/// The operand that is named at the beginning of `text`: "{0}". Other braces are those of C++.
std::optional<std::size_t> operand_at(std::string_view text);

/// Operations that only move elements: in one tensor (transpose, reshape, slice …), into zeros, and
/// several behind each other.
bool is_move(const Expression& operation);
Code moved(const Expression& operation, const Code& operand);
Code scattered(const Expression& operation, const Code& part, Helpers& helpers);
Code joined(const Expression& operation, const std::vector<Code>& operands, Helpers& helpers);

}  // namespace chainrule::emission
