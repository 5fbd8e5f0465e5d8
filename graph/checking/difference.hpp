#pragma once

#include <functional>
#include <span>
#include <vector>

#include <chainrule/core/tensor.hpp>

namespace chainrule::derivation {

/// A derivative along a direction, by differences in f64.
struct Difference {
  double value = 0;   ///< (f(x + h v) − f(x − h v)) / 2h, extrapolated to h = 0
  double error = 0;   ///< how far off that may be: rounding, and what steps of other sizes give
  double before = 0;  ///< (f(x) − f(x − h v)) / h for the smallest step
  double behind = 0;  ///< (f(x + h v) − f(x)) / h
  bool kink = false;  ///< these two do not meet
  bool finite() const noexcept;
  /// Along a direction that is shorter by this.
  void divide(double by) noexcept;
  /// Whether a derivative is this one as far as can be said, but for `allowed`; at a kink, where
  /// several may meet, every one is.
  bool agrees(double derivative, double allowed) const noexcept;
};

/// How far to go in each element for a step of size 1: its own size.
Tensor steps_of(const Tensor& x);

inline constexpr double largest_step = 1e-3;

/// The derivative of a function of a step at 0, where it is `here`, but for `noise` by rounding.
/// Steps get smaller until they agree with each other, after L. F. Richardson's extrapolation,
/// Phil. Trans. Roy. Soc. A 210 (1911).
Difference differentiate(const std::function<double(double)>& f, double here, double noise);

/// Whether steps of differences pass over kinks, or over periods, as those of sin(x) for large x:
/// small ones are far nearer to `slope` than what they came to.
bool passes_over(const Difference& differences, double slope,
                 const std::function<double(double)>& f);

/// Several numbers as a function of a step; none where it is not defined.
using Numbers = std::function<std::vector<double>(double)>;
/// The same for each of them, beginning with the step `first`.
std::vector<Difference> differentiate(const Numbers& f, std::span<const double> here,
                                      std::span<const double> noise, double first = largest_step);

}  // namespace chainrule::derivation
