#pragma once

#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include <chainrule/graph/derivation/polynomial.hpp>
#include <chainrule/graph/derivation/trace.hpp>

namespace chainrule::derivation {

/// Why two forms of a formula are equal.
struct Reason {
  std::string words;                         ///< "Σ y = 1"
  std::uint32_t gradient = Traversal::none;  ///< or: the formula of this node's gradient was put in
  friend bool operator==(const Reason&, const Reason&) = default;
};

/// How an expression is taken apart.
struct Rules {
  /// Put the formula of a gradient in its place.
  bool substitute_gradients = false;
  /// σ(z) ⊗ (1 − σ(z)) instead of σ'(z).
  bool slopes_written_out = false;
  /// Put the number in the place of a sum of data that is one: Σ y = 1.
  bool known_sums = true;
  /// (y − μ)² as its four terms, which may cancel others; else it stays one factor, and the terms
  /// of one gradient become one: dh ⊗ c − dh ⊗ h is dh ⊗ (c − h).
  bool multiplied_out = true;
  /// Put the formulas of passing gradients in their places.
  bool substitute_passing = false;
  /// Put what a result without a name was computed from in its place, also where that has no name.
  bool opened = false;
};

/// Elementwise algebra on expressions: sums and products multiplied out, equal terms collected,
/// factors that cancel dropped, sums of data that are known numbers replaced by them.
class Algebra {
 public:
  Algebra(const Trace& trace, Rules rules) : trace_(trace), rules_(rules) {}

  /// The expression rebuilt from its normal form, with common factors in front. Where it is the
  /// gradient `of` a node, numbers that come from extents with names are shown by these.
  Expr simplify(const Expr& expression, std::uint32_t of = Traversal::none);
  /// The expression with formulas in the place of gradients, as the rules allow it, and else as it
  /// is.
  Expr substituted(const Expr& expression);
  /// What was used on the way.
  const std::vector<Reason>& reasons() const noexcept { return reasons_; }

 private:
  Polynomial polynomial(const Expr& expression);
  Polynomial operation(const Expr& expression);
  Polynomial sum_of(const Expr& expression, const Polynomial& inside);
  Polynomial transposed_back(const Polynomial& inside, const Shape& shape);
  Polynomial slope_of(const Expr& expression);
  Polynomial quotient_of(const Polynomial& above, const Expr& below);
  Polynomial reshaped(const Expr& expression);
  Polynomial selected(const Expr& selection);
  Expr before_reshape(const Expr& expression, const Shape& shape) const;
  Polynomial matrix_product(const Expr& expression);
  Expr without_double_transposes(const Expr& product, std::vector<Expr> operands);
  bool is_substituted(const Expr& gradient) const;
  bool is_inline(const Expr& tensor) const;
  const Expr& shown(const Expr& tensor) const;
  Expr exponential_of(const Expr& logarithm) const;
  Polynomial with_roots_squared(Polynomial product);
  Expr first_alike(const Expr& symbol) const;
  std::pair<double, Expr> scaled(const Expr& tensor) const;
  Polynomial atom(Expr expression, int exponent = 1);
  Polynomial without_denominators(Polynomial sum);
  Expr expression_of(const Polynomial& polynomial, const Shape& shape);
  Polynomial as_factor(const Polynomial& sum, const Shape& shape);
  Polynomial with_gradients_collected(const Polynomial& sum);
  Polynomial with_maps_joined(const Polynomial& sum);
  Polynomial with_selections_joined(const Polynomial& sum, const Shape& shape);
  Polynomial joined(const Expr& condition, const Polynomial& where_it_holds,
                    const Polynomial& elsewhere, const Shape& shape);
  Polynomial with_means(Polynomial sum);
  Polynomial with_sigmoids(Polynomial sum);
  Polynomial with_extents(Polynomial sum, std::uint32_t of);
  Polynomial with_signs_inside(Polynomial sum);
  Polynomial with_named_results(Polynomial sum);
  std::pair<Term, Term> constant_along(const Expr& reduction, const Term& term) const;
  Expr rebuilt(const Expr& operation);
  void add_reason(Reason reason);

  const Trace& trace_;
  Rules rules_;
  std::vector<Reason> reasons_;
  int depth_ = 0, opened_ = 0;
  // With the expression, so that no other gets its place in memory.
  std::unordered_map<const Expression*, std::pair<Expr, Polynomial>> known_;
  // Of the results with names that are products: their factors, and they.
  struct NamedProduct {
    Term factors;
    Expr result;
  };
  std::optional<std::vector<NamedProduct>> named_products_;
};

}  // namespace chainrule::derivation
