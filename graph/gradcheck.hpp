#pragma once

#include <span>
#include <string>
#include <vector>

#include <chainrule/graph/functional.hpp>

namespace chainrule {

/// Options of gradcheck().
struct GradcheckOptions {
  int order = 2;            ///< 1: gradients; 2: also the gradients of the gradients
  double step = 1e-3;       ///< the first one of the differences, relative to the element's size;
                            ///< smaller ones follow until they agree
  double tolerance = 1e-6;  ///< |a − b| ≤ tolerance · max(|a|, |b|), but for rounding
  bool forward = true;      ///< also check forward mode, and ⟨v, J u⟩ = ⟨Jᵀ v, u⟩
  std::uint64_t seed = 1;   ///< of the random directions
};

/// One comparison of gradcheck(): the worst element of one gradient.
struct GradcheckRow {
  std::string what;  ///< "d f / d input 0 (W1)", "forward mode", …
  Shape shape;
  double worst_error = 0;  ///< |autograd − reference| / max(|autograd|, |reference|); less where
                           ///< rounding of the function hides so much
  Shape worst_index;
  double autograd = 0;  ///< the two numbers there
  double reference = 0;
  bool ok = true;
  std::string note =
      {};  ///< elements with a kink, without finite differences, or hidden by rounding
};

/// What gradcheck() found.
struct GradcheckReport {
  std::vector<GradcheckRow> rows;
  /// True when every comparison is right; false also without any, as of a report that was moved
  /// from.
  bool ok() const noexcept;
  explicit operator bool() const noexcept { return ok(); }
  /// A table with a row for each comparison.
  std::string to_string(Where where = Where::current()) const;
};

/// Compares autograd's derivatives of f with central differences, at the given inputs: reverse
/// mode, forward mode, and with order 2 the second derivatives along random directions. Outputs of
/// any floating shape are projected on a random direction. Inputs must be f64 (others are left
/// constant). f may take gradients itself, with create_graph.
///
/// What differences cannot know is not held against autograd, and the row's note says so. How far
/// rounding moves the function is measured, so beside 1e8, or where gradients are 0 by theory,
/// nothing is demanded that differences do not show. At a kink, as of relu at 0, each number
/// between the slopes on its sides passes, and where several kinks meet what they may give
/// together; the rules are then checked a little away from it.
///
/// Throws DTypeError for f32 inputs, ValueError where f gives other numbers for the same inputs,
/// and whatever f throws at the inputs, or on both sides next to them. Outputs that are not finite
/// are left out.
GradcheckReport gradcheck(const Function& f, std::span<const Tensor> inputs,
                          GradcheckOptions options = {}, Where where = Where::current());
GradcheckReport gradcheck(const Function& f, std::initializer_list<Tensor> inputs,
                          GradcheckOptions options = {}, Where where = Where::current());

}  // namespace chainrule
