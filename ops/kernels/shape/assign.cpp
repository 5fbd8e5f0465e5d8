#include <chainrule/ops/kernels/shape/assign.hpp>

#include <cstring>

#include <chainrule/ops/kernels/elementwise/loops.hpp>

namespace chainrule::kernels {

namespace {

// f(to[i], from[i]) for all elements, whatever the strides.
template <class T, class F>
void for_each(Value& to, const Value& from, F f) {
  T* out = to.data<T>();
  const T* in = from.data<T>();
  const Space<2> space(to, {&to, &from});
  const std::int64_t p = space.inner_stride(0), q = space.inner_stride(1);
  space.for_each_row([&](std::int64_t count, std::int64_t, const auto& offset) {
    T* __restrict y = out + offset[0];
    const T* x = in + offset[1];
    if (p == 1 && q == 1)
      for (std::int64_t i = 0; i < count; ++i) f(y[i], x[i]);
    else
      for (std::int64_t i = 0; i < count; ++i) f(y[i * p], x[i * q]);
  });
}

// The size is known to the compiler: a move or two for each.
template <std::size_t bytes>
void copy_small(char* to, std::size_t stride, const char* from, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) std::memcpy(to + i * stride, from + i * bytes, bytes);
}

}  // namespace

void copy_pieces(char* to, std::size_t stride, const char* from, std::size_t bytes,
                 std::size_t count) {
  switch (bytes) {
    case 1:
      return copy_small<1>(to, stride, from, count);
    case 4:
      return copy_small<4>(to, stride, from, count);
    case 8:
      return copy_small<8>(to, stride, from, count);
    case 12:
      return copy_small<12>(to, stride, from, count);
    case 16:
      return copy_small<16>(to, stride, from, count);
    case 24:
      return copy_small<24>(to, stride, from, count);
    case 32:
      return copy_small<32>(to, stride, from, count);
  }
  for (std::size_t i = 0; i < count; ++i) std::memcpy(to + i * stride, from + i * bytes, bytes);
}

void assign(Value& to, const Value& from) {
  if (to.contiguous()) return copy(to, from);
  visit(to.dtype(),
        [&](auto zero) { for_each<decltype(zero)>(to, from, [](auto& y, auto x) { y = x; }); });
}

void add(Value& to, const Value& from) {
  if (to.contiguous() && from.contiguous()) return add_in_place(to, from);
  visit_floating(to.dtype(), [&](auto zero) {
    for_each<decltype(zero)>(to, from, [](auto& y, auto x) { y += x; });
  });
}

void set_zero(Value& value) noexcept {
  if (value.numel() != 0) std::memset(value.bytes(), 0, value.byte_count());
}

}  // namespace chainrule::kernels
