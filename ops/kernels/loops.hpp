#pragma once

#include <array>
#include <cstdint>

#include <chainrule/core/threads.hpp>
#include <chainrule/core/value.hpp>

/// Loops of elementwise kernels over operands of any strides.
namespace chainrule::kernels {

/// Elements that are worth a thread.
inline constexpr std::int64_t elementwise_grain = 1 << 15;

/// The common iteration space of a row-major result and N operands that broadcast to it, with
/// neighbouring axes merged wherever all operands allow it.
template <std::size_t N>
struct Space {
  int rank = 0;
  std::int64_t dims[max_rank];
  std::int64_t strides[N][max_rank];

  Space(const Value& out, const std::array<const Value*, N>& operands) {
    const int out_rank = out.rank();
    for (int axis = 0; axis < out_rank; ++axis) {
      const std::int64_t extent = out.dims()[axis];
      if (extent == 1) continue;
      std::int64_t step[N];
      for (std::size_t k = 0; k < N; ++k) {
        const int at = axis - (out_rank - operands[k]->rank());
        step[k] = at < 0 || operands[k]->dims()[at] == 1 ? 0 : operands[k]->strides()[at];
      }
      bool merge = rank > 0;
      for (std::size_t k = 0; k < N && merge; ++k) merge = strides[k][rank - 1] == step[k] * extent;
      if (merge) {
        dims[rank - 1] *= extent;
      } else {
        dims[rank++] = extent;
      }
      for (std::size_t k = 0; k < N; ++k) strides[k][rank - 1] = step[k];
    }
    if (rank == 0) {
      rank = 1;
      dims[0] = 1;
      for (std::size_t k = 0; k < N; ++k) strides[k][0] = 1;
    }
  }

  /// Calls row(count, position in the result, offsets of the operands) for every innermost run.
  template <class Row>
  void for_each_row(Row&& row) const {
    for (int axis = 0; axis < rank; ++axis)
      if (dims[axis] == 0) return;
    const std::int64_t inner = dims[rank - 1];
    std::int64_t index[max_rank] = {};
    std::array<std::int64_t, N> offset{};
    for (std::int64_t position = 0;; position += inner) {
      row(inner, position, offset);
      int axis = rank - 2;
      for (; axis >= 0; --axis) {
        for (std::size_t k = 0; k < N; ++k) offset[k] += strides[k][axis];
        if (++index[axis] < dims[axis]) break;
        for (std::size_t k = 0; k < N; ++k) offset[k] -= index[axis] * strides[k][axis];
        index[axis] = 0;
      }
      if (axis < 0) return;
    }
  }
  std::int64_t inner_stride(std::size_t k) const noexcept { return strides[k][rank - 1]; }
};

/// out[i] = f(a[i]), where `out` is row-major and has the shape of `a`.
template <class R, class A, class F>
void map(Value& out, const Value& a, F f) {
  R* to = out.data<R>();
  const A* from = a.data<A>();
  if (a.contiguous()) {
    chainrule::detail::parallel_for(out.numel(), elementwise_grain,
                                    [=](std::int64_t begin, std::int64_t end) {
                                      for (std::int64_t i = begin; i < end; ++i) to[i] = f(from[i]);
                                    });
    return;
  }
  const Space<1> space(out, {&a});
  const std::int64_t step = space.inner_stride(0);
  space.for_each_row([&](std::int64_t n, std::int64_t position, const auto& offset) {
    const A* x = from + offset[0];
    for (std::int64_t i = 0; i < n; ++i) to[position + i] = f(x[i * step]);
  });
}

/// out[i] = f(a[i], b[i]), where `out` is row-major and `a` and `b` broadcast to its shape.
template <class R, class A, class B, class F>
void map(Value& out, const Value& a, const Value& b, F f) {
  R* __restrict to = out.data<R>();
  const A* left = a.data<A>();
  const B* right = b.data<B>();
  const std::int64_t n = out.numel();
  if (a.contiguous() && b.contiguous()) {
    const auto run = [n, to](auto&& element) {
      chainrule::detail::parallel_for(n, elementwise_grain,
                                      [&](std::int64_t begin, std::int64_t end) {
                                        R* __restrict result = to;
                                        for (std::int64_t i = begin; i < end; ++i)
                                          result[i] = element(i);
                                      });
    };
    if (a.numel() == n && b.numel() == n)
      return run([=](std::int64_t i) { return f(left[i], right[i]); });
    if (n != 0 && b.numel() == 1)
      return run([=, y = *right](std::int64_t i) { return f(left[i], y); });
    if (n != 0 && a.numel() == 1)
      return run([=, x = *left](std::int64_t i) { return f(x, right[i]); });
  }
  const Space<2> space(out, {&a, &b});
  const std::int64_t p = space.inner_stride(0), q = space.inner_stride(1);
  space.for_each_row([&](std::int64_t count, std::int64_t position, const auto& offset) {
    const A* x = left + offset[0];
    const B* y = right + offset[1];
    R* __restrict z = to + position;
    if (p == 1 && q == 1)
      for (std::int64_t i = 0; i < count; ++i) z[i] = f(x[i], y[i]);
    else if (p == 1 && q == 0)
      for (std::int64_t i = 0; i < count; ++i) z[i] = f(x[i], *y);
    else if (p == 0 && q == 1)
      for (std::int64_t i = 0; i < count; ++i) z[i] = f(*x, y[i]);
    else
      for (std::int64_t i = 0; i < count; ++i) z[i] = f(x[i * p], y[i * q]);
  });
}

/// out[i] = f(a[i], b[i], c[i]) under the same conditions.
template <class R, class A, class B, class C, class F>
void map(Value& out, const Value& a, const Value& b, const Value& c, F f) {
  R* __restrict to = out.data<R>();
  const A* first = a.data<A>();
  const B* second = b.data<B>();
  const C* third = c.data<C>();
  const Space<3> space(out, {&a, &b, &c});
  const std::int64_t p = space.inner_stride(0), q = space.inner_stride(1),
                     r = space.inner_stride(2);
  space.for_each_row([&](std::int64_t count, std::int64_t position, const auto& offset) {
    const A* x = first + offset[0];
    const B* y = second + offset[1];
    const C* w = third + offset[2];
    R* __restrict z = to + position;
    if (p == 1 && q == 1 && r == 1)
      for (std::int64_t i = 0; i < count; ++i) z[i] = f(x[i], y[i], w[i]);
    else
      for (std::int64_t i = 0; i < count; ++i) z[i] = f(x[i * p], y[i * q], w[i * r]);
  });
}

/// a[i] += b[i] for two row-major values of one shape and dtype.
void add_in_place(Value& a, const Value& b);

/// A row-major copy of `a` into `out`, which has its shape and dtype.
void copy(Value& out, const Value& a);

/// A row-major value with the elements of `a`: itself, or a copy.
Ref<Value> contiguous(const Ref<Value>& a);

}  // namespace chainrule::kernels
