#include <doctest/doctest.h>

#include <string>
#include <vector>

#include <chainrule/core/create.hpp>
#include <chainrule/core/random.hpp>
#include <chainrule/graph/checking/check_derivation.hpp>
#include <chainrule/ops/define.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/elementwise/functions.hpp>
#include <chainrule/ops/linalg/matmul.hpp>
#include <chainrule/ops/reduce/reduction.hpp>
#include <chainrule/tests/core/error_of.hpp>

using namespace chainrule;

TEST_SUITE_BEGIN("graph");

namespace {

// With a mask that evaluate() draws, from a seed in the parameters or from where it was left.
struct Dropout final : Op {
  bool seeded;
  mutable Generator generator{3};
  explicit Dropout(bool from_seed) : Op("own_dropout"), seeded(from_seed) {}
  Tensor operator()(const Tensor& x) const { return apply(*this, {&x}, {}, Where::current()); }
  void infer(Inference& call) const override {
    call.output_like(f64, call.in(0));
    call.saves(f64, call.in(0).shape());
  }
  void evaluate(Evaluation& call) const override {
    if (seeded) generator = Generator(5);
    double* mask = call.saved(0).data<double>();
    for (std::int64_t i = 0; i < call.out().numel() && !call.knows(0); ++i)
      mask[i] = generator.uniform() < 0.5 ? 0 : 2;
    kernels::map<double, double, double>(call.out(), call.in(0), call.saved(0),
                                         [](double x, double m) { return x * m; });
  }
  Node::SavedMask reads(const Call&) const override { return Node::intermediate(0); }
  void vjp(Vjp& r) const override { r.give(0, r.g() * r.saved(0)); }
  std::vector<Sample> samples() const override { return {}; }
};

}  // namespace

TEST_CASE("check_derivation: what does not repeat has no differences to be held to") {
  for (const bool seeded : {true, false}) {
    CAPTURE(seeded);
    const Dropout dropout(seeded);
    Generator generator(1);
    const Tensor w = randn({6, 4}, generator, f64).named("W").requires_grad_(),
                 v = randn({2, 6}, generator, f64).named("V").requires_grad_();
    const Tensor h = matmul(w, randn({4}, generator, f64)).named("h");
    const Tensor d = dropout(h).named("d"), z = matmul(v, d).named("z");
    const Tensor loss = sum(square(z));
    const auto check = [&](double factor) {
      return check_derivation(loss, {{"dV", v, outer(factor * z, d)}});
    };
    if (seeded) {
      CHECK(check(2).ok());
      CHECK_FALSE(check(-2).ok());
      continue;
    }
    for (const double factor : {2.0, -2.0, 0.0}) {
      const std::string message = error_of<ValueError>([&] { check(factor); });
      CAPTURE(message);
      CHECK(message.starts_with("check_derivation: own_dropout at "));
      CHECK(message.find("does not repeat: it gave ") != std::string::npos);
    }
  }
}

TEST_SUITE_END();
