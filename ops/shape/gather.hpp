#pragma once

#include <cstdint>

#include <chainrule/core/tensor.hpp>

/// Elements by position, where the positions are in a tensor of i64. They come from data, in which
/// −1 often stands for a missing label; so, unlike in x[−1], negative ones do not count from the
/// end but are out of range. Throws IndexError that names the first position out of range and where
/// it stands; DTypeError unless `index` holds i64.
namespace chainrule {

/// The tensors at index[…] along `axis`, in the place of that axis: x (5, 8) and index (4, 3) give
/// (4, 3, 8) along axis 0. With a matrix of embeddings and labels this is the look-up. Gradient of
/// x: index_add of g to zeros.
Tensor take(const Tensor& x, const Tensor& index, int axis = 0, Where where = Where::current());

/// One element for each element of `index`, at the same place but along `axis` at index[…]:
/// y[i, j] = x[index[i, j], j] along axis 0, y[i, j] = x[i, index[i, j]] along axis 1. The index
/// has the rank of x, and no more positions along the other axes than x (ShapeError). Gradient of
/// x: scatter_add of g to zeros.
Tensor gather(const Tensor& x, int axis, const Tensor& index, Where where = Where::current());

/// x plus `source`, added at the places from which gather(x, axis, index) takes: y = x, then
/// y[index[i, j], j] += source[i, j] along axis 0. Places that occur twice get both. The source has
/// the shape of the index (ShapeError) and the dtype of x. Gradients: g, and gather(g, axis,
/// index).
Tensor scatter_add(const Tensor& x, int axis, const Tensor& index, const Tensor& source,
                   Where where = Where::current());

/// x plus `source`, added at the places from which take(x, index, axis) takes: y = x, then
/// y[index[i]] += source[i] along axis 0. Gradients: g, and take(g, index, axis). Throws ShapeError
/// unless the source has the shape of take(x, index, axis).
Tensor index_add(const Tensor& x, int axis, const Tensor& index, const Tensor& source,
                 Where where = Where::current());

namespace detail {

// The rows added to zeros of this shape at index[…] along axis 0.
Tensor rows_in_zeros(const Tensor& rows, const Tensor& index, const Shape& shape,
                     const Where& where);

}  // namespace detail

/// 1 at index[…] and 0 elsewhere, along a new last axis of extent `classes`: (batch) gives
/// (batch, classes). No gradient. Throws ValueError for negative `classes`.
Tensor one_hot(const Tensor& index, std::int64_t classes, DType dtype = f32,
               Where where = Where::current());

}  // namespace chainrule
