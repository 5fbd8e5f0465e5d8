#include <chainrule/ops/reduce/reduction.hpp>

#include <fmt/format.h>

#include <chainrule/core/create.hpp>
#include <chainrule/core/range_hint.hpp>
#include <chainrule/ops/axis_text.hpp>
#include <chainrule/ops/define.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/elementwise/functions.hpp>
#include <chainrule/ops/kernels/reduce/reduce.hpp>
#include <chainrule/ops/reduce/reduced.hpp>
#include <chainrule/ops/shape/manipulation.hpp>

namespace chainrule {

std::uint32_t Axes::resolve_list(const char* op, const Tensor& x, const Where& where) const {
  const int rank = x.rank();
  std::uint32_t mask = 0;
  for (std::int64_t i = 0; i < count_ && i < max_rank; ++i) {
    const std::int64_t axis = axes_[i] < 0 ? axes_[i] + rank : axes_[i];
    if (axis < 0 || axis >= rank)
      throw IndexError(fmt::format("{}: axis {} of {}, which has {} {}", op, axes_[i], describe(x),
                                   rank, rank == 1 ? "axis" : "axes"),
                       where, detail::range_hint("axes", rank));
    if (mask >> axis & 1)
      throw ValueError(fmt::format("{}: axis {} of {} is named twice", op, axis, describe(x)),
                       where, "negative axes count from the end: -1 is the last one");
    mask |= std::uint32_t{1} << axis;
  }
  if (count_ > max_rank)
    throw ValueError(fmt::format("{}: {} axes of {}, which has {}", op, count_, describe(x), rank),
                     where, "name each axis once, or none for all");
  return mask;
}

using detail::ReduceParameters;

Shape reduced_shape(const Shape& shape, std::uint32_t mask, bool keepdim) {
  std::int64_t dims[max_rank];
  const int rank = reduced_dims(shape.data(), shape.rank(), mask, keepdim, dims);
  return Shape(std::span(dims, static_cast<std::size_t>(rank)));
}

std::int64_t reduced_count(const Shape& shape, std::uint32_t mask) {
  std::int64_t count = 1;
  for (int axis = 0; axis < shape.rank(); ++axis)
    if (mask >> axis & 1) count *= shape[axis];
  return count;
}

Tensor with_axes(const Tensor& reduced, const Shape& shape, const ReduceParameters& p) {
  // Leading axes come back by broadcasting.
  if (p.keepdim || (p.mask & (p.mask + 1)) == 0) return reduced;
  return reshape(reduced, reduced_shape(shape, p.mask, true));
}

Tensor spread(const Tensor& reduced, const Shape& shape, const ReduceParameters& p) {
  return expand(with_axes(reduced, shape, p), shape);
}

std::string axes_text(const Node& node, const ReduceParameters& p) {
  const int reduced = __builtin_popcount(p.mask);
  const int rank = node.rank() + (p.keepdim ? 0 : reduced);
  std::string text;
  if (reduced == rank) return text;
  if (reduced == 0) return "[no axis]";
  for (int axis = 0; axis < rank; ++axis)
    if (p.mask >> axis & 1) text += axis_subscript(axis);
  return text;
}

void check_not_empty(const char* op, const Tensor& x, std::uint32_t mask, const Where& where) {
  const Value& in = *x.value_ref();
  if (in.numel() != 0) return;
  bool none = false;
  for (int axis = 0; axis < in.rank(); ++axis) {
    if (in.dims()[axis] != 0) continue;
    if (!(mask >> axis & 1)) return;  // there are no results
    none = true;
  }
  if (none)
    throw ShapeError(fmt::format("{}: nothing to reduce: {} has no elements", op, describe(x)),
                     where, "only sum, all, any and logsumexp have a value without elements");
}

Tensor reduction_sample() {
  return tensor({{{0.7, -1.3}, {2.1, -0.4}, {1.9, 0.6}}, {{-0.9, 1.4}, {0.3, -2.2}, {1.1, -0.2}}},
                f64);
}

Shape infer_reduced(const Call& call, const ReduceParameters& p, std::size_t i) {
  const Value& x = call.in(i);
  if (x.rank() != static_cast<int>(p.rank) || p.mask >> p.rank != 0)
    throw ShapeError(fmt::format("{}: the axes are those of a tensor with {} axes, but {} has {}",
                                 call.name(), p.rank, describe(call.tensor(i)), x.rank()),
                     call.where(), "a graph is evaluated again with tensors of as many axes");
  std::int64_t dims[max_rank];
  const int rank = reduced_dims(x.dims(), x.rank(), p.mask, p.keepdim, dims);
  return Shape(std::span(dims, static_cast<std::size_t>(rank)));
}

void mean_into(Value& out, const Value& x, std::uint32_t mask) {
  kernels::reduce(kernels::Fold::sum, out, x, mask);
  visit_floating(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    T* to = out.data<T>();
    const std::int64_t n = out.numel();
    const T count = static_cast<T>(reduced_count(x.shape(), mask));
    for (std::int64_t i = 0; i < n; ++i) to[i] /= count;
  });
}

namespace {

struct Sum final : ReductionOp<Sum, LinearMap<Sum>> {
  Sum() : ReductionOp("sum") {}
  bool follows_names() const noexcept override { return true; }
  Role role(const Parameters& p) const override { return reduction_role(p, Role::Kind::total); }
  EigenForm eigen(const Parameters& p) const override { return eigen_reduction(p, "sum()"); }
  static constexpr bool needs_elements = false;

  DType checked(const Call& call) const {
    const DType dtype = call.in(0).dtype();
    return dtype == boolean ? i64 : dtype;
  }
  static void compute(Value& out, const Ref<Value>& x, const ReduceParameters& p) {
    if (x->dtype() == boolean) return kernels::count(out, *x, p.mask);
    kernels::reduce(kernels::Fold::sum, out, *x, p.mask);
  }
  // For log(): what was exponentiated, where no edge to the node of exp will tell.
  Tensor remembered(const Call& call) const override {
    const Tensor& x = call.tensor(0);
    return x.node() ? detail::exp_argument(x) : Tensor();
  }
  // With recording the sum has an edge to exp, which keeps z; without, it keeps z itself.
  Logarithm logarithm(const Tensor& x) const override {
    if (x.value_ref()->version() != 0) return {};
    const Node* e = x.node()->inputs()[0];
    return {&log_of_sum_exp(), e ? detail::exp_argument(e) : detail::argument_of(x, *this)};
  }

  Tensor adjoint(const Application& r, const Tensor& g) const {
    return spread(g, r.shape_of(0), r.parameters<ReduceParameters>());
  }

  std::string written(const Node& node) const override {
    return "Σ" + axes_text(node, node.parameters<ReduceParameters>()) + " {0}";
  }
  std::vector<Sample> samples() const override {
    std::vector<Sample> samples = reduction_samples<sum>();
    samples.push_back(
        {"empty", {zeros({0, 3}, f64)}, [](std::span<const Tensor> in) { return sum(in[0], 0); }});
    return samples;
  }
};
CHAINRULE_EARLY const Sum the_sum;

struct Mean final : ReductionOp<Mean, LinearMap<Mean>> {
  Mean() : ReductionOp("mean") {}
  bool follows_names() const noexcept override { return true; }
  Role role(const Parameters& p) const override { return reduction_role(p, Role::Kind::mean); }
  EigenForm eigen(const Parameters& p) const override { return eigen_reduction(p, "mean()"); }
  static constexpr bool needs_elements = true;

  DType checked(const Call& call) const {
    check_dtype(name(), call.tensor(0), false, call.where());
    return call.in(0).dtype();
  }
  static void compute(Value& out, const Ref<Value>& x, const ReduceParameters& p) {
    mean_into(out, *x, p.mask);
  }

  Tensor adjoint(const Application& r, const Tensor& g) const {
    const auto& p = r.parameters<ReduceParameters>();
    const Shape shape = r.shape_of(0);
    return spread(g / static_cast<double>(reduced_count(shape, p.mask)), shape, p);
  }

  std::vector<Sample> samples() const override { return reduction_samples<mean>(); }
};
CHAINRULE_EARLY const Mean the_mean;

// all() is the minimum of booleans, any() the maximum.
template <kernels::Fold fold, ReductionFunction f>
struct Logical final : ReductionOp<Logical<fold, f>> {
  using ReductionOp<Logical>::ReductionOp;
  static constexpr bool needs_elements = false;
  bool differentiable() const noexcept override { return false; }

  DType checked(const Call& call) const {
    const Tensor& x = call.tensor(0);
    if (x.dtype() != boolean)
      throw DTypeError(fmt::format("{}: {} holds {}, but boolean is needed", call.name(),
                                   describe(x), name_of(x.dtype())),
                       call.where(), "compare first, as in all(x == y)");
    return boolean;
  }
  static void compute(Value& out, const Ref<Value>& x, const ReduceParameters& p) {
    kernels::reduce(fold, out, *x, p.mask);
  }

  std::vector<Sample> samples() const override {
    const auto apply = [](std::span<const Tensor> in) {
      return f(in[0], 0, false, Where::current());
    };
    return {{"matrix", {tensor({{true, false}, {true, true}})}, apply},
            {"empty", {zeros({0, 2}, boolean)}, apply}};
  }
};
CHAINRULE_EARLY const Logical<kernels::Fold::min, all> the_all("all");
CHAINRULE_EARLY const Logical<kernels::Fold::max, any> the_any("any");

}  // namespace

Tensor sum(const Tensor& x, const Axes& axes, bool keepdim, Where where) {
  return the_sum(x, axes, keepdim, where);
}
Tensor mean(const Tensor& x, const Axes& axes, bool keepdim, Where where) {
  return the_mean(x, axes, keepdim, where);
}
Tensor all(const Tensor& x, const Axes& axes, bool keepdim, Where where) {
  return the_all(x, axes, keepdim, where);
}
Tensor any(const Tensor& x, const Axes& axes, bool keepdim, Where where) {
  return the_any(x, axes, keepdim, where);
}

namespace detail {

Tensor sum_mask(const Tensor& x, std::uint32_t mask, bool keepdim, const Where& where) {
  return the_sum.over(x, mask, keepdim, where);
}

}  // namespace detail
}  // namespace chainrule
