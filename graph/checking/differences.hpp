#pragma once

#include <optional>

#include <chainrule/graph/checking/difference.hpp>
#include <chainrule/graph/checking/rounding.hpp>

namespace chainrule::derivation {

/// Differences of a recorded loss, independent of all gradient rules. Each element has a step of
/// its own, in proportion to its size.
class Differences {
 public:
  /// At a point of the trace, with the rounding in f64 there.
  Differences(const Trace& trace, const Environment& point, const Rounding& rounding);

  /// steps_of() the value of node i.
  Tensor steps(std::uint32_t i) const { return steps_of(point_.tensors[i]); }
  /// The point where each parameter is moved by up to this part of its steps, at random. None where
  /// an operation is not defined there.
  std::optional<Environment> moved(double part, std::uint64_t seed) const;
  /// The same where results are moved for themselves, too, but for those that a rule reads again:
  /// at ties the operands of each operation are on sides of their own, not on those alone that
  /// parameters lead to.
  std::optional<Environment> moved_apart(double part, std::uint64_t seed) const;
  /// A point where node i itself is moved so, and what was computed from it with it.
  std::optional<Environment> moved(const Environment& point, std::uint32_t i, double part,
                                   std::uint64_t seed) const;
  /// Along `direction`, of the shape of node i.
  Difference along(std::uint32_t i, const Tensor& direction) const;
  /// The loss, that far along.
  double loss_at(std::uint32_t i, const Tensor& direction, double h) const;
  /// Along one element.
  Difference at(std::uint32_t i, std::int64_t position) const;

 private:
  double loss_with(std::uint32_t i, const Tensor& value) const;
  std::vector<Tensor> moved_leaves(double part, Generator& generator) const;

  const Trace& trace_;
  const Environment& point_;
  double loss_;
  double noise_;  // of the loss, by rounding
};

}  // namespace chainrule::derivation
