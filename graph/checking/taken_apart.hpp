#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include <chainrule/graph/checking/candidate.hpp>
#include <chainrule/graph/checking/relation.hpp>
#include <chainrule/graph/derivation/build.hpp>

namespace chainrule::derivation {

/// A person's formula and the right one in their parts: what may be wrong with the first, and what
/// the second has to put in its place.
class TakenApart {
 public:
  TakenApart(const Trace& trace, const Comparison& comparison, const Text& text);

  /// Formulas of more parts are not taken apart.
  static constexpr std::size_t most_parts = 120;

 protected:
  template <class F>
  Expr built(F f) const {
    return derivation::built(comparison_.point(0), f);
  }
  bool fits(const Expr& part, const Expr& other) const {
    return other && comparison_.repairs(replaced(formula_, {{part.get(), other}}));
  }
  /// The same, or in one of the places alone in which the part stands.
  bool fits_in_one_place(const Expr& part, const Expr& other) const {
    if (fits(part, other)) return true;
    if (!other || other->shape != part->shape) return false;
    const std::vector<Expr> users = users_of(part, parts_);
    return users.size() > 1 && std::ranges::any_of(users, [&](const Expr& user) {
             return fits(user, with_operand(user, part, other));
           });
  }
  template <class F>
  bool fits_built(const Expr& part, F f) const {
    return fits(part, built([&](Builder& builder) { return f(builder.value(part)); }));
  }
  std::string with_right(std::string words) const {
    return words + "; the chain rule gives " + text_(comparison_.suspect().right);
  }
  bool is_root(const Expr& e) const { return e == formula_; }
  /// " at e"; of bare numbers nothing, as there is no other place.
  std::string at(const Expr& e) const {
    return is_root(e) && !comparison_.suspect().formula ? "" : " at " + text_(e);
  }
  /// Slices and the like: whose parameters are places, not axes.
  static bool moves_elements(const Expr& e) {
    const Role role = e->role();
    return role.is(Role::Kind::slice) || role.is(Role::Kind::scatter) ||
           role.is(Role::Kind::reshape) || role.is(Role::Kind::copy) || role.is(Role::Kind::join);
  }
  /// The factors of a product, of which each may be one; else the expression itself.
  static std::vector<Expr> factors_of(const Expr& e);
  /// See missing_beside().
  std::string inside(const Expr& formula, const Expr& e) const {
    return missing_beside(comparison_, text_, formula, e);
  }

  /// From now on the formula as a sum of its terms: a·(b + c) as a·b + a·c. False where it is none.
  bool write_in_terms();

  const Trace& trace_;
  const Comparison& comparison_;
  const Text& text_;
  Expr formula_;              // as bare numbers where it was not recorded
  std::vector<Expr> parts_;   // operands first
  std::vector<Expr> spares_;  // of the right formula and of what it is made from, the small first
  std::vector<double> numbers_;
};

}  // namespace chainrule::derivation
