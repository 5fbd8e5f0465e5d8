#include <chainrule/ops/kernels/elementwise/loops.hpp>

#include <algorithm>
#include <cstring>

namespace chainrule::kernels {

void add_in_place(Value& a, const Value& b) {
  visit(a.dtype(), [&](auto zero) {
    using T = decltype(zero);
    T* to = a.data<T>();
    const T* from = b.data<T>();
    chainrule::detail::parallel_for(a.numel(), chainrule::detail::elements_for_thread,
                                    [=](std::int64_t begin, std::int64_t end) {
                                      for (std::int64_t i = begin; i < end; ++i) {
                                        if constexpr (std::is_same_v<T, bool>)
                                          to[i] = to[i] || from[i];
                                        else
                                          to[i] += from[i];
                                      }
                                    });
  });
}

void add_product_in_place(Value& a, const Value& b, const Value& c) {
  visit_floating(a.dtype(), [&](auto zero) {
    using T = decltype(zero);
    T* __restrict to = a.data<T>();
    const T *x = b.data<T>(), *y = c.data<T>();
    chainrule::detail::parallel_for(a.numel(), chainrule::detail::elements_for_thread,
                                    [=](std::int64_t begin, std::int64_t end) {
                                      for (std::int64_t i = begin; i < end; ++i)
                                        to[i] += x[i] * y[i];
                                    });
  });
}

namespace {

// A matrix whose columns are adjacent, made row-major in squares whose lines fit the cache.
template <class T>
void copy_columns(T* to, const T* from, std::int64_t rows, std::int64_t columns,
                  std::int64_t step) {
  constexpr std::int64_t block = 32;
  chainrule::detail::parallel_rows(rows, columns, [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; i += block)
      for (std::int64_t j = 0; j < columns; j += block) {
        const std::int64_t last_row = std::min(i + block, end);
        const std::int64_t last_column = std::min(j + block, columns);
        for (std::int64_t r = i; r < last_row; ++r)
          for (std::int64_t c = j; c < last_column; ++c) to[r * columns + c] = from[c * step + r];
      }
  });
}

}  // namespace

void copy(Value& out, const Value& a) {
  if (a.contiguous()) {
    if (a.numel() != 0) std::memcpy(out.bytes(), a.bytes(), a.byte_count());
    return;
  }
  visit(a.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const std::int64_t* strides = a.strides();
    if (a.rank() == 2 && strides[0] == 1 && strides[1] > 1)
      return copy_columns(out.data<T>(), a.data<T>(), a.dims()[0], a.dims()[1], strides[1]);
    map<T, T>(out, a, [](T x) { return x; });
  });
}

Ref<Value> copied(const Value& a) {
  Ref<Value> out = Value::make(a.dtype(), a.dims(), a.rank());
  copy(*out, a);
  return out;
}

Ref<Value> broadcast_copy(const Value& a, const Value& like) {
  Ref<Value> out = Value::make_like(a.dtype(), like);
  visit_floating(a.dtype(), [&](auto zero) {
    using T = decltype(zero);
    map_strided<T, T>(*out, a, [](T x) { return x; });
  });
  return out;
}

Ref<Value> contiguous(const Ref<Value>& a) { return a->contiguous() ? a : copied(*a); }

}  // namespace chainrule::kernels
