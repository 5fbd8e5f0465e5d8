#pragma once

#include <span>
#include <string>
#include <vector>

#include <chainrule/core/create.hpp>
#include <chainrule/core/op.hpp>
#include <chainrule/ops/define.hpp>
#include <chainrule/ops/reduce/reduction.hpp>

/// What the definitions of reductions share. For ops, not for users.
namespace chainrule {

/// The extents that remain of `rank` others, written to `to`; returns how many.
inline int reduced_dims(const std::int64_t* dims, int rank, std::uint32_t mask, bool keepdim,
                        std::int64_t* to) noexcept {
  int remain = 0;
  for (int axis = 0; axis < rank; ++axis) {
    if (!(mask >> axis & 1))
      to[remain++] = dims[axis];
    else if (keepdim)
      to[remain++] = 1;
  }
  return remain;
}

/// The shape that remains of `shape`.
Shape reduced_shape(const Shape& shape, std::uint32_t mask, bool keepdim);

/// How many elements make one result.
std::int64_t reduced_count(const Shape& shape, std::uint32_t mask);

/// An uninitialised result of the dtype of x, in the shape that remains.
inline Ref<Value> make_reduced(const Value& x, std::uint32_t mask, bool keepdim) {
  std::int64_t dims[max_rank];
  const int rank = reduced_dims(x.dims(), x.rank(), mask, keepdim, dims);
  return Value::make(x.dtype(), dims, rank);
}

/// A reduced tensor with its axes back, at extent 1: it broadcasts to `shape`, which was reduced.
Tensor with_axes(const Tensor& reduced, const Shape& shape, const detail::ReduceParameters& p);

/// The same, broadcast to `shape`.
Tensor spread(const Tensor& reduced, const Shape& shape, const detail::ReduceParameters& p);

/// The axes of a mask as subscripts, "₀₂"; "" when the node reduced all axes, and "[no axis]" when
/// it reduced none of some.
std::string axes_text(const Node& node, const detail::ReduceParameters& p);

/// What a reduction is that leaves the elements over no axis as they are: `over_axes` over some.
inline Role reduction_role(const Parameters& parameters, Role over_axes) {
  return parameters.as<detail::ReduceParameters>().mask == 0 ? Role::Kind::copy : over_axes;
}

/// Throws ShapeError when a result would have no elements to be made of.
void check_not_empty(const char* op, const Tensor& x, std::uint32_t mask, const Where& where);

/// The shape that a reduction leaves of operand i. Throws ShapeError when that has another number
/// of axes than the parameters are for.
Shape infer_reduced(const Call& call, const detail::ReduceParameters& p, std::size_t i = 0);

/// Σ x / n over the axes of a mask, into a row-major value of the shape that remains.
void mean_into(Value& out, const Value& x, std::uint32_t mask);

/// The logarithm of Σ exp z.
const Op& log_of_sum_exp();

/// A reduction of one operand over axes. `Self` gives
///
///     static constexpr bool needs_elements = …;   // whether it has no value without elements
///     DType checked(const Call& call) const;      // throws for an operand that it does not take;
///                                                 // the dtype of the results
///     static void compute(Value& out, const Ref<Value>& x, const detail::ReduceParameters& p);
///
/// which writes the numbers of the result into `out`, and its rules, which `Base` may have:
/// LinearMap<Self>.
template <class Self, class Base = Op>
class ReductionOp : public Base {
 public:
  using Base::Base;

  Tensor operator()(const Tensor& x, const Axes& axes, bool keepdim, const Where& where) const {
    return over(x, axes.resolve(this->name(), x, where), keepdim, where);
  }
  /// Over the axes of a mask: the same as apply(), without a detour.
  Tensor over(const Tensor& x, std::uint32_t mask, bool keepdim, const Where& where) const {
    const detail::ReduceParameters p{
        mask, keepdim,
        static_cast<std::uint32_t>(x.value(where, this->name(), "operand x").rank())};
    const Tensor* const inputs[] = {&x};
    const Call call(*this, inputs, p, where);
    const DType dtype = checked(call, p);
    std::int64_t dims[max_rank];
    const Value& in = *x.value_ref();
    const int rank = reduced_dims(in.dims(), in.rank(), mask, keepdim, dims);
    Ref<Value> out = make_result(this->name(), dtype, dims, rank, where);
    Self::compute(*out, x.value_ref(), p);
    return finish(static_cast<const Self&>(*this), call, std::move(out));
  }

  void infer(Inference& call) const final {
    const auto& p = call.parameters<detail::ReduceParameters>();
    const DType dtype = checked(call, p);
    call.output(dtype, infer_reduced(call, p));
  }
  void evaluate(Evaluation& call) const final {
    Self::compute(call.out(), call.in_ref(0), call.parameters<detail::ReduceParameters>());
  }
  std::string written(const Node& node) const override {
    return this->name() + axes_text(node, node.parameters<detail::ReduceParameters>()) + "({0})";
  }

 protected:
  // In emitted code: a member of matrices, or the op's own function.
  static EigenForm eigen_reduction(const Parameters& parameters, const char* member = "") {
    const auto& p = parameters.as<detail::ReduceParameters>();
    return {.kind = EigenForm::Kind::reduction,
            .array = member,
            .axes = p.mask,
            .keepdim = p.keepdim != 0};
  }

 private:
  DType checked(const Call& call, const detail::ReduceParameters& p) const {
    call.in(0);
    const DType dtype = static_cast<const Self&>(*this).checked(call);
    if (Self::needs_elements) check_not_empty(this->name(), call.tensor(0), p.mask, call.where());
    return dtype;
  }
};

/// A reduction as users call it.
using ReductionFunction = Tensor (*)(const Tensor& x, const Axes& axes, bool keepdim, Where where);

/// f64 (2, 3, 2) without ties, for samples.
Tensor reduction_sample();

/// What a reduction is tested on: every kind of axes.
template <ReductionFunction f>
std::vector<Sample> reduction_samples() {
  using In = std::span<const Tensor>;
  const Tensor x = reduction_sample(), scalar = tensor(0.7, f64), none = zeros({0, 3}, f64);
  return {{"all", {x}, [](In in) { return f(in[0], {}, false, Where::current()); }},
          {"axis 0", {x}, [](In in) { return f(in[0], 0, false, Where::current()); }},
          {"axis 1", {x}, [](In in) { return f(in[0], 1, false, Where::current()); }},
          {"axis 1, kept", {x}, [](In in) { return f(in[0], 1, true, Where::current()); }},
          {"first, kept", {x}, [](In in) { return f(in[0], 0, true, Where::current()); }},
          {"last, kept", {x}, [](In in) { return f(in[0], -1, true, Where::current()); }},
          {"last axes", {x}, [](In in) { return f(in[0], {1, 2}, false, Where::current()); }},
          {"outer axes", {x}, [](In in) { return f(in[0], {0, 2}, false, Where::current()); }},
          {"no axis",
           {tensor({{0.7, -1.3, 2.1}, {-0.4, 1.9, 0.6}}, f64)},
           [](In in) { return f(in[0], Axes::of_mask(0), false, Where::current()); }},
          {"scalar", {scalar}, [](In in) { return f(in[0], {}, false, Where::current()); }},
          {"no rows", {none}, [](In in) { return f(in[0], 1, false, Where::current()); }}};
}

}  // namespace chainrule
