#include <chainrule/ops/elementwise/select.hpp>

#include <fmt/format.h>

#include <limits>
#include <type_traits>
#include <utility>

#include <chainrule/ops/define.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/elementwise/convert.hpp>

namespace chainrule {

namespace {

using detail::input;
using Inputs = std::span<const Tensor>;

// --- maximum and minimum ---

// What share of the gradient a gets: 1 where it is taken, 1/2 where both are equal, else 0; NaN
// where one of them is NaN. Locally constant.
template <class Better>
Tensor share_of_first(const Tensor& a, const Tensor& b) {
  if (detail::mode.observer)  // in operations that a formula can show
    return to(Better::is_better(a, b), a.dtype()) + to(a == b, a.dtype()) / 2.0;
  const Value &x = *a.value_ref(), &y = *b.value_ref();
  Ref<Value> out = make_broadcast("maximum", x.dtype(), a, b, Where::current());
  visit_floating(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    kernels::map<T, T, T>(*out, x, y, [](T p, T q) {
      const T ordered = Better::better(p, q) ? T{1} : p == q ? T{0.5} : T{0};
      return p != p ? p : q != q ? q : ordered;
    });
  });
  return Tensor(std::move(out));
}

template <class Better>
struct OneOfTwo final : BinaryOp<OneOfTwo<Better>> {
  OneOfTwo() : BinaryOp<OneOfTwo>(Better::name) {}
  EigenForm eigen(const Parameters&) const override {
    return EigenForm::member(fmt::format("{}({{1}})", Better::eigen),
                             fmt::format("std::{}({{0}}, {{1}})", Better::eigen));
  }
  static constexpr bool integers = true;
  template <class T>
  static T value(T x, T y) {
    return Better::better(x, y) || x != x ? x : y;
  }
  static Node::SavedMask saved(bool, bool) { return input(0) | input(1); }
  void vjp(Vjp& r) const override {
    const Tensor share = share_of_first<Better>(r.in(0), r.in(1));
    if (r.needs(0)) r.give(0, r.g() * share);
    if (r.needs(1)) r.give(1, r.g() * (1 - share));
  }
  Tensor jvp(Jvp& r) const override {
    const Tensor share = share_of_first<Better>(r.in(0), r.in(1));
    if (!r.has(1)) return r.tangent(0) * share;
    const Tensor second = r.tangent(1) * (1 - share);
    return r.has(0) ? r.tangent(0) * share + second : second;
  }
  std::vector<Sample> samples() const override {
    constexpr auto apply = Better::apply;
    const Tensor a = tensor({{0.7, -1.3, 2.1}, {-0.4, 1.9, 0.6}}, f64);
    const Tensor b = tensor({{1.2, 0.8, -1.7}, {2.3, -0.9, 1.1}}, f64);
    const Tensor row = tensor({-0.6, 1.4, 0.9}, f64), column = tensor({{1.5}, {-0.8}}, f64);
    return {{"same shape", {a, b}, apply},
            {"row", {a, row}, apply},
            {"row and column", {row, column}, apply},
            {"scalar first", {tensor(0.2, f64), b}, apply},
            {"integers", {tensor({3, -4}), tensor({{2}, {9}})}, apply},
            {"empty", {zeros({0, 3}, f64), row}, apply}};
  }
};

struct Larger {
  static constexpr const char* name = "maximum";
  static constexpr const char* eigen = "max";
  static bool better(auto x, auto y) { return x > y; }
  static Tensor is_better(const Tensor& a, const Tensor& b) { return a > b; }
  static Tensor apply(Inputs in) { return maximum(in[0], in[1]); }
};
struct Smaller {
  static constexpr const char* name = "minimum";
  static constexpr const char* eigen = "min";
  static bool better(auto x, auto y) { return x < y; }
  static Tensor is_better(const Tensor& a, const Tensor& b) { return a < b; }
  static Tensor apply(Inputs in) { return minimum(in[0], in[1]); }
};
CHAINRULE_EARLY const OneOfTwo<Larger> the_maximum;
CHAINRULE_EARLY const OneOfTwo<Smaller> the_minimum;

// --- where ---

// Both operands are read whichever is taken, and booleans as bytes: that vectorises.
using Byte = unsigned char;

template <class T>
void choose(Value& out, const Value& condition, const Value& a, const Value& b) {
  kernels::map<T, Byte, T, T>(out, condition, a, b,
                              [](Byte take, T x, T y) { return take != 0 ? x : y; });
}

class Choose final : public Op {
 public:
  Choose() : Op("where", "where({0}, {1}, {2})") {}
  Role role(const Parameters&) const override { return Role::Kind::selection; }

  void infer(Inference& call) const override {
    const auto operand = [&](std::size_t i, const char* what) -> const Value& {
      return call.tensor(i).value(call.where(), name(), what);
    };
    const Value &c = operand(0, "condition"), &x = operand(1, "tensor a"),
                &y = operand(2, "tensor b");
    if (c.dtype() != boolean)
      throw DTypeError(fmt::format("where: the condition {} holds {}, but boolean is needed",
                                   describe(call.tensor(0)), name_of(c.dtype())),
                       call.where(), "compare first, as in x != 0");
    if (x.dtype() != y.dtype())
      detail::throw_dtypes(name(), call.tensor(1), call.tensor(2), call.where(), "a", "b");
    const auto fits = [&](const Value& v) {
      return v.same_shape(c) || (v.numel() == 1 && v.rank() <= c.rank());
    };
    if (fits(x) && fits(y))
      call.output_like(x.dtype(), c);
    else
      call.output(x.dtype(), common_shape(call));
  }
  void evaluate(Evaluation& call) const override {
    visit(call.out().dtype(), [&](auto zero) {
      using T = decltype(zero);
      choose<std::conditional_t<std::is_same_v<T, bool>, Byte, T>>(call.out(), call.in(0),
                                                                   call.in(1), call.in(2));
    });
  }
  Node::SavedMask reads(const Call&) const override { return input(0); }

  void vjp(Vjp& r) const override {
    const Tensor condition = r.in(0);
    if (r.needs(1)) r.give(1, chainrule::where(condition, r.g(), 0));
    if (r.needs(2)) r.give(2, chainrule::where(condition, 0, r.g()));
  }
  Tensor jvp(Jvp& r) const override {
    const Tensor condition = r.in(0);
    if (!r.has(2)) return chainrule::where(condition, r.tangent(1), 0);
    if (!r.has(1)) return chainrule::where(condition, 0, r.tangent(2));
    return chainrule::where(condition, r.tangent(1), r.tangent(2));
  }
  std::vector<Sample> samples() const override {
    const auto apply = [](Inputs in) { return chainrule::where(in[0], in[1], in[2]); };
    const Tensor condition = tensor({{true, false, true}, {false, false, true}});
    const Tensor a = tensor({{0.7, -1.3, 2.1}, {-0.4, 1.9, 0.6}}, f64);
    const Tensor b = tensor({{1.2, 0.8, -1.7}, {2.3, -0.9, 1.1}}, f64);
    const Tensor row = tensor({-0.6, 1.4, 0.9}, f64), column = tensor({{1.5}, {-0.8}}, f64);
    const Tensor scalar = tensor(0.3, f64);
    return {{"same shape", {condition, a, b}, apply},
            {"row and column", {condition, row, column}, apply},
            {"scalar", {condition, a, scalar}, apply},
            {"scalar first", {condition, scalar, b}, apply},
            {"condition of a column", {tensor({{true}, {false}}), a, b}, apply},
            {"condition of a scalar", {tensor(true), a, row}, apply},
            {"condition of the largest shape", {condition, scalar, scalar}, apply},
            {"integers", {condition, tensor({1, 2, 3}), tensor(0)}, apply},
            {"booleans", {condition, condition, tensor(true)}, apply},
            {"empty", {tensor({true, false, true}), zeros({0, 3}, f64), row}, apply}};
  }

 private:
  // Two at a time; errors name two. What stands for a and b has a shape and no elements of its own.
  static Shape common_shape(const Call& call) {
    const auto common = [&](std::size_t i, std::size_t k) {
      static constexpr const char* names[] = {"condition", "a", "b"};
      return broadcast_shape(call.name(), call.tensor(i), call.tensor(k), call.where(), names[i],
                             names[k]);
    };
    static_cast<void>(common(0, 1));
    static_cast<void>(common(0, 2));
    const Shape shape = common(1, 2);
    Shape strides = shape;
    for (std::int64_t& stride : strides) stride = 0;
    const Tensor pair(Value::view(call.in_ref(1), shape, strides, 0));
    return broadcast_shape(call.name(), pair, call.tensor(0), call.where());
  }
};
CHAINRULE_EARLY const Choose the_where;

// --- clamp ---

// As the elements of x have them; of i64 also as integers, since from 2^53 on doubles leave some
// out.
struct Bounds {
  double low = 0, high = 0;
  std::int64_t integer_low = 0, integer_high = 0;

  template <class T>
  static Bounds of(T low, T high) noexcept {
    Bounds bounds{static_cast<double>(low), static_cast<double>(high)};
    if constexpr (std::is_integral_v<T>) {
      bounds.integer_low = low;
      bounds.integer_high = high;
    }
    return bounds;
  }
  template <class T>
  std::pair<T, T> as() const noexcept {
    if constexpr (std::is_integral_v<T>)
      return {integer_low, integer_high};
    else
      return {static_cast<T>(low), static_cast<T>(high)};
  }
};

template <class F>
void visit_number(DType dtype, F f) {
  if (dtype == i64)
    f(std::int64_t{});
  else
    visit_floating(dtype, f);
}

class Clamp final : public Op {
 public:
  Clamp() : Op("clamp") {}
  std::string written(const Node& node) const override {
    const auto& bounds = node.parameters<Bounds>();
    const auto text = [](double bound) {
      const std::string digits = std::isinf(bound) ? "∞" : fmt::format("{:.6g}", std::abs(bound));
      return (bound < 0 ? "−" : "") + digits;
    };
    return fmt::format("clip({{0}}, {}, {})", text(bounds.low), text(bounds.high));
  }
  EigenForm eigen(const Parameters& parameters) const override {
    const auto& bounds = parameters.as<Bounds>();
    const std::string low = eigen_number(bounds.low), high = eigen_number(bounds.high);
    return EigenForm::member(fmt::format("max({}).min({})", low, high),
                             fmt::format("std::min(std::max({{0}}, {}), {})", low, high));
  }

  Tensor operator()(const Tensor& x, const Operand& low, const Operand& high,
                    const Where& where) const {
    const DType dtype = x.value(where, name(), "operand x").dtype();
    check_dtype(name(), x, true, where);
    const Tensor least = low.as_tensor(name(), dtype, &x), most = high.as_tensor(name(), dtype, &x);
    Bounds bounds;
    visit_number(dtype, [&](auto zero) {
      using T = decltype(zero);
      const T from = *least.value_ref()->template data<T>(),
              to = *most.value_ref()->template data<T>();
      if (!(from <= to))
        throw ValueError(fmt::format("clamp: the bounds {} and {} for {} are in the wrong order",
                                     from, to, describe(x)),
                         where, "clamp(x, low, high): the lower bound first, and none NaN");
      bounds = Bounds::of(from, to);
    });
    return apply(*this, {&x}, bounds, where);
  }

  void infer(Inference& call) const override {
    const Value& x = call.in(0);
    check_dtype(name(), call.tensor(0), true, call.where());
    const auto& [low, high, integer_low, integer_high] = call.parameters<Bounds>();
    if (x.dtype() == i64 &&
        (static_cast<double>(integer_low) != low || static_cast<double>(integer_high) != high))
      throw DTypeError(fmt::format("clamp: the bounds {} and {} are of floating numbers, but {} "
                                   "holds i64",
                                   low, high, describe(call.tensor(0))),
                       call.where(), "convert the tensor first: to(x, f32)");
    call.output_like(x.dtype(), x);
  }
  void evaluate(Evaluation& call) const override {
    visit_number(call.out().dtype(), [&](auto zero) {
      using T = decltype(zero);
      const auto [low, high] = call.parameters<Bounds>().as<T>();
      kernels::map<T, T>(call.out(), call.in(0), [from = low, to = high](T e) {
        const T raised = e < from ? from : e;
        return raised > to ? to : raised;
      });
    });
  }
  Node::SavedMask reads(const Call&) const override { return input(0); }

  void vjp(Vjp& r) const override {
    if (r.needs(0)) r.give(0, where(inside(r), r.g(), 0));
  }
  Tensor jvp(Jvp& r) const override { return where(inside(r), r.tangent(0), 0); }

  std::vector<Sample> samples() const override {
    const Tensor x = tensor({{0.7, -1.3, 2.1}, {-0.4, 1.9, 0.6}}, f64);
    const auto apply = [](Inputs in) { return clamp(in[0], -0.5, 1.5); };
    return {{"both bounds", {x}, apply},
            {"from below",
             {x},
             [](Inputs in) { return clamp(in[0], 0, std::numeric_limits<double>::infinity()); }},
            {"scalar", {tensor(0.3, f64)}, apply},
            {"integers", {tensor({-7, 0, 7})}, [](Inputs in) { return clamp(in[0], -1, 2); }},
            {"empty", {zeros({2, 0}, f64)}, apply}};
  }

 private:
  static Tensor inside(const Application& r) {
    const Tensor x = r.in(0);
    const auto& bounds = r.parameters<Bounds>();
    if (detail::mode.observer)  // in operations that a formula can show
      return logical_and(x >= bounds.low, x <= bounds.high);
    const Value& in = *x.value_ref();
    Ref<Value> out = Value::make_like(boolean, in);
    visit_floating(in.dtype(), [&](auto zero) {
      using T = decltype(zero);
      const auto [low, high] = bounds.as<T>();
      kernels::map<bool, T>(*out, in,
                            [from = low, to = high](T e) { return (e >= from) & (e <= to); });
    });
    return Tensor(std::move(out));
  }
};
CHAINRULE_EARLY const Clamp the_clamp;

}  // namespace

Tensor maximum(const Operand& a, const Operand& b, Where where) { return the_maximum(a, b, where); }
Tensor minimum(const Operand& a, const Operand& b, Where where) { return the_minimum(a, b, where); }

Tensor where(const Tensor& condition, const Operand& a, const Operand& b, Where where) {
  return with_tensors(the_where.name(), a, b, f32, where, [&](const Tensor& x, const Tensor& y) {
    return apply(the_where, {&condition, &x, &y}, {}, where);
  });
}

namespace detail {

Tensor clamp(const Tensor& x, const Operand& low, const Operand& high, const Where& where) {
  return the_clamp(x, low, high, where);
}

}  // namespace detail
}  // namespace chainrule
