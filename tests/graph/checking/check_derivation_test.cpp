#include <chainrule/graph/checking/check_derivation.hpp>
#include <chainrule/ops/shape/indexing.hpp>

#include <doctest/doctest.h>

#include <cstdio>
#include <limits>

#include <cmath>
#include <utility>

#include <chainrule/graph/backward.hpp>
#include <chainrule/graph/doctest.hpp>
#include <chainrule/ops/elementwise/convert.hpp>
#include <chainrule/ops/elementwise/functions.hpp>
#include <chainrule/tests/core/error_of.hpp>
#include <chainrule/tests/graph/derivation/textbook_network.hpp>

using namespace chainrule;

TEST_SUITE_BEGIN("graph");

namespace {

Tensor slope(const Tensor& z) { return sigmoid(z) * (1 - sigmoid(z)); }

// The textbook's chain, in its order.
std::vector<Formula> chain(const TextbookNetwork& net) {
  const std::size_t layers = net.W.size() - 1;
  const double samples = static_cast<double>(net.x.size(1));
  std::vector<Formula> formulas;
  const auto name = [](const char* of, std::size_t layer) {
    return fmt::format("d{}{}", of, layer);
  };
  Tensor dz = (net.p - net.y) / samples;
  for (std::size_t l = layers; l >= 1; --l) {
    formulas.push_back({name("z", l), net.z[l], dz});
    formulas.push_back({name("W", l), net.W[l], matmul(dz, net.h[l - 1].T())});
    formulas.push_back({name("b", l), net.b[l], sum(dz, 1, true)});
    if (l == 1) break;
    const Tensor dh = matmul(net.W[l].T(), dz);
    formulas.push_back({name("h", l - 1), net.h[l - 1], dh});
    dz = dh * slope(net.z[l - 1]);
  }
  return formulas;
}

// The report of the chain with another value for one formula, and what follows as it was.
DerivationReport with(const TextbookNetwork& net, std::string_view name, const Tensor& wrong) {
  std::vector<Formula> formulas = chain(net);
  for (Formula& formula : formulas)
    if (formula.name == name) formula.by_hand = wrong;
  return check_derivation(net.loss, formulas);
}

std::string diagnosis(const DerivationReport& report) {
  return report.first_wrong() ? report.first_wrong()->name + ": " + report.first_wrong()->diagnosis
                              : "nothing";
}

}  // namespace

TEST_CASE("check_derivation: the textbook's chain is right, for a sample and for a batch") {
  for (const std::int64_t samples : {1, 4}) {
    const TextbookNetwork net({4, 3, 3, 2}, samples);
    const DerivationReport report = check_derivation(net.loss, chain(net));
    CHECK(report.ok());
    CHECK(report.first_wrong() == nullptr);
    REQUIRE(report.verdicts().size() == 11);
    for (const FormulaVerdict& v : report.verdicts()) {
      CAPTURE(v.name);
      CHECK(v.ok);
      CHECK(v.autograd_ok);
      CHECK(v.relative_error < 1e-12);
      CHECK(v.by_differences == doctest::Approx(v.by_autograd).epsilon(1e-6));
    }
    CHECK(report.verdicts()[1].derived == "dz3·(h2)ᵀ");
  }
}

TEST_CASE("check_derivation: as an assertion") {
  const TextbookNetwork net({4, 3, 2}, 1);
  CHECK_DERIVATION(net.loss, {{"dz2", net.z[2], net.p - net.y}, {"db2", net.b[2], net.p - net.y}});
}

TEST_CASE("check_derivation: usual mistakes are named") {
  const TextbookNetwork net({3, 3, 3, 3}, 1);  // where every tensor fits in the place of another
  const auto& [W, b, z, h, x, y, p, loss] = net;
  const std::vector<Formula> right = chain(net);
  const auto value = [&](std::string_view name) {
    for (const Formula& formula : right)
      if (formula.name == name) return formula.by_hand;
    return Tensor();
  };
  const Tensor dz3 = value("dz3"), dz2 = value("dz2"), dh2 = value("dh2"), dz1 = value("dz1");
  const auto named = [&](std::string_view name, const Tensor& wrong) {
    return diagnosis(with(net, name, wrong));
  };
  CHECK(named("dz3", y - p) ==
        "dz3: the difference is the wrong way round: this is y − p; the chain rule gives p − y");
  CHECK(named("dz3", p).starts_with("dz3: the subtrahend is missing: this is p;"));
  CHECK(named("dW3", matmul(dz3, h[1].T())) ==
        "dW3: of the wrong layer or step: this is dz3·(h1)ᵀ; the chain rule gives dz3·(h2)ᵀ");
  CHECK(named("dW3", matmul(dz2, h[1].T()))
            .starts_with("dW3: of the wrong layers or steps: this is dz2·(h1)ᵀ;"));
  CHECK(named("dW3", matmul(h[2], dz3.T())) ==
        "dW3: transposed: this is the transpose of dz3·(h2)ᵀ");
  CHECK(named("dW3", -matmul(dz3, h[2].T())) == "dW3: the sign is wrong: this is −(dz3·(h2)ᵀ)");
  CHECK(named("dW3", 2.0 * matmul(dz3, h[2].T())) == "dW3: too large by a factor of 2");
  CHECK(
      named("dh2", matmul(W[3], dz3)).starts_with("dh2: a transpose is missing: this is W3·dz3;"));
  CHECK(named("dh2", matmul(W[2].T(), dz3))
            .starts_with("dh2: of the wrong layer or step: this is (W2)ᵀ·dz3;"));
  CHECK(named("dz2", dh2) == "dz2: σ' is missing: this is dh2; the chain rule gives dh2 ⊗ σ'(z2)");
  CHECK(named("dz2", dh2 * slope(h[2]))
            .starts_with("dz2: σ' is taken at another tensor: this is "
                         "dh2 ⊗ σ'(h2);"));
  CHECK(named("dz2", dh2 * slope(z[1]))
            .starts_with("dz2: σ' is taken at another tensor: this is "
                         "dh2 ⊗ σ'(z1);"));
}

TEST_CASE("check_derivation: the first wrong step, and those that only follow it") {
  const TextbookNetwork net({4, 3, 3, 2}, 1);
  const Tensor dz3 = net.p - net.y;
  const Tensor dh2 = matmul(net.W[3].T(), dz3);
  const Tensor dz2 = dh2;  // σ' forgotten, and gone on with
  const DerivationReport report = check_derivation(
      net.loss,
      {{"dz3", net.z[3], dz3},
       {"dz2", net.z[2], dz2},
       {"dW2", net.W[2], matmul(dz2, net.h[1].T())},
       {"dW1", net.W[1], matmul(matmul(net.W[2].T(), dz2) * slope(net.z[1]), net.x.T())}});
  CHECK_FALSE(report.ok());
  REQUIRE(report.first_wrong() != nullptr);
  CHECK(report.first_wrong()->name == "dz2");
  CHECK_FALSE(report.verdicts()[1].inherited);
  CHECK(report.verdicts()[2].inherited);
  CHECK(report.verdicts()[3].inherited);
  CHECK(report.text().find("the first wrong step is dz2\n") != std::string::npos);
}

TEST_CASE("check_derivation: formulas of other shapes are verdicts") {
  const TextbookNetwork net({4, 3, 2}, 5);
  const Tensor dz2 = (net.p - net.y) / 5.0;
  CHECK(diagnosis(with(net, "db2", dz2)).starts_with("db2: the sum is missing: this is dz2;"));
  CHECK(diagnosis(with(net, "dW2", matmul(net.h[1], dz2.T()))) ==
        "dW2: transposed: this is the transpose of dz2·(h1)ᵀ");
  const DerivationReport report = with(net, "dW2", zeros({7}, f64));
  CHECK(std::isnan(report.verdicts()[1].absolute_error));
  CHECK(report.first_wrong()->diagnosis.starts_with("the shape is (7,) instead of (2, 3)"));
}

TEST_CASE("check_derivation: the batch's 1/N, and a mean for a sum") {
  const TextbookNetwork net({4, 3, 2}, 5);
  const Tensor dz2 = (net.p - net.y) / 5.0;
  CHECK(diagnosis(with(net, "dz2", net.p - net.y))
            .starts_with("dz2: a factor that is a number is missing: this is p − y;"));
  const Tensor by_mean = mean(dz2, 1, true);
  CHECK(diagnosis(with(net, "db2", by_mean)) ==
        "db2: a mean in the place of a sum: mean₁((p − y) / 5); the chain rule gives Σ₁ dz2");
  CHECK(diagnosis(with(net, "db2", by_mean.detach()))
            .starts_with("db2: too small by a factor of 5, which is the extent of axis 1 of"));
}

TEST_CASE("check_derivation: f32, and a gradient accumulated twice") {
  Tensor w = tensor({{0.5F, -1.0F}, {2.0F, 1.5F}}).named("w").requires_grad_();
  const Tensor x = tensor({{1.0F}, {3.0F}}).named("x");
  const Tensor z = matmul(w, x).named("z");
  const Tensor loss = sum(z * z);
  CHECK(check_derivation(loss, {{"dw", w, matmul(2.0F * z, x.T())}}).ok());
  loss.backward({.retain_graph = true});
  CHECK(check_derivation(loss, {{"dw", w, w.grad()}}).ok());
  loss.backward({.retain_graph = true});
  const DerivationReport twice = check_derivation(loss, {{"dw", w, w.grad()}});
  CHECK(twice.first_wrong()->diagnosis.starts_with("accumulated twice"));
}

TEST_CASE("check_derivation: errors") {
  const TextbookNetwork net({4, 3, 2}, 1);
  const Tensor any = zeros({2, 1}, f64);
  const auto message = [&]<class E>(E, const std::vector<Formula>& formulas) {
    return error_of<E>([&] { check_derivation(net.loss, formulas); });
  };
  CHECK(message(ValueError(""), {}).starts_with("check_derivation: no formulas"));
  for (const std::string& text :
       {message(ValueError(""), {}), message(ValueError(""), {{"d", net.z[2], Tensor()}}),
        message(ValueError(""), {{"d", Tensor(), any}}),
        message(ValueError(""), {{"dz2", net.z[2], any}, {"again", net.z[2], any}}),
        message(DTypeError(""), {{"d", net.z[2], to(any, i64)}})})
    CHECK(text.find("\n  hint: ") != std::string::npos);
  CHECK(message(ValueError(""), {{"dz2", net.z[2], any}, {"again", net.z[2], any}})
            .starts_with("check_derivation: formula again: there is one for this tensor already"));
  CHECK(message(ValueError(""), {{"dz2", net.z[2], Tensor()}})
            .starts_with("check_derivation: formula dz2: its value is undefined"));
  CHECK(message(GradError(""), {{"dx", net.x, any}}).find("x (4, 1) does not require gradients") !=
        std::string::npos);
  const Tensor other = tensor({1.0}, f64).named("other").requires_grad_();
  CHECK(message(GradError(""), {{"d", other, other}})
            .starts_with("check_derivation: the loss does not depend on other (1,)"));
  CHECK(error_of<GradError>([&] {
          check_derivation(net.p, {{"dz2", net.z[2], any}});
        }).find("is not a scalar") != std::string::npos);
}

TEST_CASE("check_derivation: a report that was moved from is no good one") {
  const Tensor w = tensor(2.0, f64).requires_grad_().named("w");
  DerivationReport report = check_derivation(w * w, {{"dw", w, 3.0 * w}});
  CHECK_FALSE(report.ok());
  const DerivationReport taken = std::move(report);
  CHECK_FALSE(report.ok());
  CHECK(report.first_wrong() == nullptr);
  CHECK_FALSE(taken.ok());
}

TEST_CASE("check_derivation: the report as a table, Markdown and JSON") {
  const TextbookNetwork net({4, 3, 2}, 1);
  const DerivationReport report = with(net, "dz2", net.y - net.p);
  const std::string text = report.text();
  CHECK(text.starts_with("   formula  shape"));
  CHECK(text.find("✗  dz2") != std::string::npos);
  CHECK(report.text(true).find("\x1b[31m✗  dz2") != std::string::npos);
  std::FILE* file = std::tmpfile();  // no terminal
  report.print(file);
  std::string printed(static_cast<std::size_t>(std::ftell(file)), ' ');
  std::rewind(file);
  CHECK(std::fread(printed.data(), 1, printed.size(), file) == report.text().size());
  CHECK(printed == report.text());
  std::fclose(file);
  CHECK(report.markdown().find("| ✗ | dz2 | (2, 1) |") != std::string::npos);
  const std::string json = report.json();
  CHECK(
      json.starts_with("{\"ok\": false, \"first_wrong\": \"dz2\", \"formulas\": [\n  {\"name\": "));
  CHECK(fmt::format("{}", report) == text);
}

TEST_CASE("check_derivation: infinite gradients are compared, not forgiven") {
  const Tensor w = tensor({0.0, 4.0}, f64).named("w").requires_grad_();
  const Tensor loss = sum(sqrt(w));
  const double infinity = std::numeric_limits<double>::infinity();
  const auto verdict = [&](double first, double second) {
    return check_derivation(loss, {{"dw", w, tensor({first, second}, f64)}}).verdicts()[0];
  };
  CHECK(verdict(infinity, 0.25).ok);
  CHECK_FALSE(verdict(infinity, 0.5).ok);
  CHECK_FALSE(verdict(7.0, 0.25).ok);
  CHECK_FALSE(verdict(-infinity, 0.25).ok);
}

TEST_CASE("check_derivation: σ for its slope, nothing at all, and a single wrong element") {
  const TextbookNetwork net({4, 3, 2}, 2);
  const Tensor dz2 = (net.p - net.y) / 2.0, dh1 = matmul(net.W[2].T(), dz2), h = net.h[1];
  const auto diagnosis = [&](const char* name, const Tensor& of, const Tensor& value) {
    return check_derivation(net.loss, {{name, of, value}}).verdicts()[0].diagnosis;
  };
  CHECK(diagnosis("dz1", net.z[1], dh1 * h) ==
        "σ in the place of σ': this is dh1 ⊗ σ(z1); the chain rule gives dh1 ⊗ σ'(z1)");
  CHECK(diagnosis("dz1", net.z[1], dh1 * (1.0 - h))
            .starts_with("1 − σ in the place of σ': this is dh1 ⊗ (1 − σ(z1));"));
  CHECK(diagnosis("dW2", net.W[2], zeros({2, 3}, f64)) ==
        "it is 0; the chain rule gives dz2·(h1)ᵀ");
  Tensor slip = matmul(dz2, h.T()).detach() * 1.0;
  slip.mutable_data<double>()[4] += 0.25;
  CHECK(diagnosis("dW2", net.W[2], slip) == "right but for 1 of 6 elements, the first at (1, 1)");
}

TEST_CASE("check_derivation: of wrong elements the one of the largest difference is shown") {
  const Tensor x = tensor({1.0, 2.0, 3.0}, f64).named("x").requires_grad_();
  const Tensor loss = sum(square(x));
  const Tensor wrong = tensor({2.5, 4.0, 106.0}, f64);
  const DerivationReport report = check_derivation(loss, {{"dx", x, wrong}});
  CHECK(report.verdicts()[0].worst == Shape{2});
  CHECK(report.verdicts()[0].by_hand == 106);
}

TEST_CASE("check_derivation: the loss itself and a wrong tolerance are errors") {
  const Tensor w = tensor({1.0, 4.0}, f64).named("w").requires_grad_();
  const Tensor loss = sum(w * w);
  CHECK(error_of<GradError>([&] {
          check_derivation(loss, {{"dL", loss, tensor(1.0, f64)}});
        }).find("is the loss itself") != std::string::npos);
  CHECK(error_of<ValueError>([&] {
          check_derivation(loss, {{"dw", w, w * 2.0}}, {.tolerance = -1});
        }).starts_with("check_derivation: the tolerance is -1"));
}

TEST_CASE("check_derivation: candidates of other shapes than slices have are errors, not writes") {
  const Tensor w = tensor({1.0, 2.0}, f64).named("w").requires_grad_();
  const Tensor x = tensor({0.5, -1.0, 2.0, 0.25, 1.5}, f64).named("x");
  const Tensor y = (w[0] * x + w[1]).named("y");
  const Tensor loss = sum(square(y));
  const DerivationReport report = check_derivation(loss, {{"dw", w, tensor({0.5, 0.25}, f64)}});
  CHECK_FALSE(report.ok());
  REQUIRE(report.first_wrong() != nullptr);
  CHECK(report.first_wrong()->name == "dw");
}

TEST_CASE(
    "check_derivation: of a lone formula whose last digits are missing no others are blamed") {
  const Tensor x = tensor({1.0, 2.0, 3.0}, f64).named("x").requires_grad_();
  const Tensor loss = sum(x * x * x);
  const Tensor by_differences = 3.0 * square(x.detach()) + 1e-9;  // as they give it
  const DerivationReport report = check_derivation(loss, {{"dx", x, by_differences}});
  CHECK(report.ok());
  const std::string text = report.text();
  CAPTURE(text);
  CHECK(text.find("earlier formulas") == std::string::npos);
  CHECK(text.find("as near to autograd's numbers as is asked of a formula that was not recorded") !=
        std::string::npos);
}

TEST_SUITE_END();
