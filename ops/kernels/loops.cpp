#include <chainrule/ops/kernels/loops.hpp>

#include <cstring>

namespace chainrule::kernels {

void add_in_place(Value& a, const Value& b) {
  visit(a.dtype(), [&](auto zero) {
    using T = decltype(zero);
    T* to = a.data<T>();
    const T* from = b.data<T>();
    const std::int64_t n = a.numel();
    if constexpr (std::is_same_v<T, bool>)
      for (std::int64_t i = 0; i < n; ++i) to[i] = to[i] || from[i];
    else
      for (std::int64_t i = 0; i < n; ++i) to[i] += from[i];
  });
}

void copy(Value& out, const Value& a) {
  if (a.contiguous()) {
    if (a.numel() != 0) std::memcpy(out.bytes(), a.bytes(), a.byte_count());
    return;
  }
  visit(a.dtype(), [&](auto zero) {
    using T = decltype(zero);
    map<T, T>(out, a, [](T x) { return x; });
  });
}

Ref<Value> contiguous(const Ref<Value>& a) {
  if (a->contiguous()) return a;
  Ref<Value> out = Value::make(a->dtype(), a->dims(), a->rank());
  copy(*out, *a);
  return out;
}

}  // namespace chainrule::kernels
