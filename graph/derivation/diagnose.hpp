#pragma once

#include <functional>
#include <string>

#include <chainrule/graph/derivation/trace.hpp>

namespace chainrule::derivation {

/// What there is to know about a formula that is wrong.
struct Suspect {
  std::uint32_t node;        ///< the tensor that it is the gradient for
  Expr right;                ///< the simplest right formula
  Tensor value;              ///< what the formula gave, f64
  Tensor expected;           ///< what the right formula gives, f64
  const Environment& point;  ///< where: with the person's own earlier gradients
  double tolerance;          ///< largest difference between equal elements
  Tensor accumulated;        ///< grad() of the tensor, f64; undefined when it has none
};

/// A sentence that says what the formula computes instead, or "". Nothing is said that does not
/// explain every element.
std::string diagnose(const Trace& trace, const Suspect& suspect,
                     const std::function<std::string(const Expr&)>& text);

}  // namespace chainrule::derivation
