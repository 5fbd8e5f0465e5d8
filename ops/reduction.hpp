#pragma once

#include <cstdint>

#include <chainrule/ops/axes.hpp>

namespace chainrule {

class Op;

/// Reductions over all axes, one, or several: `sum(x)`, `sum(x, 0)`, `sum(x, {0, -1}, true)`. The
/// reduced axes disappear, or with keepdim stay with extent 1. Throws IndexError for an axis out of
/// range, ValueError for a repeated one.

/// Σ x. Without elements 0. f32 and f64 are summed pairwise; i64 wraps around, and booleans are
/// counted in i64. Gradient: g for every summand.
Tensor sum(const Tensor& x, const Axes& axes = {}, bool keepdim = false,
           Where where = Where::current());

namespace detail {

/// The parameters of every op of this family: bit i of mask for every reduced axis i of the input.
struct ReduceParameters {
  std::uint32_t mask;
  bool keepdim;
};

const Op& sum_op();

/// sum() over the axes of a mask.
Tensor sum_mask(const Tensor& x, std::uint32_t mask, bool keepdim, const Where& where);

}  // namespace detail
}  // namespace chainrule
