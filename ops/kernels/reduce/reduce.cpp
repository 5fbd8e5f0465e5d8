#include <chainrule/ops/kernels/reduce/reduce.hpp>

#include <algorithm>
#include <cstdlib>
#include <type_traits>

#include <chainrule/core/threads.hpp>
#include <chainrule/ops/kernels/elementwise/loops.hpp>
#include <chainrule/ops/kernels/reduce/fold.hpp>

namespace chainrule::kernels {

namespace {

using namespace folds;

// Rows that are folded one after the other into a row of results, and columns at a time.
constexpr std::int64_t row_block = 64;
constexpr std::int64_t column_block = 512;

// The axes of a reduction, by falling stride, with neighbours merged; extents of 1 are gone.
struct Plan {
  int kept = 0, reduced = 0;
  std::int64_t kept_dims[max_rank], kept_steps[max_rank], out_steps[max_rank];
  std::int64_t dims[max_rank + 1], steps[max_rank + 1];
  std::int64_t start = 0;   // of the first element
  std::int64_t repeat = 1;  // how often the same elements count, along axes of stride 0

  Plan(const Value& x, std::uint32_t mask) {
    std::int64_t out_step = 1;
    for (int axis = x.rank() - 1; axis >= 0; --axis) {
      const std::int64_t extent = x.dims()[axis];
      std::int64_t step = x.strides()[axis];
      if (mask >> axis & 1) {
        if (extent == 1) continue;
        if (step == 0 && extent > 0) {
          repeat *= extent;
          continue;
        }
        if (step < 0 && extent > 0) {  // the order does not matter
          start += (extent - 1) * step;
          step = -step;
        }
        int at = reduced++;
        for (; at > 0 && steps[at - 1] < step; --at) {
          steps[at] = steps[at - 1];
          dims[at] = dims[at - 1];
        }
        steps[at] = step;
        dims[at] = extent;
      } else {
        if (extent != 1) {
          int at = kept++;
          for (; at > 0 && std::abs(kept_steps[at - 1]) < std::abs(step); --at) {
            kept_steps[at] = kept_steps[at - 1];
            kept_dims[at] = kept_dims[at - 1];
            out_steps[at] = out_steps[at - 1];
          }
          kept_steps[at] = step;
          kept_dims[at] = extent;
          out_steps[at] = out_step;
        }
        out_step *= extent;
      }
    }
    merge();
  }

 private:
  void merge() {
    int last = 0;
    for (int i = 1; i < reduced; ++i) {
      if (steps[last] == steps[i] * dims[i]) {
        dims[last] *= dims[i];
      } else {
        dims[++last] = dims[i];
      }
      steps[last] = steps[i];
    }
    if (reduced > 0) reduced = last + 1;
    last = 0;
    for (int i = 1; i < kept; ++i) {
      if (kept_steps[last] == kept_steps[i] * kept_dims[i] &&
          out_steps[last] == out_steps[i] * kept_dims[i]) {
        kept_dims[last] *= kept_dims[i];
      } else {
        kept_dims[++last] = kept_dims[i];
      }
      kept_steps[last] = kept_steps[i];
      out_steps[last] = out_steps[i];
    }
    if (kept > 0) kept = last + 1;
    if (reduced == 0) {
      dims[0] = 1;
      steps[0] = 1;
      reduced = 1;
    }
  }
};

template <class F, class T>
class Reducer {
 public:
  explicit Reducer(const Plan& plan) : plan_(plan), last_(plan.reduced - 1) {}

  // All results, in parallel where there is enough to do: each is folded by one thread.
  void run(T* out, const T* x) const {
    x += plan_.start;
    if (plan_.kept == 0) return run(out, x, 1);
    std::int64_t each = 1;
    for (int axis = 0; axis < plan_.reduced; ++axis) each *= plan_.dims[axis];
    for (int axis = 1; axis < plan_.kept; ++axis) each *= plan_.kept_dims[axis];
    // Columns are folded in blocks, which must stay as wide as they are on one thread.
    const bool by_columns = plan_.kept == 1 && std::abs(plan_.kept_steps[0]) < plan_.steps[last_];
    chainrule::detail::parallel_for(
        plan_.kept_dims[0], chainrule::detail::elements_for_thread / (each + 1) + 1,
        [&](std::int64_t begin, std::int64_t end) {
          run(out + begin * plan_.out_steps[0], x + begin * plan_.kept_steps[0], end - begin);
        },
        by_columns ? 64 : 1);
  }

 private:
  // The results of `first_dim` indices of the first axis that is kept.
  void run(T* out, const T* x, std::int64_t first_dim) const {
    const auto extent = [&](int axis) { return axis == 0 ? first_dim : plan_.kept_dims[axis]; };
    const int inner = plan_.kept - 1;
    const bool columns = inner >= 0 && std::abs(plan_.kept_steps[inner]) < plan_.steps[last_];
    // Runs of adjacent elements, one after the other.
    const bool runs =
        inner >= 0 && last_ == 0 && plan_.steps[0] == 1 && plan_.kept_steps[inner] == plan_.dims[0];
    const int outer = columns || runs ? inner : plan_.kept;
    std::int64_t index[max_rank] = {};
    for (;;) {
      if (columns)
        for (std::int64_t j = 0; j < extent(inner); j += column_block)
          some_columns(out + j * plan_.out_steps[inner], x + j * plan_.kept_steps[inner],
                       std::min(column_block, extent(inner) - j));
      else if (runs)
        fold_runs<F>(out, plan_.out_steps[inner], x, plan_.dims[0], extent(inner));
      else
        *out = scalar(0, x, plan_.dims[0]);
      int axis = outer - 1;
      for (; axis >= 0; --axis) {
        x += plan_.kept_steps[axis];
        out += plan_.out_steps[axis];
        if (++index[axis] < extent(axis)) break;
        x -= index[axis] * plan_.kept_steps[axis];
        out -= index[axis] * plan_.out_steps[axis];
        index[axis] = 0;
      }
      if (axis < 0) return;
    }
  }

  // One result: `count` indices of the reduced axis `axis`, and all of those after it.
  T scalar(int axis, const T* x, std::int64_t count) const {
    if (axis == last_) return fold_strided<F>(x, count, plan_.steps[axis]);
    if (count == 1) return scalar(axis + 1, x, plan_.dims[axis + 1]);
    T result = scalar(axis, x, count / 2);
    F::add(result, scalar(axis, x + count / 2 * plan_.steps[axis], count - count / 2));
    return result;
  }

  // Up to column_block neighbouring results.
  void some_columns(T* out, const T* x, std::int64_t n) const {
    const std::int64_t out_step = plan_.out_steps[plan_.kept - 1];
    if (out_step == 1) return rows(0, x, plan_.dims[0], n, out);
    T result[column_block];
    rows(0, x, plan_.dims[0], n, result);
    for (std::int64_t j = 0; j < n; ++j) out[j * out_step] = result[j];
  }

  // The same as scalar(), for n results at once.
  void rows(int axis, const T* x, std::int64_t count, std::int64_t n, T* to) const {
    const std::int64_t step = plan_.steps[axis];
    if (axis == last_) {
      // Narrow adjacent rows: sixteen of them make one wide row.
      if (n < 32 && step == n && plan_.kept_steps[plan_.kept - 1] == 1 && count >= 64) {
        T wide[16 * 32];
        const std::int64_t groups = count / 16;
        block_rows(x, 16 * step, groups, 16 * n, 1, wide);
        for (std::int64_t half = 8 * n; half >= n; half /= 2)
          for (std::int64_t j = 0; j < half; ++j) F::add(wide[j], wide[j + half]);
        for (std::int64_t i = 16 * groups; i < count; ++i)
          for (std::int64_t j = 0; j < n; ++j) F::add(wide[j], x[i * step + j]);
        std::copy_n(wide, n, to);
        return;
      }
      return block_rows(x, step, count, n, plan_.kept_steps[plan_.kept - 1], to);
    }
    if (count == 1) return rows(axis + 1, x, plan_.dims[axis + 1], n, to);
    T second[column_block];
    rows(axis, x, count / 2, n, to);
    rows(axis, x + count / 2 * step, count - count / 2, n, second);
    for (std::int64_t j = 0; j < n; ++j) F::add(to[j], second[j]);
  }

  static void block_rows(const T* x, std::int64_t step, std::int64_t count, std::int64_t n,
                         std::int64_t column, T* to) {
    if (count > row_block) {
      T second[column_block];
      block_rows(x, step, count / 2, n, column, to);
      block_rows(x + count / 2 * step, step, count - count / 2, n, column, second);
      for (std::int64_t j = 0; j < n; ++j) F::add(to[j], second[j]);
    } else if (column == 1) {
      all_adjacent_rows(x, step, count, n, to);
    } else {
      std::fill_n(to, n, F::template identity<T>());
      for (std::int64_t i = 0; i < count; ++i)
        for (std::int64_t j = 0; j < n; ++j) F::add(to[j], x[i * step + j * column]);
    }
  }

  static void all_adjacent_rows(const T* x, std::int64_t step, std::int64_t count, std::int64_t n,
                                T* to) {
    if constexpr (watches<F, T>) {
      T nans;
      adjacent_rows<typename F::Finite, true>(x, step, count, n, to, &nans);
      if (nans == 0) return;
    }
    adjacent_rows<F, false>(x, step, count, n, to);
  }

  // Four rows at a time, so that the results are read and written once for four. `nans` as that of
  // fold_vectors().
  template <class G, bool watched>
  static void adjacent_rows(const T* x, std::int64_t step, std::int64_t count, std::int64_t n,
                            T* __restrict to, T* nans = nullptr) {
    [[maybe_unused]] Vector<T> zeros[4] = {};
    const auto loaded = [&](const T* at, [[maybe_unused]] int k) {
      const Vector<T> v = load(at);
      if constexpr (watched) zeros[k] += v * T{0};
      return v;
    };
    std::int64_t i = count % 4;
    std::fill_n(to, n, F::template identity<T>());
    for (std::int64_t k = 0; k < i; ++k) {
      std::int64_t j = 0;
      for (; j + lanes<T> <= n; j += lanes<T>) {
        Vector<T> y = load<T>(to + j);
        G::add(y, loaded(x + k * step + j, 0));
        store(to + j, y);
      }
      for (; j < n; ++j) F::add(to[j], x[k * step + j]);
    }
    for (; i < count; i += 4) {
      const T* a = x + i * step;
      const T *b = a + step, *c = b + step, *d = c + step;
      std::int64_t j = 0;
      for (; j + lanes<T> <= n; j += lanes<T>) {
        Vector<T> p = loaded(a + j, 0), q = loaded(c + j, 1), y = load<T>(to + j);
        G::add(p, loaded(b + j, 2));
        G::add(q, loaded(d + j, 3));
        G::add(p, q);
        G::add(y, p);
        store(to + j, y);
      }
      for (; j < n; ++j) {
        T p = a[j], q = c[j];
        F::add(p, b[j]);
        F::add(q, d[j]);
        F::add(p, q);
        F::add(to[j], p);
      }
    }
    if constexpr (watched) *nans = fold_lanes<Sum>((zeros[0] + zeros[1]) + (zeros[2] + zeros[3]));
  }

  const Plan& plan_;
  int last_;
};

// fold_run(), whose halves of halves are folded by different threads.
template <class F, class T>
T fold_in_parallel(const T* x, std::int64_t n) {
  constexpr std::size_t most = 16;
  const int threads = chainrule::detail::threads_for(n, chainrule::detail::elements_for_thread);
  if (threads == 1) return fold_run<F>(x, n);
  struct Run {
    const T* x;
    std::int64_t n;
    T result;
  };
  Run runs[most] = {{x, n, {}}};
  std::size_t count = 1;
  for (; count < static_cast<std::size_t>(threads) && count < most; count *= 2)
    for (std::size_t i = count; i-- > 0;) {
      const Run whole = runs[i];
      const std::int64_t half = first_half<T>(whole.n);
      runs[2 * i] = {whole.x, half, {}};
      runs[2 * i + 1] = {whole.x + half, whole.n - half, {}};
    }
  const auto fold = [](const void* all, int i) {
    Run& run = (*static_cast<Run* const*>(all))[i];
    run.result = fold_run<F>(run.x, run.n);
  };
  Run* const all = runs;
  chainrule::detail::run_parts(static_cast<int>(count), fold, &all);
  for (; count > 1; count /= 2)
    for (std::size_t i = 0; i < count / 2; ++i) {
      F::add(runs[2 * i].result, runs[2 * i + 1].result);
      runs[i].result = runs[2 * i].result;
    }
  return runs[0].result;
}

template <class F, class T>
void reduce_as(Value& out, const Value& x, std::uint32_t mask) {
  T* to = static_cast<T*>(out.bytes());
  const T* from = static_cast<const T*>(x.bytes());
  if (out.numel() == 0) return;
  if (x.numel() == 0) {
    std::fill_n(to, out.numel(), F::template identity<T>());
    return;
  }
  if (x.contiguous() && out.numel() == 1) {
    *to = fold_in_parallel<F>(from, x.numel());
    return;
  }
  if (x.contiguous() && out.numel() == x.numel()) {  // nothing but axes of extent 1
    std::copy_n(from, x.numel(), to);
    return;
  }
  const Plan plan(x, mask);
  Reducer<F, T>(plan).run(to, from);
  if constexpr (std::is_same_v<F, Sum>) {
    if (plan.repeat != 1) {
      const std::int64_t n = out.numel();
      for (std::int64_t i = 0; i < n; ++i) to[i] *= static_cast<T>(plan.repeat);
    }
  }
}

template <class F>
void reduce_any(Value& out, const Value& x, std::uint32_t mask) {
  switch (x.dtype()) {
    case DType::f32:
      return reduce_as<F, float>(out, x, mask);
    case DType::f64:
      return reduce_as<F, double>(out, x, mask);
    case DType::i64:
      // Unsigned sums wrap around; orders need the sign.
      return reduce_as<F, std::conditional_t<std::is_same_v<F, Sum>, std::uint64_t, std::int64_t>>(
          out, x, mask);
    case DType::boolean:
      if constexpr (!std::is_same_v<F, Sum>) return reduce_as<F, unsigned char>(out, x, mask);
  }
}

// How many are true in each of these runs, one after the other, which are so short that a byte
// holds the number.
void count_runs(std::int64_t* to, const unsigned char* x, std::int64_t n, std::int64_t runs) {
  constexpr std::int64_t block = 512;
  unsigned char some[block];
  for (std::int64_t i = 0; i < runs; i += block) {
    const std::int64_t count = std::min(block, runs - i);
    fold_runs<Sum>(some, 1, x + i * n, n, count);
    std::copy_n(some, count, to + i);
  }
}

// The same of any elements and results, which are zeros.
void count_rows(std::int64_t* counts, const unsigned char* x, const Space<2>& space) {
  const std::int64_t step = space.inner_stride(0), result_step = space.inner_stride(1);
  space.for_each_row([&](std::int64_t n, std::int64_t, const auto& offset) {
    const unsigned char* from = x + offset[0];
    std::int64_t* to = counts + offset[1];
    if (result_step == 0 && step == 1) {
      constexpr std::int64_t most = 1 << 20;  // whose count fits the narrow sum
      for (std::int64_t i = 0; i < n; i += most) {
        std::uint32_t some = 0;
        for (std::int64_t k = i; k < std::min(i + most, n); ++k) some += from[k];
        *to += some;
      }
    } else {
      for (std::int64_t i = 0; i < n; ++i) to[i * result_step] += from[i * step];
    }
  });
}

}  // namespace

void count(Value& out, const Value& x, std::uint32_t mask) {
  auto* counts = out.data<std::int64_t>();
  const auto* from = static_cast<const unsigned char*>(x.bytes());
  // The results in the axes of x, so that one place is seen from all elements that it counts.
  Shape kept = x.shape();
  for (int axis = 0; axis < kept.rank(); ++axis)
    if (mask >> axis & 1) kept[axis] = std::min<std::int64_t>(kept[axis], 1);
  const Ref<Value> results =
      Value::view(Ref<Value>::share(&out), kept, contiguous_strides(kept), 0);
  const Space<2> space(x, {&x, results.get()});
  const bool runs = space.rank == 2 && space.strides[0][0] == space.inner() &&
                    space.inner_stride(0) == 1 && space.strides[1][0] == 1 &&
                    space.inner_stride(1) == 0;
  if (runs && space.inner() < 32) return count_runs(counts, from, space.inner(), space.dims[0]);
  std::fill_n(counts, out.numel(), std::int64_t{0});
  count_rows(counts, from, space);
}

void reduce(Fold fold, Value& out, const Value& x, std::uint32_t mask) {
  switch (fold) {
    case Fold::sum:
      return reduce_any<Sum>(out, x, mask);
    case Fold::max:
      return reduce_any<Max>(out, x, mask);
    case Fold::min:
      return reduce_any<Min>(out, x, mask);
  }
}

template <class T>
T sum_run(const T* x, std::int64_t n) {
  return fold_run<Sum>(x, n);
}
template <class T>
T max_run(const T* x, std::int64_t n) {
  return fold_run<Max>(x, n);
}
template <class T>
T min_run(const T* x, std::int64_t n) {
  return fold_run<Min>(x, n);
}

template <class T>
T sum_but(const T* x, std::int64_t n, std::int64_t at) {
  return sum_run(x, at) + sum_run(x + at + 1, n - at - 1);
}

// Blocks without a branch inside, which is what vectorises.
template <class T>
std::int64_t first_above(const T* x, std::int64_t n, T bound) {
  constexpr std::int64_t width = 64;
  std::int64_t i = 0;
  for (; i + width <= n; i += width) {
    int found = 0;
    for (std::int64_t k = 0; k < width; ++k) found |= x[i + k] > bound ? 1 : 0;
    if (found != 0) break;
  }
  while (i < n && !(x[i] > bound)) ++i;
  return i;
}

template float sum_run(const float*, std::int64_t);
template double sum_run(const double*, std::int64_t);
template float max_run(const float*, std::int64_t);
template double max_run(const double*, std::int64_t);
template std::int64_t max_run(const std::int64_t*, std::int64_t);
template float min_run(const float*, std::int64_t);
template double min_run(const double*, std::int64_t);
template std::int64_t min_run(const std::int64_t*, std::int64_t);
template float sum_but(const float*, std::int64_t, std::int64_t);
template double sum_but(const double*, std::int64_t, std::int64_t);
template std::int64_t first_above(const float*, std::int64_t, float);
template std::int64_t first_above(const double*, std::int64_t, double);

}  // namespace chainrule::kernels
