#include <chainrule/graph/checking/check_derivation.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <optional>
#include <utility>

#include <chainrule/core/naming_all_memory.hpp>
#include <chainrule/core/op.hpp>
#include <chainrule/graph/backward.hpp>
#include <chainrule/graph/checking/diagnose.hpp>
#include <chainrule/graph/checking/given_formulas.hpp>
#include <chainrule/graph/checking/gradient_through.hpp>
#include <chainrule/graph/checking/handwritten.hpp>
#include <chainrule/graph/checking/judge.hpp>
#include <chainrule/graph/checking/measure.hpp>
#include <chainrule/graph/checking/refit.hpp>
#include <chainrule/graph/checking/terms.hpp>
#include <chainrule/graph/checking/wording.hpp>
#include <chainrule/graph/derivation/attempt.hpp>
#include <chainrule/graph/derivation/compare.hpp>
#include <chainrule/graph/derivation/simplify.hpp>
#include <chainrule/graph/derivation/trace.hpp>
#include <chainrule/graph/in_f64.hpp>
#include <chainrule/ops/elementwise/convert.hpp>

namespace chainrule {

using derivation::attempt;
using derivation::Environment;
using derivation::Expr;
using derivation::largest;
using derivation::largest_difference;
using derivation::numbers;
using derivation::Trace;
using derivation::Truth;
using Holds = derivation::Handwritten::Holds;
using Nearby = derivation::Judge::Nearby;

class DerivationChecker {
 public:
  DerivationChecker(const Tensor& loss, std::span<const Formula> formulas, CheckOptions options,
                    const Where& where)
      : formulas_(derivation::with_values(formulas, where)),
        options_(options),
        tensors_(derivation::tensors_of(formulas_, options, where)),
        trace_(loss, tensors_, "check_derivation", where),
        words_(trace_),
        places_(places(where)),
        handwritten_(trace_, formulas_, places_),
        single_(derivation::computes_in_f32(trace_)),
        judge_(trace_, single_) {
    autograd_ = grad(loss, tensors_, {.retain_graph = true}, where);
  }

  DerivationReport run() {
    // In the order of the chain, so that each is judged by the person's own earlier ones.
    std::map<std::uint32_t, std::size_t> formula_at;
    for (std::size_t k = 0; k < formulas_.size(); ++k) formula_at[places_[k]] = k;
    DerivationReport report;
    report.verdicts_.resize(formulas_.size());
    Environment own = trace_.environment();
    for (const std::uint32_t i : handwritten_.order()) {
      const auto found = formula_at.find(i);
      if (found == formula_at.end()) {
        if (trace_.is_named(i)) own.gradients[i] = following(own, i);
        continue;
      }
      const std::size_t k = found->second;
      FormulaVerdict& verdict = report.verdicts_[k];
      judge(k, i, own, verdict);
      if (!verdict.ok && !verdict.inherited && report.first_wrong() == nullptr)
        report.first_wrong_ = k;
      const Tensor by_hand = to(formulas_[k].by_hand.detach(), f64);
      // A value of another shape cannot take part in what follows.
      own.gradients[i] = by_hand.shape() == trace_.node(i).shape() ? by_hand : following(own, i);
    }
    return report;
  }

 private:
  std::vector<std::uint32_t> places(const Where& where) const {
    std::vector<std::uint32_t> places;
    for (const Tensor& tensor : tensors_) {
      const std::uint32_t i = trace_.find(tensor);
      if (i == trace_.loss())
        throw GradError(
            fmt::format("check_derivation: {} is the loss itself, and its gradient is 1",
                        describe(tensor)),
            where, "check the gradients of the tensors that it was computed from");
      if (i == Traversal::none || !trace_.gradient(i))
        throw GradError(
            fmt::format("check_derivation: the loss does not depend on {}", describe(tensor)),
            where, "check the gradients of the tensors that the loss was computed from");
      places.push_back(i);
    }
    return places;
  }

  // What the rules give for node i from the person's earlier gradients; autograd's own where an
  // operation is not defined for these.
  Tensor following(const Environment& own, std::uint32_t i) const {
    return attempt([&] { return evaluate(derivation::gradient_through(trace_, i, places_), own); })
        .value_or(trace_.environment().gradients[i]);
  }

  void judge(std::size_t k, std::uint32_t i, const Environment& own, FormulaVerdict& verdict) {
    const Formula& formula = formulas_[k];
    const Tensor by_hand = to(formula.by_hand.detach(), f64);
    const std::vector<double> autograd = numbers(autograd_[k]);
    verdict.name = formula.name;
    verdict.expected = trace_.node(i).shape();
    verdict.given = by_hand.shape();
    std::vector<derivation::Computation> forms;
    Expr simplest;
    for (const derivation::Stage& stage : derivation::simplified(trace_, i, judge_.points())) {
      simplest = stage.expression;
      forms.push_back(derivation::computation_of(simplest));
    }
    verdict.derived = words_.with_definitions(words_.text(simplest));

    // Many people's form, which loses digits where a function is flat.
    forms.push_back(derivation::computation_of(
        derivation::written_out(trace_.gradient(i), trace_.environment(), true)));
    // What was recorded, or is a function, is computed again in f64.
    derivation::Computation whole = handwritten_.computation(k);
    Tensor given = whole && !handwritten_.is_ambiguous() ? value_of(whole, by_hand) : Tensor();
    if (!given.defined()) {
      whole = nullptr;
      given = by_hand;
    } else {
      forms.push_back(whole);
    }
    using Precision = derivation::Judge::Precision;
    const bool f32_formula = single_ || formula.by_hand.dtype() == f32;
    Truth truth = judge_.truth(i, forms,
                               !f32_formula ? Precision::f64_throughout
                               : whole      ? Precision::f32_numbers
                                            : Precision::f32_throughout,
                               autograd, !whole || !handwritten_.is_seen(k));
    if (options_.tolerance > 0) {
      const double scale = options_.tolerance * largest(truth.gradient);
      for (double& allowed : truth.allowed) allowed = std::max(allowed, scale);
    }

    std::string why_here_alone;
    if (handwritten_.is_ambiguous())
      why_here_alone =
          "the loss was computed from a result that was detached, and what a formula has of it may "
          "stay as it was or not";
    else if (!whole)
      why_here_alone = "formulas in recorded tensors, outside of no_grad, are asked at others, too";
    const bool same_shape = verdict.given == verdict.expected;
    bool backed_here = false, backed_nearby = false;  // by differences, against autograd
    bool far_away = false;                            // where alone it is wrong
    std::size_t worst = 0;
    if (same_shape) {
      const derivation::Judge::Opinion opinion = judge_.compare(i, numbers(given), truth);
      verdict.note = opinion.note;
      worst = derivation::measure(numbers(by_hand), autograd, opinion.wrong, f32_formula, verdict);
      backed_here = !opinion.right && judge_.is_backed(i, given, truth);
      verdict.ok = opinion.right || backed_here;
      // What the program's dtype made of these says nothing of them elsewhere.
      for (const std::size_t e : opinion.as_computed)
        truth.allowed[e] = truth.sizes[e] = std::numeric_limits<double>::infinity();
      if (verdict.ok && !opinion.at_one_side && whole && handwritten_.holds(k) != Holds::here) {
        Elsewhere elsewhere = this->elsewhere(k, i, handwritten_.whole(k), whole, truth);
        why_here_alone = std::move(elsewhere.why_not);
        backed_nearby = !backed_here && elsewhere.found == Nearby::backed;
        far_away = elsewhere.far_away;
        if (elsewhere.found == Nearby::wrong) {
          verdict.ok = backed_here = false;
          verdict.note = "right for these values alone, and wrong for others of the parameters";
          if (formula.function)
            verdict.note +=
                "; a function must be given all that depends on these, as what it "
                "captures stays as it was recorded";
        }
      }
    } else {
      verdict.absolute_error = verdict.relative_error = verdict.ulps = verdict.by_hand =
          std::numeric_limits<double>::quiet_NaN();
    }
    verdict.autograd_ok = true;
    if (!autograd.empty()) {
      verdict.worst = position_of(static_cast<std::int64_t>(worst), verdict.expected);
      verdict.by_autograd = autograd[worst];
      verdict.by_differences = judge_.difference_at(i, static_cast<std::int64_t>(worst)).value;
      verdict.autograd_ok = judge_.agrees_with_differences(i, truth, verdict.note);
      if (!judge_.is_computed(i, truth, trace_.gradient(i))) {
        if (verdict.note.empty())
          verdict.note = single_ ? "autograd's numbers are not those of its rules in f64: they "
                                   "overflow or lose their digits in f32"
                                 : "autograd's numbers are not those of its rules computed again";
        verdict.autograd_ok = single_;
      }
    }
    if (backed_here || backed_nearby) {
      verdict.autograd_ok = false;
      verdict.note = against_autograd(i, backed_nearby, verdict.note);
    }
    if (verdict.ok && verdict.note.empty() && same_shape && !whole && options_.tolerance == 0)
      verdict.note = judge_.what_rounding_hides(i, numbers(given), truth);
    if (!verdict.ok)
      if (std::string why = explain(k, i, own, simplest, by_hand, truth, whole, far_away, verdict);
          !why.empty())
        why_here_alone = std::move(why);
    verdict.here_alone = !why_here_alone.empty();
    verdict.why_here_alone = std::move(why_here_alone);
    any_wrong_ = any_wrong_ || !verdict.ok;
    any_unseen_ = any_unseen_ || (!verdict.ok && !handwritten_.is_symbol(k));
  }

  // What other values of the parameters say of a formula; why nothing, where that is unknown.
  struct Elsewhere {
    Nearby found;
    std::string why_not{};
    bool far_away = false;  ///< whether it is wrong there alone
  };
  // With the numbers that it has; where it is right there only with others in the place of some
  // that may have been read from tensors, nothing is known of it.
  Elsewhere elsewhere(std::size_t k, std::uint32_t i, const Expr& formula,
                      const derivation::Computation& computation, const Truth& truth) {
    const bool masked = handwritten_.holds(k) == Holds::nearby;
    Nearby found = judge_.nearby(i, computation, truth, masked);
    // A mask that became a part of data stays what it is for the smallest changes alone.
    if (found == Nearby::wrong && !masked && handwritten_.may_hold_mask(k, single_))
      found = judge_.nearby(i, computation, truth, true);
    if (found == Nearby::unknown)
      return {found, "there are no others close to them where it can be compared"};
    if (found == Nearby::right && is_wrong_far_away(k, i, computation, truth))
      return {.found = Nearby::wrong, .far_away = true};
    const std::vector<Expr>& numbers = handwritten_.unexplained(k);
    if (found != Nearby::wrong || !formula || numbers.empty()) return {found};
    const derivation::Computation other = derivation::refitted(formula, numbers, i);
    if (other && judge_.nearby(i, other, truth, masked) == Nearby::wrong) return {found};
    return {Nearby::unknown,
            fmt::format("at others it is right only if {} changes, too, as if read from a tensor: "
                        "compute with that",
                        words_.alternatives(numbers))};
  }

  bool is_wrong_far_away(std::size_t k, std::uint32_t i, const derivation::Computation& formula,
                         const Truth& truth) const {
    // A mask takes the recorded sides of kinks.
    if (!handwritten_.unexplained(k).empty() || handwritten_.holds(k) != Holds::anywhere ||
        handwritten_.may_hold_mask(k, single_))
      return false;
    // With the right gradients where earlier formulas stand, as these were right there.
    const Expr& steps = handwritten_.in_steps(k);
    return judge_.is_wrong_far_away(
        i, steps && !any_wrong_ ? derivation::computation_of(steps) : formula, truth);
  }

  // Of a formula that agrees with differences alone.
  std::string against_autograd(std::uint32_t i, bool nearby, const std::string& note) const {
    std::string text = "differences agree with the formula, and not with autograd";
    if (!nearby) return note.empty() ? text : text + "; " + note;
    text += " where the parameters have other values";
    const std::string rule = judge_.wrong_rule_nearby(i);
    return rule.empty() ? text
                        : fmt::format(
                              "{}: the rule of {} disagrees with differences of that "
                              "operation",
                              text, rule);
  }

  // In f64; undefined where that is not what the person's formula gave.
  Tensor value_of(const derivation::Computation& formula, const Tensor& by_hand) const {
    const Tensor value =
        attempt([&] { return formula(trace_.environment(), {}, {}); }).value_or(Tensor());
    if (!value.defined()) return {};
    if (value.shape() != by_hand.shape()) return {};
    if (single_) return value;
    const std::vector<double> a = numbers(value), b = numbers(by_hand);
    return largest_difference(a, b) <= 1e-6 * largest(b) ? value : Tensor();
  }

  // Other values of the parameters at which formula k can be compared.
  const std::vector<Environment>& points_of(std::size_t k, bool far_away) const {
    return far_away                                 ? judge_.other_sides().points()
           : handwritten_.holds(k) == Holds::nearby ? judge_.nearest_points()
                                                    : judge_.points();
  }

  // Whether what a formula is off by at such points is what the rules give from the person's
  // earlier formulas there.
  bool follows_elsewhere(std::size_t k, std::uint32_t i, const derivation::Computation& formula,
                         const std::vector<Environment>& points) const {
    constexpr double explained = 0.01, visible = 1e-13;
    bool is_wrong = false;
    for (const Environment& point : points) {
      const auto both = attempt([&] {
        return std::pair(numbers(formula(point, {}, {})),
                         numbers(following(with_own(point, k), i)));
      });
      if (!both) return false;
      const std::vector<double> right = numbers(point.gradients[i]);
      const auto& [given, mine] = *both;
      if (given.size() != right.size()) return false;
      const double off = largest_difference(given, right);
      if (off <= visible * largest(right)) continue;
      is_wrong = true;
      if (!(largest_difference(given, mine) <= explained * off)) return false;
    }
    return is_wrong;
  }

  // A point with what the person's formulas before k give there.
  Environment with_own(const Environment& point, std::size_t k) const {
    Environment own = point;
    for (const std::uint32_t i : handwritten_.order()) {
      const auto found = std::ranges::find(places_, i);
      const auto j = static_cast<std::size_t>(found - places_.begin());
      if (j == k) break;
      const bool is_given = found != places_.end();
      if (is_given && handwritten_.computation(j))
        own.gradients[i] = handwritten_.computation(j)(point, {}, {});
      else if (is_given || trace_.is_named(i))
        own.gradients[i] = evaluate(derivation::gradient_through(trace_, i, places_), own);
    }
    return own;
  }

  // Whether the gradient of a leaf is off by what that of an earlier leaf is, with which it may
  // have been written, as dr = dh of h + r.
  bool is_off_as_another(std::uint32_t i, const std::vector<double>& given, const Truth& truth) {
    if (!trace_.node(i).is_leaf()) return false;
    std::vector<double> off(given.size());
    for (std::size_t e = 0; e < off.size(); ++e) off[e] = given[e] - truth.gradient[e];
    const bool known = std::ranges::any_of(wrong_leaves_, [&](const auto& other) {
      const auto& [node, its] = other;
      bool same = trace_.node(node).shape() == trace_.node(i).shape();
      for (std::size_t e = 0; same && e < off.size(); ++e)
        same = std::abs(off[e] - its[e]) <= 2 * truth.allowed[e] + 1e-9 * largest(its);
      return same;
    });
    if (!known) wrong_leaves_.emplace_back(i, std::move(off));
    return known;
  }

  // Whether a wrong formula only follows earlier ones, or what is wrong with it. Returns why it is
  // asked here alone, where its own step tells.
  std::string explain(std::size_t k, std::uint32_t i, const Environment& own, const Expr& simplest,
                      const Tensor& by_hand, const Truth& truth,
                      const derivation::Computation& whole, bool far_away,
                      FormulaVerdict& verdict) {
    std::string why_here_alone;
    // With the right gradients in the place of the person's earlier ones.
    const Expr& steps = handwritten_.in_steps(k);
    const derivation::Computation formula =
        whole && steps ? derivation::computation_of(steps) : whole;
    const std::optional<Tensor> in_steps =
        formula ? attempt([&] { return formula(trace_.environment(), {}, {}); }) : std::nullopt;
    bool as_autograd = false, follows = true;
    const Tensor accumulated = formulas_[k].of.grad();
    derivation::Suspect suspect{
        .node = i,
        .right = simplest,
        .formula = in_steps ? steps : nullptr,
        .points = {&trace_.environment()},
        .values = {in_steps.value_or(by_hand)},
        .tolerance = 0,
        .accumulated = accumulated.defined() ? to(accumulated.detach(), f64) : Tensor()};
    if (in_steps) {
      const bool fits = verdict.given == verdict.expected;
      verdict.inherited = fits && judge_.compare(i, numbers(suspect.values[0]), truth).right;
      if (verdict.inherited && handwritten_.holds(k) != Holds::here) {
        Elsewhere elsewhere = this->elsewhere(k, i, steps, formula, truth);
        why_here_alone = std::move(elsewhere.why_not);
        verdict.inherited = elsewhere.found != Nearby::wrong;
        far_away = far_away || elsewhere.far_away;
      }
      suspect.nearest = handwritten_.holds(k) == Holds::nearby;
      if (handwritten_.holds(k) != Holds::here)
        for (const Environment& point : points_of(k, far_away)) {
          const auto value = attempt([&] {
            (void)evaluate(simplest, point);
            return formula(point, {}, {});
          });
          if (!value) break;  // they cannot be computed there
          suspect.values.push_back(*value);
          suspect.points.push_back(&point);
        }
    } else {
      suspect.points[0] = &own;
    }
    // A function says nothing of earlier formulas, nor does one that goes on from what is a tensor
    // of the program, too; whether they follow them is seen where they are wrong.
    if (verdict.given == verdict.expected &&
        (!in_steps ||
         ((!steps || any_unseen_) && !judge_.compare(i, numbers(*in_steps), truth).right))) {
      const std::vector<double> mine = numbers(following(own, i)), given = numbers(by_hand);
      const double allowed = (single_ ? 1e-4 : 1e-9) * largest(mine);
      as_autograd = largest_difference(mine, truth.gradient) <= allowed;
      // Behind a wrong one it is enough that this one's own part in it does not show. What is to be
      // right is asked of each element, up to digits of it that differences would not give.
      const double digits = single_ ? 1e-5 : 1e-9;
      const std::vector<double> rounding = judge_.allowed_in_step(i, own, truth);
      verdict.inherited = follows = true;
      for (std::size_t e = 0; e < given.size(); ++e) {
        const double apart = derivation::difference(given[e], mine[e]);
        if (!(apart <= std::max({allowed, truth.allowed[e], rounding[e]})))
          verdict.inherited = false;
        if (!(apart <= rounding[e] + digits * std::abs(mine[e]))) follows = false;
      }
    }
    if (!verdict.inherited && whole && any_wrong_ && (!steps || any_unseen_))
      verdict.inherited = follows_elsewhere(k, i, whole, points_of(k, far_away));
    if (!verdict.inherited && verdict.given == verdict.expected && (!steps || any_unseen_))
      verdict.inherited = is_off_as_another(i, numbers(by_hand), truth);
    if (!any_wrong_) verdict.inherited = verdict.inherited && follows;
    if (verdict.inherited && !any_wrong_) {
      // Earlier formulas are right, though with other numbers than autograd's, as at a kink; or
      // this one's digits are not all there, as those of differences.
      verdict.inherited = false;
      verdict.ok = true;
      verdict.note =
          as_autograd
              ? "as near to autograd's numbers as is asked of a formula that was not recorded"
              : "right with what earlier formulas give, which differ from autograd's "
                "numbers though they are right";
      if (whole && !steps)
        why_here_alone = "it has too few digits to tell at others what is wrong from rounding";
    }
    if (verdict.inherited || verdict.ok) return why_here_alone;
    // Where a rule is wrong in this very step, nothing is known that the formula could be held to:
    // a mistake that leads from the one to the other is not the person's.
    if (!verdict.autograd_ok && !judge_.is_backed(i, following(own, i), truth))
      return why_here_alone;
    // Numbers of a formula in f32 are rounded, too; and bare ones were computed in it.
    const bool is_f32 = single_ || formulas_[k].by_hand.dtype() == f32;
    if (verdict.given == verdict.expected && (in_steps || !any_wrong_)) {
      suspect.wrong = judge_.compare(i, numbers(suspect.values[0]), truth).wrong;
      suspect.sizes = truth.sizes;
    }
    suspect.tolerance = !is_f32 ? 1e-9 : in_steps ? 1e-6 : 1e-5;
    const auto text = [&](const Expr& expression) { return words_.text(expression); };
    std::string diagnosis = derivation::diagnose(trace_, suspect, text);
    // What its numbers alone would say, where how it is written says nothing.
    if (diagnosis.empty() && std::exchange(suspect.formula, nullptr))
      diagnosis = derivation::diagnose(trace_, suspect, text);
    verdict.diagnosis = words_.with_definitions(std::move(diagnosis));
    return why_here_alone;
  }

  std::vector<Formula> formulas_;  // all with values
  CheckOptions options_;
  std::vector<Tensor> tensors_;
  Trace trace_;
  derivation::Wording words_;
  std::vector<std::uint32_t> places_;
  derivation::Handwritten handwritten_;
  bool single_;  // whether something was computed in f32
  bool any_wrong_ = false;
  std::vector<std::pair<std::uint32_t, std::vector<double>>> wrong_leaves_;  // what each is off by
  bool any_unseen_ = false;  // a wrong one, which no later one shows that it goes on from
  derivation::Judge judge_;
  std::vector<Tensor> autograd_;
};

bool DerivationReport::ok() const noexcept {
  return !verdicts_.empty() && std::ranges::all_of(verdicts_, [](const FormulaVerdict& v) {
    return v.ok && v.autograd_ok;
  });
}

const FormulaVerdict* DerivationReport::first_wrong() const noexcept {
  return first_wrong_ < verdicts_.size() ? &verdicts_[first_wrong_] : nullptr;
}

DerivationReport check_derivation(const Tensor& loss, std::span<const Formula> formulas,
                                  CheckOptions options, Where where) {
  return detail::naming_all_memory("check_derivation", where, [&] {
    return DerivationChecker(loss, formulas, options, where).run();
  });
}

DerivationReport check_derivation(const Tensor& loss, std::initializer_list<Formula> formulas,
                                  CheckOptions options, Where where) {
  return check_derivation(loss, std::span(formulas.begin(), formulas.size()), options, where);
}

}  // namespace chainrule
