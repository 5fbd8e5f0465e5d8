#include <fmt/format.h>

#include <array>
#include <cmath>
#include <limits>

#include <chainrule/core/create.hpp>
#include <chainrule/ops/define.hpp>
#include <chainrule/ops/elementwise/select.hpp>

namespace chainrule {

namespace {

using Inputs = std::span<const Tensor>;

void check_boolean(const char* op, const Tensor& x, const Where& where) {
  if (x.value(where).dtype() != boolean)
    throw DTypeError(
        fmt::format("{}: {} holds {}, but boolean is needed", op, describe(x), name_of(x.dtype())),
        where, "compare first, as in x != 0");
}

Tensor truths() { return tensor({{true, false}, {true, true}}); }

// An elementwise op of two operands of one dtype with a boolean result: F::holds(x, y).
template <class F>
class Relation final : public Op {
 public:
  Relation(const char* name, const char* notation, Tensor (*apply)(Inputs))
      : Op(name, notation), apply_(apply) {}
  bool differentiable() const noexcept override { return false; }

  Tensor operator()(const Operand& a, const Operand& b, const Where& where) const {
    if (!a.is_number() && !b.is_number()) return compare(a.tensor(), b.tensor(), where);
    if (!a.is_number())
      return compare(a.tensor(), b.as_tensor(name(), a.tensor().dtype(where)), where);
    if (!b.is_number())
      return compare(a.as_tensor(name(), b.tensor().dtype(where)), b.tensor(), where);
    return compare(a.as_tensor(name(), f64), b.as_tensor(name(), f64), where);
  }

  Tensor replay(const Node& node, std::span<const Tensor> inputs) const override {
    return compare(inputs[0], inputs[1], node.where());
  }
  std::vector<Sample> samples() const override {
    if constexpr (F::booleans)
      return {{"same shape", {truths(), tensor({{false, false}, {true, false}})}, apply_},
              {"row", {truths(), tensor({false, true})}, apply_},
              {"empty", {zeros({0, 2}, boolean), tensor(true)}, apply_}};
    const Tensor a = tensor({{0.7, -1.3, 2.1}, {-0.4, 1.9, 0.6}}, f64);
    const Tensor b = tensor({{0.7, 0.8, -1.7}, {2.3, 1.9, 0.5}}, f64);
    const Tensor row = tensor({0.7, -1.5, 2.2}, f64), column = tensor({{0.7}, {1.9}}, f64);
    return {{"same shape", {a, b}, apply_},
            {"row", {a, row}, apply_},
            {"column first", {column, b}, apply_},
            {"row and column", {row, column}, apply_},
            {"scalar", {a, tensor(0.6, f64)}, apply_},
            {"integers", {tensor({3, -1, 0}), tensor({3, 0, -1})}, apply_},
            {"booleans", {tensor({true, false}), tensor({{true}, {false}})}, apply_},
            {"empty", {zeros({0, 3}, f64), row}, apply_}};
  }

 private:
  Tensor compare(const Tensor& a, const Tensor& b, const Where& where) const {
    const Value &x = a.value(where), &y = b.value(where);
    if constexpr (F::booleans) {
      check_boolean(name(), a, where);
      check_boolean(name(), b, where);
    } else if (x.dtype() != y.dtype()) {
      detail::throw_dtypes(name(), a, b, where);
    }
    Ref<Value> out = make_broadcast(name(), boolean, a, b, where);
    const auto run = [&](auto zero) {
      using T = decltype(zero);
      kernels::map<bool, T, T>(*out, x, y, [](T p, T q) { return F::holds(p, q); });
    };
    if constexpr (F::booleans)
      run(bool{});
    else
      visit(x.dtype(), run);
    if (detail::mode.observer) detail::observe(*this, out, std::array{&a, &b}, {}, where);
    return Tensor(std::move(out));
  }

  Tensor (*apply_)(Inputs);
};

struct Numeric {
  static constexpr bool booleans = false;
};
struct Boolean {
  static constexpr bool booleans = true;
};
struct Equal : Numeric {
  static bool holds(auto x, auto y) { return x == y; }
};
struct Unequal : Numeric {
  static bool holds(auto x, auto y) { return x != y; }
};
struct Less : Numeric {
  static bool holds(auto x, auto y) { return x < y; }
};
struct LessEqual : Numeric {
  static bool holds(auto x, auto y) { return x <= y; }
};
struct Greater : Numeric {
  static bool holds(auto x, auto y) { return x > y; }
};
struct GreaterEqual : Numeric {
  static bool holds(auto x, auto y) { return x >= y; }
};
// Both operands are looked at: that vectorises.
struct And : Boolean {
  static bool holds(bool x, bool y) { return x & y; }
};
struct Or : Boolean {
  static bool holds(bool x, bool y) { return x | y; }
};

const Relation<Equal> the_eq("eq", "{0} = {1}", [](Inputs in) { return in[0] == in[1]; });
const Relation<Unequal> the_ne("ne", "{0} ≠ {1}", [](Inputs in) { return in[0] != in[1]; });
const Relation<Less> the_lt("lt", "{0} < {1}", [](Inputs in) { return in[0] < in[1]; });
const Relation<LessEqual> the_le("le", "{0} ≤ {1}", [](Inputs in) { return in[0] <= in[1]; });
const Relation<Greater> the_gt("gt", "{0} > {1}", [](Inputs in) { return in[0] > in[1]; });
const Relation<GreaterEqual> the_ge("ge", "{0} ≥ {1}", [](Inputs in) { return in[0] >= in[1]; });
const Relation<And> the_and("logical_and", "{0} ∧ {1}",
                            [](Inputs in) { return logical_and(in[0], in[1]); });
const Relation<Or> the_or("logical_or", "{0} ∨ {1}",
                          [](Inputs in) { return logical_or(in[0], in[1]); });

// An elementwise op of one operand with a boolean result: F::holds(x).
template <class F>
class Property final : public Op {
 public:
  Property(const char* name, const char* notation, Tensor (*apply)(Inputs))
      : Op(name, notation), apply_(apply) {}
  bool differentiable() const noexcept override { return false; }

  Tensor operator()(const Tensor& x, const Where& where) const {
    const Value& in = x.value(where);
    if constexpr (F::booleans) check_boolean(name(), x, where);
    Ref<Value> out = make_result_like(name(), boolean, in, where);
    visit(in.dtype(), [&](auto zero) {
      using T = decltype(zero);
      kernels::map<bool, T>(*out, in, [](T e) { return F::holds(e); });
    });
    return Tensor(std::move(out));
  }
  std::vector<Sample> samples() const override {
    if constexpr (F::booleans)
      return {{"matrix", {truths()}, apply_}, {"empty", {zeros({2, 0}, boolean)}, apply_}};
    constexpr double infinity = std::numeric_limits<double>::infinity();
    constexpr double nan = std::numeric_limits<double>::quiet_NaN();
    return {{"matrix", {tensor({{0.7, -infinity, 0.0}, {nan, infinity, -1e30}}, f64)}, apply_},
            {"integers", {tensor({0, -7})}, apply_},
            {"booleans", {truths()}, apply_},
            {"empty", {zeros({2, 0}, f64)}, apply_}};
  }

 private:
  Tensor (*apply_)(Inputs);
};

struct Not : Boolean {
  static bool holds(auto x) { return !x; }
};
struct IsNan : Numeric {
  static bool holds(auto x) { return x != x; }
};
struct IsInf : Numeric {
  template <class T>
  static bool holds(T x) {
    if constexpr (std::is_floating_point_v<T>)
      return std::abs(x) == std::numeric_limits<T>::infinity();
    else
      return false;
  }
};
struct IsFinite : Numeric {
  template <class T>
  static bool holds(T x) {
    if constexpr (std::is_floating_point_v<T>)
      return std::abs(x) <= std::numeric_limits<T>::max();
    else
      return true;
  }
};

const Property<Not> the_not("logical_not", "¬{0}", [](Inputs in) { return logical_not(in[0]); });
const Property<IsNan> the_isnan("isnan", "", [](Inputs in) { return isnan(in[0]); });
const Property<IsInf> the_isinf("isinf", "", [](Inputs in) { return isinf(in[0]); });
const Property<IsFinite> the_isfinite("isfinite", "", [](Inputs in) { return isfinite(in[0]); });

}  // namespace

Tensor operator==(const Operand& a, const Operand& b) { return the_eq(a, b, a.where()); }
Tensor operator!=(const Operand& a, const Operand& b) { return the_ne(a, b, a.where()); }
Tensor operator<(const Operand& a, const Operand& b) { return the_lt(a, b, a.where()); }
Tensor operator<=(const Operand& a, const Operand& b) { return the_le(a, b, a.where()); }
Tensor operator>(const Operand& a, const Operand& b) { return the_gt(a, b, a.where()); }
Tensor operator>=(const Operand& a, const Operand& b) { return the_ge(a, b, a.where()); }

Tensor eq(const Operand& a, const Operand& b, Where where) { return the_eq(a, b, where); }
Tensor ne(const Operand& a, const Operand& b, Where where) { return the_ne(a, b, where); }
Tensor lt(const Operand& a, const Operand& b, Where where) { return the_lt(a, b, where); }
Tensor le(const Operand& a, const Operand& b, Where where) { return the_le(a, b, where); }
Tensor gt(const Operand& a, const Operand& b, Where where) { return the_gt(a, b, where); }
Tensor ge(const Operand& a, const Operand& b, Where where) { return the_ge(a, b, where); }

Tensor logical_and(const Tensor& a, const Tensor& b, Where where) { return the_and(a, b, where); }
Tensor logical_or(const Tensor& a, const Tensor& b, Where where) { return the_or(a, b, where); }
Tensor logical_not(const Tensor& a, Where where) { return the_not(a, where); }
Tensor isnan(const Tensor& x, Where where) { return the_isnan(x, where); }
Tensor isinf(const Tensor& x, Where where) { return the_isinf(x, where); }
Tensor isfinite(const Tensor& x, Where where) { return the_isfinite(x, where); }

}  // namespace chainrule
