#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include <chainrule/core/tensor.hpp>
#include <chainrule/graph/traversal.hpp>

namespace chainrule {

/// A recorded graph computed again, in f64: the values of all its nodes as recorded, and what they
/// become when some are changed. Shapes are inferred from what is handed in, never taken from the
/// recording. Results of operations that have no gradient (comparisons, masks) and everything else
/// that was not recorded stay as they were.
class Replay {
 public:
  /// `traversal` visited everything behind `outputs`, and outlives this. Throws GradError when the
  /// graph was released, a value behind it was written to, or an op cannot be computed again, which
  /// begins with `caller`; for an op whose infer() does not repeat, it begins with that.
  Replay(const Traversal& traversal, std::span<const Tensor> outputs, const char* caller,
         const Where& where);

  /// Whether node i is computed again, from its inputs.
  bool computed(std::uint32_t i) const noexcept;
  /// The value of node i; undefined for an application of several outputs, which have theirs.
  const Tensor& value(std::uint32_t i) const { return values_[i]; }
  /// The value of operand k of node i, whether a node computed it or not; undefined when the
  /// operation was done without it.
  const Tensor& operand(std::uint32_t i, std::size_t k) const;

  /// All values with node `at` changed to `value`, in f64. Throws the operations' errors where
  /// another shape does not fit them.
  std::vector<Tensor> changed(std::uint32_t at, const Tensor& value) const {
    return changed(at, value, values_);
  }
  /// The same where all values were those that from() gave.
  std::vector<Tensor> changed(std::uint32_t at, const Tensor& value,
                              std::vector<Tensor> values) const;
  /// What is done to a result before others are computed from it: in the dtype that the op made it
  /// in, which is f32 where it makes that of f64. Others get it in f64.
  using Adjust = std::function<Tensor(Tensor)>;
  /// All values computed from other leaves: those of `leaves` that are defined take the place of
  /// the recorded ones. Every result goes through `adjust`, where that is given, and every operand
  /// that no node computes, as the numbers that a program has, through `adjust_constants`.
  std::vector<Tensor> from(std::vector<Tensor> leaves, const Adjust& adjust = {},
                           const Adjust& adjust_constants = {}) const;
  /// The same where a result is adjusted as that of its node.
  using AdjustAt = std::function<Tensor(std::uint32_t i, Tensor)>;
  std::vector<Tensor> from(std::vector<Tensor> leaves, const AdjustAt& adjust) const;
  /// The same in memory that is handed in: `values` holds those of an earlier call, or nothing, and
  /// is written over. Results that nobody else holds are computed where they are, so that a second
  /// call of the same shapes allocates none of them.
  void from(std::span<const Tensor> leaves, std::vector<Tensor>& values, const Adjust& adjust = {},
            const Adjust& adjust_constants = {}) const;

 private:
  void find_conversions();
  bool drop_false_conversions();
  void compute(std::uint32_t i, std::vector<Tensor>& values, const Adjust& adjust = {},
               const Adjust& adjust_constants = {}) const;

  const Traversal& traversal_;
  std::vector<Tensor> values_;                  // by the traversal's places
  std::vector<std::vector<Tensor>> constants_;  // of each node: the operands that no node computes
  std::vector<bool> conversions_;               // which nodes are computed as their operand in f64
};

}  // namespace chainrule
