#include <cmath>

#include <chainrule/core/create.hpp>
#include <chainrule/ops/define.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/elementwise/functions.hpp>
#include <chainrule/ops/elementwise/log.hpp>
#include <chainrule/ops/elementwise/stable_log.hpp>
#include <chainrule/ops/kernels/elementwise/vector_math.hpp>
#include <chainrule/ops/kernels/nn/softmax.hpp>
#include <chainrule/ops/kernels/reduce/reduce.hpp>
#include <chainrule/ops/nn/softmax.hpp>
#include <chainrule/ops/reduce/reduced.hpp>
#include <chainrule/ops/shape/manipulation.hpp>

namespace chainrule {

namespace {

using detail::input;
using detail::ReduceParameters;

// The first and the last of the reduced axes, if there are any and none is missing between them.
struct Range {
  int first = 0, last = -1;
  explicit Range(std::uint32_t mask) {
    if (mask == 0) return;
    const int low = __builtin_ctz(mask), count = __builtin_popcount(mask);
    if (mask >> low != (std::uint32_t{1} << count) - 1) return;
    first = low;
    last = low + count - 1;
  }
  bool found() const noexcept { return last >= first; }
};

// max x with the reduced axes at extent 1.
Ref<Value> maxima(const Value& x, std::uint32_t mask) {
  Ref<Value> m = make_reduced(x, mask, true);
  kernels::reduce(kernels::Fold::max, *m, x, mask);
  return m;
}

// x with the reduced axes behind the others.
Ref<Value> reduced_last(const Ref<Value>& x, std::uint32_t mask) {
  Shape dims, strides;
  for (const bool reduced : {false, true})
    for (int axis = 0; axis < x->rank(); ++axis)
      if ((mask >> axis & 1) == (reduced ? 1 : 0)) {
        dims.push_back(x->dims()[axis]);
        strides.push_back(x->strides()[axis]);
      }
  return Value::view(x, dims, strides, 0);
}

template <class T>
void logsumexp_as(Value& out, const Ref<Value>& x, std::uint32_t mask) {
  if (out.numel() == 0) return;
  const Range range(mask);
  const Ref<Value> in = kernels::contiguous(range.found() ? x : reduced_last(x, mask));
  kernels::Lines lines{out.numel(), x->numel() / out.numel(), 1};
  if (range.found()) lines = kernels::lines_along(*x, range.first, range.last);
  kernels::logsumexp(out.data<T>(), in->data<T>(), lines);
}

// softmax over several axes. A shift does not change it, so that max x counts as a constant.
Tensor softmax_over(const Tensor& x, const ReduceParameters& p) {
  if (const Range range(p.mask); range.found()) {
    if (range.first == range.last) return softmax(x, range.first);
    return reshape(softmax(flatten(x, range.first, range.last), range.first), x.shape());
  }
  const Tensor e = exp(x - Tensor(maxima(*x.value_ref(), p.mask)));
  return e / detail::sum_mask(e, p.mask, true, Where::current());
}

struct LogSumExp final : ReductionOp<LogSumExp> {
  LogSumExp() : ReductionOp("logsumexp") {}
  Role role(const Parameters& p) const override { return reduction_role(p, Role::Kind::other); }
  EigenForm eigen(const Parameters& p) const override { return eigen_reduction(p); }
  const char* eigen_definition() const noexcept override {
    return R"(
inline double logsumexp(const MatrixXd& z) {
  const double largest = z.maxCoeff();
  return largest + std::log((z.array() - largest).exp().sum());
}
inline MatrixXd logsumexp_columns(const MatrixXd& z) {
  const Eigen::RowVectorXd largest = z.colwise().maxCoeff();
  const MatrixXd e = (z.rowwise() - largest).array().exp().matrix();
  return largest + e.colwise().sum().array().log().matrix();
}
inline MatrixXd logsumexp_rows(const MatrixXd& z) {
  const VectorXd largest = z.rowwise().maxCoeff();
  const MatrixXd e = (z.colwise() - largest).array().exp().matrix();
  return largest + e.rowwise().sum().array().log().matrix();
}
)";
  }
  static constexpr bool needs_elements = false;

  DType checked(const Call& call) const {
    check_dtype(name(), call.tensor(0), false, call.where());
    return call.in(0).dtype();
  }
  static void compute(Value& out, const Ref<Value>& x, const ReduceParameters& p) {
    visit_floating(x->dtype(), [&](auto zero) { logsumexp_as<decltype(zero)>(out, x, p.mask); });
  }
  Node::SavedMask reads(const Call&) const override { return input(0); }

  // Not exp(x − out): where out is large, its last digit is more than the last digit of the result.
  void vjp(Vjp& r) const override {
    if (!r.needs(0)) return;
    const auto& p = r.parameters<ReduceParameters>();
    r.give(0, with_axes(r.g(), r.shape_of(0), p) * softmax_over(r.in(0), p));
  }
  Tensor jvp(Jvp& r) const override {
    const auto& p = r.parameters<ReduceParameters>();
    return detail::sum_mask(r.tangent(0) * softmax_over(r.in(0), p), p.mask, p.keepdim, r.where());
  }

  std::vector<Sample> samples() const override { return reduction_samples<logsumexp>(); }
};
CHAINRULE_EARLY const LogSumExp the_logsumexp;

struct LogOfSumExp final : StableLog {
  LogOfSumExp() : StableLog("log_of_sum_exp", the_logsumexp) {}
  std::vector<Sample> samples() const override {
    const Tensor z = tensor({{0.7, -1.3, 2.1}, {-0.4, 1.9, 0.6}}, f64);
    using Inputs = std::span<const Tensor>;
    return {{"all", {z}, [](Inputs in) { return log(sum(exp(in[0]))); }},
            {"axis 0", {z}, [](Inputs in) { return log(sum(exp(in[0]), 0)); }},
            {"last, kept", {z}, [](Inputs in) { return log(sum(exp(in[0]), -1, true)); }}};
  }
};
CHAINRULE_EARLY const LogOfSumExp the_log_of_sum_exp;

}  // namespace

const Op& log_of_sum_exp() { return the_log_of_sum_exp; }

Tensor logsumexp(const Tensor& x, const Axes& axes, bool keepdim, Where where) {
  return the_logsumexp(x, axes, keepdim, where);
}

}  // namespace chainrule
