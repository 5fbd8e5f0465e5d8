#pragma once

#include <functional>
#include <string>

#include <chainrule/graph/checking/confused_functions.hpp>
#include <chainrule/graph/derivation/trace.hpp>

namespace chainrule::derivation {

/// A formula with a mistake in it, and what the mistake is ("σ' is missing").
struct Mutant {
  Expr formula;
  std::string mistake;
  Expr written{}, meant{};  ///< one tensor in the place of another; else null
  Expr left_out{};          ///< the condition; else null
  Expr now{}, before{};     ///< the part that is changed, if it is one
  bool says_all = false;    ///< what that is says more than the mistake
};

/// A right formula, and the tensor that it is the gradient for.
struct Target {
  const Expr& right;
  std::uint32_t node;
  Expr written{};  ///< what a person wrote; null where that is not known
};

/// Parts left out or of the wrong sign; the sign of what a function is taken of; products in the
/// place of quotients; other tensors in their places; products the wrong way round; two tensors at
/// once; conditions; a function in another's place wherever it stands.
enum class Mistakes {
  in_operations,
  in_signs,
  in_quotients,
  in_symbols,
  in_products,
  in_two_symbols,
  in_conditions,
  everywhere
};

/// Calls f(mutant) for the mistakes that people make in a formula, the likely ones first, until it
/// returns true. Where it is known what was written, functions are those that this or the program
/// has, the former first. Operations are computed at `point` to find their shapes; mistakes that
/// give no valid operation are passed over.
bool for_each_mutant(const Trace& trace, const Target& target, const Environment& point,
                     const std::function<bool(const Mutant&)>& f);
/// Those of one kind.
bool for_each_mutant(const Trace& trace, const Target& target, const Environment& point,
                     Mistakes mistakes, const std::function<bool(const Mutant&)>& f);

}  // namespace chainrule::derivation
