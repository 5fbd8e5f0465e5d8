// Ops that refuse numbers outside of their domain, near its border: other points at which a program
// is computed are nobody's choice, and no error of the program.
#include <chainrule/graph/derivation/attempt.hpp>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cmath>
#include <stdexcept>
#include <string>

#include <chainrule/core/create.hpp>
#include <chainrule/graph/checking/check_derivation.hpp>
#include <chainrule/graph/derivation/derive.hpp>
#include <chainrule/graph/derivation/simplify.hpp>
#include <chainrule/graph/emission/emit.hpp>
#include <chainrule/graph/picture/picture.hpp>
#include <chainrule/graph/teaching/exercise.hpp>
#include <chainrule/ops/define.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/elementwise/functions.hpp>
#include <chainrule/ops/reduce/reduction.hpp>
#include <chainrule/tests/core/error_of.hpp>

using namespace chainrule;

TEST_SUITE_BEGIN("graph");

namespace {

// √x of positive numbers alone; what it throws elsewhere is of any type.
struct StrictRoot final : Op {
  enum class Throws { error, standard, memory };
  Throws throws;
  explicit StrictRoot(Throws what = Throws::error) : Op("strict_root"), throws(what) {}
  void infer(Inference& call) const override { call.output_like(f64, call.in(0)); }
  void evaluate(Evaluation& call) const override {
    kernels::map<double, double>(call.out(), call.in(0), [&](double x) {
      if (x < 0) refuse(x, call.where());
      return std::sqrt(x);
    });
  }
  [[noreturn]] void refuse(double x, const Where& where) const {
    if (throws == Throws::memory) throw std::bad_alloc();
    const std::string text = fmt::format("strict_root: {} is negative", x);
    if (throws == Throws::standard) throw std::domain_error(text);
    throw ValueError(text, where, "clamp it");
  }
  Node::SavedMask reads(const Call&) const override { return Node::output; }
  void vjp(Vjp& r) const override { r.give(0, r.g() * 0.5 / r.out()); }
  Tensor jvp(Jvp& r) const override { return r.tangent(0) * 0.5 / r.out(); }
  bool elementwise() const noexcept override { return true; }
  std::vector<Sample> samples() const override { return {}; }
};

struct Program {
  Tensor x, c, loss;
  Program(const StrictRoot& root, double at) {
    x = tensor({at, 1.5}, f64).named("x").requires_grad_();
    c = tensor({2.0, 3.0}, f64).named("c");
    loss = sum(apply(root, {&x}, {}, Where::current()) * c);
  }
  DerivationReport check(const Tensor& dx) const { return check_derivation(loss, {{"dx", x, dx}}); }
};

}  // namespace

TEST_CASE("derive, pictures, check_derivation: near the border of an op's domain") {
  for (const auto throws : {StrictRoot::Throws::error, StrictRoot::Throws::standard})
    for (const double at : {0.5, 1e-2, 1e-3, 1e-5, 1e-9}) {
      CAPTURE(at);
      const StrictRoot root(throws);
      const Program program(root, at);
      const Tensor &x = program.x, &c = program.c;
      CHECK(derive(program.loss).text().find("dx") != std::string::npos);
      CHECK_FALSE(graph_svg(program.loss).empty());
      CHECK_FALSE(graph_html(program.loss).empty());
      const DerivationReport right = program.check(c * 0.5 / sqrt(x));
      CAPTURE(right.text());
      CHECK(right.ok());
      CHECK_FALSE(program.check(c * 0.5 * sqrt(x)).ok());
      CHECK_FALSE(program.check(c / sqrt(x)).ok());
    }
}

namespace {

// x³ of numbers from 1.0003 on, and its slope, which formulas show as bounded'.
struct Bounded final : UnaryOp<Bounded> {
  Bounded() : UnaryOp("bounded") {}
  static constexpr bool integers = false;
  static constexpr Node::SavedMask saved = Node::input(0);
  static double value(double x) {
    if (x < 1.0003) throw std::domain_error("bounded: from 1.0003 on");
    return x * x * x;
  }
  static Tensor slope(const Application& r, const Tensor& g);
  EigenForm eigen(const Parameters&) const override {
    return EigenForm::member("cube()", "{0} * {0} * {0}");
  }
  std::vector<Sample> samples() const override { return {}; }
};

struct BoundedSlope final : BinaryOp<BoundedSlope> {
  const Bounded& of;
  explicit BoundedSlope(const Bounded& function) : BinaryOp("bounded_slope"), of(function) {}
  Role role(const Parameters&) const override { return Role::slope_at(of); }
  static constexpr bool integers = false;
  static Node::SavedMask saved(bool, bool) { return Node::input(0) | Node::input(1); }
  static double value(double g, double x) { return g * 3 * x * x; }
  void vjp(Vjp& r) const override { r.give(0, r.g() * 3.0 * square(r.in(1))); }
  Tensor written_out(const Node&, std::span<const Tensor> in) const override {
    return in[0] * (3.0 * square(in[1]));
  }
  std::vector<Sample> samples() const override { return {}; }
};
const BoundedSlope* bounded_slope = nullptr;

Tensor Bounded::slope(const Application& r, const Tensor& g) {
  return (*bounded_slope)(g, r.in(0), Where::current());
}

}  // namespace

TEST_CASE("derive, emit_cpp, make_exercise: a slope that is not defined at other numbers") {
  const Bounded bounded;
  const BoundedSlope slope(bounded);
  bounded_slope = &slope;
  const Tensor w = tensor({-1.0004, -2.5}, f64).named("w").requires_grad_();
  const Tensor c = tensor({2.0, 3.0}, f64).named("c");
  const Tensor loss = sum(c * bounded(-w, Where::current()));
  const std::string text = derive(loss).text();
  CAPTURE(text);
  CHECK(text.find("bounded'") != std::string::npos);
  const std::string header = emit_cpp(loss).header;
  CAPTURE(header);
  CHECK(header.find("inline MatrixXd bounded_slope(const MatrixXd& z) {") != std::string::npos);
  CHECK(header.find("z.array().square()") != std::string::npos);
  // Of w an exercise shows three digits.
  const Exercise exercise = make_exercise(loss);
  REQUIRE(exercise.lines.size() == 1);
  CHECK(exercise.lines[0].choices.size() > 1);
  bounded_slope = nullptr;
}

TEST_CASE("derive, check_derivation: at the border itself") {
  const StrictRoot root;
  const Program program(root, 0);
  CHECK(derive(program.loss).text().find("dx") != std::string::npos);
  CHECK(program.check(program.c * 0.5 / sqrt(program.x)).verdicts()[0].ok);
  CHECK_FALSE(program.check(program.c * 0.7 / sqrt(program.x)).verdicts()[0].ok);
}

TEST_CASE("derive, check_derivation: what runs out of memory at other points is thrown on") {
  const StrictRoot root(StrictRoot::Throws::memory);
  const Program program(root, 1e-5);
  CHECK(error_of<MemoryError>([&] { derive(program.loss); }).starts_with("derive: no memory"));
  CHECK(error_of<MemoryError>([&] {
          program.check(program.c);
        }).starts_with("check_derivation: no memory"));
}

TEST_CASE("certifying_points: nearer ones where the usual ones are not finite, or not defined") {
  const StrictRoot strict;
  for (const bool own : {false, true})
    for (const double at : {1.0, 1e-3, 1e-9}) {
      CAPTURE(at);
      const Tensor x = tensor({at, 1.5}, f64).named("x").requires_grad_();
      const Tensor loss = sum(own ? apply(strict, {&x}, {}, Where::current()) : sqrt(x));
      const derivation::Trace trace(loss, std::span<const Tensor>(), "test", Where::current());
      for (const derivation::Environment& point : derivation::certifying_points(trace)) {
        CHECK(derivation::is_finite_at(trace, point));
        CHECK(std::isfinite(point.tensors[trace.loss()].item<double>()));
        CHECK(point.tensors[trace.find(x)].to_vector<double>() != x.to_vector<double>());
      }
      CHECK(derivation::certifying_points(trace).size() == 2);
    }
}

TEST_SUITE_END();
