#pragma once

#include <functional>
#include <string>

#include <chainrule/graph/derivation/trace.hpp>

namespace chainrule::derivation {

/// A formula with a mistake in it, and what the mistake is ("σ' is missing").
struct Mutant {
  Expr formula;
  std::string mistake;
};

/// Calls f(mutant) for the mistakes that people make in a formula, the likely ones first, until it
/// returns true. Operations are computed at `point` to find their shapes; mistakes that give no
/// valid operation are passed over.
bool for_each_mutant(const Trace& trace, const Expr& right, const Environment& point,
                     const std::function<bool(const Mutant&)>& f);

}  // namespace chainrule::derivation
