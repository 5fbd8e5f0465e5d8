#pragma once

#include <functional>
#include <optional>
#include <vector>

#include <chainrule/graph/checking/rounding.hpp>

namespace chainrule::derivation {

/// A derivative of the loss along a direction, by differences in f64.
struct Difference {
  double value = 0;   ///< (L(x + h v) − L(x − h v)) / 2h, extrapolated to h = 0
  double error = 0;   ///< how far off that may be: rounding, and what steps of other sizes give
  double before = 0;  ///< (L(x) − L(x − h v)) / h for the smallest step
  double behind = 0;  ///< (L(x + h v) − L(x)) / h
  bool kink = false;  ///< these two do not meet
  bool finite() const noexcept;
  /// Whether a derivative is this one as far as can be said, but for `allowed`; at a kink, where
  /// several may meet, every one is.
  bool agrees(double derivative, double allowed) const noexcept;
};

/// How far to go in each element for a step of size 1.
Tensor steps_of(const Tensor& x);
/// The derivative of a function of a step at 0, where it is `here`, but for `noise` by rounding.
Difference differentiate(const std::function<double(double)>& f, double here, double noise);

/// Differences of a recorded loss, independent of all gradient rules. Each element has a step of
/// its own, in proportion to its size; steps get smaller until they agree with each other, after L.
/// F. Richardson's extrapolation, Phil. Trans. Roy. Soc. A 210 (1911).
class Differences {
 public:
  /// At a point of the trace, with the rounding in f64 there.
  Differences(const Trace& trace, const Environment& point, const Rounding& rounding);

  /// steps_of() the value of node i.
  Tensor steps(std::uint32_t i) const { return steps_of(point_.tensors[i]); }
  /// The point where each parameter, and data too if it says so, is moved by up to this part of its
  /// steps, at random. None where an operation is not defined there.
  std::optional<Environment> moved(double part, std::uint64_t seed, bool data_too) const;
  /// Along `direction`, of the shape of node i.
  Difference along(std::uint32_t i, const Tensor& direction) const;
  /// Along one element.
  Difference at(std::uint32_t i, std::int64_t position) const;

 private:
  double loss_with(std::uint32_t i, const Tensor& value) const;

  const Trace& trace_;
  const Environment& point_;
  double loss_;
  double noise_;  // of the loss, by rounding
};

}  // namespace chainrule::derivation
