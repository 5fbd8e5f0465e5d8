#pragma once

#include <algorithm>
#include <cstdint>

#include <chainrule/core/threads.hpp>
#include <chainrule/core/value.hpp>
#include <chainrule/ops/kernels/elementwise/blocks.hpp>
#include <chainrule/ops/kernels/elementwise/space.hpp>
#include <chainrule/ops/kernels/elementwise/stream.hpp>

/// Loops of elementwise kernels over operands of any strides.
namespace chainrule::kernels {

/// A row-major copy of `a` with elements of its own.
Ref<Value> copied(const Value& a);
/// The same, broadcast to the shape of `like`. For float and double.
Ref<Value> broadcast_copy(const Value& a, const Value& like);

// The loops stand in functions of their own: all in one, GCC 12 runs out of registers in them.

// out[i] = f(a[i]).
template <class R, class A, class F>
[[gnu::noinline]] void map_run(R* __restrict out, const A* a, std::int64_t n, F f) {
  for (std::int64_t i = 0; i < n; ++i) out[i] = f(a[i]);
}

// out[i] = f(a[i · p]).
template <class R, class A, class F>
[[gnu::noinline]] void map_apart(R* __restrict out, const A* a, std::int64_t p, std::int64_t n,
                                 F f) {
  for (std::int64_t i = 0; i < n; ++i) out[i] = f(a[p * i]);
}

template <class R, class A, class F>
[[gnu::noinline]] void map_strided(Value& out, const Value& a, F f) {
  if (out.numel() == 0) return;
  const Space<1> space(out, {&a});
  if (space.better_copied())
    return in_blocks(
        space,
        [&](std::int64_t position, std::int64_t n, const A* x) {
          map_run(out.data<R>() + position, x, n, f);
        },
        a.data<A>());
  const std::int64_t step = space.inner_stride(0);
  space.in_parallel([&](std::int64_t n, std::int64_t position, const auto& offset) {
    const A* x = a.data<A>() + offset[0];
    R* to = out.data<R>() + position;
    if (step == 1)
      map_run(to, x, n, f);
    else if (step == 0)
      std::fill_n(to, n, f(*x));
    else
      map_apart(to, x, step, n, f);
  });
}

// The same for results that are worth a thread, or too large for the caches.
template <class R, class Run>
[[gnu::noinline]] void large_runs(Value& out, Run run) {
  chainrule::detail::parallel_for(
      out.numel(), chainrule::detail::elements_for_thread,
      [run, to = out.data<R>(), bytes = out.byte_count()](std::int64_t begin, std::int64_t end) {
        written(to + begin, end - begin, bytes,
                [&](R* at, std::int64_t i, std::int64_t count) { run(at, begin + i, count); });
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

/// out[i] = f(a[i]), where `out` is row-major and has the shape of `a`. Several threads may call f
/// at the same time, here and in what follows.
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

// The same for any steps.
template <class R, class A, class B, class F>
[[gnu::noinline]] void map_apart(R* __restrict out, const A* a, std::int64_t p, const B* b,
                                 std::int64_t q, std::int64_t n, F f) {
  for (std::int64_t i = 0; i < n; ++i) out[i] = f(a[p * i], b[q * i]);
}

template <class R, class A, class B, class F>
[[gnu::noinline]] void map_strided(Value& out, const Value& a, const Value& b, F f) {
  if (out.numel() == 0) return;
  const Space<2> space(out, {&a, &b});
  if (space.better_copied())
    return in_blocks(
        space,
        [&](std::int64_t position, std::int64_t count, const A* x, const B* y) {
          map_run<1, 1>(out.data<R>() + position, x, y, count, f);
        },
        a.data<A>(), b.data<B>());
  const std::int64_t p = space.inner_stride(0), q = space.inner_stride(1);
  space.in_parallel([&](std::int64_t count, std::int64_t position, const auto& offset) {
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
      map_apart(z, x, p, y, q, count, f);
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

// Never past the caches: what is written there was read before.
template <class R, class Run>
void parallel_in_place(Value& a, Run run) {
  chainrule::detail::parallel_for(a.numel(), chainrule::detail::elements_for_thread,
                                  [run, to = a.data<R>()](std::int64_t begin, std::int64_t end) {
                                    run(to + begin, begin, end - begin);
                                  });
}

/// a[i] = f(a[i], b[i]) for two row-major values of one shape and dtype.
template <class R, class F>
void map_in_place(Value& a, const Value& b, F f) {
  const R* y = b.data<R>();
  parallel_in_place<R>(
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
  parallel_in_place<R>(a, [=](R* to, std::int64_t i, std::int64_t count) {
    map_run_in_place(to, x + i, y + i, count, f);
  });
}

// out[i] = f(a[i · p], b[i · q], c[i · r]) for steps of 0 and 1.
template <int p, int q, int r, class R, class A, class B, class C, class F>
[[gnu::noinline]] void map_run(R* __restrict out, const A* a, const B* b, const C* c,
                               std::int64_t n, F f) {
  for (std::int64_t i = 0; i < n; ++i) out[i] = f(a[p * i], b[q * i], c[r * i]);
}

// The same for any steps.
template <class R, class A, class B, class C, class F>
[[gnu::noinline]] void map_apart(R* __restrict out, const A* a, std::int64_t p, const B* b,
                                 std::int64_t q, const C* c, std::int64_t r, std::int64_t n, F f) {
  for (std::int64_t i = 0; i < n; ++i) out[i] = f(a[p * i], b[q * i], c[r * i]);
}

// The same for steps that are known only now.
template <class R, class A, class B, class C, class F>
void map_steps(R* out, const A* a, std::int64_t p, const B* b, std::int64_t q, const C* c,
               std::int64_t r, std::int64_t n, F f) {
  if (p == 1 && q == 1 && r == 1)
    map_run<1, 1, 1>(out, a, b, c, n, f);
  else if (p == 1 && q == 1 && r == 0)
    map_run<1, 1, 0>(out, a, b, c, n, f);
  else if (p == 1 && q == 0 && r == 1)
    map_run<1, 0, 1>(out, a, b, c, n, f);
  else if (p == 1 && q == 0 && r == 0)
    map_run<1, 0, 0>(out, a, b, c, n, f);
  else if (p == 0 && q == 1 && r == 1)
    map_run<0, 1, 1>(out, a, b, c, n, f);
  else
    map_apart(out, a, p, b, q, c, r, n, f);
}

template <class R, class A, class B, class C, class F>
[[gnu::noinline]] void map_strided(Value& out, const Value& a, const Value& b, const Value& c,
                                   F f) {
  if (out.numel() == 0) return;
  constexpr std::int64_t few = 32;  // the buffers cost more than they save
  const Space<3> space(out, {&a, &b, &c});
  if (space.better_copied() && out.numel() >= few)
    return in_blocks(
        space,
        [&](std::int64_t position, std::int64_t count, const A* x, const B* y, const C* z) {
          map_run<1, 1, 1>(out.data<R>() + position, x, y, z, count, f);
        },
        a.data<A>(), b.data<B>(), c.data<C>());
  space.in_parallel([&](std::int64_t count, std::int64_t position, const auto& offset) {
    map_steps(out.data<R>() + position, a.data<A>() + offset[0], space.inner_stride(0),
              b.data<B>() + offset[1], space.inner_stride(1), c.data<C>() + offset[2],
              space.inner_stride(2), count, f);
  });
}

/// out[i] = f(a[i], b[i], c[i]) under the same conditions.
template <class R, class A, class B, class C, class F>
void map(Value& out, const Value& a, const Value& b, const Value& c, F f) {
  const std::int64_t n = out.numel();
  const auto fits = [n](const Value& x) {
    return x.contiguous() && (x.numel() == n || x.numel() == 1);
  };
  if (n == 0 || !fits(a) || !fits(b) || !fits(c)) return map_strided<R, A, B, C>(out, a, b, c, f);
  const std::int64_t p = a.numel() == n, q = b.numel() == n, r = c.numel() == n;
  parallel_runs<R>(out, [=, x = a.data<A>(), y = b.data<B>(), z = c.data<C>()](
                            R* to, std::int64_t i, std::int64_t count) {
    map_steps(to, x + p * i, p, y + q * i, q, z + r * i, r, count, f);
  });
}

/// The same as map() where f computes n elements at once, f(to, a, n).
template <class T, class F>
void map_runs(Value& out, const Value& a, F f) {
  if (!a.contiguous()) return map_runs<T>(out, *copied(a), f);
  parallel_runs<T>(out, [f, x = a.data<T>()](T* to, std::int64_t i, std::int64_t count) {
    f(to, x + i, count);
  });
}

/// The same for f(to, a, b, n).
template <class T, class F>
void map_runs(Value& out, const Value& a, const Value& b, F f) {
  // A number takes a short run of itself, anything else that is not like the result a copy.
  constexpr std::int64_t block = 256;
  const auto fits = [&](const Value& x) { return x.contiguous() && x.numel() == out.numel(); };
  if (!fits(a) && a.numel() != 1) return map_runs<T>(out, *broadcast_copy(a, out), b, f);
  if (!fits(b) && b.numel() != 1) return map_runs<T>(out, a, *broadcast_copy(b, out), f);
  if (fits(a) && fits(b))
    return parallel_runs<T>(
        out, [=, x = a.data<T>(), y = b.data<T>()](T* to, std::int64_t i, std::int64_t count) {
          f(to, x + i, y + i, count);
        });
  const bool whole_a = fits(a), whole_b = fits(b);
  parallel_runs<T>(
      out, [=, x = a.data<T>(), y = b.data<T>()](T* to, std::int64_t i, std::int64_t count) {
        T first[block], second[block];
        if (!whole_a) std::fill_n(first, std::min(block, count), *x);
        if (!whole_b) std::fill_n(second, std::min(block, count), *y);
        for (std::int64_t k = 0; k < count; k += block)
          f(to + k, whole_a ? x + i + k : first, whole_b ? y + i + k : second,
            std::min(block, count - k));
      });
}

/// a[i] += b[i] for two row-major values of one shape and dtype.
void add_in_place(Value& a, const Value& b);
/// a[i] += b[i] · c[i] for three of one floating dtype.
void add_product_in_place(Value& a, const Value& b, const Value& c);

/// A row-major copy of `a` into `out`, which has its shape and dtype.
void copy(Value& out, const Value& a);

/// A row-major value with the elements of `a`: itself, or a copy.
Ref<Value> contiguous(const Ref<Value>& a);

}  // namespace chainrule::kernels
