#pragma once

#include <span>
#include <string>
#include <vector>

#include <chainrule/graph/functional.hpp>

namespace chainrule {

/// Options of gradcheck().
struct GradcheckOptions {
  int order = 1;            ///< 1: gradients; 2: also the gradients of the gradients
  double step = 1e-6;       ///< of the central differences, relative to max(1, |x|)
  double tolerance = 1e-6;  ///< |a − b| ≤ tolerance · max(1, |a|, |b|)
  bool forward = true;      ///< also check forward mode, and ⟨v, J u⟩ = ⟨Jᵀ v, u⟩
  std::uint64_t seed = 1;   ///< of the random directions
};

/// One comparison of gradcheck(): the worst element of one gradient.
struct GradcheckRow {
  std::string what;  ///< "d f / d input 0 (W1)", "forward mode", …
  Shape shape;
  double worst_error = 0;  ///< |autograd − reference| / max(1, |autograd|, |reference|)
  Shape worst_index;
  double autograd = 0;  ///< the two numbers there
  double reference = 0;
  bool ok = true;
};

/// What gradcheck() found.
struct GradcheckReport {
  std::vector<GradcheckRow> rows;
  bool ok() const noexcept;
  explicit operator bool() const noexcept { return ok(); }
  /// A table with a row for each comparison.
  std::string to_string(Where where = Where::current()) const;
};

/// Compares autograd's derivatives of f with central differences, at the given inputs: reverse
/// mode, forward mode, and with order 2 the second derivatives along random directions. Outputs of
/// any floating shape are projected on a random direction. Inputs must be f64 (others are left
/// constant). Throws DTypeError for f32 inputs, and whatever f throws.
GradcheckReport gradcheck(const Function& f, std::span<const Tensor> inputs,
                          GradcheckOptions options = {}, Where where = Where::current());
GradcheckReport gradcheck(const Function& f, std::initializer_list<Tensor> inputs,
                          GradcheckOptions options = {}, Where where = Where::current());

}  // namespace chainrule
