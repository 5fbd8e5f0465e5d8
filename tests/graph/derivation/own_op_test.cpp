// Ops of a program's own take part in formulas, their diagnosis and emitted code as the library's.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cmath>
#include <new>
#include <string>
#include <vector>

#include <chainrule/core/create.hpp>
#include <chainrule/graph/checking/check_derivation.hpp>
#include <chainrule/graph/derivation/derive.hpp>
#include <chainrule/graph/emission/emit.hpp>
#include <chainrule/ops/define.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/elementwise/functions.hpp>
#include <chainrule/ops/linalg/matmul.hpp>
#include <chainrule/ops/reduce/reduction.hpp>
#include <chainrule/ops/shape/manipulation.hpp>
#include <chainrule/tests/core/error_of.hpp>

using namespace chainrule;

TEST_SUITE_BEGIN("graph");

namespace {

Tensor quartic_slope(const Tensor& g, const Tensor& z);

// κ(z) = z⁴, whose slope 4·z³ is an op of g and z.
struct Quartic final : UnaryOp<Quartic> {
  Quartic() : UnaryOp("quartic", "κ({0})") {}
  static constexpr bool integers = false;
  static constexpr Node::SavedMask saved = Node::input(0);
  template <class T>
  static T value(T x) {
    return x * x * x * x;
  }
  static Tensor slope(const Application& r, Tensor g) { return quartic_slope(g, r.in(0)); }
  std::vector<Sample> samples() const override { return {}; }
};

struct QuarticSlope final : BinaryOp<QuarticSlope> {
  QuarticSlope() : BinaryOp("quartic_slope", "{0} ⊗ 4 {1}³") {}
  Role role(const Parameters&) const override;
  static constexpr bool integers = false;
  static Node::SavedMask saved(bool, bool) { return Node::input(0) | Node::input(1); }
  template <class T>
  static T value(T g, T z) {
    return g * 4 * z * z * z;
  }
  void vjp(Vjp& r) const override {
    if (r.needs(0)) r.give(0, quartic_slope(r.g(), r.in(1)));
    if (r.needs(1)) r.give(1, r.g() * r.in(0) * 12.0 * square(r.in(1)));
  }
  Tensor jvp(Jvp& r) const override { return quartic_slope(r.tangent(0), r.in(1)); }
  std::vector<Sample> samples() const override { return {}; }
};

struct Network {
  Quartic quartic;
  QuarticSlope slope;
  Tensor x = tensor({{0.7}, {-1.2}}, f64).named("x");
  Tensor w = tensor({{0.4, -0.9}, {1.1, 0.3}}, f64).named("W").requires_grad_();
  Tensor c = tensor({{1.5}, {-0.6}}, f64).named("c");
  Tensor z, h, loss;
};
Network* network = nullptr;  // whose ops are the only ones of their names

Tensor quartic_slope(const Tensor& g, const Tensor& z) {
  return network->slope(g, z, Where::current());
}
Role QuarticSlope::role(const Parameters&) const { return Role::slope_at(network->quartic); }

struct Scope {
  Network made;
  Scope() {
    network = &made;
    made.z = matmul(made.w, made.x).named("z");
    made.h = made.quartic(made.z, Where::current()).named("h");
    made.loss = sum(made.c * made.h);
  }
  ~Scope() { network = nullptr; }
};

}  // namespace

TEST_CASE("own ops: the slope of an activation, given by its operand, is written φ'(z)") {
  const Scope scope;
  const std::string text = derive(network->loss).text();
  CAPTURE(text);
  CHECK(text.find("dz = c ⊗ κ'(z)") != std::string::npos);
  CHECK(text.find("dW = dz·xᵀ") != std::string::npos);
}

TEST_CASE("own ops: of φ(φ(z)) each slope is at its own operand") {
  const Scope scope;
  const Quartic& quartic = network->quartic;
  const Tensor outer = quartic(network->h, Where::current());
  const std::string text = derive(sum(network->c * outer)).text();
  CAPTURE(text);
  CHECK(text.find("κ'(h)") != std::string::npos);
  CHECK(text.find("⊗ κ'(z)") != std::string::npos);
}

TEST_CASE("own ops: a slope that was forgotten, or taken at another tensor, is named") {
  const Scope scope;
  const Tensor &c = network->c, &z = network->z, &h = network->h;
  const auto diagnosis = [&](const Tensor& formula) {
    const DerivationReport report = check_derivation(network->loss, {{"dz", z, formula}});
    CHECK_FALSE(report.ok());
    return report.verdicts()[0].diagnosis;
  };
  CHECK(check_derivation(network->loss, {{"dz", z, c * 4.0 * z * z * z}}).ok());
  CHECK(diagnosis(c * 1.0).find("κ'") != std::string::npos);
  CHECK(diagnosis(c * 4.0 * h * h * h).find("κ'") != std::string::npos);
}

namespace {

struct Slant {
  double alpha = 0;
};
struct Leaky final : Op {
  const Op* slope = nullptr;
  Leaky() : Op("slanted") {}
  void infer(Inference& call) const override { call.output_like(f64, call.in(0)); }
  void evaluate(Evaluation& call) const override {
    const double alpha = call.parameters<Slant>().alpha;
    kernels::map<double, double>(call.out(), call.in(0),
                                 [alpha](double x) { return x > 0 ? x : alpha * x; });
  }
  Node::SavedMask reads(const Call&) const override { return Node::input(0); }
  bool elementwise() const noexcept override { return true; }
  void vjp(Vjp& r) const override {
    r.give(0, apply(*slope, {&r.g(), &r.in(0)}, r.node().parameters(), r.where()));
  }
  std::string written(const Node& node) const override {
    return fmt::format("slanted_{}({{0}})", node.parameters<Slant>().alpha);
  }
  std::vector<Sample> samples() const override { return {}; }
};
struct LeakySlope final : Op {
  const Leaky& of;
  explicit LeakySlope(const Leaky& function) : Op("slanted_slope"), of(function) {}
  void infer(Inference& call) const override { infer_broadcast(call, f64); }
  void evaluate(Evaluation& call) const override {
    const double alpha = call.parameters<Slant>().alpha;
    kernels::map<double, double, double>(
        call.out(), call.in(0), call.in(1),
        [alpha](double g, double x) { return x > 0 ? g : alpha * g; });
  }
  Role role(const Parameters&) const override { return Role::slope_at(of); }
  std::vector<Sample> samples() const override { return {}; }
};

// x / |x|; the rule reads the length, which the op computes on the way.
struct Unit final : Op {
  Unit() : Op("unit") {}
  void infer(Inference& call) const override {
    call.output_like(f64, call.in(0));
    call.saves(f64, {});
  }
  void evaluate(Evaluation& call) const override {
    const auto x = kernels::contiguous(call.in_ref(0));
    double squares = 0;
    for (std::int64_t i = 0; i < x->numel(); ++i)
      squares += x->data<double>()[i] * x->data<double>()[i];
    const double length = call.saved(0).data<double>()[0] = std::sqrt(squares);
    kernels::map<double, double>(call.out(), *x, [length](double e) { return e / length; });
  }
  Node::SavedMask reads(const Call&) const override { return Node::output | Node::intermediate(0); }
  void vjp(Vjp& r) const override {
    const Tensor y = r.out();
    r.give(0, (r.g() - y * sum(y * r.g())) / r.saved(0));
  }
  Tensor written_out(const Node&, std::span<const Tensor> in) const override {
    return in[0] / sqrt(sum(square(in[0])));
  }
  std::vector<Sample> samples() const override { return {}; }
};

}  // namespace

TEST_CASE("own ops: slopes of one tensor with several parameters are told apart") {
  Leaky leaky;
  const LeakySlope slope(leaky);
  leaky.slope = &slope;
  const Tensor x = tensor({0.5, -1.5, 2.0}, f64).named("x").requires_grad_();
  const auto slanted = [&](double alpha) {
    return apply(leaky, {&x}, Slant{alpha}, Where::current());
  };
  const std::string text = derive(sum(slanted(0.1)) + 2.0 * sum(slanted(0.2))).text();
  CAPTURE(text);
  CHECK(text.find("2 slanted_0.2'(x)") != std::string::npos);
  CHECK(text.find("slanted_0.1'(x)") != std::string::npos);
}

TEST_CASE("own ops: what was computed on the way is no number in formulas") {
  const Unit unit;
  const Tensor w = tensor({1.0, -2.0, 0.5}, f64).named("w").requires_grad_();
  const Tensor x = (w * 3.0).named("x"), c = tensor({1.0, 2.0, 0.5}, f64).named("c");
  const Tensor y = apply(unit, {&x}, {}, Where::current()).named("y");
  const Tensor loss = sum(y * c);
  const std::string text = derive(loss).text();
  CAPTURE(text);
  CHECK(text.find("saved_by_unit(x)") != std::string::npos);
  const Tensor length = sqrt(sum(square(x)));
  CHECK(check_derivation(loss, {{"dx", x, (c - y * sum(y * c)) / length}}).ok());
  const std::string refused = [&] {
    try {
      emit_cpp(loss);
    } catch (const ValueError& e) {
      return std::string(e.what());
    }
    return std::string();
  }();
  CAPTURE(refused);
  CHECK(refused.starts_with("emit_cpp: the gradient rule of unit computes with what the op saved"));
  CHECK(refused.find("own_op_test.cpp:") != std::string::npos);
  CHECK(refused.find("write the rule with operands and results") != std::string::npos);
}

namespace {

// Of two operands and no role, with its notation.
template <int which>
struct Weighed final : BinaryOp<Weighed<which>> {
  static constexpr const char* names[] = {"weighed", "thrice_the_sum"};
  static constexpr const char* notations[] = {"", "3 ({0} + {1})"};
  Weighed() : BinaryOp<Weighed>(names[which], notations[which]) {}
  static constexpr bool integers = false;
  static Node::SavedMask saved(bool, bool) { return Node::output; }
  template <class T>
  static T value(T x, T y) {
    return 3 * (x + y);
  }
  void vjp(Vjp& r) const override {
    for (const std::size_t i : {0, 1})
      if (r.needs(i)) r.give(i, r.g() * 3.0 * r.out() / r.out());
  }
  Tensor jvp(Jvp& r) const override { return 3.0 * r.tangent(0); }
  std::vector<Sample> samples() const override { return {}; }
};

// 3 x, whose slope is itself.
struct Thrice final : UnaryOp<Thrice> {
  Thrice() : UnaryOp("thrice", "3 {0}") {}
  static constexpr bool integers = false;
  static constexpr Node::SavedMask saved = 0;
  template <class T>
  static T value(T x) {
    return 3 * x;
  }
  static Tensor slope(const Application& r, Tensor g);
  std::vector<Sample> samples() const override { return {}; }
};
Tensor Thrice::slope(const Application& r, Tensor g) {
  return static_cast<const Thrice&>(*r.node().op())(g, r.where());
}

}  // namespace

TEST_CASE("own ops: element by element, one of two operands is of theirs, and numbers stand once") {
  const Tensor x = tensor({{0.7, -1.2}, {0.4, 1.9}}, f64).named("x").requires_grad_();
  const Tensor y = tensor({{1.3, 0.2}, {-0.8, 0.6}}, f64).named("y").requires_grad_();
  const Tensor c = tensor({{0.5, 0.1}, {2.0, 0.9}}, f64).named("c");
  const auto where = Where::current();
  const Weighed<0> weighed;
  const Weighed<1> thrice_the_sum;
  const Thrice thrice;
  const auto indices = [](const Tensor& loss) { return derive(loss).text({.indices = true}); };
  const std::string called = indices(sum(sin(x) * weighed(c, y, where)));
  CAPTURE(called);
  CHECK(called.find("weighed(cᵢⱼ, yᵢⱼ)") != std::string::npos);
  const std::string numbers = indices(sum(x * thrice_the_sum(c, c * 2.0, where) * 6.0));
  CAPTURE(numbers);
  CHECK(numbers.find("6 3") == std::string::npos);
  const std::string factor = indices(sum(c * thrice(x * y, where)));
  CAPTURE(factor);
  CHECK(factor.find("3 cᵢⱼ") != std::string::npos);
  CHECK(factor.find("3(") == std::string::npos);
}

TEST_CASE("own ops: what was computed twice from the same tensors stands once") {
  const Tensor x = tensor({{0.7, -1.2, 0.3}, {0.4, 1.9, 0.8}}, f64).named("x").requires_grad_();
  const Tensor y = tensor({{1.3, 0.2, 0.5}, {-0.8, 0.6, 1.0}}, f64).named("y").requires_grad_();
  const auto twice = [](const auto& f) { return derive(f() + f()).text(); };
  const std::string moved = twice([&] { return sum(logsumexp(reshape(x, {3, 2}), 1)); });
  CAPTURE(moved);
  CHECK(moved.find("dx = 2 reshape[2, 3](softmax₁(reshape[3, 2](x)))") != std::string::npos);
  const std::string shared = twice([&] { return sum(sin(x * y)); });
  CAPTURE(shared);
  CHECK(shared.find("dt1 = cos(") != std::string::npos);
  CHECK(shared.find("dt2") == std::string::npos);
  CHECK(shared.find("dx  = 2 dt1 ⊗ y") != std::string::npos);
}

namespace {

// 1.5 x, with a rule that forgot the factor.
struct Scaled final : UnaryOp<Scaled> {
  Scaled() : UnaryOp("scaled") {}
  static constexpr bool integers = false;
  static constexpr Node::SavedMask saved = 0;
  template <class T>
  static T value(T x) {
    return static_cast<T>(1.5) * x;
  }
  static Tensor slope(const Application&, Tensor g) { return g; }
  std::vector<Sample> samples() const override { return {}; }
};

}  // namespace

TEST_CASE("own ops: where a rule is wrong no mistake of the person's is told") {
  const Scaled scaled;
  const Tensor x = tensor({{0.7, -1.2, 0.3}, {0.4, 1.9, 0.8}}, f64).named("x").requires_grad_();
  const Tensor y = scaled(x, Where::current()).named("y");
  const Tensor loss = sum(square(y));
  for (const Tensor& formula : {4.5 * x, 3.0 * y, -3.0 * x, 2.0 * sum(y, 0, true), y * y}) {
    const DerivationReport report = check_derivation(loss, {{"dx", x, formula}});
    const FormulaVerdict& verdict = report.verdicts()[0];
    CAPTURE(report.text());
    CHECK_FALSE(verdict.autograd_ok);
    CHECK(verdict.diagnosis.empty());
    CHECK(report.text().find("the rule of scaled") != std::string::npos);
  }
}

namespace {

// 2 x, written so.
struct Twice final : UnaryOp<Twice> {
  Twice() : UnaryOp("twice", "2 {0}") {}
  static constexpr bool integers = false;
  static constexpr Node::SavedMask saved = 0;
  template <class T>
  static T value(T x) {
    return 2 * x;
  }
  static Tensor slope(const Application& r, Tensor g) {
    return static_cast<const Twice&>(*r.node().op())(g, r.where());
  }
  std::vector<Sample> samples() const override { return {}; }
};

}  // namespace

TEST_CASE("own ops: no number stands beside another one") {
  const Twice twice;
  const Tensor x = tensor({0.5, 1.5}, f64).named("x").requires_grad_();
  const auto twice_of = [&](const Tensor& of) { return twice(of, Where::current()); };
  const Derivation scaled = derive(3.0 * sum(exp(twice_of(x))));
  CHECK(scaled.text().find("dx = 2 (3 exp(2 x))") != std::string::npos);
  CHECK(scaled.latex().find("2 \\left(3 ") != std::string::npos);
  const Derivation nested = derive(sum(square(twice_of(x))));
  CHECK(nested.text().find("dx = 2 (2 (2 x))") != std::string::npos);
}

namespace {

struct EToThe final : UnaryOp<EToThe> {
  EToThe() : UnaryOp("e_to_the", "e^{0}") {}
  static constexpr bool integers = false;
  static constexpr Node::SavedMask saved = Node::output;
  template <class T>
  static T value(T x) {
    return std::exp(x);
  }
  static Tensor slope(const Application& r, Tensor g) { return g * r.out(); }
  std::vector<Sample> samples() const override { return {}; }
};

}  // namespace

TEST_CASE("own ops: what a notation raises is raised in each format") {
  const EToThe e;
  const Tensor x = tensor({0.5, 1.5}, f64).named("x").requires_grad_();
  const Tensor y = tensor({0.2, -1.5}, f64).named("y");
  const Derivation sum_above = derive(sum(e(x + y, Where::current())));
  CHECK(sum_above.text().find("dx = e^(x + y)") != std::string::npos);
  CHECK(sum_above.latex().find("e}}^{x + y}") != std::string::npos);
  CHECK(derive(sum(e(x, Where::current()))).text().find("dx = e^x") != std::string::npos);
  // Elsewhere ^ and ~ are signs of their own.
  const Tensor odd = x.named("a^~b");
  CHECK(derive(sum(exp(odd))).latex().find("a{\\wedge}{\\sim}b") != std::string::npos);
}

namespace {

// 2 x, by a rule that writes the 2 in a strange way.
struct TwiceByPowers final : Op {
  double exponent;
  explicit TwiceByPowers(double of_one) : Op("twice_by_powers"), exponent(of_one) {}
  void infer(Inference& call) const override { call.output_like(f64, call.in(0)); }
  void evaluate(Evaluation& call) const override {
    kernels::map<double, double>(call.out(), call.in(0), [](double x) { return 2 * x; });
  }
  Node::SavedMask reads(const Call&) const override { return Node::input(0); }
  void vjp(Vjp& r) const override { r.give(0, 2.0 * r.g() * pow(r.in(0), exponent)); }
  std::vector<Sample> samples() const override { return {}; }
};

}  // namespace

TEST_CASE("own ops: what is raised to 0 by a rule is 1, and exponents may have more axes") {
  const Tensor x = tensor({0.5, 0.0, -1.5}, f64).named("x").requires_grad_();
  const Tensor p = tensor({1.2, 0.7, 0.0}, f64).named("p");
  const auto dx = [&](double exponent) {
    const TwiceByPowers op(exponent);
    return derive(sum(apply(op, {&x}, {}, Where::current()) * p)).text({.limits = false});
  };
  CHECK(dx(0) == "dx = 2 p\n");
  CHECK(dx(1) == "dx = 2 p ⊗ x\n");
  for (const Shape& shape : {Shape{}, Shape{1}, Shape{1, 1}, Shape{1, 1, 1}})
    for (const double exponent : {0.0, 1.0, 2.0, -1.0, 0.5})
      CHECK_NOTHROW(derive(sum(pow(x, full(shape, exponent, f64)) * p)));
}

namespace {

struct Hungry final : UnaryOp<Hungry> {
  Hungry() : UnaryOp("hungry") {}
  static constexpr bool integers = false;
  static constexpr Node::SavedMask saved = 0;
  template <class T>
  static T value(T x) {
    return 2 * x;
  }
  static Tensor slope(const Application&, Tensor g) { return g * 2.0; }
  std::string written(const Node&) const override { throw std::bad_alloc(); }
  std::vector<Sample> samples() const override { return {}; }
};

}  // namespace

TEST_CASE("own ops: one that has no memory for what it says is named") {
  const Hungry op;
  const Tensor w = tensor({1.0, 2.0}, f64).named("w").requires_grad_();
  const Tensor loss = sum(square(op(w, Where::current())));
  CHECK(error_of<MemoryError>([&] { derive(loss); }) ==
        "derive: no memory\n  in hungry\n  at HERE");
}

TEST_SUITE_END();
