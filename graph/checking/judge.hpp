#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <chainrule/graph/checking/differences.hpp>
#include <chainrule/graph/checking/kinks.hpp>
#include <chainrule/graph/checking/other_sides.hpp>
#include <chainrule/graph/checking/points_nearby.hpp>
#include <chainrule/graph/checking/rounding.hpp>
#include <chainrule/graph/derivation/simplify.hpp>

namespace chainrule::derivation {

/// What a formula is compared with, element by element.
struct Truth {
  std::vector<double> gradient;  ///< by the chain rule in f64
  std::vector<double> allowed;   ///< how far rounding may take a right formula from it
  std::vector<double> sizes;  ///< how large the summands of its elements are, as they are rounded
  std::vector<double> autograd;  ///< as it was computed, in the dtype of the program
  double unit;                   ///< of the numbers of the formula: see Rounding
  bool bare;                     ///< whether it is not known how these were computed
};

/// Whether anything of the loss, or by a rule, is computed in f32.
bool computes_in_f32(const Trace& trace);
/// The largest element of all gradients at a point.
double largest_gradient(const Environment& point);

/// Decides whether a formula is right, by two oracles that know nothing of each other: the rules
/// of autograd, and differences of the loss. Where these disagree, what agrees with one of them is
/// not wrong.
class Judge {
 public:
  /// `single`: whether something of the loss was computed in f32.
  Judge(const Trace& trace, bool single);
  // Its parts refer to each other.
  Judge(const Judge&) = delete;
  Judge& operator=(const Judge&) = delete;

  /// How a formula was computed: in f32, in f64, or in f64 with numbers that are rounded to f32.
  enum class Precision { f32_throughout, f32_numbers, f64_throughout };
  /// The truth for node i, for a formula that is `forms` in the forms that are known, where
  /// autograd gave these numbers. Of `bare` numbers it is not known how anything on the way was
  /// computed.
  Truth truth(std::uint32_t i, std::span<const Computation> forms, Precision precision,
              std::vector<double> autograd, bool bare) const;

  struct Opinion {
    bool right = false;
    std::string note;          ///< why, where a formula does not agree with both oracles
    std::vector<bool> wrong;   ///< by element
    bool at_one_side = false;  ///< elements are right by a side of a kink, or by differences
    std::vector<std::size_t>
        as_computed;  ///< elements that autograd agrees with as it was computed
                      ///< in the program's dtype, and its rules in f64 do not
  };
  /// Of what a formula gave for node i.
  Opinion compare(std::uint32_t i, const std::vector<double>& given, const Truth& truth) const;

  /// Of bare numbers that are right as far as rounding lets it be known, where they are visibly
  /// others than the gradient's: what would tell. Else empty.
  std::string what_rounding_hides(std::uint32_t i, const std::vector<double>& given,
                                  const Truth& truth) const;

  /// How far what the rules give for node i from a person's own gradients may be from what a right
  /// formula gives from them, element by element.
  std::vector<double> allowed_in_step(std::uint32_t i, const Environment& own,
                                      const Truth& truth) const;
  /// Whether differences agree with what a formula gave for node i, and not with autograd.
  bool is_backed(std::uint32_t i, const Tensor& given, const Truth& truth) const;

  /// Whether formula and gradient are the same nearby, too, where both are finite: what is right
  /// by chance, as a forgotten factor that is 1, is not. A formula that is not the same may be
  /// backed by differences there. `unknown` where no point is one at which they can be compared.
  enum class Nearby { right, wrong, backed, unknown };
  Nearby nearby(std::uint32_t i, const Computation& formula, const Truth& truth, bool masked) const;

  /// Whether the rules agree with differences in a random direction; where they do not, why, and of
  /// which operation the rule is wrong, if that can be found.
  bool agrees_with_differences(std::uint32_t i, const Truth& truth, std::string& note) const;
  /// By differences.
  Difference difference_at(std::uint32_t i, std::int64_t position) const {
    return differences_.at(i, position);
  }
  /// The first operation from the loss to node i whose rule is wrong at one of the near points.
  std::string wrong_rule_nearby(std::uint32_t i) const;
  /// Other values of the parameters: far from the recorded ones, and so near that masks stay what
  /// they are.
  const std::vector<Environment>& points() const noexcept { return points_; }
  const std::vector<Environment>& nearest_points() const { return nearby_.nearest(); }
  /// Whether a formula that is right nearby is visibly wrong far away: where units are on other
  /// sides of their kinks, and nothing is small.
  bool is_wrong_far_away(std::uint32_t i, const Computation& formula, const Truth& truth) const;
  const OtherSides& other_sides() const;
  /// Whether autograd's own numbers for node i are those of its rules but for rounding.
  bool is_computed(std::uint32_t i, const Truth& truth, const Expr& form) const;

 private:
  // The values at the sides of kinks. Where kinks meet, as in the largest of the largest, a few
  // moves do not find them all: more are made until they are enough.
  SideValues sides_until(std::uint32_t i,
                         const std::function<bool(const SideValues&)>& enough) const;
  std::vector<double> allowed_as_computed(std::uint32_t i, const Truth& truth) const;
  // How far rounding moves a formula of node i in these forms, element by element, and how far a
  // right one may be from it for that.
  std::vector<double> moved(std::uint32_t i, std::span<const Computation> forms,
                            const Rounding& rounds, bool bare) const;
  std::vector<double> rounded(std::uint32_t i, std::span<const Computation> forms,
                              Precision precision, bool bare) const;
  // The same of formulas in f64 with numbers in f32, which the rules have, too.
  std::vector<double> rounded_numbers(std::uint32_t i, std::span<const Computation> forms,
                                      bool bare) const;
  const Rounding& rounding(Precision precision, bool wide) const;
  bool is_backed(const Environment& point, const Differences& differences, std::uint32_t i,
                 const Tensor& given, const std::vector<double>& allowed) const;
  const Rounding& rounding_at(const Environment& point, bool numbers_too) const;
  // How far rounding moves a formula of node i at another point, or what it is off by from here to
  // there.
  std::vector<double> rounded_there(std::uint32_t i, const Environment& point,
                                    const Computation& formula, const Truth& truth,
                                    bool masked) const;
  // What the gradient for node i is at a point, element by element, on the sides of kinks there, on
  // the recorded ones, and on those that are next to them.
  struct Range {
    std::vector<double> least, most;
    bool holds(std::size_t e, double number, double error) const;
  };
  Range range_on_sides(std::uint32_t i, const Environment& point,
                       const std::vector<double>& there) const;
  static bool is_zero(const Truth& truth);

  double own_unit() const noexcept { return single_ ? half_unit_f32 : half_unit_f64; }
  double own_smallest() const noexcept { return smallest_normal(own_unit()); }

  const Trace& trace_;
  bool single_;
  mutable std::vector<Expr> written_out_;           // the gradients, in slopes as people write them
  mutable std::optional<Environment> as_recorded_;  // where it is asked for
  mutable std::unique_ptr<Rounding> roundings_[3][2];  // by precision; moved further, too
  mutable std::map<std::pair<const Environment*, bool>, std::unique_ptr<Rounding>> roundings_there_;
  Differences differences_;
  std::vector<Environment> points_;
  PointsNearby nearby_;
  mutable std::optional<OtherSides> other_sides_;  // where they are asked for
};

}  // namespace chainrule::derivation
