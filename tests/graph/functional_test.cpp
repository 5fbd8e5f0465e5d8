#include <chainrule/graph/functional.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include <chainrule/core/create.hpp>
#include <chainrule/core/op.hpp>
#include <chainrule/core/recording.hpp>
#include <chainrule/ops/elementwise/activations.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/elementwise/convert.hpp>
#include <chainrule/ops/elementwise/functions.hpp>
#include <chainrule/ops/linalg/matmul.hpp>
#include <chainrule/ops/reduce/reduction.hpp>
#include <chainrule/ops/shape/indexing.hpp>
#include <chainrule/ops/shape/manipulation.hpp>

#include <chainrule/tests/core/error_of.hpp>

using namespace chainrule;

TEST_SUITE_BEGIN("graph");

namespace {

using Numbers = std::vector<double>;

Tensor cubes(const Tensor& x) { return x * x * x; }

}  // namespace

TEST_CASE("value_and_grad of one and of several inputs") {
  const Tensor x = tensor({1.0, 2.0}, f64);
  const auto [value, slope] = value_and_grad([](const Tensor& t) { return sum(cubes(t)); }, x);
  CHECK(value.item() == 9.0);
  CHECK(slope.to_vector<double>() == Numbers{3.0, 12.0});
  CHECK_FALSE(value.requires_grad());
  CHECK_FALSE(slope.requires_grad());
  CHECK_FALSE(x.requires_grad());

  const Tensor labels = tensor({1, 0});
  const ValueAndGrad both = value_and_grad(
      [](std::span<const Tensor> in) { return sum(in[0] * in[1]); }, {x, tensor({5.0, 7.0}, f64)});
  CHECK(both.grads[0].to_vector<double>() == Numbers{5.0, 7.0});
  CHECK(both.grads[1].to_vector<double>() == Numbers{1.0, 2.0});
  const ValueAndGrad with_labels =
      value_and_grad([](std::span<const Tensor> in) { return sum(in[0]); }, {x, labels});
  CHECK(with_labels.grads[0].to_vector<double>() == Numbers{1.0, 1.0});
  CHECK_FALSE(with_labels.grads[1].defined());
}

TEST_CASE("value_and_grad works inside of no_grad, and nests") {
  const Tensor x = tensor(2.0, f64);
  const auto inner = [](const Tensor& t) { return value_and_grad(cubes, t).second; };
  CHECK(no_grad([&] { return value_and_grad(cubes, x).second.item(); }) == 12.0);
  CHECK(value_and_grad(inner, x).second.item() == 12.0);  // (t³)'' = 6t
  const auto twice = [&](const Tensor& t) { return value_and_grad(inner, t).second; };
  CHECK(value_and_grad(twice, x).second.item() == 6.0);
}

TEST_CASE("a function that does not depend on its input has a gradient of zeros") {
  const auto [value, slope] =
      value_and_grad([](const Tensor&) { return tensor(4.0, f64); }, tensor({1.0, 2.0}, f64));
  CHECK(value.item() == 4.0);
  CHECK(slope.to_vector<double>() == Numbers{0.0, 0.0});
  const auto [out, tangent] = jvp([](const Tensor&) { return tensor({4.0, 5.0}, f64); },
                                  tensor(1.0, f64), tensor(1.0, f64));
  CHECK(tangent.to_vector<double>() == Numbers{0.0, 0.0});
}

TEST_CASE("a function that returns what it captured, which is older than its argument") {
  const Tensor c = tensor(5.0, f64).requires_grad_();
  const Tensor result = c * c, x = tensor({1.0, 2.0}, f64), one = tensor(1.0, f64);
  for (const bool recording : {true, false})
    for (const Tensor& captured : {c, result, tensor(5.0, f64)}) {
      const auto scope = recording ? std::nullopt : std::optional<NoGrad>(std::in_place);
      const double value = captured.item();
      const bool graph = recording && captured.requires_grad();
      const auto returns = [&](const Tensor&) { return captured; };
      const auto several = [&](std::span<const Tensor>) { return captured; };
      const auto check = [&](const Tensor& y, const Tensor& slope) {
        CHECK(y.item() == value);
        CHECK(y.requires_grad() == graph);
        CHECK(slope.to_vector<double>() == Numbers(slope.numel(), 0.0));
      };
      for (const auto& [y, slope] : {value_and_grad(returns, x), vjp(returns, x, one)}) {
        check(y, slope);
        CHECK(slope.shape() == Shape{2});
        if (graph)
          CHECK(grad(y, c, {.retain_graph = true}).item() == (captured.is_leaf() ? 1 : 10));
      }
      for (const ValueAndGrad& both :
           {value_and_grad(several, {x, one}), vjp(several, {x, one}, one)})
        for (const Tensor& slope : both.grads) check(both.value, slope);
      const auto [y, tangent] = jvp(returns, x, x);
      check(y, tangent);
    }
}

TEST_CASE("vjp and jvp of a matrix product, by hand") {
  const Tensor a = tensor({{1.0, 2.0}, {3.0, 4.0}}, f64);
  const UnaryFunction f = [&](const Tensor& x) { return matmul(a, x); };
  const Tensor x = tensor({1.0, -1.0}, f64);
  const auto [value, pulled] = vjp(f, x, tensor({10.0, 1.0}, f64));
  CHECK(value.to_vector<double>() == Numbers{-1.0, -1.0});
  CHECK(pulled.to_vector<double>() == Numbers{13.0, 24.0});  // Aᵀ v
  const auto [same, pushed] = jvp(f, x, tensor({1.0, 1.0}, f64));
  CHECK(pushed.to_vector<double>() == Numbers{3.0, 7.0});  // A t
}

TEST_CASE("jvp runs each rule once: a ladder of sixty doublings") {
  const auto [value, tangent] = jvp(
      [](const Tensor& x) {
        Tensor y = x;
        for (int i = 0; i < 60; ++i) y = y + y;
        return y;
      },
      tensor(1.0, f64), tensor(3.0, f64));
  CHECK(tangent.item() == 3.0 * 0x1p60);
}

TEST_CASE("jvp through a million operations") {
  const auto [value, tangent] = jvp(
      [](const Tensor& x) {
        Tensor y = x;
        for (int i = 0; i < 1'000'000; ++i) y = y * -1.0;
        return y;
      },
      tensor(2.0, f64), tensor(1.0, f64));
  CHECK(value.item() == 2.0);
  CHECK(tangent.item() == 1.0);
}

TEST_CASE("forward over reverse and reverse over forward give the same Hessian-vector product") {
  // f = Σ exp(x) x², H = diag(e^x (x² + 4x + 2))
  const UnaryFunction f = [](const Tensor& x) { return sum(exp(x) * x * x); };
  const Tensor x = tensor({0.3, -1.2}, f64), v = tensor({2.0, 0.5}, f64);
  const UnaryFunction gradient = [&](const Tensor& t) { return value_and_grad(f, t).second; };
  const Tensor forward_over_reverse = jvp(gradient, x, v).second;
  const UnaryFunction slope_along = [&](const Tensor& t) { return jvp(f, t, v).second; };
  const Tensor reverse_over_forward = value_and_grad(slope_along, x).second;
  for (int i = 0; i < 2; ++i) {
    const double t = x.at({i});
    const double expected = std::exp(t) * (t * t + 4 * t + 2) * v.at({i});
    CHECK(forward_over_reverse.at({i}) == doctest::Approx(expected).epsilon(1e-13));
    CHECK(reverse_over_forward.at({i}) == doctest::Approx(expected).epsilon(1e-13));
  }
}

TEST_CASE("what a function captured is followed, in all nestings of forward and reverse") {
  // d/dx of p x² at 2 is 4 p.
  using Derivative = Tensor (*)(const Tensor&);
  constexpr Derivative forward = [](const Tensor& p) {
    return jvp([&](const Tensor& x) { return p * x * x; }, tensor(2.0, f64), tensor(1.0, f64))
        .second;
  };
  constexpr Derivative reverse = [](const Tensor& p) {
    return value_and_grad([&](const Tensor& x) { return p * x * x; }, tensor(2.0, f64)).second;
  };
  constexpr Derivative pulled = [](const Tensor& p) {
    return vjp([&](const Tensor& x) { return p * x * x; }, tensor(2.0, f64), tensor(1.0, f64))
        .second;
  };
  for (const Derivative derivative : {forward, reverse, pulled}) {
    Tensor p = tensor(3.0, f64).requires_grad_();
    const Tensor d = derivative(p);
    CHECK(d.item() == 12);
    (d + p).backward();
    CHECK(p.grad().item() == 5);
    CHECK(value_and_grad(derivative, tensor(3.0, f64)).second.item() == 4);
    CHECK(jvp(derivative, tensor(3.0, f64), tensor(1.0, f64)).second.item() == 4);
    // Without recording outside nothing is kept.
    CHECK_FALSE(no_grad([&] { return derivative(p); }).requires_grad());
    // And nothing that does not require gradients makes a graph.
    CHECK_FALSE(derivative(tensor(3.0, f64)).requires_grad());
  }
  // A captured parameter in a loss on derivatives, as physics-informed networks have it: with
  // u = tanh(w x), Σ (u')² has the derivative 2 Σ u' ∂u'/∂w, here by differences.
  const auto loss_of = [](const Tensor& w) {
    const Tensor x = tensor({0.3, -0.5}, f64);
    const Tensor slope =
        jvp([&](const Tensor& at) { return tanh(w * at); }, x, ones({2}, f64)).second;
    return sum(square(slope));
  };
  Tensor w = tensor(0.7, f64).requires_grad_();
  loss_of(w).backward();
  const double h = 1e-5;
  const double expected =
      (loss_of(tensor(0.7 + h, f64)).item() - loss_of(tensor(0.7 - h, f64)).item()) / (2 * h);
  CHECK(w.grad().item() == doctest::Approx(expected).epsilon(1e-8));
}

TEST_CASE("what lies behind a captured tensor is not visited") {
  constexpr std::uint32_t untouched = 123'456;  // no position in graphs as small as these
  const Tensor p = tensor(3.0, f64).requires_grad_();
  const Tensor history = p * p;
  const Tensor captured = history * 2.0;
  const Tensor two = tensor(2.0, f64), one = tensor(1.0, f64);
  const UnaryFunction f = [&](const Tensor& x) { return x * x * captured; };
  const UnaryFunction slope = [&](const Tensor& x) { return vjp(f, x, one).second; };
  const std::function<std::pair<Tensor, Tensor>()> all[] = {
      [&] { return value_and_grad(f, two); }, [&] { return vjp(f, two, one); },
      [&] { return jvp(f, two, one); }, [&] { return jvp(slope, two, one); },
      [&] { return value_and_grad(slope, two); }};
  for (const auto& call : all) {
    history.node()->mark = untouched;
    const auto [value, derivative] = call();
    CHECK(history.node()->mark == untouched);
    CHECK(value.requires_grad());
    CHECK(derivative.requires_grad());
  }
  const auto slope_along_p = [&](const auto& call) {
    return grad(call().second, p, {.retain_graph = true}).item();
  };
  // f' = 2 x · 2 p², whose slope along p is 8 x p; f'' = 2 · 2 p², whose slope is 8 p.
  CHECK(slope_along_p(all[2]) == 48.0);
  CHECK(slope_along_p(all[0]) == 48.0);
  CHECK(slope_along_p(all[3]) == 24.0);
  CHECK(slope_along_p(all[4]) == 24.0);
}

TEST_CASE("results keep a graph where the function captured or made a parameter, and only there") {
  const Tensor c = tensor(3.0, f64).requires_grad_(), two = tensor(2.0, f64);
  Tensor made;
  const std::pair<UnaryFunction, bool> cases[] = {
      {[](const Tensor& x) { return x * x + 1.0; }, false},
      {[](const Tensor& x) { return x * tensor(4.0, f64).named("k"); }, false},
      {[&](const Tensor& x) { return x * c; }, true},
      {[&](const Tensor& x) { return x * (c * c); }, true},
      {[&](const Tensor& x) { return (made = x.detach().requires_grad_()) * x; }, true},
      {[&](const Tensor& x) { return (made = tensor(5.0, f64).requires_grad_()) * 2.0 + x; }, true},
      {[&](const Tensor&) { return c * c; }, true}};
  for (const auto& [f, graph] : cases) {
    CHECK(value_and_grad(f, two).first.requires_grad() == graph);
    CHECK(vjp(f, two, two).first.requires_grad() == graph);
    CHECK(jvp(f, two, two).first.requires_grad() == graph);
  }
}

// ∂²/∂p∂x sin(x p) = cos(x p) − x p sin(x p)
TEST_CASE("results keep no graph to the places of functions that have ended") {
  using Derivative = std::function<Tensor(const UnaryFunction&, const Tensor&)>;
  const Tensor one = tensor(1.0, f64), x = tensor(0.7, f64), p = tensor(0.3, f64);
  const Derivative ways[] = {
      [](const UnaryFunction& f, const Tensor& at) { return value_and_grad(f, at).second; },
      [&](const UnaryFunction& f, const Tensor& at) { return vjp(f, at, one).second; },
      [&](const UnaryFunction& f, const Tensor& at) { return jvp(f, at, one).second; }};
  const double right = std::cos(0.21) - 0.21 * std::sin(0.21);
  for (const Derivative& outer : ways)
    for (const Derivative& inner : ways) {
      const auto mixed = [&](const Tensor& by) {
        return [&, by](const Tensor& pp) {
          return inner([&](const Tensor& xx) { return sin(xx * pp) + by; }, x);
        };
      };
      const std::int64_t before = live_nodes();
      const Tensor result = outer(mixed(tensor(0.5, f64)), p);
      CHECK(result.item() == doctest::Approx(right).epsilon(1e-14));
      CHECK_FALSE(result.requires_grad());
      CHECK(live_nodes() == before);
      // Nor to a parameter that does not enter the derivative.
      const Tensor q = tensor(0.5, f64).requires_grad_();
      CHECK_FALSE(outer(mixed(q), p).requires_grad());
      // But to an argument or to a captured tensor that does.
      Tensor leaf = tensor(0.3, f64).requires_grad_();
      outer(mixed(q), leaf).backward();
      // cos(x p) − x p sin(x p) by p
      const double slope = -0.7 * (2 * std::sin(0.21) + 0.21 * std::cos(0.21));
      CHECK(leaf.grad().item() == doctest::Approx(slope).epsilon(1e-14));
      Tensor scale = tensor(2.0, f64).requires_grad_();
      outer(
          [&](const Tensor& pp) {
            return inner([&](const Tensor& xx) { return sin(xx * pp) * scale; }, x);
          },
          p)
          .backward();
      CHECK(scale.grad().item() == doctest::Approx(right).epsilon(1e-14));
    }
}

TEST_CASE("a cotangent and a tangent that require gradients are followed") {
  Tensor v = tensor(5.0, f64).requires_grad_();
  vjp([](const Tensor& x) { return x * x; }, tensor(3.0, f64), v).second.backward();
  CHECK(v.grad().item() == 6);
  v.zero_grad();
  jvp([](const Tensor& x) { return x * x; }, tensor(3.0, f64), v).second.backward();
  CHECK(v.grad().item() == 6);
}

TEST_CASE("results share no memory with arguments, seeds, and what the function captured") {
  const Tensor c = tensor({7.0, 8.0});
  const auto identity = [](const Tensor& x) { return x; };
  for (const bool forward : {true, false}) {
    const Tensor x = tensor({1.0, 2.0}), u = tensor({5.0, 6.0});
    auto [y, t] = forward ? jvp(identity, x, u) : vjp(identity, x, u);
    y.mutable_data<float>()[0] = 99;
    t.mutable_data<float>()[0] = 98;
    CHECK(x.to_vector<float>() == std::vector<float>{1, 2});
    CHECK(u.to_vector<float>() == std::vector<float>{5, 6});
    CHECK(y.to_vector<float>() == std::vector<float>{99, 2});
    Tensor constant = jvp([&](const Tensor&) { return c; }, x, u).first;
    constant.mutable_data<float>()[0] = 97;
  }
  CHECK(c.to_vector<float>() == std::vector<float>{7, 8});
  const Tensor s = tensor(3.0);
  value_and_grad(identity, s).first.mutable_data<float>()[0] = 9;
  CHECK(s.item() == 3);
  // The tangent of a sum is that of its only operand that has one.
  const Tensor x = tensor({1.0, 2.0}), u = tensor({5.0, 6.0});
  const auto sum_of_both = [](std::span<const Tensor> in) { return in[0] + in[1]; };
  jvp(sum_of_both, {x, x}, {u, zeros({2})}).second.mutable_data<float>()[0] = 9;
  CHECK(u.to_vector<float>() == std::vector<float>{5, 6});
}

TEST_CASE("results with a graph share no memory with parameters, which a step of training writes") {
  const auto step = [](Tensor& w) {
    for (float& each : w.mutable_data<float>()) each -= 10;
  };
  for (const auto part : {+[](const Tensor& x) { return x[1]; },
                          +[](const Tensor& x) { return reshape(x, {2, 1})[1]; }}) {
    Tensor w = tensor({1.0, 2.0}).requires_grad_();
    const Tensor u = tensor({5.0, 6.0}), seed = ones(part(w).shape());
    const Tensor both[] = {vjp(part, w, seed).first, jvp(part, w, u).first};
    const Tensor tangent = jvp(part, u, w).second;
    step(w);
    for (const Tensor& y : both) {
      CHECK(sum(y).item() == 2);
      CHECK(y.requires_grad());
      CHECK(grad(sum(y), w).to_vector<float>() == std::vector<float>{0, 1});
    }
    CHECK(sum(tangent).item() == 2);
  }
  Tensor captured = tensor({1.0, 2.0}).requires_grad_();
  const Tensor y = jvp([&](const Tensor&) { return captured; }, ones({2}), ones({2})).first;
  const Tensor part = jvp([&](const Tensor&) { return captured[1]; }, ones({2}), ones({2})).first;
  step(captured);
  CHECK(y.to_vector<float>() == std::vector<float>{1, 2});
  CHECK(part.item() == 2);
  CHECK(grad(sum(y), captured).to_vector<float>() == std::vector<float>{1, 1});
}

TEST_CASE("rules ask for shapes of inputs that there are not, or that are constants") {
  struct Curious final : Op {
    std::size_t asked = 0;
    Curious() : Op("curious") {}
    void infer(Inference& call) const override { call.output_like(call.in(0).dtype(), call.in(0)); }
    void evaluate(Evaluation& call) const override {
      std::copy_n(call.in(0).data<double>(), call.in(0).numel(), call.out().data<double>());
    }
    void vjp(Vjp& r) const override {
      CHECK(r.rank_of(0) == 1);
      CHECK(r.shape_of(0) == Shape{2});
      r.give(0, r.g() * static_cast<double>(r.shape_of(asked).rank()));
    }
    Tensor jvp(Jvp& r) const override {
      return r.tangent(0) * static_cast<double>(r.rank_of(asked));
    }
    std::vector<Sample> samples() const override { return {}; }
  };
  Curious curious;
  const Tensor x = tensor({1.0, 2.0}, f64).requires_grad_(), constant = tensor({3.0}, f64);
  const auto f = [&](const Tensor& at) {
    return apply(curious, {&at, &constant}, {}, Where::current());
  };
  CHECK(grad(sum(f(x)), x).to_vector<double>() == std::vector<double>{1, 1});
  curious.asked = 1;
  for (const bool forward : {false, true})
    CHECK(error_of<GradError>([&] {
            forward ? jvp(f, x, x).second : grad(sum(f(x)), x);
          }).starts_with("curious: its rule asks for the shape of input 1, a constant\n"));
  curious.asked = 9;
  for (const bool forward : {false, true})
    CHECK(error_of<GradError>([&] {
            forward ? jvp(f, x, x).second : grad(sum(f(x)), x);
          }).starts_with("curious: its rule asks for the shape of input 9, and there are 2\n"));
}

TEST_CASE("bad arguments") {
  const Tensor x = tensor({1.0, 2.0}, f64);
  const UnaryFunction f = cubes;
  CHECK(error_of<GradError>([&] { value_and_grad(f, x); }).find("is not a scalar") !=
        std::string::npos);
  CHECK_THROWS_AS(vjp(f, x, tensor({1.0}, f64)), ShapeError);
  CHECK_THROWS_AS(jvp(f, x, tensor({1.0}, f64)), ShapeError);
  CHECK_THROWS_AS(jvp(f, x, tensor({1.0, 1.0}, f32)), DTypeError);
  CHECK_THROWS_AS(vjp(f, x, tensor({1.0, 1.0}, f32)), DTypeError);
  CHECK_THROWS_AS(jvp(f, tensor({1, 2}), tensor({1, 2})), DTypeError);
  const std::vector<Tensor> one = {x}, none;
  CHECK_THROWS_AS(jvp([](std::span<const Tensor> in) { return in[0]; }, one, none), ValueError);
}

TEST_CASE("errors number the one of several tensors that does not fit") {
  const Tensor x = tensor({1.0, 2.0}, f64), other = tensor({1.0}, f64), none;
  const Function f = [](std::span<const Tensor> in) { return sum(in[0] * in[1]); };
  const std::string why =
      "\n  at HERE\n  hint: it was default-constructed, moved from, or is the grad() of a tensor "
      "that has none";
  CHECK(error_of<ValueError>([&] { value_and_grad(f, {x, none}); }) ==
        "value_and_grad: argument 1 is undefined" + why);
  CHECK(error_of<ValueError>([&] { vjp(f, {x, none}, x); }) ==
        "vjp: argument 1 is undefined" + why);
  CHECK(error_of<ValueError>([&] { jvp(f, {x, none}, {x, x}); }) ==
        "jvp: input 1 is undefined" + why);
  CHECK(error_of<ValueError>([&] { jvp(f, {x, x}, {x, none}); }) ==
        "jvp: tangent 1 is undefined" + why);
  CHECK(error_of<ShapeError>([&] {
          jvp(f, {x, x}, {x, other});
        }).starts_with("jvp: tangent 1, (1,), has not the shape of the input (2,)\n  at HERE"));
  CHECK(error_of<DTypeError>([&] {
          jvp(f, {x, x.named("b")}, {x, to(x, f32)});
        }).starts_with("jvp: tangent 1 is f32, but input 1, b (2,), is f64\n  at HERE"));
  // One alone needs no number.
  const UnaryFunction of_one = [](const Tensor& t) { return sum(t); };
  CHECK(error_of<ValueError>([&] { value_and_grad(of_one, none); }) ==
        "value_and_grad: the argument is undefined" + why);
  CHECK(error_of<ShapeError>([&] {
          jvp(of_one, x, other);
        }).starts_with("jvp: the tangent (1,) has not the shape of the input (2,)\n  at HERE"));
}

TEST_CASE("no function, and a function that returns no tensor") {
  const Tensor x = tensor({1.0, 2.0}, f64);
  const UnaryFunction none, undefined = [](const Tensor&) { return Tensor(); };
  CHECK_THROWS_AS(value_and_grad(none, x), ValueError);
  CHECK(error_of<ValueError>([&] { vjp(undefined, x, x); }) ==
        "vjp: the function returned an undefined tensor\n  at HERE\n  hint: return its result from "
        "all paths; a tensor without a value is undefined");
  CHECK_THROWS_AS(jvp(undefined, x, x), ValueError);
}

TEST_CASE("a function that throws leaves nothing behind") {
  const std::int64_t before = live_nodes();
  const UnaryFunction f = [](const Tensor& x) -> Tensor {
    const Tensor y = x * x;
    throw std::runtime_error("no");
  };
  CHECK_THROWS_AS(value_and_grad(f, tensor(1.0)), std::runtime_error);
  CHECK_THROWS_AS(jvp(f, tensor(1.0), tensor(1.0)), std::runtime_error);
  CHECK(is_recording());
  CHECK(live_nodes() == before);
}

TEST_CASE("derivatives of a function of integers say that it is one") {
  const Tensor x = tensor({1.0, 2.0});
  const auto rounded = [](const Tensor& t) { return sum(to(t, i64)); };
  CHECK(error_of<DTypeError>([&] { value_and_grad(rounded, x); }) ==
        "value_and_grad: the function's result () holds i64, and only f32 and f64 have "
        "gradients\n  at HERE\n  hint: compute it in floating numbers: to(x, f32)");
  const std::string rest =
      ": the function's result () holds i64, and only f32 and f64 have gradients\n  at HERE\n  "
      "hint: compute it in floating numbers: to(x, f32)";
  CHECK(error_of<DTypeError>([&] { vjp(rounded, x, tensor(1.0)); }) == "vjp" + rest);
  CHECK(error_of<DTypeError>([&] { jvp(rounded, x, x); }) == "jvp" + rest);
  const Tensor n = tensor({1, 2}).named("n");
  CHECK(
      error_of<DTypeError>([&] { jvp([](const Tensor& t) { return sum(t); }, n, n); }) ==
      "jvp: the input n (2,) holds i64, and only f32 and f64 have derivatives\n  at HERE\n  hint: "
      "convert it: to(x, f32)");
  CHECK(error_of<ValueError>([&] {
          value_and_grad(rounded, Tensor());
        }).starts_with("value_and_grad: the argument is undefined\n  at HERE"));
}

TEST_SUITE_END();
