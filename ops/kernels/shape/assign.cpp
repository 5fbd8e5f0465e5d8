#include <chainrule/ops/kernels/shape/assign.hpp>

#include <cstring>

#include <chainrule/ops/kernels/elementwise/loops.hpp>

namespace chainrule::kernels {

void assign(Value& to, const Value& from) {
  if (to.contiguous()) return copy(to, from);
  visit(to.dtype(), [&](auto zero) {
    using T = decltype(zero);
    T* out = to.data<T>();
    const T* in = from.data<T>();
    const Space<2> space(to, {&to, &from});
    const std::int64_t p = space.inner_stride(0), q = space.inner_stride(1);
    space.for_each_row([&](std::int64_t count, std::int64_t, const auto& offset) {
      T* __restrict y = out + offset[0];
      const T* x = in + offset[1];
      if (p == 1 && q == 1)
        for (std::int64_t i = 0; i < count; ++i) y[i] = x[i];
      else
        for (std::int64_t i = 0; i < count; ++i) y[i * p] = x[i * q];
    });
  });
}

void set_zero(Value& value) noexcept {
  if (value.numel() != 0) std::memset(value.bytes(), 0, value.byte_count());
}

}  // namespace chainrule::kernels
