#include <fmt/format.h>

#include <cmath>
#include <limits>

#include <chainrule/core/create.hpp>
#include <chainrule/ops/define.hpp>
#include <chainrule/ops/elementwise/select.hpp>

namespace chainrule {

namespace {

using Inputs = std::span<const Tensor>;

Tensor truths() { return tensor({{true, false}, {true, true}}); }

// What a predicate is of: how many operands, of one dtype, or of booleans alone.
template <std::size_t n>
struct Of {
  static constexpr std::size_t operands = n;
  static constexpr bool booleans = false;
};
template <std::size_t n>
struct OfBooleans {
  static constexpr std::size_t operands = n;
  static constexpr bool booleans = true;
};

// In emitted code: a comparison by its sign, and the sign for exchanged operands.
EigenForm comparison(const char* sign, const char* reversed) {
  return {.kind = EigenForm::Kind::comparison, .array = sign, .scalar = reversed};
}
EigenForm of_masks(const char* code) {
  return {.kind = EigenForm::Kind::mask, .array = code, .scalar = code};
}

// An elementwise op with a boolean result: F::holds(x) or F::holds(x, y).
template <class F>
class Predicate final : public Op {
 public:
  Predicate(const char* name, const char* notation, Tensor (*apply)(Inputs))
      : Op(name, notation), apply_(apply) {}
  bool differentiable() const noexcept override { return false; }
  Role role(const Parameters&) const override {
    const bool compares = F::operands == 2 && !F::booleans;
    return compares ? Role::Kind::comparison : Role::Kind::other;
  }
  EigenForm eigen(const Parameters&) const override { return F::eigen(); }

  Tensor operator()(const Tensor& x, const Where& where) const {
    return apply(*this, {&x}, {}, where);
  }
  Tensor operator()(const Operand& a, const Operand& b, const Where& where) const {
    return with_tensors(name(), a, b, f64, where, [&](const Tensor& x, const Tensor& y) {
      return apply(*this, {&x, &y}, {}, where);
    });
  }

  void infer(Inference& call) const override {
    if constexpr (F::booleans) {
      for (std::size_t i = 0; i < F::operands; ++i) check_boolean(call, i);
    } else if constexpr (F::operands == 2) {
      if (call.in(0).dtype() != call.in(1).dtype())
        detail::throw_dtypes(name(), call.tensor(0), call.tensor(1), call.where());
    }
    if constexpr (F::operands == 2)
      infer_broadcast(call, boolean);
    else
      call.output_like(boolean, call.in(0));
  }
  void evaluate(Evaluation& call) const override {
    const auto run = [&](auto zero) {
      using T = decltype(zero);
      if constexpr (F::operands == 2)
        kernels::map<bool, T, T>(call.out(), call.in(0), call.in(1),
                                 [](T p, T q) { return F::holds(p, q); });
      else
        kernels::map<bool, T>(call.out(), call.in(0), [](T e) { return F::holds(e); });
    };
    if constexpr (F::booleans)
      run(bool{});
    else
      visit(call.in(0).dtype(), run);
  }

  std::vector<Sample> samples() const override;

 private:
  static void check_boolean(const Call& call, std::size_t i) {
    const DType dtype = call.in(i).dtype();
    if (dtype != boolean)
      throw DTypeError(fmt::format("{}: {} holds {}, but boolean is needed", call.name(),
                                   describe(call.tensor(i)), name_of(dtype)),
                       call.where(), "compare first, as in x != 0");
  }

  Tensor (*apply_)(Inputs);
};

template <class F>
std::vector<Sample> Predicate<F>::samples() const {
  if constexpr (F::booleans && F::operands == 1)
    return {{"matrix", {truths()}, apply_}, {"empty", {zeros({2, 0}, boolean)}, apply_}};
  if constexpr (F::booleans)
    return {{"same shape", {truths(), tensor({{false, false}, {true, false}})}, apply_},
            {"row", {truths(), tensor({false, true})}, apply_},
            {"empty", {zeros({0, 2}, boolean), tensor(true)}, apply_}};
  if constexpr (F::operands == 1) {
    constexpr double infinity = std::numeric_limits<double>::infinity();
    constexpr double nan = std::numeric_limits<double>::quiet_NaN();
    return {{"matrix", {tensor({{0.7, -infinity, 0.0}, {nan, infinity, -1e30}}, f64)}, apply_},
            {"integers", {tensor({0, -7})}, apply_},
            {"booleans", {truths()}, apply_},
            {"empty", {zeros({2, 0}, f64)}, apply_}};
  }
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

struct Equal : Of<2> {
  static EigenForm eigen() { return comparison("==", "=="); }
  static bool holds(auto x, auto y) { return x == y; }
};
struct Unequal : Of<2> {
  static EigenForm eigen() { return comparison("!=", "!="); }
  static bool holds(auto x, auto y) { return x != y; }
};
struct Less : Of<2> {
  static EigenForm eigen() { return comparison("<", ">"); }
  static bool holds(auto x, auto y) { return x < y; }
};
struct LessEqual : Of<2> {
  static EigenForm eigen() { return comparison("<=", ">="); }
  static bool holds(auto x, auto y) { return x <= y; }
};
struct Greater : Of<2> {
  static EigenForm eigen() { return comparison(">", "<"); }
  static bool holds(auto x, auto y) { return x > y; }
};
struct GreaterEqual : Of<2> {
  static EigenForm eigen() { return comparison(">=", "<="); }
  static bool holds(auto x, auto y) { return x >= y; }
};
// Both operands are looked at: that vectorises.
struct And : OfBooleans<2> {
  static EigenForm eigen() { return of_masks("({0} && {1})"); }
  static bool holds(bool x, bool y) { return x & y; }
};
struct Or : OfBooleans<2> {
  static EigenForm eigen() { return of_masks("({0} || {1})"); }
  static bool holds(bool x, bool y) { return x | y; }
};

CHAINRULE_EARLY const Predicate<Equal> the_eq("eq", "{0} = {1}",
                                              [](Inputs in) { return in[0] == in[1]; });
CHAINRULE_EARLY const Predicate<Unequal> the_ne("ne", "{0} ≠ {1}",
                                                [](Inputs in) { return in[0] != in[1]; });
CHAINRULE_EARLY const Predicate<Less> the_lt("lt", "{0} < {1}",
                                             [](Inputs in) { return in[0] < in[1]; });
CHAINRULE_EARLY const Predicate<LessEqual> the_le("le", "{0} ≤ {1}",
                                                  [](Inputs in) { return in[0] <= in[1]; });
CHAINRULE_EARLY const Predicate<Greater> the_gt("gt", "{0} > {1}",
                                                [](Inputs in) { return in[0] > in[1]; });
CHAINRULE_EARLY const Predicate<GreaterEqual> the_ge("ge", "{0} ≥ {1}",
                                                     [](Inputs in) { return in[0] >= in[1]; });
CHAINRULE_EARLY const Predicate<And> the_and("logical_and", "{0} ∧ {1}",
                                             [](Inputs in) { return logical_and(in[0], in[1]); });
CHAINRULE_EARLY const Predicate<Or> the_or("logical_or", "{0} ∨ {1}",
                                           [](Inputs in) { return logical_or(in[0], in[1]); });

struct Not : OfBooleans<1> {
  static EigenForm eigen() { return of_masks("!{0}"); }
  static bool holds(auto x) { return !x; }
};
struct IsNan : Of<1> {
  static EigenForm eigen() { return EigenForm::member("isNaN()", "std::isnan({0})"); }
  static bool holds(auto x) { return x != x; }
};
struct IsInf : Of<1> {
  static EigenForm eigen() { return EigenForm::member("isInf()", "std::isinf({0})"); }
  template <class T>
  static bool holds(T x) {
    if constexpr (std::is_floating_point_v<T>)
      return std::abs(x) == std::numeric_limits<T>::infinity();
    else
      return false;
  }
};
struct IsFinite : Of<1> {
  static EigenForm eigen() { return EigenForm::member("isFinite()", "std::isfinite({0})"); }
  template <class T>
  static bool holds(T x) {
    if constexpr (std::is_floating_point_v<T>)
      return std::abs(x) <= std::numeric_limits<T>::max();
    else
      return true;
  }
};

CHAINRULE_EARLY const Predicate<Not> the_not("logical_not", "¬{0}",
                                             [](Inputs in) { return logical_not(in[0]); });
CHAINRULE_EARLY const Predicate<IsNan> the_isnan("isnan", "",
                                                 [](Inputs in) { return isnan(in[0]); });
CHAINRULE_EARLY const Predicate<IsInf> the_isinf("isinf", "",
                                                 [](Inputs in) { return isinf(in[0]); });
CHAINRULE_EARLY const Predicate<IsFinite> the_isfinite("isfinite", "",
                                                       [](Inputs in) { return isfinite(in[0]); });

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
