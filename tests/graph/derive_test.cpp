#include <chainrule/graph/derive.hpp>

#include <doctest/doctest.h>

#include <chainrule/core/op.hpp>
#include <chainrule/ops/convert.hpp>
#include <chainrule/ops/cross_entropy.hpp>
#include <chainrule/ops/elementwise.hpp>
#include <chainrule/ops/linear.hpp>
#include <chainrule/ops/mse.hpp>
#include <chainrule/ops/select.hpp>
#include <chainrule/tests/core/error_of.hpp>
#include <chainrule/tests/graph/textbook_network.hpp>

using namespace chainrule;

TEST_SUITE_BEGIN("graph");

TEST_CASE("derive: the textbook chain of two hidden layers, one sample") {
  const TextbookNetwork net({4, 3, 3, 2}, 1);
  CHECK(derive(net.loss).text() ==
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
  CHECK(derive(-matmul(net.y.T(), log(net.p))).text() ==
        "dz1 = p − y\n"
        "dW1 = dz1·xᵀ\n"
        "db1 = dz1\n");
}

TEST_CASE("derive: a batch, with its 1/N and the sums over the samples") {
  const TextbookNetwork net({4, 3, 2}, 5);
  CHECK(derive(net.loss).text() ==
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
  const Derivation::Step& dz2 = derivation.steps().front();
  CHECK(dz2.gradient.text == "dz2");
  CHECK(dz2.forms.front().formula.text == "p ⊗ (dp − Σ₀(p ⊗ dp))");
  CHECK(dz2.formula().text == "p − y");
  CHECK(dz2.forms.back().reason.find("Σ y = 1") != std::string::npos);
}

TEST_CASE("derive: layers of nn, whose results have no names") {
  const Tensor x = randn({5, 4}).named("x");
  const Tensor V = randn({3, 4}).named("V").requires_grad_();
  const Tensor W = randn({2, 3}).named("W").requires_grad_();
  const Tensor b = zeros({2}).named("b").requires_grad_();
  const Tensor y = one_hot(tensor({0, 1, 1, 0, 1}), 2).named("y");
  const Tensor h = linear(x, V, {}, Activation::tanh);
  CHECK(derive(cross_entropy(linear(h, W, b), y)).text() ==
        "dt1 = (softmax(t1) − y) / 5\n"
        "dW  = (dt1)ᵀ·t2\n"
        "db  = Σ₀ dt1\n"
        "dV  = (dt1·W ⊗ (1 − (t2)²))ᵀ·x\n"
        "where t2 = tanh(x·Vᵀ)\n"
        "      t1 = t2·Wᵀ + b\n");
}

TEST_CASE("derive: squared error, two classes, shared weights, products with numbers") {
  const Tensor x = randn({4, 3}, f64).named("x"), y = randn({2, 3}, f64).named("y");
  const Tensor W = randn({2, 4}, f64).named("W").requires_grad_();
  const Tensor z = matmul(W, x).named("z");
  CHECK(derive(sum(square(z - y)) / 2.0).text() == "dz = z − y\ndW = dz·xᵀ\n");
  CHECK(derive(mean(square(z - y))).text() == "dz = (z − y) / 3\ndW = dz·xᵀ\n");
  CHECK(derive(mse_loss(z, y)).text() == "dz = (z − y) / 3\ndW = dz·xᵀ\n");

  const Tensor c = to(y > 0.0, f64).named("c");
  const Tensor p = sigmoid(z).named("p");
  const Tensor two = -sum(c * log(p) + (1 - c) * log(1 - p));
  CHECK(derive(two).text() == "dz = p − c\ndW = dz·xᵀ\n");

  const Tensor h = sigmoid(z).named("h");
  const Tensor r = matmul(W.T(), h).named("r");
  CHECK(derive(sum(square(r - x)) / 2.0).text() ==
        "dr = r − x\n"
        "dh = W·dr\n"
        "dz = dh ⊗ σ'(z)\n"
        "dW = dz·xᵀ + h·(dr)ᵀ\n");
  CHECK(derive(sum(square(z)) + 0.5 * sum(square(W))).text() == "dz = 2 z\ndW = W + dz·xᵀ\n");
}

TEST_CASE("derive: LaTeX, Markdown and HTML") {
  const Tensor x = randn({4, 1}, f64).named("x");
  const Tensor W = randn({2, 4}, f64).named("W_1").requires_grad_();
  const Tensor z = matmul(W, x).named("z3");
  const Derivation derivation = derive(sum(square(z)) / 2.0);
  CHECK(derivation.latex() ==
        "\\begin{align*}\n"
        "  \\mathrm{d}z_{3} &= z_{3} \\\\\n"
        "  \\mathrm{d}\\mathrm{W\\_1} &= \\mathrm{d}z_{3}\\,{x}^{\\top}\n"
        "\\end{align*}\n");
  CHECK(
      derivation.markdown().starts_with("| gradient | formula |\n|---|---|\n"
                                        "| $\\mathrm{d}z_{3}$ | $z_{3}$ |\n"));
  const std::string html = derivation.html();
  CHECK(html.starts_with("<!DOCTYPE html>"));
  CHECK(html.find("<msub><mi>z</mi><mn>3</mn></msub>") != std::string::npos);
  CHECK(html.find("<msup><mrow><mi>x</mi></mrow><mo>⊤</mo></msup>") != std::string::npos);
}

TEST_CASE("derive: long chains and ladders without names") {
  const std::int64_t nodes = live_nodes();
  {
    const Tensor x = tensor(0.5, f64).named("x").requires_grad_();
    Tensor y = x;
    for (int i = 0; i < 60; ++i) y = y + y;
    CHECK(derive(y).steps().size() >= 1);
    Tensor z = x;
    for (int i = 0; i < 5'000; ++i) z = z * 1.0001 + 0.0001;
    const Derivation chain = derive(sum(z * z));
    CHECK(chain.steps().back().of == "x");
    for (const Derivation::Step& step : chain.steps()) CHECK(step.formula().text.size() < 500);
  }
  CHECK(live_nodes() == nodes);
}

TEST_CASE("derive: asked for, and errors") {
  const TextbookNetwork net({4, 3, 2}, 1);
  CHECK(derive(net.loss, {net.p}).text() == "dp = −y ⊘ p\n");
  const Tensor other = tensor({1.0}, f64).named("other").requires_grad_();
  CHECK(error_of<GradError>([&] {
          derive(net.loss, {other});
        }).starts_with("derive: the loss does not depend on other (1,)"));
  CHECK(error_of<GradError>([&] { derive(net.p); }).find("is not a scalar") != std::string::npos);
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

TEST_SUITE_END();
