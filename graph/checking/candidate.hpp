#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <chainrule/graph/checking/diagnose.hpp>

namespace chainrule::derivation {

/// What a wrong formula is compared with at all its points. A candidate that explains it fits at
/// each; what fits at one by chance is not said.
class Comparison {
 public:
  Comparison(const Trace& trace, const Suspect& suspect);

  const Suspect& suspect() const noexcept { return suspect_; }
  std::size_t points() const noexcept { return suspect_.points.size() + (strict_ ? 1 : 0); }
  /// Those that are not asked, but may be: see ask_freely().
  std::size_t all_points() const noexcept { return suspect_.points.size() + (free_ ? 1 : 0); }
  const Environment& point(std::size_t p) const noexcept {
    return p < suspect_.points.size() ? *suspect_.points[p] : *free_;
  }
  /// What the formula gave, and what the right one gives.
  const Tensor& value(std::size_t p) const noexcept {
    return p < suspect_.points.size() ? suspect_.values[p] : value_freely_;
  }
  const Tensor& expected(std::size_t p) const noexcept { return expected_[p]; }
  /// The right formula, as simple as it gets, as the rules give it, and with the formulas of the
  /// gradients in it put in, once and again.
  const std::vector<Expr>& right_forms() const noexcept { return right_forms_; }
  /// The last of these with the formulas of tensors without a name put in, too; null without any.
  const Expr& opened_form() const noexcept { return opened_form_; }
  bool same_shape() const { return value(0).shape() == expected(0).shape(); }

  bool same(const Tensor& a, const Tensor& b) const;
  /// Whether candidate(p) is what the formula gave, at every point.
  bool gives(const std::function<Tensor(std::size_t p)>& candidate) const;
  bool gives(const Expr& candidate) const;
  /// Whether candidate(p) is right, at every point: a repaired formula.
  bool repairs(const std::function<Tensor(std::size_t p)>& candidate) const;
  bool repairs(const Expr& candidate) const;

  /// The simplest right formula; where candidates are asked freely, one that goes on from the
  /// gradients that the person's goes on from, and has no formula of these in it.
  const Expr& right_step() const noexcept { return strict_ ? right_step_ : suspect_.right; }
  /// Of a formula that was recorded: whether the last candidate that fitted does so at a point,
  /// too, where nothing holds by chance or by where a tensor came from. See free_point().
  bool fitted_freely() const noexcept { return !free_ || fitted_freely_; }
  void forget_fits() const noexcept { fitted_freely_ = true; }
  /// From now on candidates have to, and searches begin anew.
  void ask_freely() noexcept {
    strict_ = free_.has_value();
    work_ = 0;
  }

  /// Work of about so many ns on candidates besides what is asked here.
  void spend(double work) const noexcept { work_ += work; }
  /// That of computing a formula.
  void count(const Expr& formula) const;
  /// Whether a search has looked at as much as takes about a second: each of the two, that before
  /// and that after ask_freely(), ends then.
  bool exhausted() const noexcept { return work_ > (suspect_.inner ? 0.2 : 1) * most_work; }

 private:
  static constexpr double most_work = 1e9;
  void ask_at_free_point(const Trace& trace, const Expr& rules);
  bool all(const std::function<Tensor(std::size_t p)>& candidate, bool right) const;
  bool same_change(const Tensor& candidate, const Tensor& wanted) const;
  bool leaves_wrong(const Tensor& candidate, const Tensor& wanted) const;
  bool same_by_element(const Tensor& candidate, const Tensor& wanted) const;

  const Suspect& suspect_;
  std::vector<Tensor> expected_;
  std::vector<Expr> right_forms_;
  Expr right_step_;
  Expr opened_form_;
  std::optional<Environment> free_;
  Tensor value_freely_;
  bool strict_ = false;
  mutable bool fitted_freely_ = true;
  mutable double work_ = 0;
};

/// Numbers that people write: whole ones, their inverses and roots; and 7/3, as of 0.7 and 0.3.
bool is_plain(double x);
bool is_ratio(double x);

/// 1 ⊘ e and −e as formulas show them, in parentheses where e is a sum.
std::string inverse_in_words(const Comparison& comparison, const Text& text, const Expr& e);
std::string negative_in_words(const Comparison& comparison, const Text& text, const Expr& e);

/// The numbers of a program: constants of one element.
std::vector<double> numbers_of(const Trace& trace);

/// What of the program has the size of a number, or of its inverse: numbers, with their names where
/// they have some, their squares and ratios, extents and their roots. A mistake may come from each
/// of them. Parameters, which have other values at other points, where `learned` says so.
std::vector<std::string> origins_of(const Trace& trace, double number, bool learned = false);

/// A number that a mistake was made by: "2", "1/√4", with what of the program has that size.
std::string number_in_words(const Trace& trace, double number, bool learned = false);

}  // namespace chainrule::derivation
