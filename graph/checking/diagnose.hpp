#pragma once

#include <functional>
#include <string>
#include <vector>

#include <chainrule/graph/derivation/trace.hpp>

namespace chainrule::derivation {

/// What there is to know about a formula that is wrong.
struct Suspect {
  std::uint32_t node = 0;  ///< the tensor that it is the gradient for
  Expr right;              ///< the simplest right formula
  Expr formula;            ///< the formula itself; null where it was not recorded
  /// Where it was computed, the recorded values first, and what it gave there, f64. Gradients of a
  /// point are the right ones, or those that a person gave where the formula was not recorded.
  std::vector<const Environment*> points;
  std::vector<Tensor> values;
  bool inner = false;  ///< a part of a formula, of which something is known already
  /// Whether the points behind the first are so near to it that only how values change tells.
  bool nearest = false;
  double tolerance = 0;  ///< relative, between equal elements
  /// Which elements of the first value are wrong; empty where that is not known.
  std::vector<bool> wrong{};
  /// How large the summands of its elements are, of which each has its own; empty where that is not
  /// known.
  std::vector<double> sizes{};
  Tensor accumulated;  ///< grad() of the tensor, f64; undefined when it has none
};

/// How an expression is shown.
using Text = std::function<std::string(const Expr&)>;

/// A sentence that says what the formula computes instead, or "". Nothing is said that does not
/// explain every element.
std::string diagnose(const Trace& trace, const Suspect& suspect, const Text& text);

}  // namespace chainrule::derivation
