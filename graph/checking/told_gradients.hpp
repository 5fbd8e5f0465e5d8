#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <chainrule/graph/derivation/trace.hpp>

namespace chainrule::derivation {

/// A gradient in the rule of another that nobody gave, and what one that was given, that of node
/// `by`, tells of it: of r in t = r ⊘ σ, where dr = dt ⊘ σ, dt = dr ⊗ σ.
struct Told {
  Expr gradient;
  std::uint32_t by;
  Expr is;
};

/// What others tell of the gradients in the rule of node i, so that its formula may have been
/// computed with theirs: what it does not tell itself, and of a leaf whatever is told; but not what
/// is known at once.
std::vector<Told> told(const Trace& trace, std::uint32_t i, std::span<const std::uint32_t> given);

}  // namespace chainrule::derivation
