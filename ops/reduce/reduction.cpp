#include <chainrule/ops/reduce/reduction.hpp>

#include <fmt/format.h>

#include <chainrule/core/create.hpp>
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
      throw IndexError(
          fmt::format("{}: axis {} of {}, which has {} axes", op, axes_[i], describe(x), rank),
          where);
    if (mask >> axis & 1)
      throw ValueError(fmt::format("{}: axis {} of {} is named twice", op, axis, describe(x)),
                       where);
    mask |= std::uint32_t{1} << axis;
  }
  if (count_ > max_rank)
    throw ValueError(fmt::format("{}: {} axes of {}, which has {}", op, count_, describe(x), rank),
                     where);
  return mask;
}

using detail::input;
using detail::ReduceParameters;

Shape reduced_shape(const Shape& shape, std::uint32_t mask, bool keepdim) {
  Shape remains;
  for (int axis = 0; axis < shape.rank(); ++axis) {
    if (!(mask >> axis & 1))
      remains.push_back(shape[axis]);
    else if (keepdim)
      remains.push_back(1);
  }
  return remains;
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
  for (int axis = 0; axis < rank; ++axis)
    if (p.mask >> axis & 1) text += std::string("₀₁₂₃₄₅₆₇₈₉").substr(3 * (axis % 10), 3);
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

namespace {

class Sum final : public Op {
 public:
  Sum() : Op("sum") {}

  Tensor operator()(const Tensor& x, std::uint32_t mask, bool keepdim, const Where& where) const {
    const Value& in = x.value(where);
    if (in.dtype() == boolean) {
      Ref<Value> counts = Value::make_like(i64, in);
      kernels::map<std::int64_t, bool>(*counts, in, [](bool b) { return std::int64_t{b}; });
      Ref<Value> out = make_reduced(*counts, mask, keepdim);
      kernels::reduce(kernels::Fold::sum, *out, *counts, mask);
      return Tensor(std::move(out));
    }
    Ref<Value> out = make_reduced(in, mask, keepdim);
    kernels::reduce(kernels::Fold::sum, *out, in, mask);
    const ReduceParameters parameters{mask, keepdim};
    // For log(): what was exponentiated, where no edge to the node of exp will tell.
    if (x.node() && detail::mode.provenance && !(detail::mode.recording && x.requires_grad()))
      if (const Tensor argument = detail::exp_argument(x); argument.defined()) {
        const Tensor z(argument.value_ref());  // without edges
        return record_provenance(*this, std::move(out), {&z}, input(0), where,
                                 detail::bytes_of(parameters));
      }
    return record(*this, std::move(out), {&x}, 0, where, detail::bytes_of(parameters));
  }

  void vjp(Vjp& r) const override {
    if (r.needs(0)) r.give(0, spread(r.g(), r.shape_of(0), r.parameters<ReduceParameters>()));
  }
  Tensor jvp(Jvp& r) const override {
    const auto& p = r.parameters<ReduceParameters>();
    return (*this)(r.tangent(0), p.mask, p.keepdim, r.node().where());
  }
  Tensor replay(const Node& node, std::span<const Tensor> inputs) const override {
    const auto& p = node.parameters<ReduceParameters>();
    return (*this)(inputs[0], p.mask, p.keepdim, node.where());
  }
  std::string written(const Node& node) const override {
    return "Σ" + axes_text(node, node.parameters<ReduceParameters>()) + " {0}";
  }
  std::vector<Sample> samples() const override {
    const Tensor x = reduction_sample();
    return {
        {"all", {x}, [](std::span<const Tensor> in) { return sum(in[0]); }},
        {"axis 0", {x}, [](std::span<const Tensor> in) { return sum(in[0], 0); }},
        {"axis 1", {x}, [](std::span<const Tensor> in) { return sum(in[0], 1); }},
        {"outer axes", {x}, [](std::span<const Tensor> in) { return sum(in[0], {0, 2}); }},
        {"last, kept", {x}, [](std::span<const Tensor> in) { return sum(in[0], -1, true); }},
        {"scalar", {tensor(0.7, f64)}, [](std::span<const Tensor> in) { return sum(in[0]); }},
        {"empty", {zeros({0, 3}, f64)}, [](std::span<const Tensor> in) { return sum(in[0], 0); }},
        {"empty rows", {zeros({0, 3}, f64)}, [](std::span<const Tensor> in) {
           return sum(in[0], 1);
         }}};
  }
};
const Sum the_sum;

class Mean final : public Op {
 public:
  Mean() : Op("mean") {}

  Tensor operator()(const Tensor& x, std::uint32_t mask, bool keepdim, const Where& where) const {
    const Value& in = x.value(where);
    check_dtype(name(), x, false, where);
    check_not_empty(name(), x, mask, where);
    Ref<Value> out = make_reduced(in, mask, keepdim);
    kernels::reduce(kernels::Fold::sum, *out, in, mask);
    visit_floating(in.dtype(), [&](auto zero) {
      using T = decltype(zero);
      T* to = out->data<T>();
      const std::int64_t n = out->numel();
      const T count = static_cast<T>(reduced_count(in.shape(), mask));
      for (std::int64_t i = 0; i < n; ++i) to[i] /= count;
    });
    const ReduceParameters parameters{mask, keepdim};
    return record(*this, std::move(out), {&x}, 0, where, detail::bytes_of(parameters));
  }

  void vjp(Vjp& r) const override {
    if (!r.needs(0)) return;
    const auto& p = r.parameters<ReduceParameters>();
    const Shape shape = r.shape_of(0);
    r.give(0, spread(r.g() / static_cast<double>(reduced_count(shape, p.mask)), shape, p));
  }
  Tensor jvp(Jvp& r) const override {
    const auto& p = r.parameters<ReduceParameters>();
    return (*this)(r.tangent(0), p.mask, p.keepdim, r.node().where());
  }
  Tensor replay(const Node& node, std::span<const Tensor> inputs) const override {
    const auto& p = node.parameters<ReduceParameters>();
    return (*this)(inputs[0], p.mask, p.keepdim, node.where());
  }
  std::string written(const Node& node) const override {
    return "mean" + axes_text(node, node.parameters<ReduceParameters>()) + "({0})";
  }
  std::vector<Sample> samples() const override {
    const Tensor x = reduction_sample();
    return {{"all", {x}, [](std::span<const Tensor> in) { return mean(in[0]); }},
            {"axis 1", {x}, [](std::span<const Tensor> in) { return mean(in[0], 1); }},
            {"outer axes", {x}, [](std::span<const Tensor> in) { return mean(in[0], {0, 2}); }},
            {"first, kept", {x}, [](std::span<const Tensor> in) { return mean(in[0], 0, true); }},
            {"scalar", {tensor(0.7, f64)}, [](std::span<const Tensor> in) { return mean(in[0]); }},
            {"no rows", {zeros({0, 3}, f64)}, [](std::span<const Tensor> in) {
               return mean(in[0], 1);
             }}};
  }
};
const Mean the_mean;

// all() is the minimum of booleans, any() the maximum.
class Logical final : public Op {
 public:
  Logical(const char* name, kernels::Fold fold, Tensor (*apply)(std::span<const Tensor>))
      : Op(name), fold_(fold), apply_(apply) {}
  bool differentiable() const noexcept override { return false; }

  Tensor operator()(const Tensor& x, const Axes& axes, bool keepdim, const Where& where) const {
    const Value& in = x.value(where);
    if (in.dtype() != boolean)
      throw DTypeError(fmt::format("{}: {} holds {}, but boolean is needed", name(), describe(x),
                                   name_of(in.dtype())),
                       where, "compare first, as in all(x == y)");
    const std::uint32_t mask = axes.resolve(name(), x, where);
    Ref<Value> out = make_reduced(in, mask, keepdim);
    kernels::reduce(fold_, *out, in, mask);
    return Tensor(std::move(out));
  }
  std::vector<Sample> samples() const override {
    return {{"matrix", {tensor({{true, false}, {true, true}})}, apply_},
            {"empty", {zeros({0, 2}, boolean)}, apply_}};
  }

 private:
  kernels::Fold fold_;
  Tensor (*apply_)(std::span<const Tensor>);
};
const Logical the_all("all", kernels::Fold::min,
                      [](std::span<const Tensor> in) { return all(in[0], 0); });
const Logical the_any("any", kernels::Fold::max,
                      [](std::span<const Tensor> in) { return any(in[0], 0); });

}  // namespace

Tensor sum(const Tensor& x, const Axes& axes, bool keepdim, Where where) {
  return the_sum(x, axes.resolve(the_sum.name(), x, where), keepdim, where);
}
Tensor mean(const Tensor& x, const Axes& axes, bool keepdim, Where where) {
  return the_mean(x, axes.resolve(the_mean.name(), x, where), keepdim, where);
}
Tensor all(const Tensor& x, const Axes& axes, bool keepdim, Where where) {
  return the_all(x, axes, keepdim, where);
}
Tensor any(const Tensor& x, const Axes& axes, bool keepdim, Where where) {
  return the_any(x, axes, keepdim, where);
}

namespace detail {

const Op& sum_op() { return the_sum; }

Tensor sum_mask(const Tensor& x, std::uint32_t mask, bool keepdim, const Where& where) {
  return the_sum(x, mask, keepdim, where);
}

}  // namespace detail
}  // namespace chainrule
