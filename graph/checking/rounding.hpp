#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include <chainrule/core/random.hpp>
#include <chainrule/graph/derivation/trace.hpp>

namespace chainrule::derivation {

/// A formula as it is computed at a point; results on the way, and constants, go through what
/// adjusts them, where that is given.
using Computation = std::function<Tensor(const Environment& point, const Replay::Adjust& results,
                                         const Replay::Adjust& constants)>;
Computation computation_of(const Expr& expression);
/// What a formula gives but for what a rule does: what is rounded in both alike is not in it.
Computation apart_from(Computation rule, Computation formula);

/// How far rounding moves the numbers of a derivation, element by element: everything is computed
/// again with each result moved by about a unit in the last place, at random, and what comes out is
/// compared (J. Vignes, A stochastic arithmetic for reliable scientific computation, Mathematics
/// and Computers in Simulation 35, 1993).
class Rounding {
 public:
  /// At a point of the trace; `unit` is half the distance from 1 to the next number, and
  /// `unit_of_constants` the same for the numbers that stand in expressions: of a formula in f32
  /// that is computed in f64, these alone are rounded to f32.
  Rounding(const Trace& trace, const Environment& point, double unit, double unit_of_constants = 0);

  /// How far the elements of an expression move.
  std::vector<double> of(const Expr& expression) const { return of(computation_of(expression)); }
  std::vector<double> of(const Computation& formula) const;
  /// How far what they move by differs from what they move by at another point, where numbers are
  /// rounded as they are here.
  std::vector<double> of_change(const Rounding& from, const Computation& formula) const;
  /// How far a gradient's formula moves where gradients on the way to it are computed by these, by
  /// node; where there is none, as the rules give them.
  std::vector<double> of_chain(const Trace& trace, std::span<const Expr> formulas,
                               const Expr& last) const;

 private:
  // What a formula gives here, and then where all is moved.
  std::vector<std::vector<double>> samples(const Computation& formula) const;
  // How many units of the elements of tensors and constants are lost where they, or products with
  // them, are summands: who writes r − b for the a of r = a + b has as many digits of it as r
  // leaves.
  struct Lost {
    std::vector<Tensor> tensors;                          // by node; undefined where nothing is
    std::unordered_map<std::uint64_t, Tensor> constants;  // by what their elements are

    bool is_empty() const;
    // One of them with the digits that it then has; null where it has all.
    Expr less_digits(const Expr& symbol, const Environment& at, double unit,
                     std::size_t sample) const;
  };
  const Lost& lost_in_sums(const Trace& trace) const;

  const Environment& point_;
  double unit_, unit_of_constants_;
  std::vector<Environment> moved_;
  mutable std::vector<Environment> chains_;  // as of_chain() has them: here, then moved
  mutable std::optional<Lost> lost_;         // before it is asked for: none
};

/// How far rounding moves an expression at a point where tensors and gradients are as they are
/// given, not what others lead to: each of them is rounded, and each result on the way.
std::vector<double> rounding_of_step(const Expr& expression, const Environment& point, double unit);

/// The same of the gradient of node i and all that it was computed from, where the tensors are
/// rounded and not computed again.
std::vector<double> rounding_of_chain(const Trace& trace, std::uint32_t i, const Environment& point,
                                      double unit);

/// Moves results by about a unit in the last place, to one side or the other at random: those that
/// an op makes in f32 by one of that.
Replay::Adjust rounding_at_random(Generator& generator, double half_unit);

/// Few samples say little of the largest move: so many times what they moved.
inline constexpr double safety_of_samples = 24;

inline constexpr double half_unit_f64 = 0x1p-53, half_unit_f32 = 0x1p-24;
/// The smallest number of the dtype that has all its digits.
constexpr double smallest_normal(double half_unit) noexcept {
  return half_unit >= half_unit_f32 ? 0x1p-126 : 0x1p-1022;
}

}  // namespace chainrule::derivation
