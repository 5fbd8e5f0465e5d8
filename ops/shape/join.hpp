#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>
#include <vector>

#include <chainrule/core/tensor.hpp>

/// Several tensors as one, and one as several. Axes count from 0, negative ones from the end;
/// IndexError out of range.
namespace chainrule {

/// The tensors one after the other along `axis`, which they have; all other extents are equal:
/// (2, 3) and (4, 3) give (6, 3). Gradients: the parts of g. Throws ValueError without tensors,
/// ShapeError for scalars and for extents that differ, DTypeError for dtypes that differ.
Tensor concat(std::span<const Tensor> tensors, int axis = 0, Where where = Where::current());
Tensor concat(std::initializer_list<Tensor> tensors, int axis = 0, Where where = Where::current());

/// Tensors of one shape along a new axis, before axis `axis` (−1: at the end): n tensors (3, 4)
/// give (n, 3, 4). Gradients: select(g, axis, i). Throws as concat().
Tensor stack(std::span<const Tensor> tensors, int axis = 0, Where where = Where::current());
Tensor stack(std::initializer_list<Tensor> tensors, int axis = 0, Where where = Where::current());

/// Views of `size` positions each along `axis`, the last of what is left; one empty view of an
/// empty axis. Gradient: as slice(). Throws ValueError unless size is positive, ShapeError for a
/// scalar.
std::vector<Tensor> split(const Tensor& x, std::int64_t size, int axis = 0,
                          Where where = Where::current());
/// Views of sizes[0], sizes[1] … positions along `axis`. Throws ShapeError unless they add up to
/// its extent, and for a scalar.
std::vector<Tensor> split(const Tensor& x, std::span<const std::int64_t> sizes, int axis = 0,
                          Where where = Where::current());
std::vector<Tensor> split(const Tensor& x, std::initializer_list<std::int64_t> sizes, int axis = 0,
                          Where where = Where::current());

}  // namespace chainrule
