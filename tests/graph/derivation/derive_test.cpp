#include <chainrule/core/create.hpp>
#include <chainrule/graph/backward.hpp>
#include <chainrule/graph/checking/check_derivation.hpp>
#include <chainrule/graph/derivation/derive.hpp>
#include <chainrule/ops/reduce/reduction.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <utility>

#include <chainrule/core/op.hpp>
#include <chainrule/graph/derivation/style.hpp>
#include <chainrule/ops/define.hpp>
#include <chainrule/ops/elementwise/activations.hpp>
#include <chainrule/ops/elementwise/convert.hpp>
#include <chainrule/ops/elementwise/functions.hpp>
#include <chainrule/ops/elementwise/select.hpp>
#include <chainrule/ops/nn/cross_entropy.hpp>
#include <chainrule/ops/nn/layer_norm.hpp>
#include <chainrule/ops/nn/linear.hpp>
#include <chainrule/ops/nn/mse.hpp>
#include <chainrule/ops/shape/indexing.hpp>
#include <chainrule/ops/shape/manipulation.hpp>
#include <chainrule/tests/core/error_of.hpp>
#include <chainrule/tests/graph/derivation/textbook_network.hpp>
#include <chainrule/tests/ops/samples/samples.hpp>

using namespace chainrule;

TEST_SUITE_BEGIN("graph");

namespace {

std::string formulas(const Derivation& derivation) { return derivation.text({.limits = false}); }

}  // namespace

TEST_CASE("derive: the textbook chain of two hidden layers, one sample") {
  const TextbookNetwork net({4, 3, 3, 2}, 1);
  CHECK(formulas(derive(net.loss)) ==
        "dz3 = p − y\n"
        "dW3 = dz3·(h2)ᵀ\n"
        "db3 = dz3\n"
        "dh2 = (W3)ᵀ·dz3\n"
        "dz2 = dh2 ⊗ σ'(z2)\n"
        "dW2 = dz2·(h1)ᵀ\n"
        "db2 = dz2\n"
        "dh1 = (W2)ᵀ·dz2\n"
        "dz1 = dh1 ⊗ σ'(z1)\n"
        "dW1 = dz1·xᵀ\n"
        "db1 = dz1\n");
}

TEST_CASE("derive: the loss as a product of matrices") {
  const TextbookNetwork net({4, 2}, 1);
  CHECK(formulas(derive(-matmul(net.y.T(), log(net.p)))) ==
        "dz1 = p − y\n"
        "dW1 = dz1·xᵀ\n"
        "db1 = dz1\n");
}

TEST_CASE("derive: a batch, with its 1/N and the sums over the samples") {
  const TextbookNetwork net({4, 3, 2}, 5);
  CHECK(formulas(derive(net.loss)) ==
        "dz2 = (p − y) / 5\n"
        "dW2 = dz2·(h1)ᵀ\n"
        "db2 = Σ₁ dz2\n"
        "dh1 = (W2)ᵀ·dz2\n"
        "dz1 = dh1 ⊗ σ'(z1)\n"
        "dW1 = dz1·xᵀ\n"
        "db1 = Σ₁ dz1\n");
}

TEST_CASE("derive: the steps from the rules to the textbook have reasons") {
  const TextbookNetwork net({4, 3, 2}, 1);
  const Derivation derivation = derive(net.loss);
  const auto is_dz2 = [](const Derivation::Step& step) { return step.gradient.text == "dz2"; };
  const auto found = std::ranges::find_if(derivation.steps(), is_dz2);
  REQUIRE(found != derivation.steps().end());
  const Derivation::Step& dz2 = *found;
  CHECK(dz2.forms.front().formula.text == "p ⊗ (dp − Σ₀(p ⊗ dp))");
  REQUIRE(dz2.forms.size() == 4);
  CHECK(dz2.forms[1].formula.text == "p ⊗ (−y ⊘ p − Σ₀(p ⊗ (−y ⊘ p)))");
  CHECK(dz2.forms[1].reason == "the formula of dp");
  CHECK(dz2.forms[2].formula.text == "p ⊗ Σ₀ y − y");
  CHECK(dz2.formula().text == "p − y");
  CHECK(dz2.forms.back().reason == "Σ y = 1");
}

TEST_CASE("derive: layers of nn, whose results have no names") {
  const Tensor x = randn({5, 4}).named("x");
  const Tensor V = randn({3, 4}).named("V").requires_grad_();
  const Tensor W = randn({2, 3}).named("W").requires_grad_();
  const Tensor b = zeros({2}).named("b").requires_grad_();
  const Tensor y = one_hot(tensor({0, 1, 1, 0, 1}), 2).named("y");
  const Tensor h = linear(x, V, {}, Activation::tanh);
  CHECK(formulas(derive(cross_entropy(linear(h, W, b), y))) ==
        "dt1 = (softmax₁(t1) − y) / 5\n"
        "dW  = (dt1)ᵀ·tanh(x·Vᵀ)\n"
        "db  = Σ₀ dt1\n"
        "dV  = (dt1·W ⊗ (1 − (tanh(x·Vᵀ))²))ᵀ·x\n"
        "where t1 = tanh(x·Vᵀ)·Wᵀ + b\n");
  // Sums of terms that share a factor are one sum.
  const Tensor c = zeros({3}).named("c").requires_grad_();
  const Tensor s = linear(x, V, c, Activation::sigmoid);
  CHECK(formulas(derive(cross_entropy(linear(s, W, b), y), {c}))
            .find("dc  = Σ₀(dt1·W ⊗ t2 ⊗ (1 − t2))\n") != std::string::npos);
}

TEST_CASE("derive: squared error, two classes, shared weights, products with numbers") {
  const Tensor x = randn({4, 3}, f64).named("x"), y = randn({2, 3}, f64).named("y");
  const Tensor W = randn({2, 4}, f64).named("W").requires_grad_();
  const Tensor z = matmul(W, x).named("z");
  CHECK(formulas(derive(sum(square(z - y)) / 2.0)) == "dz = z − y\ndW = dz·xᵀ\n");
  CHECK(formulas(derive(mean(square(z - y)))) == "dz = (z − y) / 3\ndW = dz·xᵀ\n");
  CHECK(formulas(derive(mse_loss(z, y))) == "dz = (z − y) / 3\ndW = dz·xᵀ\n");

  const Tensor c = to(y > 0.0, f64).named("c");
  const Tensor p = sigmoid(z).named("p");
  const Tensor two = -sum(c * log(p) + (1 - c) * log(1 - p));
  CHECK(formulas(derive(two)) == "dz = p − c\ndW = dz·xᵀ\n");

  const Tensor h = sigmoid(z).named("h");
  const Tensor r = matmul(W.T(), h).named("r");
  CHECK(formulas(derive(sum(square(r - x)) / 2.0)) ==
        "dr = r − x\n"
        "dh = W·dr\n"
        "dz = dh ⊗ σ'(z)\n"
        "dW = dz·xᵀ + h·(dr)ᵀ\n");
  CHECK(formulas(derive(sum(square(z)) + 0.5 * sum(square(W)))) == "dz = 2 z\ndW = W + dz·xᵀ\n");
}

TEST_CASE("derive: LaTeX, Markdown and HTML") {
  const Tensor x = randn({4, 1}, f64).named("x");
  const Tensor W = randn({2, 4}, f64).named("W_1").requires_grad_();
  const Tensor z = matmul(W, x).named("z3");
  const Derivation derivation = derive(sum(square(z)) / 2.0);
  CHECK(derivation.latex() ==
        "% Valid for the program that ran: other branches of it may have other derivatives.\n"
        "\\begin{align*}\n"
        "  \\mathrm{d}z_{3} &= z_{3} \\\\\n"
        "  \\mathrm{d}W_{1} &= \\mathrm{d}z_{3}\\,{x}^{\\top}\n"
        "\\end{align*}\n");
  CHECK(
      derivation.markdown().starts_with("| gradient | formula |\n|---|---|\n"
                                        "| $\\mathrm{d}z_{3}$ | $z_{3}$ |\n"));
  const std::string html = derivation.html();
  CHECK(html.starts_with("<!DOCTYPE html>"));
  CHECK(html.find("<msub><mi>z</mi><mn>3</mn></msub>") != std::string::npos);
  CHECK(html.find("<msup><mrow><mi>x</mi></mrow><mo>⊤</mo></msup>") != std::string::npos);
}

TEST_CASE("derive: shapes, norms, values, and the steps") {
  const Tensor x = tensor({{1.0}, {2.0}}, f64).named("x");
  const Tensor W = tensor({{3.0, 0.0}, {0.0, 1.0}}, f64).named("W").requires_grad_();
  const Tensor z = matmul(W, x).named("z");
  const Derivation derivation = derive(sum(square(z)) / 2.0);
  CHECK(derivation.text({.shapes = true, .norms = true}) ==
        "dz = z        (2, 1)  ‖·‖ = 3.606\n"
        "dW = dz·xᵀ    (2, 2)  ‖·‖ = 8.062\n"
        "Valid for the program that ran: other branches of it may have other derivatives.\n");
  CHECK(derivation.text({.values = true, .limits = false}) ==
        "dz = z\n"
        "    dz = tensor([[3.],\n"
        "                 [2.]], dtype=f64)\n"
        "dW = dz·xᵀ\n"
        "    dW = tensor([[3., 6.],\n"
        "                 [2., 4.]], dtype=f64)\n");
  CHECK(derivation.latex({.values = true, .limits = false}) ==
        "\\begin{align*}\n"
        "  \\mathrm{d}z &= z \\\\\n"
        "   &= \\begin{bmatrix}3 \\\\ 2\\end{bmatrix} \\\\\n"
        "  \\mathrm{d}W &= \\mathrm{d}z\\,{x}^{\\top} \\\\\n"
        "   &= \\begin{bmatrix}3 & 6 \\\\ 2 & 4\\end{bmatrix}\n"
        "\\end{align*}\n");
  CHECK(derivation.markdown({.norms = true, .limits = false}) ==
        "| gradient | formula | norm |\n|---|---|---|\n"
        "| $\\mathrm{d}z$ | $z$ | ‖·‖ = 3.606 |\n"
        "| $\\mathrm{d}W$ | $\\mathrm{d}z\\,{x}^{\\top}$ | ‖·‖ = 8.062 |\n");
  const std::string html = derivation.html_table({.shapes = true, .values = true});
  CHECK(html.find("<td style=\"color: #666\">(2, 2)</td>") != std::string::npos);
  CHECK(html.find("<mtr><mtd><mn>3</mn></mtd><mtd><mn>6</mn></mtd></mtr>") != std::string::npos);
  CHECK(html.find("Valid for the program that ran") != std::string::npos);
  for (const Derivation::Step& step : derivation.steps()) CHECK(step.value.shape() == step.shape);

  const TextbookNetwork net({4, 3, 2}, 1);
  const std::string steps = derive(net.loss).text({.steps = true});
  CHECK(steps.find("dz2 = p ⊗ (dp − Σ₀(p ⊗ dp))\n") != std::string::npos);
  CHECK(steps.find(" = p − y ") != std::string::npos);
  CHECK(steps.find("since ") != std::string::npos);
}

TEST_CASE("derive: repeated layers once") {
  const TextbookNetwork net({4, 3, 3, 3, 3, 2}, 5);
  const Derivation derivation = derive(net.loss);
  CHECK(derivation.text({.layers_once = true, .limits = false}) ==
        "dz5 = (p − y) / 5\n"
        "dWₖ = dzₖ·(hₖ₋₁)ᵀ      for k = 5 … 2\n"
        "dbₖ = Σ₁ dzₖ           for k = 5 … 1\n"
        "dhₖ = (Wₖ₊₁)ᵀ·dzₖ₊₁    for k = 4 … 1\n"
        "dzₖ = dhₖ ⊗ σ'(zₖ)     for k = 4 … 1\n"
        "dW1 = dz1·xᵀ\n");
  CHECK(derivation.latex({.layers_once = true})
            .find("\\mathrm{d}h_{k} &= {W_{k+1}}^{\\top}\\,\\mathrm{d}z_{k+1} && "
                  "\\text{for k = 4 \\dots 1}") != std::string::npos);
  CHECK(derivation.html_table({.layers_once = true}).find("<msub><mi>W</mi><mn>k+1</mn></msub>") !=
        std::string::npos);
  // Those that are alone stay as they are.
  const TextbookNetwork shallow({4, 3, 2}, 5);
  CHECK(derive(shallow.loss).text({.layers_once = true}).find("dW2 = dz2·(h1)ᵀ\n") !=
        std::string::npos);
}

TEST_CASE("derive: modules as one line each") {
  Generator generator(3);
  const Tensor x = randn({5, 4}, generator, f64).named("x");
  const auto layer = [&](const std::string& name, const Tensor& in, std::int64_t units) {
    const Tensor W =
        randn({units, in.shape()[1]}, generator, f64).named(name + ".weight").requires_grad_();
    return linear(in, W, zeros({units}, f64).named(name + ".bias").requires_grad_());
  };
  const Tensor code = tanh(layer("encoder.1", tanh(layer("encoder.0", x, 3)), 2));
  const Tensor back = layer("decoder.0", code, 4);
  const Derivation derivation = derive(mse_loss(back, x));
  const std::string text = derivation.text({.fold_modules = 1, .limits = false});
  CHECK(text.find("formulas in encoder: ") != std::string::npos);
  CHECK(text.find("formulas in decoder: ") != std::string::npos);
  CHECK(text.find("d(encoder.0.weight) = ") == std::string::npos);
  CHECK(derivation.text({.fold_modules = 2}).find("formulas in encoder.0: ") != std::string::npos);
  CHECK(
      error_of<ValueError>([&] {
        derivation.text({.fold_modules = -1});
      }).starts_with("derive: fold_modules = -1: a number of names cannot be negative\n  at HERE"));
  for (const Derivation::Step& step : derivation.steps())
    if (step.of == "encoder.0.weight") CHECK(step.module == "encoder.0");
}

TEST_CASE("derive: long chains and ladders without names") {
  const std::int64_t nodes = live_nodes();
  {
    const Tensor x = tensor(0.5, f64).named("x").requires_grad_();
    Tensor y = x;
    for (int i = 0; i < 60; ++i) y = y + y;
    const Derivation ladder = derive(y);
    CHECK(ladder.steps().back().of == "x");
    CHECK(ladder.steps().back().value.item<double>() == std::ldexp(1.0, 60));
    Tensor z = x;
    for (int i = 0; i < 5'000; ++i) z = z * 1.0001 + 0.0001;
    const Derivation chain = derive(sum(z * z));
    CHECK(chain.steps().back().of == "x");
    for (const Derivation::Step& step : chain.steps()) CHECK(step.formula().text.size() < 500);
  }
  CHECK(live_nodes() == nodes);
}

TEST_CASE("derive: no formula stands before what it needs, and no two tensors have one name") {
  const Tensor x = tensor({{1.0}, {2.0}}, f64).named("x");
  const Tensor W = tensor({{0.5, -1.0}}, f64).named("W").requires_grad_();
  const Tensor b = tensor({{0.25}}, f64).named("b").requires_grad_();
  CHECK(formulas(derive(sum(square(matmul(W, x) + b)))) ==
        "db = 2 (W·x + b)\n"
        "dW = db·xᵀ\n");
  const Tensor V = tensor({{0.5, -1.0}, {0.25, 0.75}}, f64).named("V").requires_grad_();
  Tensor h = x;
  for (int i = 0; i < 3; ++i) h = tanh(matmul(V, h).named("z")).named("h");
  const std::string text = formulas(derive(sum(square(h)) / 2.0));
  CHECK(text.find("dV  = dz3·(h2)ᵀ + dz2·hᵀ + dz·xᵀ\n") != std::string::npos);
}

TEST_CASE("derive: the notation of fused gradients is what they are") {
  const Tensor a = tensor({{0.5, -1.0}, {0.25, 2.0}}, f64).named("a").requires_grad_();
  const Tensor t = tensor({{1.0, 2.0}, {3.0, 5.0}}, f64).named("t");
  CHECK(derive(mse_loss(a, t)).steps()[0].forms[0].formula.text == "2 (a − t) ⊗ 1 / 4");
  const Tensor normal = layer_norm(a, {2}, tensor({1.0, 2.0}, f64).named("g").requires_grad_());
  const std::string text = formulas(derive(sum(normal * t)));
  CHECK(text.find("dg = Σ₀(t ⊗ standardized(a))\n") != std::string::npos);
  CHECK(text.find("data") == std::string::npos);  // the statistics are in no formula
}

TEST_CASE("derive: which part of a tensor a slice is") {
  const Tensor A = arange(12, f64).named("a").requires_grad_();
  const Tensor M = reshape(A, {3, 4}).named("M");
  CHECK(formulas(derive(sum(M(1, all) * M(slice(0, 1), slice({}, {}, -2))(0, 0)), {M})) ==
        "dM = at[0:1, 3::-2](at[0, 0](Σ M[1])) + at[1](expand[4]((M[0:1, 3::-2])[0, 0]))\n");
}

TEST_CASE("derive: infinite numbers in formulas") {
  const Tensor z = tensor({{0.5, -1.0}, {0.25, 2.0}}, f64).named("z").requires_grad_();
  const Tensor mask = tensor({{true, false}, {true, true}});
  const Tensor p = exp(where(mask, z, -std::numeric_limits<double>::infinity()));
  const Derivation derivation = derive(sum(p * p));
  CHECK(derivation.text().find("−∞") != std::string::npos);
  CHECK(derivation.latex().find("-\\infty") != std::string::npos);
  CHECK(derivation.html({.values = true}).find("∞") != std::string::npos);
}

TEST_CASE("derive: LaTeX has a command for every sign that an op's notation brings") {
  const auto without_command = [](const std::string& latex) -> std::string {
    const std::size_t at = static_cast<std::size_t>(
        std::ranges::find_if(latex, [](char c) { return (c & 0x80) != 0; }) - latex.begin());
    return at == latex.size() ? "" : "a sign without a command: " + latex.substr(at, 40);
  };
  const derivation::Style& style = derivation::style_of(derivation::Format::latex);
  for (const Op* op : all_ops()) {
    if (op->differentiable()) continue;  // these by the formulas of their samples
    INFO("op ", std::string(op->name()));
    CHECK(without_command(style.literal(op->notation())) == "");
  }
  samples::for_each_differentiable([&](const Op&, const Sample& sample) {
    const Tensor y = to(sample.apply(samples::leaves_of(sample.inputs)), f64);
    return without_command(derive(sum(y)).latex({.limits = false}));
  });
}

TEST_CASE("derive: what has no name and was not computed is said to be a parameter or data") {
  const Tensor w = tensor({0.5, -1.0}, f64).requires_grad_();
  Tensor c;
  {
    const NoGrad guard;
    c = exp(w);  // remembers where it came from, for log()
  }
  const Tensor y = tensor({2.0, 3.0}, f64);
  CHECK(formulas(derive(sum(w * c * w * y))) ==
        "dw1 = 2 c1 ⊗ w1 ⊗ c2\n"
        "where w1 = parameter (2,)\n"
        "      c1 = data (2,)\n"
        "      c2 = data (2,)\n");
}

namespace {

// Ops as users add them: with a name and nothing else to write, and one that computes by itself.
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

struct Wrong final : UnaryOp<Wrong> {
  explicit Wrong(const char* notation) : UnaryOp("wrong", notation) {}
  static constexpr bool integers = false;
  static constexpr Node::SavedMask saved = 0;
  template <class T>
  static T value(T x) {
    return -x;
  }
  static Tensor slope(const Application&, const Tensor& g) { return -g; }
  std::vector<Sample> samples() const override { return {}; }
};

struct Opaque final : Op {
  Opaque() : Op("opaque") {}
  Tensor operator()(const Tensor& x) const {
    return record(*this, x.value_ref(), {&x}, 0, Where::current());
  }
  void vjp(Vjp& r) const override { r.give(0, r.g()); }
  std::vector<Sample> samples() const override { return {}; }
};

}  // namespace

TEST_CASE("derive: ops of a user's own appear by name") {
  const Cube cube;
  const Tensor x = tensor({0.5, -1.0}, f64).named("x").requires_grad_();
  const Tensor y = cube(x, Where::current());
  CHECK(formulas(derive(sum(square(y)))) == "dx = 6 cube(x) ⊗ x²\n");
  const Opaque opaque;
  const std::string message = error_of<GradError>([&] { derive(sum(opaque(x))); });
  CHECK(message.find("opaque") != std::string::npos);
  CHECK(message.find("override infer() and evaluate()") != std::string::npos);
  for (const char* notation : {"wrong({})", "wrong({0", "wrong({x})", "wrong({1})"}) {
    const Wrong wrong(notation);
    const Tensor z = wrong(x, Where::current());
    const std::string refused = error_of<ValueError>([&] { derive(sum(square(z))); });
    CAPTURE(refused);
    CHECK(refused.starts_with("wrong: \"{"));
    CHECK(refused.find("in its notation names no operand, of which there is 1\n  at ") !=
          std::string::npos);
    CHECK(refused.find("derive_test.cpp:") != std::string::npos);
  }
}

TEST_CASE("derive: results of an operation of several, by what each is") {
  const Tensor x = tensor({{0.5, -1.0, 2.0}, {1.5, 0.25, -0.5}}, f64).named("x").requires_grad_();
  const Tensor w = tensor({2.0, -1.0}, f64).named("w");
  const auto [v, m] = var_mean(x, 1);
  const Tensor var = v.named("v"), loss = sum(w * var * m);
  const std::string text = formulas(derive(loss));
  CHECK(text.find("dv = ") != std::string::npos);
  CHECK(text.find("mean₁(x)") != std::string::npos);
  CHECK(text.find("output") == std::string::npos);
  const Tensor by_hand = grad(loss, x, {.retain_graph = true});
  CHECK(check_derivation(loss, {{"dx", x, by_hand}}).ok());
}

TEST_CASE("derive: what ran before in the process has no part in it") {
  const auto print = [] {
    const Tensor z = tensor({{0.1, 0.7}, {0.3, 0.4}}, f64).named("z").requires_grad_();
    const auto f = [&] { return sum(logsumexp(z, 1)); };
    const Tensor x = tensor({{0.1, 0.7}, {0.3, 0.4}}, f64).named("x").requires_grad_();
    const Tensor y = tensor({{1.0, 2.0}, {3.0, 4.0}}, f64).named("y");
    const auto g = [&] { return sum(transpose(x) * y); };
    return derive(f() + f()).text() + derive(g() + g()).text();
  };
  const std::string fresh = print();
  CHECK(fresh.find("2 softmax₁(z)") != std::string::npos);
  {
    std::vector<Tensor> held;  // what any earlier computation leaves in free memory
    for (int n = 1; n < 90; ++n)
      for (int k = 0; k < 70; ++k) held.push_back(full({n}, 1.2345 + k + 100 * n, f64));
  }
  CHECK(print() == fresh);
}

TEST_CASE("derive: asked for, and errors") {
  const TextbookNetwork net({4, 3, 2}, 1);
  CHECK(formulas(derive(net.loss, {net.p})) == "dp = −y ⊘ p\n");
  const Tensor other = tensor({1.0}, f64).named("other").requires_grad_();
  CHECK(error_of<GradError>([&] { derive(net.loss, {other}); }) ==
        "derive: the loss does not depend on other (1,)\n  at HERE\n"
        "  hint: ask for tensors that it was computed from, with requires_grad_()");
  CHECK(error_of<ValueError>([&] { derive(net.loss, {net.p, Tensor()}); }) ==
        "derive: tensor 1 of those asked for is undefined\n  at HERE\n  hint: it was "
        "default-constructed, moved from, or is the grad() of a tensor that has none");
  CHECK(error_of<GradError>([&] { derive(net.loss, {net.loss}); }).find("is the loss itself") !=
        std::string::npos);
  CHECK(error_of<GradError>([&] {
          derive(tensor(1.0, f64).named("w").requires_grad_());
        }).find("was not computed from anything") != std::string::npos);
  CHECK(error_of<GradError>([&] {
          derive(net.p);
        }).ends_with("is not a scalar\n  at HERE\n  hint: reduce it with sum(x) or mean(x)"));
  CHECK(error_of<GradError>([&] { derive(net.loss.detach()); }).find("has no graph") !=
        std::string::npos);
  const std::int64_t nodes = live_nodes();
  {
    const Derivation derivation = derive(net.loss);
  }
  CHECK(live_nodes() == nodes);
  net.loss.backward();
  CHECK(error_of<GradError>([&] { derive(net.loss); }).find("released") != std::string::npos);
}

TEST_CASE("derive: tensors that share their elements keep their names") {
  const Tensor s = tensor(0.8, f64);
  const Tensor x = s.detach().named("x").requires_grad_(),
               y = s.detach().named("y").requires_grad_();
  const std::string power = derive(sum(square((x * exp(y)).named("z")))).text();
  CAPTURE(power);
  CHECK(power.find("dy = dz z") != std::string::npos);  // z = x exp(y)
  CHECK(power.find("dx = dz exp(y)") != std::string::npos);
  const std::string product = derive(square((x * y + x).named("z"))).text();
  CAPTURE(product);
  CHECK(product.find("dx = dz (1 + y)") != std::string::npos);
  CHECK(product.find("dy = dz x") != std::string::npos);

  const Tensor v = tensor({0.5, -1.0}, f64);
  const Tensor a = v.named("a"), b = v.named("b"),
               p = tensor({0.3, 0.7}, f64).named("p").requires_grad_();
  const std::string data = derive(sum(exp(p * a) * b)).text();
  CAPTURE(data);
  CHECK(data.find("dp = b ⊗ exp(p ⊗ a) ⊗ a") != std::string::npos);
}

TEST_CASE("derive: exponents that are more than a name stand in parentheses") {
  const Tensor x = tensor({0.5, 1.5}, f64).named("x").requires_grad_();
  const Tensor y = tensor({1.2, 0.7}, f64).named("y"), w = tensor({0.3, -0.4}, f64).named("w");
  const auto shown = [](const Tensor& power) { return derive(sum(exp(power))).text(); };
  CHECK(shown(pow(y, x + w)).find("y^(x + w)") != std::string::npos);
  CHECK(shown(pow(y, 2.0 * x)).find("y^(2 x)") != std::string::npos);
  CHECK(shown(pow(y, -x)).find("y^(−x)") != std::string::npos);
  CHECK(shown(pow(y, x)).find("y^x ") != std::string::npos);
  CHECK(shown(pow(x, -1.5)).find("x^−1.5") != std::string::npos);
}

TEST_CASE("derive: what was moved from says nothing, and not that it is valid") {
  const Tensor x = tensor({0.5, 1.5}, f64).named("x").requires_grad_();
  Derivation derivation = derive(sum(exp(x)));
  const Derivation other = std::move(derivation);
  // NOLINTBEGIN(bugprone-use-after-move)
  CHECK((derivation.text() + derivation.latex() + derivation.markdown()).empty());
  CHECK((derivation.html() + derivation.html_table()).empty());
  // NOLINTEND(bugprone-use-after-move)
  CHECK(!other.text().empty());
}

TEST_SUITE_END();
