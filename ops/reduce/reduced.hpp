#pragma once

#include <chainrule/core/op.hpp>
#include <chainrule/ops/reduce/reduction.hpp>

/// What the definitions of reductions share. For ops, not for users.
namespace chainrule {

/// The shape that remains of `shape`.
Shape reduced_shape(const Shape& shape, std::uint32_t mask, bool keepdim);

/// How many elements make one result.
std::int64_t reduced_count(const Shape& shape, std::uint32_t mask);

/// An uninitialised result of the dtype of x, in the shape that remains.
inline Ref<Value> make_reduced(const Value& x, std::uint32_t mask, bool keepdim) {
  std::int64_t dims[max_rank];
  int rank = 0;
  for (int axis = 0; axis < x.rank(); ++axis) {
    if (!(mask >> axis & 1))
      dims[rank++] = x.dims()[axis];
    else if (keepdim)
      dims[rank++] = 1;
  }
  return Value::make(x.dtype(), dims, rank);
}

/// A reduced tensor with its axes back, at extent 1: it broadcasts to `shape`, which was reduced.
Tensor with_axes(const Tensor& reduced, const Shape& shape, const detail::ReduceParameters& p);

/// The same, broadcast to `shape`.
Tensor spread(const Tensor& reduced, const Shape& shape, const detail::ReduceParameters& p);

/// The axes of a mask as subscripts, "₀₂"; "" when the node reduced all axes.
std::string axes_text(const Node& node, const detail::ReduceParameters& p);

/// Throws ShapeError when a result would have no elements to be made of.
void check_not_empty(const char* op, const Tensor& x, std::uint32_t mask, const Where& where);

/// f64 (2, 3, 2) without ties, for samples.
Tensor reduction_sample();

}  // namespace chainrule
