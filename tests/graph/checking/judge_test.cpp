// Formulas that agree with one of the two oracles, where autograd and differences do not agree with
// each other: ops whose own rule is wrong, or is meant to be another than the derivative.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cmath>
#include <string>

#include <chainrule/core/create.hpp>
#include <chainrule/core/random.hpp>
#include <chainrule/graph/checking/check_derivation.hpp>
#include <chainrule/ops/define.hpp>
#include <chainrule/ops/elementwise/activations.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/elementwise/convert.hpp>
#include <chainrule/ops/elementwise/functions.hpp>
#include <chainrule/ops/elementwise/select.hpp>
#include <chainrule/ops/linalg/matmul.hpp>
#include <chainrule/ops/reduce/reduction.hpp>

using namespace chainrule;

TEST_SUITE_BEGIN("graph");

namespace {

// x·eˣ, with a rule that is wrong by a factor of x to some power, times another one.
struct Wrong final : UnaryOp<Wrong> {
  double factor, power;
  explicit Wrong(double times, double to_the = 0)
      : UnaryOp("wrong"), factor(times), power(to_the) {}
  static constexpr bool integers = false;
  static constexpr Node::SavedMask saved = Node::input(0);
  template <class T>
  static T value(T x) {
    return x * std::exp(x);
  }
  static Tensor slope(const Application& r, const Tensor& g);
  std::vector<Sample> samples() const override { return {}; }
};
const Wrong* wrong = nullptr;  // the only one of its name

Tensor Wrong::slope(const Application& r, const Tensor& g) {
  const Tensor& x = r.in(0);
  Tensor product = g * exp(x) * (1.0 + x) * wrong->factor;
  for (int k = 0; k < wrong->power; ++k) product = product * x;
  return product;
}

struct Scope {
  Wrong op;
  explicit Scope(double factor, double power = 0) : op(factor, power) { wrong = &op; }
  ~Scope() { wrong = nullptr; }
  Tensor operator()(const Tensor& x, Where where = Where::current()) const { return op(x, where); }
};

Tensor slope_of(const Tensor& x) { return exp(x) * (1.0 + x); }

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

// As it is said of an operation of line `line`.
std::string blamed(const char* op, std::uint_least32_t line) {
  return fmt::format("the rule of {} at {}:{} disagrees with differences", op,
                     Where::current().file_name(), line);
}

}  // namespace

TEST_CASE("check_derivation: a formula that agrees with differences alone is not wrong") {
  for (const double factor : {1.001, 2.0, -1.0, 0.0}) {
    CAPTURE(factor);
    const Scope f(factor);
    const Tensor x = tensor({0.3, -0.4, 0.8}, f64).named("x").requires_grad_();
    const Tensor loss = sum(f(x));
    const auto line = Where::current().line() - 1;
    for (const Tensor& right : {slope_of(x), slope_of(x).detach()}) {
      const DerivationReport report = check_derivation(loss, {{"dx", x, right}});
      const FormulaVerdict& v = report.verdicts()[0];
      CAPTURE(v.note);
      CHECK(v.ok);
      CHECK_FALSE(v.autograd_ok);
      CHECK(v.diagnosis.empty());
      CHECK(report.first_wrong() == nullptr);
      CHECK(has(report.text(), "\n?  dx"));
      CHECK(v.note.starts_with("differences agree with the formula, and not with autograd"));
      CHECK(has(v.note, blamed("wrong", line)));
    }
    // The other way round, and what agrees with neither.
    const DerivationReport as_autograd = check_derivation(loss, {{"dx", x, factor * slope_of(x)}});
    CHECK(as_autograd.verdicts()[0].ok);
    CHECK_FALSE(as_autograd.verdicts()[0].autograd_ok);
    CHECK(has(as_autograd.verdicts()[0].note, blamed("wrong", line)));
    CHECK_FALSE(check_derivation(loss, {{"dx", x, slope_of(x) + 1e-3}}).verdicts()[0].ok);
    CHECK_FALSE(check_derivation(loss, {{"dx", x, exp(x) * (3.0 + x)}}).verdicts()[0].ok);
  }
}

TEST_CASE("check_derivation: behind an op with a wrong rule, mistakes of a person stay mistakes") {
  const Scope f(2);
  const Tensor x = tensor({{0.5}, {-1.0}}, f64).named("x");
  const Tensor w = tensor({{0.3, -0.4}, {0.8, 0.1}}, f64).named("W").requires_grad_();
  const Tensor z = matmul(w, x).named("z"), h = f(z).named("h");
  const Tensor loss = sum(square(h));
  const Tensor dh = 2.0 * h, dz = dh * slope_of(z);
  const auto check = [&](const Tensor& dw) {
    return check_derivation(loss, {{"dh", h, dh}, {"dz", z, dz}, {"dW", w, dw}});
  };
  const DerivationReport right = check(matmul(dz, x.T()));
  CHECK(right.first_wrong() == nullptr);
  CHECK(right.verdicts()[0].autograd_ok);
  CHECK_FALSE(right.verdicts()[1].autograd_ok);
  CHECK_FALSE(right.verdicts()[2].autograd_ok);
  const DerivationReport mistaken = check(-matmul(dz, x.T()));
  REQUIRE(mistaken.first_wrong() != nullptr);
  CHECK(mistaken.first_wrong()->name == "dW");
  CHECK(has(mistaken.first_wrong()->diagnosis, "sign"));
}

TEST_CASE("check_derivation: in f32, too") {
  const Scope f(1.5);
  const Tensor x = tensor({0.3F, -0.4F, 0.8F}).named("x").requires_grad_();
  const Tensor loss = sum(f(x));
  CHECK(check_derivation(loss, {{"dx", x, slope_of(x)}}).verdicts()[0].ok);
  CHECK_FALSE(check_derivation(loss, {{"dx", x, 1.1F * slope_of(x)}}).verdicts()[0].ok);
}

TEST_CASE("check_derivation: a rule that is right at the recorded values alone") {
  const Scope f(1, 1);  // a factor of x, which is 1
  const Tensor x = ones({3}, f64).named("x").requires_grad_();
  const Tensor loss = sum(f(x));
  const auto line = Where::current().line() - 1;
  const FormulaVerdict v = check_derivation(loss, {{"dx", x, slope_of(x)}}).verdicts()[0];
  CAPTURE(v.note);
  CHECK(v.ok);
  CHECK_FALSE(v.autograd_ok);
  CHECK(has(v.note, "where the parameters have other values"));
  CHECK(has(v.note, blamed("wrong", line)));
  // Right by chance, by both.
  CHECK_FALSE(check_derivation(loss, {{"dx", x, slope_of(x) * x * x}}).verdicts()[0].ok);
}

namespace {

// Rounds, with the gradient of the identity.
struct StraightThrough final : UnaryOp<StraightThrough> {
  StraightThrough() : UnaryOp("straight_through") {}
  static constexpr bool integers = false;
  static constexpr Node::SavedMask saved = 0;
  template <class T>
  static T value(T x) {
    return std::nearbyint(x);
  }
  static Tensor slope(const Application&, const Tensor& g) { return g; }
  std::vector<Sample> samples() const override { return {}; }
};

}  // namespace

TEST_CASE("check_derivation: of a straight-through gradient both derivatives are right") {
  const StraightThrough quantize;
  const Tensor x = tensor({0.3, 1.2, -0.8}, f64).named("x").requires_grad_();
  const Tensor c = tensor({1.0, 2.0, 3.0}, f64).named("c");
  const Tensor loss = sum(c * quantize(x, Where::current()));
  const auto ok = [&](const Tensor& formula) {
    return check_derivation(loss, {{"dx", x, formula}}).verdicts()[0].ok;
  };
  CHECK(ok(c));
  CHECK(ok(zeros({3}, f64)));
  CHECK_FALSE(ok(2.0 * c));
  CHECK_FALSE(ok(ones({3}, f64)));
}

TEST_CASE("check_derivation: at a kink a formula may give what is between its sides, and no more") {
  const Tensor x = tensor({0.0, 0.5, -0.3}, f64).named("x").requires_grad_();
  const Tensor c = tensor({1.5, -2.0, 0.7}, f64).named("c");
  const Tensor loss = sum(relu(x) * c);
  for (const double slope : {-3.0, -1.0, -0.1, 0.0, 0.5, 1.0, 1.1, 2.0, 3.0}) {
    CAPTURE(slope);
    const DerivationReport report =
        check_derivation(loss, {{"dx", x, c * tensor({slope, 1.0, 0.0}, f64)}});
    CHECK(report.ok() == (slope >= 0 && slope <= 1));
  }
}

TEST_CASE("check_derivation: a wrong sign behind a mask is found where all gradients are 0") {
  const auto data = [](const Shape& shape, std::uint64_t seed) {
    Generator generator(seed);
    return randn(shape, generator, f64);
  };
  for (const double size : {0.0, 1e-6, 1.0}) {
    CAPTURE(size);
    const Tensor w = (data({3, 2}, 3) * size).detach().named("W").requires_grad_();
    const Tensor a = matmul(data({6, 3}, 1), w).named("a"),
                 p = matmul(data({6, 3}, 2), w).named("p");
    const Tensor h = (sum(square(a - p), 1, true) + 0.7).named("h");
    const Tensor loss = mean(relu(h));
    const Tensor k = to(h > 0.0, f64) / 6.0;
    CHECK(check_derivation(loss, {{"dp", p, 2.0 * k * (p - a)}}).ok());
    CHECK_FALSE(check_derivation(loss, {{"dp", p, 2.0 * k * (a - p)}}).ok());
  }
}

namespace {

// sin x of f64 with the digits of f32, as f64 or as f32; or with a rule that has no more.
struct Coarse final : Op {
  DType made;
  bool value_rounds, rule_rounds;
  Coarse(const char* name, DType dtype, bool value, bool rule)
      : Op(name), made(dtype), value_rounds(value), rule_rounds(rule) {}
  void infer(Inference& call) const override { call.output_like(made, call.in(0)); }
  void evaluate(Evaluation& call) const override {
    const NoGrad guard;
    const Tensor exact = sin(call.tensor(0));
    const Tensor value = value_rounds ? to(exact, f32) : exact;
    kernels::copy(call.out(), *to(value, made).value_ref());
  }
  Node::SavedMask reads(const Call&) const override { return Node::input(0); }
  void vjp(Vjp& r) const override {
    const Tensor slope = cos(r.in(0));
    r.give(0, to(r.g(), f64) * (rule_rounds ? to(to(slope, f32), f64) : slope));
  }
  std::vector<Sample> samples() const override { return {}; }
};

}  // namespace

TEST_CASE("check_derivation: an own op that rounds to f32 within f64") {
  const Tensor x = tensor({0.3, -1.2, 0.77}, f64).named("x").requires_grad_();
  const Tensor c = tensor({0.5, 2.1, -0.3}, f64).named("c");
  const auto verdict = [&](const Coarse& op, double factor) {
    const Tensor y = apply(op, {&x}, {}, Where::current());
    const Tensor loss = sum(c * square(to(y, f64)));
    return check_derivation(loss, {{"dx", x, factor * c * sin(x) * cos(x)}}).verdicts()[0];
  };
  // The dtype of the result says it, or the rule's does.
  for (const Coarse& op :
       {Coarse("made_in_f32", f32, true, false), Coarse("rule_in_f32", f64, false, true)}) {
    const FormulaVerdict right = verdict(op, 2);
    CAPTURE(std::string(op.name()));
    CAPTURE(right.note);
    CHECK(right.ok);
    CHECK(right.autograd_ok);
    CHECK_FALSE(verdict(op, 2.02).ok);
  }
  // Nothing says it: the row does.
  const Coarse op("hides_f32", f64, true, false);
  const Tensor y = apply(op, {&x}, {}, Where::current());
  const FormulaVerdict hidden =
      check_derivation(sum(c * square(y)), {{"dx", x, 2.0 * c * y * cos(x)}}).verdicts()[0];
  CAPTURE(hidden.note);
  CHECK(hidden.ok);
  CHECK_FALSE(hidden.autograd_ok);
  CHECK(has(hidden.note, "hides_f32 at "));
  CHECK(has(hidden.note, "rounds to f32, and differences in f64 do not see its slope"));
  CHECK_FALSE(has(hidden.note, "the rule of"));
}

TEST_SUITE_END();
