#include <chainrule/ops/kernels/shape/gather.hpp>

#include <algorithm>
#include <span>

#include <chainrule/ops/kernels/elementwise/loops.hpp>

namespace chainrule::kernels {

Walk walk_gather(const Ref<Value>& whole, int axis, const Ref<Value>& index) {
  Shape strides = whole->strides_shape();
  const std::int64_t stride = strides[axis];
  strides[axis] = 0;
  return {Value::view(whole, index->shape(), strides, 0), index, stride};
}

Shape take_shape(const Shape& whole, int axis, const Shape& index) {
  std::int64_t dims[2 * max_rank];
  std::int64_t* to = std::copy_n(whole.begin(), axis, dims);
  to = std::copy(index.begin(), index.end(), to);
  to = std::copy(whole.begin() + axis + 1, whole.end(), to);
  return Shape(std::span<const std::int64_t>(dims, to));
}

Walk walk_take(const Ref<Value>& whole, int axis, const Ref<Value>& index, const Value& part) {
  const Shape shape = part.shape();
  Shape places = shape, positions = shape;
  for (int i = 0; i < shape.rank(); ++i) {
    const int at = i - axis;  // among the axes of the index
    const bool before = at < 0, inside = !before && at < index->rank();
    positions[i] = inside ? index->strides()[at] : 0;
    places[i] = inside ? 0 : whole->strides()[before ? i : i - index->rank() + 1];
  }
  return {Value::view(whole, shape, places, 0), Value::view(index, shape, positions, 0),
          whole->strides()[axis]};
}

void collect(Value& part, const Walk& walk) {
  visit(part.dtype(), [&](auto zero) {
    using T = decltype(zero);
    T* out = part.data<T>();
    const T* whole = walk.places->data<T>();
    const std::int64_t* position = walk.positions->data<std::int64_t>();
    const Space<2> space(part, {walk.places.get(), walk.positions.get()});
    const std::int64_t p = space.inner_stride(0), q = space.inner_stride(1);
    space.for_each_row([&](std::int64_t count, std::int64_t at, const auto& offset) {
      T* __restrict y = out + at;
      const T* x = whole + offset[0];
      const std::int64_t* k = position + offset[1];
      if (q == 0) {
        x += *k * walk.stride;
        if (p == 1)
          for (std::int64_t i = 0; i < count; ++i) y[i] = x[i];
        else
          for (std::int64_t i = 0; i < count; ++i) y[i] = x[i * p];
      } else {
        for (std::int64_t i = 0; i < count; ++i) y[i] = x[i * p + k[i * q] * walk.stride];
      }
    });
  });
}

namespace {

template <class T>
T sum_of(T a, T b) {
  if constexpr (std::is_integral_v<T>)  // wraps around instead of overflowing
    return static_cast<T>(static_cast<std::uint64_t>(a) + static_cast<std::uint64_t>(b));
  else
    return a + b;
}

}  // namespace

void distribute(const Value& part, const Walk& walk) {
  const auto run = [&](auto zero) {
    using T = decltype(zero);
    const T* source = part.data<T>();
    T* whole = walk.places->data<T>();
    const std::int64_t* position = walk.positions->data<std::int64_t>();
    const Space<3> space(part, {&part, walk.places.get(), walk.positions.get()});
    const std::int64_t r = space.inner_stride(0), p = space.inner_stride(1),
                       q = space.inner_stride(2);
    space.for_each_row([&](std::int64_t count, std::int64_t, const auto& offset) {
      const T* x = source + offset[0];
      T* y = whole + offset[1];
      const std::int64_t* k = position + offset[2];
      if (q == 0 && p == 1 && r == 1) {  // one position, of which the row is a contiguous piece
        T* __restrict to = y + *k * walk.stride;
        for (std::int64_t i = 0; i < count; ++i) to[i] = sum_of(to[i], x[i]);
        return;
      }
      for (std::int64_t i = 0; i < count; ++i) {
        T& to = y[i * p + k[i * q] * walk.stride];
        to = sum_of(to, x[i * r]);
      }
    });
  };
  part.dtype() == i64 ? run(std::int64_t{}) : visit_floating(part.dtype(), run);
}

}  // namespace chainrule::kernels
