#pragma once

#include <functional>
#include <span>
#include <string>

#include <chainrule/graph/derivation/trace.hpp>

namespace chainrule::derivation {

/// A formula with a mistake in it, and what the mistake is ("σ' is missing").
struct Mutant {
  Expr formula;
  std::string mistake;
  Expr written{}, meant{};  ///< one tensor in the place of another; else null
};

/// A right formula, and the tensor that it is the gradient for.
struct Target {
  const Expr& right;
  std::uint32_t node;
};

/// Functions of one operand that people confuse with each other.
struct NamedFunction {
  const char* name;
  Tensor (*of)(const Tensor& x);
};
std::span<const NamedFunction> named_functions();
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

/// Parts left out or of the wrong sign; other tensors in their places; products the wrong way
/// round; two tensors at once.
enum class Mistakes { in_operations, in_symbols, in_products, in_two_symbols };

/// Calls f(mutant) for the mistakes that people make in a formula, the likely ones first, until it
/// returns true. Operations are computed at `point` to find their shapes; mistakes that give no
/// valid operation are passed over.
bool for_each_mutant(const Trace& trace, const Target& target, const Environment& point,
                     const std::function<bool(const Mutant&)>& f);
/// Those of one kind.
bool for_each_mutant(const Trace& trace, const Target& target, const Environment& point,
                     Mistakes mistakes, const std::function<bool(const Mutant&)>& f);

}  // namespace chainrule::derivation
