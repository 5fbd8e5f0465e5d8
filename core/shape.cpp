#include <chainrule/core/shape.hpp>

#include <fmt/format.h>

#include <chainrule/core/error.hpp>

namespace chainrule {

void Shape::throw_too_many(std::size_t axes, const Where& where) {
  throw ShapeError(fmt::format("shape: {} axes, but a tensor has at most {}", axes, max_rank),
                   where, "a shape has one number for each axis: is it made of elements instead?");
}

void Shape::push_back(std::int64_t dim) & { insert(rank_, dim); }

void Shape::insert(int axis, std::int64_t dim) & {
  if (rank_ == max_rank) throw_too_many(size() + 1, Where());
  for (int i = rank_; i > axis; --i) dims_[i] = dims_[i - 1];
  dims_[axis] = dim;
  ++rank_;
}

void Shape::erase(int axis) & noexcept {
  --rank_;
  for (int i = axis; i < rank_; ++i) dims_[i] = dims_[i + 1];
}

std::string to_string(const Shape& shape) {
  if (shape.rank() == 1) return fmt::format("({},)", shape[0]);
  return fmt::format("({})", fmt::join(shape.begin(), shape.end(), ", "));
}

Shape contiguous_strides(const Shape& shape) noexcept {
  Shape strides = shape;
  std::int64_t step = 1;
  for (int i = shape.rank() - 1; i >= 0; --i) {
    strides[i] = step;
    step *= shape[i];
  }
  return strides;
}

Shape position_of(std::int64_t flat, const Shape& shape) noexcept {
  Shape position = shape;
  for (int axis = shape.rank() - 1; axis >= 0; --axis) {
    position[axis] = flat % shape[axis];
    flat /= shape[axis];
  }
  return position;
}

}  // namespace chainrule
