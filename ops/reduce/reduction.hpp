#pragma once

#include <cstdint>

#include <chainrule/ops/reduce/axes.hpp>

namespace chainrule {

class Op;

/// Reductions over all axes, one, or several: `sum(x)`, `sum(x, 0)`, `sum(x, {0, -1}, true)`. The
/// reduced axes disappear, or with keepdim stay with extent 1. NaN propagates. Throws IndexError
/// for an axis out of range, ValueError for a repeated one, and ShapeError where a result would
/// have to be made of no elements and the reduction has no value for that.

/// Σ x. Without elements 0. f32 and f64 are summed pairwise; i64 wraps around, and booleans are
/// counted in i64. Gradient: g for every summand.
Tensor sum(const Tensor& x, const Axes& axes = {}, bool keepdim = false,
           Where where = Where::current());

/// Σ x / n over the n reduced elements of f32 or f64. Gradient: g / n for each of them. Throws
/// ShapeError for n = 0, DTypeError for other dtypes.
Tensor mean(const Tensor& x, const Axes& axes = {}, bool keepdim = false,
            Where where = Where::current());

/// The largest element of f32, f64 or i64. Gradient: g, shared evenly by the elements that are
/// equal to it, as amax of PyTorch and max of JAX have it; NaN where the result is NaN. Throws
/// ShapeError without elements.
Tensor max(const Tensor& x, const Axes& axes = {}, bool keepdim = false,
           Where where = Where::current());
/// The smallest element; all else as max().
Tensor min(const Tensor& x, const Axes& axes = {}, bool keepdim = false,
           Where where = Where::current());

/// The index (i64) of the largest element along one axis, or in row-major order over all axes. The
/// first one of equals; NaN counts as the largest, as in NumPy and PyTorch. No gradient. Throws
/// ShapeError without elements, ValueError for several axes that are not all.
Tensor argmax(const Tensor& x, const Axes& axes = {}, bool keepdim = false,
              Where where = Where::current());
/// The index of the smallest element. Here NaN counts as the smallest; all else as argmax().
Tensor argmin(const Tensor& x, const Axes& axes = {}, bool keepdim = false,
              Where where = Where::current());

/// log Σ exp x of f32 or f64, computed as m + log Σ exp(x − m) with m = max x, so that nothing
/// overflows: +∞ if an element is +∞; −∞ if all are −∞, and without elements. Gradient:
/// g ⊗ exp(x − logsumexp(x)), the softmax; NaN where the result is infinite.
Tensor logsumexp(const Tensor& x, const Axes& axes = {}, bool keepdim = false,
                 Where where = Where::current());

/// Whether all elements of a boolean tensor are true; true without elements. No gradient. Throws
/// DTypeError for other dtypes.
Tensor all(const Tensor& x, const Axes& axes = {}, bool keepdim = false,
           Where where = Where::current());
/// Whether any element of a boolean tensor is true; false without elements. No gradient. Throws
/// DTypeError for other dtypes.
Tensor any(const Tensor& x, const Axes& axes = {}, bool keepdim = false,
           Where where = Where::current());

/// The results of var_mean().
struct VarMean {
  Tensor var, mean;
};

/// The variance Σ (x − mean)² / (n − correction) and the mean over the n reduced elements of f32 or
/// f64, each of the shape that remains. With the correction of 1 (Bessel's) the variance is an
/// unbiased estimate from a sample; with 0 it is that of the numbers themselves. It is NaN where
/// n − correction ≤ 0, as for one element with a correction of 1.
///
/// Two passes: the squares are of what remains after the mean is taken off, and the rounding of the
/// mean is made up for (the corrected two-pass algorithm of Chan, Golub and LeVeque, The American
/// Statistician 37 (1983)), so that the variance keeps its digits where the mean is large. NaN
/// propagates; an infinite element makes the variance NaN. Gradient:
/// 2 (x − mean) g_var / (n − correction) + g_mean / n; a result that nothing depends on costs
/// nothing. Throws ShapeError for n = 0, DTypeError for other dtypes, ValueError unless the
/// correction is finite.
VarMean var_mean(const Tensor& x, const Axes& axes = {}, double correction = 1,
                 bool keepdim = false, Where where = Where::current());

namespace detail {

/// The parameters of the ops of this family: bit i of mask for every reduced axis i of the input,
/// which has `rank` axes.
struct ReduceParameters {
  std::uint32_t mask = 0;
  std::uint32_t keepdim = 0;  // 0 or 1
  std::uint32_t rank = 0;
};

/// sum() over the axes of a mask.
Tensor sum_mask(const Tensor& x, std::uint32_t mask, bool keepdim, const Where& where);

}  // namespace detail
}  // namespace chainrule
