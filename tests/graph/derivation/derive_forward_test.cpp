#include <chainrule/core/create.hpp>
#include <chainrule/graph/backward.hpp>
#include <chainrule/graph/derivation/derive_forward.hpp>
#include <chainrule/graph/functional.hpp>
#include <chainrule/ops/reduce/reduction.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include <chainrule/ops/define.hpp>
#include <chainrule/ops/elementwise/activations.hpp>
#include <chainrule/ops/elementwise/convert.hpp>
#include <chainrule/ops/elementwise/functions.hpp>
#include <chainrule/ops/nn/cross_entropy.hpp>
#include <chainrule/ops/nn/layer_norm.hpp>
#include <chainrule/ops/nn/linear.hpp>
#include <chainrule/ops/shape/indexing.hpp>
#include <chainrule/tests/core/error_of.hpp>
#include <chainrule/tests/graph/derivation/textbook_network.hpp>

using namespace chainrule;

TEST_SUITE_BEGIN("graph");

namespace {

std::string formulas(const Derivation& derivation) { return derivation.text({.limits = false}); }

using Model = std::function<std::vector<Tensor>(std::span<const Tensor> inputs)>;

// The derivative of each result along the tangents, from the values of the model alone: the
// difference quotient of points ± h, extrapolated once, so that its error is of order h⁴.
std::vector<std::vector<double>> differences(const Model& model, std::span<const Tensor> inputs,
                                             std::span<const Tensor> tangents) {
  const NoGrad guard;
  const auto at = [&](double step) {
    std::vector<Tensor> moved;
    for (std::size_t k = 0; k < inputs.size(); ++k)
      moved.push_back(inputs[k].detach() + step * tangents[k]);
    std::vector<std::vector<double>> values;
    for (const Tensor& result : model(moved)) values.push_back(result.to_vector<double>());
    return values;
  };
  constexpr double h = 1e-3;
  const auto near_up = at(h), near_down = at(-h), far_up = at(2 * h), far_down = at(-2 * h);
  std::vector<std::vector<double>> result = near_up;
  for (std::size_t r = 0; r < result.size(); ++r)
    for (std::size_t i = 0; i < result[r].size(); ++i)
      result[r][i] =
          (8 * (near_up[r][i] - near_down[r][i]) - (far_up[r][i] - far_down[r][i])) / (12 * h);
  return result;
}

// Every step of a result that the model gives has the value that differences have; the last result
// is derived. Returns the derivation.
Derivation check_against_differences(const Model& model, const std::vector<Tensor>& leaves) {
  Generator generator(7);
  std::vector<Tensor> tangents;
  for (const Tensor& leaf : leaves)
    tangents.push_back(uniform(-1, 1, leaf.shape(), generator, f64));
  const std::vector<Tensor> results = model(leaves);
  const Derivation derivation = derive_forward(results.back(), leaves, tangents);
  const auto expected = differences(model, leaves, tangents);
  for (std::size_t r = 0; r < results.size(); ++r) {
    INFO("result ", std::string(results[r].name()));
    const auto step = std::ranges::find(derivation.steps(), std::string(results[r].name()),
                                        &Derivation::Step::of);
    REQUIRE(step != derivation.steps().end());
    CHECK(step->value.shape() == results[r].shape());
    const std::vector<double> value = step->value.to_vector<double>();
    REQUIRE(value.size() == expected[r].size());
    // h⁴ times fifth derivatives, and rounding by h.
    for (std::size_t i = 0; i < value.size(); ++i)
      CHECK(value[i] == doctest::Approx(expected[r][i]).epsilon(1e-8).scale(1));
  }
  return derivation;
}

std::vector<Tensor> leaves_of(std::initializer_list<std::pair<const char*, Shape>> shapes) {
  Generator generator(3);
  std::vector<Tensor> leaves;
  for (const auto& [name, shape] : shapes)
    leaves.push_back(randn(shape, generator, f64).named(name).requires_grad_());
  return leaves;
}

}  // namespace

TEST_CASE("derive_forward: the textbook chain, from the inputs on") {
  const TextbookNetwork net({4, 3, 2}, 1);
  const Tensor loss = net.loss.named("L");
  CHECK(formulas(derive_forward(loss)) ==
        "ż1 = Ẇ1·x + ḃ1\n"
        "ḣ1 = ż1 ⊗ σ'(z1)\n"
        "ż2 = Ẇ2·h1 + W2·ḣ1 + ḃ2\n"
        "ṗ  = p ⊗ (ż2 − Σ₀(p ⊗ ż2))\n"
        "L̇  = −Σ(y ⊗ ṗ ⊘ p)\n");
  // Of one parameter alone, and from a result on.
  CHECK(formulas(derive_forward(loss, {net.W[1]})).starts_with("ż1 = Ẇ1·x\n"));
  CHECK(formulas(derive_forward(loss, {net.z[2]})) ==
        "ṗ = p ⊗ (ż2 − Σ₀(p ⊗ ż2))\n"
        "L̇ = −Σ(y ⊗ ṗ ⊘ p)\n");
  CHECK(derive_forward(net.h[1]).text({.steps = true, .shapes = true, .limits = false}) ==
        "ż1 = Ẇ1·x + ḃ1      (3, 1)\n"
        "ḣ1 = ż1 ⊗ h1 ⊗ (1 − h1)\n"
        "   = ż1 ⊗ σ'(z1)    (3, 1)\n");
}

TEST_CASE("derive_forward: repeated layers once, in all formats") {
  const TextbookNetwork net({4, 3, 3, 3, 2}, 5);
  const Derivation derivation = derive_forward(net.loss.named("loss"));
  CHECK(derivation.text({.layers_once = true, .limits = false}) ==
        "ż1    = Ẇ1·x + ḃ1\n"
        "ḣₖ    = żₖ ⊗ σ'(zₖ)               for k = 1 … 3\n"
        "żₖ    = Ẇₖ·hₖ₋₁ + Wₖ·ḣₖ₋₁ + ḃₖ    for k = 2 … 4\n"
        "ṗ     = p ⊗ (ż4 − Σ₀(p ⊗ ż4))\n"
        "loss˙ = −mean(Σ₀(y ⊗ ṗ ⊘ p))\n");
  CHECK(derivation.latex().find("\\dot{z}_{1} &= \\dot{W}_{1}\\,x + \\dot{b}_{1} \\\\\n") !=
        std::string::npos);
  CHECK(derivation.markdown().find("| $\\dot{h}_{1}$ | $\\dot{z}_{1} \\odot \\sigma'(z_{1})$ |") !=
        std::string::npos);
  CHECK(derivation.html().find(
            "<msub><mover><mi>W</mi><mo>˙</mo></mover><mn>1</mn></msub><mo>⋅</mo><mi>x</mi>") !=
        std::string::npos);
}

TEST_CASE("derive_forward: letters that have no character with a dot, and words") {
  const std::vector<Tensor> v = leaves_of({{"θ", {2}}, {"q", {2}}, {"layer.0.bias", {2}}});
  const Derivation derivation = derive_forward((v[0] * v[1] + v[2]).named("u2"));
  CHECK(formulas(derivation) == "u̇2 = θ̇ ⊗ q + θ ⊗ q̇ + layer.0.bias˙\n");
  // The dots take no room in a line.
  CHECK(derivation.text({.shapes = true, .limits = false}).ends_with("layer.0.bias˙    (2,)\n"));
}

TEST_CASE("derive_forward: values are those of differences and of jvp") {
  SUBCASE("a perceptron with tanh, softmax and its logarithm") {
    const Tensor y = tensor({{1.0, 0.0}, {0.0, 1.0}, {0.0, 0.0}}, f64).named("y");
    const Model model = [&](std::span<const Tensor> in) {
      const Tensor h = tanh(matmul(in[0], in[1]) + in[2]).named("h");
      const Tensor p = softmax(matmul(in[3], h), 0).named("p");
      return std::vector<Tensor>{h, p, (-mean(sum(y * log(p), 0))).named("L")};
    };
    const std::vector<Tensor> leaves =
        leaves_of({{"W", {4, 3}}, {"x", {3, 2}}, {"b", {4, 1}}, {"V", {3, 4}}});
    const Derivation derivation = check_against_differences(model, leaves);
    CHECK(formulas(derivation) ==
          "ṫ1 = Ẇ·x + W·ẋ + ḃ\n"
          "ḣ  = ṫ1 ⊗ tanh'(t1)\n"
          "ṫ2 = V̇·h + V·ḣ\n"
          "ṗ  = p ⊗ (ṫ2 − Σ₀(p ⊗ ṫ2))\n"
          "L̇  = −mean(Σ₀(y ⊗ ṗ ⊘ p))\n"
          "where t1 = W·x + b\n"
          "      t2 = V·h\n");
    // The same direction as jvp() of the function.
    Generator generator(7);
    std::vector<Tensor> tangents;
    for (const Tensor& leaf : leaves)
      tangents.push_back(uniform(-1, 1, leaf.shape(), generator, f64));
    const auto last = [&](std::span<const Tensor> in) { return model(in).back(); };
    CHECK(derivation.steps().back().value.item<double>() ==
          doctest::Approx(jvp(last, leaves, tangents).second.item<double>()).epsilon(1e-12));
  }
  SUBCASE("log_softmax, fused layers, and an operation of two results") {
    const Model model = [](std::span<const Tensor> in) {
      const Tensor l = log_softmax(linear(in[0], in[1], in[2], Activation::sigmoid), 1).named("l");
      const Tensor n = layer_norm(l, {3}, in[3], in[2]).named("n");
      const auto [variance, average] = var_mean(n, 0);
      const Tensor v = variance.named("v"), a = average.named("a");
      return std::vector<Tensor>{l, n, v, a, sum(square(v) * a).named("s")};
    };
    const Derivation derivation = check_against_differences(
        model, leaves_of({{"x", {5, 2}}, {"W", {3, 2}}, {"b", {3}}, {"g", {3}}}));
    CHECK(formulas(derivation) ==
          "ṫ1 = (ẋ·Wᵀ + x·Ẇᵀ + ḃ) ⊗ t1 ⊗ (1 − t1)\n"
          "l̇  = ṫ1 − Σ₁(exp(l) ⊗ ṫ1)\n"
          "ṅ  = layer_norm'(l)·l̇ ⊗ g + standardized(l) ⊗ ġ + ḃ\n"
          "v̇  = −Σ₀((a − n) ⊗ ṅ) / 2\n"
          "ȧ  = Σ₀ ṅ / 5\n"
          "ṡ  = 2 Σ(v̇ ⊗ v ⊗ a) + Σ(v² ⊗ ȧ)\n"
          "where t1 = σ(x·Wᵀ + b)\n");
  }
  SUBCASE("a recurrence with slices, shared weights, and a result that is no scalar") {
    const Model model = [](std::span<const Tensor> in) {
      Tensor h = zeros({2, 3}, f64);
      std::vector<Tensor> results;
      for (int t = 0; t < 4; ++t) {
        h = tanh(linear(select(in[0], 0, t), in[1]) + linear(h, in[2]))
                .named("h" + std::to_string(t));
        results.push_back(h);
      }
      results.push_back(logsumexp(h, 1).named("out"));
      return results;
    };
    check_against_differences(model, leaves_of({{"x", {4, 2, 3}}, {"U", {3, 3}}, {"W", {3, 3}}}));
  }
}

TEST_CASE("derive_forward: the stable form of a rule is shown as what it is") {
  const std::vector<Tensor> v = leaves_of({{"z", {2, 3}}});
  CHECK(formulas(derive_forward(log_softmax(v[0], 1).named("l"))) == "l̇ = ż − Σ₁(exp(l) ⊗ ż)\n");
}

namespace {

struct Cube final : UnaryOp<Cube> {
  Cube() : UnaryOp("cube") {}
  static constexpr bool integers = false;
  static constexpr Node::SavedMask saved = Node::input(0);
  template <class T>
  static T value(T x) {
    return x * x * x;
  }
  static Tensor slope(const Application& r, const Tensor& g) { return 3 * g * square(r.in(0)); }
  std::vector<Sample> samples() const override { return {}; }
};

}  // namespace

TEST_CASE("derive_forward: ops of a user's own, programs in f32, data, and no gradient at all") {
  const Cube cube;
  const Tensor x = tensor({0.5F, -1.0F}).named("x").requires_grad_();
  const Tensor c = tensor({2.0F, 3.0F}).named("c");
  const Tensor y = (c * cube(x, Where::current())).named("y");
  const Derivation derivation = derive_forward(y, {x}, {tensor({1.0F, 2.0F})});
  CHECK(formulas(derivation) == "ẏ = 3 c ⊗ ẋ ⊗ x²\n");
  CHECK(derivation.steps()[0].value.to_vector<double>() == std::vector<double>{1.5, 18.0});
  // A tangent of zeros is no reason to leave anything out.
  CHECK(formulas(derive_forward(y, {x}, {zeros({2})})) == formulas(derivation));
  // Nor is one that is the tensor itself.
  CHECK(formulas(derive_forward(y, {x}, {x.detach()})) == formulas(derivation));
}

TEST_CASE("derive_forward: long chains and ladders without names") {
  const std::int64_t nodes = live_nodes();
  {
    const Tensor x = tensor(0.5, f64).named("x").requires_grad_();
    Tensor y = x;
    for (int i = 0; i < 60; ++i) y = y + y;
    CHECK(derive_forward(y, {x}, {ones({}, f64)}).steps().back().value.item<double>() ==
          std::ldexp(1.0, 60));
    Tensor z = x;
    for (int i = 0; i < 5'000; ++i) z = z * 1.0001 + 0.0001;
    const Derivation chain = derive_forward(z.named("z"));
    CHECK(chain.steps().back().of == "z");
    for (const Derivation::Step& step : chain.steps()) CHECK(step.formula().text.size() < 500);
  }
  CHECK(live_nodes() == nodes);
}

TEST_CASE("derive_forward: errors") {
  const TextbookNetwork net({4, 3, 2}, 1);
  const Tensor other = tensor({1.0}, f64).named("other").requires_grad_();
  const Tensor& W = net.W[1];
  const Tensor w = ones(W.shape(), f64);
  CHECK(error_of<GradError>([&] {
          derive_forward(net.p, {other});
        }).starts_with("derive_forward: p (2, 1) does not depend on other (1,)\n  at HERE"));
  CHECK(error_of<GradError>([&] { derive_forward(net.p, {net.x}); }).find("does not depend on x") !=
        std::string::npos);
  CHECK(error_of<GradError>([&] { derive_forward(net.p, {net.p}); }).find("the output itself") !=
        std::string::npos);
  CHECK(error_of<ValueError>([&] {
          derive_forward(net.p, {W, Tensor()});
        }).starts_with("derive_forward: input 1 is undefined\n  at HERE"));
  CHECK(error_of<ValueError>([&] {
          derive_forward(net.p, std::span<const Tensor>());
        }).find("there are no inputs") != std::string::npos);
  CHECK(error_of<ValueError>([&] {
          derive_forward(net.p, {W, net.b[1]}, {w});
        }).starts_with("derive_forward: 1 tangents for 2 inputs\n  at HERE"));
  CHECK(
      error_of<ShapeError>([&] {
        derive_forward(net.p, {W}, {ones({3}, f64)});
      }).starts_with("derive_forward: the tangent (3,) has not the shape of the input W1 (3, 4)"));
  CHECK(error_of<DTypeError>([&] {
          derive_forward(net.p, {W}, {to(w, f32)});
        }).starts_with("derive_forward: the tangent is f32, but the input W1 (3, 4) is f64"));
  CHECK(error_of<ValueError>([&] { derive_forward(net.p, {W}, {Tensor()}); }).find("tangent") !=
        std::string::npos);
  CHECK(error_of<ValueError>([&] {
          derive_forward(net.p, {W, Tensor()}, {w, w});
        }).starts_with("derive_forward: input 1 is undefined\n  at HERE"));
  CHECK(error_of<ValueError>([&] {
          derive_forward(net.p, {W, W}, {w, Tensor()});
        }).starts_with("derive_forward: tangent 1 is undefined\n  at HERE"));
  CHECK(error_of<GradError>([&] { derive_forward(net.p.detach()); }).find("has no graph") !=
        std::string::npos);
  CHECK(error_of<ValueError>([&] { derive_forward(Tensor()); }).find("derive_forward") !=
        std::string::npos);
  const Derivation derivation = derive_forward(net.p);
  CHECK(error_of<ValueError>([&] {
          derivation.text({.values = true});
        }).starts_with("derive_forward: the value of ż1 is not known\n  at HERE"));
  CHECK(error_of<ValueError>([&] {
          derivation.markdown({.norms = true});
        }).find("hand in the tangents") != std::string::npos);
  CHECK(error_of<GradError>([&] {
          derive_forward(tensor(1.0, f64).named("w").requires_grad_());
        }).find("was not computed from anything") != std::string::npos);
  net.loss.backward();
  CHECK(error_of<GradError>([&] { derive_forward(net.loss); }).find("released") !=
        std::string::npos);
}

TEST_SUITE_END();
