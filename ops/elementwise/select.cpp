#include <chainrule/ops/elementwise/select.hpp>

#include <fmt/format.h>

#include <limits>
#include <type_traits>

#include <chainrule/ops/define.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/elementwise/convert.hpp>

namespace chainrule {

namespace {

using detail::input;
using detail::output;
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
struct Extremum final : BinaryOp<Extremum<Better>> {
  Extremum() : BinaryOp<Extremum>(Better::name) {}
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
  static bool better(auto x, auto y) { return x > y; }
  static Tensor is_better(const Tensor& a, const Tensor& b) { return a > b; }
  static Tensor apply(Inputs in) { return maximum(in[0], in[1]); }
};
struct Smaller {
  static constexpr const char* name = "minimum";
  static bool better(auto x, auto y) { return x < y; }
  static Tensor is_better(const Tensor& a, const Tensor& b) { return a < b; }
  static Tensor apply(Inputs in) { return minimum(in[0], in[1]); }
};
const Extremum<Larger> the_maximum;
const Extremum<Smaller> the_minimum;

// --- where ---

// Both operands are read whichever is taken, and booleans as bytes: that vectorises. A step is 0 or
// 1.
using Byte = unsigned char;

template <int P, int Q, class T>
void choose_run(T* __restrict to, const Byte* __restrict take, const T* __restrict x,
                const T* __restrict y, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) {
    const T p = x[P * i], q = y[Q * i];
    to[i] = take[i] != 0 ? p : q;
  }
}

template <class T>
void choose(Value& out, const Value& condition, const Value& a, const Value& b) {
  const kernels::Space<3> space(out, {&condition, &a, &b});
  const std::int64_t r = space.inner_stride(0), p = space.inner_stride(1),
                     q = space.inner_stride(2);
  space.for_each_row([&](std::int64_t n, std::int64_t position, const auto& offset) {
    const Byte* take = condition.data<Byte>() + offset[0];
    const T *x = a.data<T>() + offset[1], *y = b.data<T>() + offset[2];
    T* to = out.data<T>() + position;
    if (r == 1 && p == 1 && q == 1)
      choose_run<1, 1>(to, take, x, y, n);
    else if (r == 1 && p == 1 && q == 0)
      choose_run<1, 0>(to, take, x, y, n);
    else if (r == 1 && p == 0 && q == 1)
      choose_run<0, 1>(to, take, x, y, n);
    else
      for (std::int64_t i = 0; i < n; ++i) to[i] = take[i * r] ? x[i * p] : y[i * q];
  });
}

class Choose final : public Op {
 public:
  Choose() : Op("where", "where({0}, {1}, {2})") {}

  Tensor operator()(const Tensor& condition, const Tensor& a, const Tensor& b,
                    const Where& where) const {
    const Value &c = condition.value(where), &x = a.value(where), &y = b.value(where);
    if (c.dtype() != boolean)
      throw DTypeError(fmt::format("where: the condition {} holds {}, but boolean is needed",
                                   describe(condition), name_of(c.dtype())),
                       where, "compare first, as in x != 0");
    if (x.dtype() != y.dtype()) detail::throw_dtypes(name(), a, b, where);
    Ref<Value> out = make_result(condition, a, b, where);
    visit(x.dtype(), [&](auto zero) {
      using T = decltype(zero);
      choose<std::conditional_t<std::is_same_v<T, bool>, Byte, T>>(*out, c, x, y);
    });
    return record(*this, std::move(out), {&condition, &a, &b}, input(0), where);
  }

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
  Tensor replay(const Node& node, std::span<const Tensor> inputs) const override {
    return (*this)(inputs[0], inputs[1], inputs[2], node.where());
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
  Ref<Value> make_result(const Tensor& condition, const Tensor& a, const Tensor& b,
                         const Where& where) const {
    const Value &c = *condition.value_ref(), &x = *a.value_ref(), &y = *b.value_ref();
    const auto fits = [&](const Value& v) {
      return v.same_shape(c) || (v.numel() == 1 && v.rank() <= c.rank());
    };
    if (fits(x) && fits(y)) return Value::make_like(x.dtype(), c);
    // Two at a time; errors name two.
    const Tensor pair(make_broadcast(name(), boolean, a, b, where));
    return make_broadcast(name(), x.dtype(), pair, condition, where);
  }
};
const Choose the_where;

// --- clamp ---

struct Bounds {
  double low, high;
};

class Clamp final : public Op {
 public:
  Clamp() : Op("clamp") {}

  Tensor operator()(const Tensor& x, const Operand& low, const Operand& high,
                    const Where& where) const {
    const Value& in = x.value(where);
    check_dtype(name(), x, true, where);
    const Tensor least = low.as_tensor(name(), in.dtype()),
                 most = high.as_tensor(name(), in.dtype());
    Ref<Value> out = make_result_like(name(), in.dtype(), in, where);
    Bounds bounds{};
    const auto run = [&](auto zero) {
      using T = decltype(zero);
      const T from = *least.value_ref()->template data<T>(),
              to = *most.value_ref()->template data<T>();
      if (!(from <= to))
        throw ValueError(fmt::format("clamp: the bounds {} and {} for {} are in the wrong order",
                                     from, to, describe(x)),
                         where);
      bounds = {static_cast<double>(from), static_cast<double>(to)};
      kernels::map<T, T>(*out, in, [from, to](T e) {
        const T raised = e < from ? from : e;
        return raised > to ? to : raised;
      });
    };
    if (in.dtype() == i64)
      run(std::int64_t{});
    else
      visit_floating(in.dtype(), run);
    return record(*this, std::move(out), {&x}, input(0), where, detail::bytes_of(bounds));
  }

  void vjp(Vjp& r) const override {
    if (r.needs(0)) r.give(0, where(inside(r), r.g(), 0));
  }
  Tensor jvp(Jvp& r) const override { return where(inside(r), r.tangent(0), 0); }

  Tensor replay(const Node& node, std::span<const Tensor> inputs) const override {
    const auto& bounds = node.parameters<Bounds>();
    return (*this)(inputs[0], bounds.low, bounds.high, node.where());
  }
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
    const auto [low, high] = r.parameters<Bounds>();
    if (detail::mode.observer)  // in operations that a formula can show
      return logical_and(x >= low, x <= high);
    const Value& in = *x.value_ref();
    Ref<Value> out = Value::make_like(boolean, in);
    visit_floating(in.dtype(), [&, from = low, to = high](auto zero) {
      using T = decltype(zero);
      kernels::map<bool, T>(*out, in, [f = static_cast<T>(from), t = static_cast<T>(to)](T e) {
        return (e >= f) & (e <= t);
      });
    });
    return Tensor(std::move(out));
  }
};
const Clamp the_clamp;

}  // namespace

Tensor maximum(const Operand& a, const Operand& b, Where where) { return the_maximum(a, b, where); }
Tensor minimum(const Operand& a, const Operand& b, Where where) { return the_minimum(a, b, where); }

Tensor where(const Tensor& condition, const Operand& a, const Operand& b, Where where) {
  if (!a.is_number() && !b.is_number()) return the_where(condition, a.tensor(), b.tensor(), where);
  const DType dtype = !a.is_number()   ? a.tensor().dtype(where)
                      : !b.is_number() ? b.tensor().dtype(where)
                                       : f32;
  return the_where(condition, a.is_number() ? a.as_tensor(the_where.name(), dtype) : a.tensor(),
                   b.is_number() ? b.as_tensor(the_where.name(), dtype) : b.tensor(), where);
}

namespace detail {

Tensor clamp(const Tensor& x, const Operand& low, const Operand& high, const Where& where) {
  return the_clamp(x, low, high, where);
}

}  // namespace detail
}  // namespace chainrule
