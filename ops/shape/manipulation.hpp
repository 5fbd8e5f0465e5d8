#pragma once

#include <chainrule/core/tensor.hpp>

/// Operations that arrange the elements of a tensor in another shape. Results are views where the
/// strides allow it. Axes count from 0, negative ones from the end; IndexError out of range.
namespace chainrule {

/// Two axes exchanged; a view. Gradient: gᵀ.
Tensor transpose(const Tensor& x, int axis0 = -2, int axis1 = -1, Where where = Where::current());

/// Axis i of the result is axis axes[i] of x; a view. Gradient: the inverse permutation. Throws
/// ShapeError unless `axes` is a permutation of all axes.
Tensor permute(const Tensor& x, const Shape& axes, Where where = Where::current());

/// The same elements in row-major order under another shape; one extent may be −1 and is found from
/// the others. A view when the strides allow it, else a copy. Gradient: g reshaped back. Throws
/// ShapeError when the numbers of elements differ.
Tensor reshape(const Tensor& x, const Shape& shape, Where where = Where::current());

/// Axes start … end merged into one. Gradient: as reshape().
Tensor flatten(const Tensor& x, int start = 0, int end = -1, Where where = Where::current());

/// Without the axes of extent 1, or without `axis`, which must have extent 1 (ShapeError).
Tensor squeeze(const Tensor& x, Where where = Where::current());
Tensor squeeze(const Tensor& x, int axis, Where where = Where::current());

/// With a new axis of extent 1 before `axis` (−1: at the end).
Tensor unsqueeze(const Tensor& x, int axis, Where where = Where::current());

/// Broadcast to `shape`; −1 keeps an extent. A view with strides 0. Gradient: g summed over the
/// broadcast axes. Throws ShapeError when an extent is neither equal nor 1.
Tensor expand(const Tensor& x, const Shape& shape, Where where = Where::current());

/// x itself when its elements are row-major, else a copy. Gradient: g.
Tensor contiguous(const Tensor& x, Where where = Where::current());

namespace detail {

/// The same value at a new place in the graph, behind x's. Gradient: g.
Tensor alias(const Tensor& x, const Where& where);

/// The same elements in memory of their own. Gradient: g.
Tensor copy(const Tensor& x, const Where& where);

/// True when transpose() made this node. A gradient for it is best laid out in memory as its
/// transpose, which is what becomes of it next.
bool is_transpose(const Node& node) noexcept;

}  // namespace detail

}  // namespace chainrule
