#include <chainrule/graph/derive.hpp>

#include <doctest/doctest.h>

#include <chainrule/core/op.hpp>
#include <chainrule/ops/elementwise.hpp>
#include <chainrule/ops/mse.hpp>
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
  CHECK(dz2.forms.front().formula.text == "p ⊗ (dp − Σ(p ⊗ dp))");
  CHECK(dz2.formula().text == "p − y");
  CHECK(dz2.forms.back().reason.find("Σ y = 1") != std::string::npos);
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
