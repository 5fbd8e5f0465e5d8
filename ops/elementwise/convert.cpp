#include <chainrule/ops/elementwise/convert.hpp>

#include <fmt/format.h>

#include <atomic>
#include <cmath>

#include <chainrule/core/create.hpp>
#include <chainrule/ops/define.hpp>

namespace chainrule {

namespace {

using Inputs = std::span<const Tensor>;

// Whether an i64 holds x cut towards 0; false for NaN.
template <class T>
bool fits_i64(T x) {
  return x >= T(-0x1p63) && x < T(0x1p63);
}

template <class T>
[[noreturn]] void throw_unfit(const Tensor& x, const Where& where) {
  const std::vector<T> elements = x.to_vector<T>(where);
  std::size_t first = 0;
  while (fits_i64(elements[first])) ++first;
  const Shape at = position_of(static_cast<std::int64_t>(first), x.shape());
  throw ValueError(
      fmt::format("to: no i64 for {} at {} of {}", elements[first], to_string(at), describe(x)),
      where, "replace such elements first: where(isnan(x), 0.0, x), clamp(x, low, high)");
}

// Its parameter is the dtype of the result.
struct To final : LinearMap<To> {
  To() : LinearMap("to") {}

  Tensor operator()(const Tensor& x, DType dtype, const Where& where) const {
    return apply(*this, {&x}, dtype, where);
  }

  void infer(Inference& call) const override {
    const Value& in = call.in(0);
    const DType dtype = call.parameters<DType>();
    if (in.dtype() == dtype)
      call.same(0);
    else
      call.output_like(dtype, in);
  }
  void evaluate(Evaluation& call) const override {
    const Value& in = call.in(0);
    visit(in.dtype(), [&](auto from) {
      visit(call.out().dtype(), [&](auto to) {
        convert<decltype(to), decltype(from)>(call.out(), in, call.tensor(0), call.where());
      });
    });
  }
  Tensor adjoint(const Application& r, const Tensor& g) const {
    return (*this)(g, r.node().inputs()[0]->dtype(), r.where());
  }
  Role role(const Parameters&) const override { return Role::Kind::conversion; }
  std::vector<Sample> samples() const override {
    const auto to_f64 = [](Inputs in) { return to(in[0], f64); };
    const auto to_f32 = [](Inputs in) { return to(in[0], f32); };
    const auto to_i64 = [](Inputs in) { return to(in[0], i64); };
    return {{"f32 to f64", {tensor({{0.7, -1.3}, {2.1, 0.0}}, f32)}, to_f64},
            {"f64 to f32", {tensor({{0.7, -1.3}, {2.1, 0.0}}, f64)}, to_f32},
            {"f64 to i64", {tensor({0.7, -1.3, 2.0, -2.9}, f64)}, to_i64},
            {"i64 to f64", {tensor({3, -4, 0})}, to_f64},
            {"boolean to f64", {tensor({true, false})}, to_f64},
            {"f64 to boolean",
             {tensor({0.7, 0.0, -2.0}, f64)},
             [](Inputs in) { return to(in[0], boolean); }},
            {"empty f64 to f32", {zeros({0, 2}, f64)}, to_f32}};
  }

 private:
  template <class To, class From>
  static void convert(Value& out, const Value& in, const Tensor& x, const Where& where) {
    if constexpr (std::is_same_v<To, bool>) {
      kernels::map<To, From>(out, in, [](From e) { return e != From{}; });
    } else if constexpr (std::is_same_v<To, std::int64_t> && std::is_floating_point_v<From>) {
      std::atomic<bool> unfit = false;  // of parts that may run at the same time
      kernels::map<To, From>(out, in, [&](From e) {
        const bool fits = fits_i64(e);
        if (!fits) unfit.store(true, std::memory_order_relaxed);
        return static_cast<To>(fits ? e : From{});
      });
      if (unfit) throw_unfit<From>(x, where);
    } else {
      kernels::map<To, From>(out, in, [](From e) { return static_cast<To>(e); });
    }
  }
};
CHAINRULE_EARLY const To to_op;

}  // namespace

Tensor to(const Tensor& x, DType dtype, Where where) {
  return x.value(where, "to", "operand x").dtype() == dtype ? x : to_op(x, dtype, where);
}

}  // namespace chainrule
