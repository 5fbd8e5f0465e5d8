// Ops of a program's own take part in formulas, their diagnosis and emitted code as the library's.
#include <doctest/doctest.h>

#include <cmath>
#include <string>
#include <vector>

#include <chainrule/core/create.hpp>
#include <chainrule/graph/derivation/check_derivation.hpp>
#include <chainrule/graph/derivation/derive.hpp>
#include <chainrule/ops/define.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/elementwise/functions.hpp>
#include <chainrule/ops/linalg/matmul.hpp>
#include <chainrule/ops/reduce/reduction.hpp>
#include <chainrule/ops/shape/manipulation.hpp>

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

TEST_SUITE_END();
