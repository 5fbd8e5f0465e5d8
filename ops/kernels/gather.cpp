#include <chainrule/ops/kernels/gather.hpp>

#include <chainrule/ops/kernels/loops.hpp>

namespace chainrule::kernels {

Walk walk_gather(const Ref<Value>& whole, int axis, const Ref<Value>& index) {
  Shape strides = whole->strides_shape();
  const std::int64_t stride = strides[axis];
  strides[axis] = 0;
  return {Value::view(whole, index->shape(), strides, 0), index, stride};
}

Shape take_shape(const Shape& whole, int axis, const Shape& index) {
  Shape part = whole;
  part.erase(axis);
  for (int i = 0; i < index.rank(); ++i) part.insert(axis + i, index[i]);
  return part;
}

Walk walk_take(const Ref<Value>& whole, int axis, const Ref<Value>& index) {
  Shape places = whole->strides_shape(), positions;
  const std::int64_t stride = places[axis];
  places.erase(axis);
  const int rank = places.rank() + index->rank();
  for (int i = 0; i < rank; ++i) {
    const int at = i - axis;  // among the axes of the index
    const bool inside = at >= 0 && at < index->rank();
    if (inside) places.insert(i, 0);
    positions.push_back(inside ? index->strides()[at] : 0);
  }
  const Shape part = take_shape(whole->shape(), axis, index->shape());
  return {Value::view(whole, part, places, 0), Value::view(index, part, positions, 0), stride};
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
