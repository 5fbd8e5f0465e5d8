#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include <chainrule/core/create.hpp>
#include <chainrule/core/threads.hpp>
#include <chainrule/ops/define.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/elementwise/convert.hpp>
#include <chainrule/ops/elementwise/select.hpp>
#include <chainrule/ops/kernels/reduce/by_lines.hpp>
#include <chainrule/ops/kernels/reduce/lines.hpp>
#include <chainrule/ops/kernels/reduce/reduce.hpp>
#include <chainrule/ops/kernels/reduce/shares.hpp>
#include <chainrule/ops/reduce/reduced.hpp>
#include <chainrule/ops/shape/manipulation.hpp>

namespace chainrule {

namespace {

using detail::input;
using detail::output;
using detail::ReduceParameters;

// What share of the gradient each element of x gets: 1 / k where it is one of the k elements that
// are equal to the extremum, else 0; NaN where the extremum is NaN, which equals nothing.
Tensor shares(const Tensor& x, const Tensor& extremum, const ReduceParameters& p) {
  if (detail::mode.observer) {  // in operations that a formula can show
    const Tensor equal = to(x == with_axes(extremum, x.shape(), p), x.dtype());
    return equal / detail::sum_mask(equal, p.mask, true, Where::current());
  }
  const Value& in = *x.value_ref();
  Ref<Value> equal = Value::make_like(in.dtype(), in);
  const Tensor best = with_axes(extremum.detach(), in.shape(), p);
  Ref<Value> count = make_reduced(in, p.mask, true);
  visit_floating(in.dtype(), [&](auto zero) {
    using T = decltype(zero);
    kernels::map<T, T, T>(*equal, in, *best.value_ref(),
                          [](T a, T b) { return a == b ? T{1} : T{0}; });
    kernels::reduce(kernels::Fold::sum, *count, *equal, p.mask);
    T* to = count->template data<T>();
    for (std::int64_t i = 0; i < count->numel(); ++i) to[i] = 1 / to[i];
  });
  return Tensor(std::move(equal)) * Tensor(std::move(count));
}

// g times the shares in one go, where nothing is recorded and the axes are neighbours.
Tensor shared(const Tensor& g, const Tensor& x, const Tensor& extremum, const ReduceParameters& p) {
  const Value& in = *x.value_ref();
  const int first = std::countr_zero(p.mask), last = 31 - std::countl_zero(p.mask);
  const bool neighbours = p.mask != 0 && std::popcount(p.mask) == last - first + 1;
  const kernels::Lines lines = kernels::lines_along(in, first, last);
  // One line after the other is worked on by one thread.
  const bool alone =
      lines.outer == 1 && detail::threads_for(in.numel(), detail::elements_for_thread) > 1;
  // Counts are of 32 bits.
  if (alone || detail::mode.observer || detail::mode.recording || !neighbours || !in.contiguous() ||
      in.numel() > std::numeric_limits<std::int32_t>::max()) {
    const Tensor share = shares(x, extremum, p);
    return with_axes(g, share.shape(), p) * share;
  }
  Ref<Value> to = Value::make_like(in.dtype(), in);
  const Ref<Value> seed = kernels::contiguous(g.value_ref()),
                   best = kernels::contiguous(extremum.value_ref());
  kernels::share_among_equals(*to, *seed, in, *best, lines);
  return Tensor(std::move(to));
}

template <kernels::Fold fold, ReductionFunction f>
struct Extremum final : ReductionOp<Extremum<fold, f>> {
  using ReductionOp<Extremum>::ReductionOp;
  static constexpr bool needs_elements = true;
  Role role(const Parameters& p) const override { return reduction_role(p, Role::Kind::other); }
  EigenForm eigen(const Parameters& p) const override {
    return this->eigen_reduction(p, fold == kernels::Fold::max ? "maxCoeff()" : "minCoeff()");
  }

  DType checked(const Call& call) const {
    check_dtype(call.name(), call.tensor(0), true, call.where());
    return call.in(0).dtype();
  }
  static void compute(Value& out, const Ref<Value>& x, const ReduceParameters& p) {
    kernels::reduce(fold, out, *x, p.mask);
  }
  Node::SavedMask reads(const Call&) const override { return input(0) | output; }

  // The shares are locally constant.
  void vjp(Vjp& r) const override {
    if (!r.needs(0)) return;
    r.give(0, shared(r.g(), r.in(0), r.out(), r.parameters<ReduceParameters>()));
  }
  Tensor jvp(Jvp& r) const override {
    const auto& p = r.parameters<ReduceParameters>();
    return detail::sum_mask(r.tangent(0) * shares(r.in(0), r.out(), p), p.mask, p.keepdim,
                            r.where());
  }

  std::vector<Sample> samples() const override { return reduction_samples<f>(); }
};
CHAINRULE_EARLY const Extremum<kernels::Fold::max, max> the_max("max");
CHAINRULE_EARLY const Extremum<kernels::Fold::min, min> the_min("min");

// --- indices ---

template <class T>
bool is_nan(T x) {
  return x != x;
}

struct Largest {
  template <class T>
  static T of_run(const T* x, std::int64_t n) {
    return kernels::max_run(x, n);
  }
  template <class T>
  static bool better(T x, T than) {
    return x > than;
  }
};
struct Smallest {
  template <class T>
  static T of_run(const T* x, std::int64_t n) {
    return kernels::min_run(x, n);
  }
  template <class T>
  static bool better(T x, T than) {
    return x < than;
  }
};

// Up to here rows are faster by comparing one element after the other, or as columns: measured.
constexpr std::int64_t short_row = 15;

// The first element that equals the extremum, or the first NaN.
template <class C, class T>
std::int64_t find_run(const T* x, std::int64_t n) {
  if (n <= short_row) {
    std::int64_t at = 0;
    for (std::int64_t i = 1; i < n; ++i)
      if (C::better(x[i], x[at]) || (is_nan(x[i]) && !is_nan(x[at]))) at = i;
    return at;
  }
  const T best = C::of_run(x, n);
  const bool nan = is_nan(best);
  constexpr std::int64_t block = 64;
  std::int64_t i = 0;
  for (; i + block <= n; i += block) {
    int found = 0;
    for (std::int64_t k = 0; k < block; ++k)
      found |= static_cast<int>(x[i + k] == best) | static_cast<int>(nan & is_nan(x[i + k]));
    if (found) break;
  }
  while (i < n - 1 && !(x[i] == best || (nan && is_nan(x[i])))) ++i;
  return i;
}

// The same along n rows, for up to `columns` neighbouring columns at once.
constexpr std::int64_t columns = 256;

template <class C, class T>
void find_rows(const T* x, std::int64_t n, std::int64_t step, std::int64_t width,
               std::int64_t* __restrict at) {
  T best[columns];
  std::copy_n(x, width, best);
  std::fill_n(at, width, 0);
  for (std::int64_t i = 1; i < n; ++i) {
    const T* row = x + i * step;
    for (std::int64_t j = 0; j < width; ++j) {
      const bool take = C::better(row[j], best[j]) || (is_nan(row[j]) && !is_nan(best[j]));
      best[j] = take ? row[j] : best[j];
      at[j] = take ? i : at[j];
    }
  }
}

template <class C, ReductionFunction f>
class ArgExtremum final : public ReductionOp<ArgExtremum<C, f>> {
 public:
  using ReductionOp<ArgExtremum>::ReductionOp;
  static constexpr bool needs_elements = true;
  bool differentiable() const noexcept override { return false; }

  DType checked(const Call& call) const {
    const Tensor& x = call.tensor(0);
    check_dtype(call.name(), x, true, call.where());
    const auto& p = call.parameters<ReduceParameters>();
    if (!is_all(p) && std::popcount(p.mask) != 1)
      throw ValueError(fmt::format("{}: {} of the {} axes of {}, but one or all are needed",
                                   call.name(), std::popcount(p.mask), x.rank(), describe(x)),
                       call.where(), "join them into one axis first: flatten(), reshape()");
    return i64;
  }
  static void compute(Value& out, const Ref<Value>& x, const ReduceParameters& p) {
    const Value& in = *x;
    if (out.numel() == 0) return;
    const Ref<Value> adjacent = kernels::contiguous(x);
    const kernels::Lines lines = is_all(p) ? kernels::Lines{1, in.numel(), 1}
                                           : kernels::lines_along(in, std::countr_zero(p.mask));
    std::int64_t* to = out.data<std::int64_t>();
    if (in.dtype() == i64)
      find(to, adjacent->data<std::int64_t>(), lines);
    else
      visit_floating(in.dtype(), [&](auto zero) {
        find(to, adjacent->template data<decltype(zero)>(), lines);
      });
  }

  std::vector<Sample> samples() const override {
    const auto one = [](std::span<const Tensor> in) {
      return f(in[0], 1, false, Where::current());
    };
    const auto all = [](std::span<const Tensor> in) {
      return f(in[0], {}, false, Where::current());
    };
    const Tensor x = reduction_sample();
    return {{"one axis", {x}, one}, {"all", {x}, all}, {"no rows", {zeros({0, 3}, f64)}, one}};
  }

 private:
  static bool is_all(const ReduceParameters& p) {
    return p.mask == (std::uint32_t{1} << p.rank) - 1;
  }

  template <class T>
  static void find(std::int64_t* to, const T* x, const kernels::Lines& lines) {
    kernels::by_lines(
        lines, kernels::Along<T>{x, nullptr, nullptr}, short_row,
        [=](const auto& at, std::int64_t line, std::int64_t rows, std::int64_t n) {
          for (std::int64_t r = 0; r < rows; ++r) to[line + r] = find_run<C>(at.x + r * n, n);
        },
        [=](const auto& at, std::int64_t line, std::int64_t n, std::int64_t inner) {
          for (std::int64_t j = 0; j < inner; j += columns)
            find_rows<C>(at.x + j, n, inner, std::min(columns, inner - j), to + line + j);
        });
  }
};
CHAINRULE_EARLY const ArgExtremum<Largest, argmax> the_argmax("argmax");
CHAINRULE_EARLY const ArgExtremum<Smallest, argmin> the_argmin("argmin");

}  // namespace

Tensor max(const Tensor& x, const Axes& axes, bool keepdim, Where where) {
  return the_max(x, axes, keepdim, where);
}
Tensor min(const Tensor& x, const Axes& axes, bool keepdim, Where where) {
  return the_min(x, axes, keepdim, where);
}
Tensor argmax(const Tensor& x, const Axes& axes, bool keepdim, Where where) {
  return the_argmax(x, axes, keepdim, where);
}
Tensor argmin(const Tensor& x, const Axes& axes, bool keepdim, Where where) {
  return the_argmin(x, axes, keepdim, where);
}

}  // namespace chainrule
