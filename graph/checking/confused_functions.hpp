#pragma once

#include <set>
#include <span>
#include <string>
#include <vector>

#include <chainrule/graph/derivation/trace.hpp>

namespace chainrule::derivation {

/// Whether it is an elementwise operation of one operand, which is no sign and no conversion.
bool is_function(const Expr& e);
/// Functions of one operand: operations, by handle.
using Functions = std::set<const Op*>;
/// Those that a formula has, also as slopes.
Functions functions_in(const Expr& formula);
/// Those that a program has.
Functions functions_in(const Trace& trace);

/// Functions of one operand that people confuse with each other.
struct NamedFunction {
  const char* name;
  Tensor (*of)(const Tensor& x);
  bool periodic = false;  ///< it serves for another periodic one alone
  /// Whether it is algebra, or computed by one of these.
  bool made_of(const Functions& functions) const;
  /// Whether it is 0 there, so that a term is missing, or a function that is 1, and a factor is.
  bool is_plain_at(const Tensor& operand) const;
};
std::span<const NamedFunction> named_functions();
/// Those that may stand in the place of others in a right formula, the likely ones first: where it
/// is known what was written, those that this has and the right one does not.
std::vector<NamedFunction> likely_functions(const Trace& trace, const Expr& right,
                                            const Expr& written);
/// Slopes that people know by heart, as functions of the operand: tanh', arctan' …
std::span<const NamedFunction> named_slopes();
/// Those that people write with the function's result: of(y) is φ'(z) for y = φ(z).
struct SlopeOfResult {
  const char* name;   ///< "σ'"
  const char* words;  ///< "y ⊗ (1 − y), as of a sigmoid,"
  Tensor (*of)(const Tensor& y);
};
std::span<const SlopeOfResult> slopes_of_results();
/// Whether a slope stays the same where its operand moves a little, as that of relu does.
bool is_piecewise_constant(const Expr& slope, const Tensor& operand);
/// How a formula shows the function of an elementwise operation of one operand: "σ", "tanh".
std::string function_name(const Node& application);

/// What people write for the slope φ'(z) of an elementwise function.
struct WrongSlope {
  /// In the place of `slope`, whose operand has its value at `point`.
  Expr made(const Expr& slope, const Environment& point) const;
  /// "σ' is missing", for the slope that is called σ'.
  std::string said(const std::string& called) const;
  Tensor (*of)(const Tensor& y, const Tensor& z, const Tensor& slope);
  const char* words;  // {0} for σ', {1} for σ
};
std::span<const WrongSlope> wrong_slopes();

}  // namespace chainrule::derivation
