#pragma once

#include <array>
#include <cstdint>

#include <chainrule/core/threads.hpp>
#include <chainrule/core/value.hpp>
#include <chainrule/ops/kernels/elementwise/stream.hpp>

/// Loops of elementwise kernels over operands of any strides.
namespace chainrule::kernels {

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

// The loops stand in functions of their own: all in one, GCC 12 runs out of registers in them.

// out[i] = f(a[i]).
template <class R, class A, class F>
[[gnu::noinline]] void map_run(R* __restrict out, const A* a, std::int64_t n, F f) {
  for (std::int64_t i = 0; i < n; ++i) out[i] = f(a[i]);
}

template <class R, class A, class F>
[[gnu::noinline]] void map_strided(Value& out, const Value& a, F f) {
  const Space<1> space(out, {&a});
  const std::int64_t step = space.inner_stride(0);
  space.for_each_row([&](std::int64_t n, std::int64_t position, const auto& offset) {
    const A* x = a.data<A>() + offset[0];
    R* to = out.data<R>() + position;
    if (step == 1)
      map_run(to, x, n, f);
    else
      for (std::int64_t i = 0; i < n; ++i) to[i] = f(x[i * step]);
  });
}

// The same for results that are worth a thread, or too large for the caches.
template <class R, class Run>
[[gnu::noinline]] void large_runs(Value& out, Run run) {
  chainrule::detail::parallel_for(
      out.numel(), chainrule::detail::elements_for_thread,
      [run, to = out.data<R>(), past_caches = out.byte_count() >= streamed_bytes](
          std::int64_t begin, std::int64_t end) {
        const auto from_begin = [&](R* at, std::int64_t i, std::int64_t count) {
          run(at, begin + i, count);
        };
        if (past_caches)
          streamed(to + begin, end - begin, from_begin);
        else
          from_begin(to + begin, 0, end - begin);
      });
}

// Shares run(to, i, count), which writes elements i … of `out`, out among the threads.
template <class R, class Run>
void parallel_runs(Value& out, Run run) {
  const std::int64_t n = out.numel();
  if (n <= chainrule::detail::elements_for_thread)
    run(out.data<R>(), 0, n);
  else
    large_runs<R>(out, run);
}

/// out[i] = f(a[i]), where `out` is row-major and has the shape of `a`.
template <class R, class A, class F>
void map(Value& out, const Value& a, F f) {
  if (!a.contiguous()) return map_strided<R, A>(out, a, f);
  parallel_runs<R>(out, [f, x = a.data<A>()](R* to, std::int64_t i, std::int64_t count) {
    map_run(to, x + i, count, f);
  });
}

// out[i] = f(a[i · p], b[i · q]) for steps of 0 and 1.
template <int p, int q, class R, class A, class B, class F>
[[gnu::noinline]] void map_run(R* __restrict out, const A* a, const B* b, std::int64_t n, F f) {
  for (std::int64_t i = 0; i < n; ++i) out[i] = f(a[p * i], b[q * i]);
}

template <class R, class A, class B, class F>
[[gnu::noinline]] void map_strided(Value& out, const Value& a, const Value& b, F f) {
  const Space<2> space(out, {&a, &b});
  const std::int64_t p = space.inner_stride(0), q = space.inner_stride(1);
  space.for_each_row([&](std::int64_t count, std::int64_t position, const auto& offset) {
    const A* x = a.data<A>() + offset[0];
    const B* y = b.data<B>() + offset[1];
    R* z = out.data<R>() + position;
    if (p == 1 && q == 1)
      map_run<1, 1>(z, x, y, count, f);
    else if (p == 1 && q == 0)
      map_run<1, 0>(z, x, y, count, f);
    else if (p == 0 && q == 1)
      map_run<0, 1>(z, x, y, count, f);
    else
      for (std::int64_t i = 0; i < count; ++i) z[i] = f(x[i * p], y[i * q]);
  });
}

/// out[i] = f(a[i], b[i]), where `out` is row-major and `a` and `b` broadcast to its shape.
template <class R, class A, class B, class F>
void map(Value& out, const Value& a, const Value& b, F f) {
  const std::int64_t n = out.numel();
  const bool whole_a = a.numel() == n, whole_b = b.numel() == n;
  if (n == 0 || !a.contiguous() || !b.contiguous() ||
      !((whole_a || a.numel() == 1) && (whole_b || b.numel() == 1)))
    return map_strided<R, A, B>(out, a, b, f);
  const A* x = a.data<A>();
  const B* y = b.data<B>();
  if (whole_a && whole_b)
    parallel_runs<R>(out, [=](R* to, std::int64_t i, std::int64_t count) {
      map_run<1, 1>(to, x + i, y + i, count, f);
    });
  else if (whole_a)
    parallel_runs<R>(out, [=](R* to, std::int64_t i, std::int64_t count) {
      map_run<1, 0>(to, x + i, y, count, f);
    });
  else
    parallel_runs<R>(out, [=](R* to, std::int64_t i, std::int64_t count) {
      map_run<0, 1>(to, x, y + i, count, f);
    });
}

// to[i] = f(to[i], b[i]).
template <class R, class F>
[[gnu::noinline]] void map_run_in_place(R* to, const R* __restrict b, std::int64_t n, F f) {
  for (std::int64_t i = 0; i < n; ++i) to[i] = f(to[i], b[i]);
}

/// a[i] = f(a[i], b[i]) for two row-major values of one shape and dtype.
template <class R, class F>
void map_in_place(Value& a, const Value& b, F f) {
  const R* y = b.data<R>();
  parallel_runs<R>(
      a, [=](R* to, std::int64_t i, std::int64_t count) { map_run_in_place(to, y + i, count, f); });
}

// to[i] = f(to[i], b[i], c[i]).
template <class R, class F>
[[gnu::noinline]] void map_run_in_place(R* __restrict to, const R* b, const R* c, std::int64_t n,
                                        F f) {
  for (std::int64_t i = 0; i < n; ++i) to[i] = f(to[i], b[i], c[i]);
}

/// a[i] = f(a[i], b[i], c[i]) for three row-major values of one shape and dtype.
template <class R, class F>
void map_in_place(Value& a, const Value& b, const Value& c, F f) {
  const R *x = b.data<R>(), *y = c.data<R>();
  parallel_runs<R>(a, [=](R* to, std::int64_t i, std::int64_t count) {
    map_run_in_place(to, x + i, y + i, count, f);
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
/// a[i] += b[i] · c[i] for three of one floating dtype.
void add_product_in_place(Value& a, const Value& b, const Value& c);

/// A row-major copy of `a` into `out`, which has its shape and dtype.
void copy(Value& out, const Value& a);

/// A row-major copy of `a` with elements of its own.
Ref<Value> copied(const Value& a);

/// A row-major value with the elements of `a`: itself, or a copy.
Ref<Value> contiguous(const Ref<Value>& a);

}  // namespace chainrule::kernels
