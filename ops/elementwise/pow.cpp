#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

#include <chainrule/core/create.hpp>
#include <chainrule/ops/define.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/elementwise/functions.hpp>
#include <chainrule/ops/elementwise/log.hpp>
#include <chainrule/ops/elementwise/select.hpp>
#include <chainrule/ops/kernels/elementwise/library_math.hpp>
#include <chainrule/ops/kernels/elementwise/vector_math.hpp>

namespace chainrule {

namespace {

using detail::input;
using detail::output;
using Inputs = std::span<const Tensor>;

// Whether y − 1 is a number.
template <class T>
bool less_one_is_exact(T y) {
  return (y - 1) + 1 == y;
}

// Where xʸ⁻¹ overflows, next to 0, although y xʸ⁻¹ does not for so small a y: y xʸ / x.
template <class T>
void mend_overflow(T* to, const T* x, const T* y, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i)
    if (std::isinf(to[i]) && x[i] != 0 && std::isfinite(x[i]))
      to[i] = y[i] * std::pow(x[i], y[i]) / x[i];
}

// y xʸ⁻¹, with 0 where y is 0. What y − 1 loses to rounding, which counts where |ln x| is large,
// comes back as a factor: x^r = 1 + r ln x for so small an r. `exact` where it is known to lose
// none.
template <bool exact, class T>
void slope_for_base(T* to, const T* x, const T* y, std::int64_t n) {
  using Bits = std::conditional_t<sizeof(T) == 4, std::int32_t, std::int64_t>;
  constexpr std::int64_t piece = 256;
  for (; n > 0; n -= piece, to += piece, x += piece, y += piece) {
    const std::int64_t count = std::min(n, piece);
    T exponent[piece];
    for (std::int64_t i = 0; i < count; ++i) exponent[i] = y[i] - 1;
    kernels::pow(to, x, exponent, count);
    Bits largest = 0;  // as an integer, of which compilers make vectors
    for (std::int64_t i = 0; i < count; ++i) {
      const T less = exact ? T{0} : (y[i] - (exponent[i] + 1)) * kernels::rough_log(x[i]);
      const T slope = y[i] * (to[i] * (std::abs(less) < 1 ? 1 + less : T{1}));
      to[i] = y[i] == 0 ? T{0} : slope;
      largest = std::max(largest, std::bit_cast<Bits>(std::abs(to[i])));
    }
    if (largest >= std::bit_cast<Bits>(std::numeric_limits<T>::infinity())) [[unlikely]]
      mend_overflow(to, x, y, count);
  }
}

// Whether marked(x, y) holds for each pair of elements; locally constant.
template <class F>
Tensor marks(const Tensor& a, const Tensor& b, F marked) {
  const Value &x = *a.value_ref(), &y = *b.value_ref();
  Ref<Value> out = make_broadcast("pow", boolean, a, b, Where::current());
  visit_floating(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    kernels::map<bool, T, T>(*out, x, y, marked);
  });
  return Tensor(std::move(out));
}

class Pow final : public Op {
 public:
  Pow() : Op("pow", "{0}^{1}") {}
  bool elementwise() const noexcept override { return true; }
  bool follows_names() const noexcept override { return true; }
  EigenForm eigen(const Parameters&) const override {
    return EigenForm::member("pow({1})", "std::pow({0}, {1})");
  }

  Tensor operator()(const Operand& x, const Operand& y, const Where& where) const {
    return with_tensors(name(), x, y, f32, where, [&](const Tensor& a, const Tensor& b) {
      return apply(*this, {&a, &b}, {}, where);
    });
  }

  void infer(Inference& call) const override {
    const DType dtype = call.in(0).dtype();
    call.in(1);
    check_dtypes(name(), call.tensor(0), call.tensor(1), false, call.where());
    infer_broadcast(call, dtype);
  }
  void evaluate(Evaluation& call) const override {
    visit_floating(call.out().dtype(),
                   [&](auto zero) { raise<decltype(zero)>(call.out(), call.in(0), call.in(1)); });
  }
  Node::SavedMask reads(const Call& call) const override {
    return input(0) | input(1) | (call.needs_grad(1) ? output : 0);
  }

  void vjp(Vjp& r) const override {
    if (r.needs(0)) r.give(0, by_base(r, r.g()));
    if (r.needs(1)) r.give(1, by_exponent(r, r.g()));
  }
  Tensor jvp(Jvp& r) const override {
    if (!r.has(1)) return by_base(r, r.tangent(0));
    const Tensor second = by_exponent(r, r.tangent(1));
    return r.has(0) ? by_base(r, r.tangent(0)) + second : second;
  }

  // Powers with whole exponents are products, and those with a bare 0 are 1, whatever is raised.
  Tensor written_out(const Node& node, std::span<const Tensor> in) const override {
    const Tensor &x = in[0], &y = in[1];
    constexpr int largest = 6;
    const Node* exponent_of = node.inputs()[1];  // which stays what it is if it is data
    if ((exponent_of && exponent_of->requires_grad()) || y.numel() != 1) return {};
    if (broadcast_shape(name(), x, y, node.where()) != x.shape()) return {};
    const double exponent = std::abs(y.item());
    if (exponent > largest || exponent != std::floor(exponent)) return {};
    if (exponent == 0) return exponent_of ? Tensor() : ones(x.shape(), x.dtype());
    Tensor product = x;
    for (int k = 1; k < exponent; ++k) product = product * x;
    return y.item() < 0 ? 1 / product : product;
  }

  std::vector<Sample> samples() const override {
    const auto apply = [](Inputs in) { return pow(in[0], in[1]); };
    const Tensor x = tensor({{0.7, 1.3, 2.1}, {0.4, 1.9, 0.06}}, f64);
    const Tensor y = tensor({{1.2, -0.8, 3.0}, {0.5, -2.0, 0.1}}, f64);
    const Tensor row = tensor({2.0, -1.4, 0.9}, f64), column = tensor({{1.5}, {0.8}}, f64);
    return {{"same shape", {x, y}, apply},
            {"row", {x, row}, apply},
            {"column first", {column, y}, apply},
            {"column and row", {column, row}, apply},
            {"scalar", {x, tensor(-1.7, f64)}, apply},
            {"squares", {x, tensor(2.0, f64)}, apply},
            {"scalar first", {tensor(1.7, f64), y}, apply},
            {"two scalars", {tensor(1.7, f64), tensor(0.4, f64)}, apply},
            {"empty", {zeros({0, 3}, f64), row}, apply}};
  }

 private:
  // The frequent exponents need no call, and are at least as exact without.
  template <class T>
  static void raise(Value& out, const Value& x, const Value& y) {
    if (y.numel() == 1) {
      const T exponent = *y.data<T>();
      const auto each = [&](auto f) {
        kernels::map<T, T, T>(out, x, y, [f](T e, T) { return f(e); });
      };
      if (exponent == 1) return each([](T e) { return e; });
      if (exponent == 2) return each([](T e) { return e * e; });
      if (exponent == 3) return each([](T e) { return e * e * e; });
      if (exponent == -1) return each([](T e) { return 1 / e; });
    }
    kernels::map_runs<T>(out, x, y, [](T* to, const T* p, const T* q, std::int64_t n) {
      kernels::pow(to, p, q, n);
    });
  }

  // Whether what a rule computes is to be seen as operations.
  static bool is_recorded() noexcept { return detail::mode.recording || detail::mode.observer; }

  // g ⊗ y ⊗ xʸ⁻¹, with 0 where y is 0.
  static Tensor by_base(const Application& r, const Tensor& g) {
    const Tensor x = r.in(0), y = r.in(1);
    bool exact = false;
    if (y.numel() == 1 && !y.node()) {  // one with a name stands in formulas
      const auto number = y.item();
      if (number == 0) return zeros_like(g);
      if (number == 1) return g;
      exact = y.dtype() == f32 ? less_one_is_exact(static_cast<float>(number))
                               : less_one_is_exact(number);
      // Of smaller exponents y − 1 may be a number, but xʸ⁻¹ none.
      const bool moderate = std::abs(number) >= 0.25;
      if ((exact && moderate) || is_recorded()) return g * (number * pow(x, number - 1));
    }
    if (!is_recorded()) {
      Ref<Value> slope = make_broadcast(r.node().op()->name(), x.dtype(), x, y, r.where());
      visit_floating(x.dtype(), [&](auto zero) {
        using T = decltype(zero);
        kernels::map_runs<T>(*slope, *x.value_ref(), *y.value_ref(),
                             exact ? slope_for_base<true, T> : slope_for_base<false, T>);
      });
      return detail::times_in_place(Tensor(std::move(slope)), g);
    }
    // Where y = 0 and 1/x is not finite, 0 · xʸ⁻¹ would be NaN; x⁰ serves as well.
    const Tensor undefined = marks(x, y, [](auto p, auto q) {
      return (q == 0) & !(std::abs(1 / p) <= std::numeric_limits<decltype(p)>::max());
    });
    return g * (y * pow(x, where(undefined, 0, y - 1)));
  }

  // g ⊗ xʸ ⊗ ln x, with 0 where x is 0 and y ≥ 0.
  static Tensor by_exponent(const Application& r, const Tensor& g) {
    const Tensor x = r.in(0), y = r.in(1);
    const Tensor vanishing = marks(x, y, [](auto p, auto q) { return (p == 0) & (q >= 0); });
    return g * (r.out() * log(where(vanishing, 1, x)));
  }
};
CHAINRULE_EARLY const Pow the_pow;

}  // namespace

Tensor pow(const Operand& x, const Operand& y, Where where) { return the_pow(x, y, where); }

}  // namespace chainrule
