#include <chainrule/core/create.hpp>
#include <chainrule/core/random.hpp>
#include <chainrule/graph/derivation/derive.hpp>

#include <doctest/doctest.h>

#include <fmt/format.h>

#include <set>
#include <string>
#include <string_view>

#include <chainrule/graph/backward.hpp>
#include <chainrule/graph/derivation/derive_forward.hpp>
#include <chainrule/graph/derivation/text.hpp>
#include <chainrule/graph/picture/picture.hpp>
#include <chainrule/graph/teaching/exercise.hpp>
#include <chainrule/ops/elementwise/activations.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/elementwise/functions.hpp>
#include <chainrule/ops/linalg/matmul.hpp>
#include <chainrule/ops/nn/cross_entropy.hpp>
#include <chainrule/ops/reduce/reduction.hpp>
#include <chainrule/ops/shape/indexing.hpp>
#include <chainrule/ops/shape/manipulation.hpp>
#include <chainrule/tests/core/error_of.hpp>

// One name, one thing: in a derivation, an exercise and a picture.

using namespace chainrule;

TEST_SUITE_BEGIN("graph");

namespace {

struct Program {
  Generator generator{7};

  Tensor data(const std::string& name, const Shape& shape) {
    return uniform(-1, 1, shape, generator, f64).named(name);
  }
  Tensor parameter(const std::string& name, const Shape& shape) {
    return data(name, shape).requires_grad_();
  }
};

// Units with a gate whose sums before the functions have no names.
Tensor gated(int steps) {
  Program program;
  const Tensor X = program.data("X", {steps, 3}), y = program.data("y", {4}),
               Wf = program.parameter("Wf", {4, 3}), Uf = program.parameter("Uf", {4, 4}),
               Wc = program.parameter("Wc", {4, 3}), Uc = program.parameter("Uc", {4, 4});
  Tensor h = zeros({4}, f64).named("h0");
  for (int t = 1; t <= steps; ++t) {
    const Tensor f = sigmoid(matmul(Wf, X[t - 1]) + matmul(Uf, h)).named(fmt::format("f{}", t));
    const Tensor c = tanh(matmul(Wc, X[t - 1]) + matmul(Uc, f * h)).named(fmt::format("c{}", t));
    h = ((1.0 - f) * h + f * c).named(fmt::format("h{}", t));
  }
  return 0.5 * sum(square(h - y));
}

void check_unique(const std::multiset<std::string>& names) {
  REQUIRE(!names.empty());
  for (const std::string& name : names) CHECK_MESSAGE(names.count(name) == 1, name);
}

// As they look in LaTeX.
std::multiset<std::string> symbols(const Derivation& derivation, std::string_view given = {}) {
  std::multiset<std::string> names;
  const auto add = [&](std::string name) {
    for (const char* sign : {"\\mathrm", "{", "}", "_"})
      for (std::size_t at = name.find(sign); at != std::string::npos; at = name.find(sign))
        name.erase(at, std::string_view(sign).size());
    names.insert(name);
  };
  for (const Derivation::Step& step : derivation.steps()) add(step.gradient.latex);
  for (const Derivation::Definition& definition : derivation.definitions())
    add(definition.name.latex);
  if (!given.empty()) add(derivation::symbol_text(given, derivation::Format::latex));
  return names;
}

std::string formulas(const Derivation& derivation) { return derivation.text({.limits = false}); }

}  // namespace

TEST_CASE("naming: results without names in a loop do not share one") {
  for (const int steps : {2, 3, 4, 12}) {
    CAPTURE(steps);
    const Tensor loss = gated(steps);
    check_unique(symbols(derive(loss)));
    const Exercise exercise = make_exercise(loss, {.blanks = 1});
    std::multiset<std::string> names;
    for (const Exercise::Named& each : exercise.program) names.insert(each.name.text);
    for (const Exercise::Line& line : exercise.lines) names.insert(line.gradient.text);
    for (const Derivation::Definition& each : exercise.definitions) names.insert(each.name.text);
    check_unique(names);
    // "gradient":"dt1 = …"
    const std::string page = graph_html(loss), key = "\"gradient\":\"";
    std::multiset<std::string> shown;
    for (std::size_t at = page.find(key); at != std::string::npos; at = page.find(key, at + 1)) {
      const std::size_t begin = at + key.size(), end = page.find(" = ", begin);
      if (const std::string name = page.substr(begin, end - begin); name.size() < 20)
        shown.insert(name);
    }
    check_unique(shown);
  }
}

TEST_CASE("naming: what has no name is called as nothing else is") {
  Program program;
  // In any of the notations: t₁ looks like t1 in LaTeX.
  for (const char* given : {"t1", "t₁", "dt1"}) {
    CAPTURE(given);
    const Tensor x = program.parameter("x", {3, 3}), taken = program.parameter(given, {3});
    const Tensor inner = matmul(x, sin(matmul(x, taken)));  // used twice
    const Derivation derivation = derive(sum(inner * exp(inner) * sigmoid(inner)));
    CHECK(derivation.definitions().size() > 0);
    check_unique(symbols(derivation, taken.name()));
  }
  // A loss without a name is called that in an exercise, if nothing else is.
  const Tensor loss = sin(program.parameter("x", {3})).named("loss");
  CHECK(make_exercise(sum(square(loss))).text().find("t1 = Σ (loss)²") != std::string::npos);
}

TEST_CASE("naming: gradients are ∇w where a tensor is called dw") {
  Program program;
  const Tensor X = program.data("X", {6, 3}), w = program.parameter("w", {3}),
               y = program.data("y", {6});
  const Tensor loss = 0.5 * sum(square(matmul(X, w) - y));
  const Tensor g = grad(loss, w, {.create_graph = true}).named("dw");
  const Tensor penalty = 0.5 * sum(square(g));
  const Derivation derivation = derive(penalty);
  CHECK(formulas(derivation) ==
        "∇dw = dw\n"
        "∇w  = Xᵀ·X·∇dw\n");
  CHECK(derivation.steps().back().gradient.latex == "\\nabla w");
  CHECK(derivation.steps().back().gradient.mathml ==
        "<mrow><mi mathvariant=\"normal\">∇</mi><mi>w</mi></mrow>");
  CHECK(make_exercise(penalty).lines.back().gradient.text == "∇w");
  CHECK(graph_html(penalty).find("\"gradient\":\"∇w = Xᵀ·X·∇dw\"") != std::string::npos);
  CHECK(derive(penalty).text({.indices = true, .limits = false}).find("∇dwᵢ = dwᵢ") !=
        std::string::npos);

  // Indices in any notation.
  const Tensor w1 = program.parameter("w1", {3}), taken = program.parameter("dw₁", {3});
  CHECK(formulas(derive(sum(square(w1) * taken))) ==
        "∇dw₁ = (w1)²\n"
        "∇w1  = 2 dw₁ ⊗ w1\n");
  // What stands in front is no part of what is raised.
  const Tensor v = program.parameter("v", {3}), h = sin(v).named("h");
  const Tensor dh = grad(sum(exp(h)), h, {.create_graph = true}).named("dh");
  CHECK(formulas(derive(sum(square(dh)) + sum(h))).find("∇h") != std::string::npos);
}

TEST_CASE("naming: a gradient keeps its d where no gradient is called as a tensor") {
  Program program;
  const Tensor x = program.data("t", {3}), step = program.data("dt", {3}),
               W = program.parameter("dW", {3});
  CHECK(formulas(derive(sum(square(W) * x * step))) == "ddW = 2 dt ⊗ t ⊗ dW\n");
}

TEST_CASE("naming: tangents are ∂x where a tensor is called ẋ") {
  Program program;
  const Tensor x = program.parameter("x", {3}), other = program.data("ẋ", {3});
  const Derivation derivation = derive_forward(sum(square(x) * other).named("L"));
  CHECK(formulas(derivation) == "∂L = 2 Σ(∂x ⊗ x ⊗ ẋ)\n");
  CHECK(derivation.steps().back().gradient.latex == "\\partial L");
}

TEST_CASE("naming: no mark is left") {
  Program program;
  Tensor product = program.parameter("w", {3});
  for (const char* name : {"dw", "∇w", "∂w"}) product = product * program.data(name, {3});
  const std::string error = error_of<ValueError>([&] { derive(sum(product)); });
  CHECK(error.find("derive: tensors are called dw, ∇w, ∂w, as derivatives of others would be") !=
        std::string::npos);
  CHECK(error.find("hint: call one of them otherwise") != std::string::npos);
}

TEST_CASE("naming: a result that gets a number because others have its name is defined") {
  Program program;
  Tensor h = program.parameter("x", {4});
  for (int k = 0; k < 3; ++k) h = sin(h).named("h");
  CHECK(formulas(derive(sum(square(h)))) ==
        "dh2 = 2 h3 ⊗ cos(h2)\n"
        "dh  = dh2 ⊗ cos(h)\n"
        "dx  = dh ⊗ cos(x)\n"
        "where h2 = sin(h)\n"
        "      h3 = sin(h2)\n");
}

TEST_CASE("naming: axes that are called as a tensor or a gradient are numbers") {
  Program program;
  const Tensor data = program.data("X", {6, 4}), w = program.parameter("w", {4});
  const auto gradient = [&](const char* axis) {
    return formulas(derive(mean(square(matmul(data.named("X", {axis, "d"}), w)))));
  };
  const std::string unnamed = gradient("");
  CHECK(gradient("N") != unnamed);
  for (const char* axis : {"w", "dw", "X"}) CHECK(gradient(axis) == unnamed);
}

TEST_CASE("naming: a tensor keeps its name where it was detached, and where it gets a number") {
  Program program;
  const Tensor v = program.parameter("v", {4}), w = program.parameter("w", {4});
  const Tensor h = sigmoid(v).named("h");
  CHECK(formulas(derive(sum(square(h.detach() - w)) + sum(h), {w})) ==
        "dw = 2 (w − c1)\n"
        "where c1 = data (4,), the values of h\n");
  const Tensor first = program.data("t", {4}), second = program.data("t", {4});
  CHECK(formulas(derive(sum(v * first + w * second))) ==
        "dw = t2\n"
        "dv = t\n"
        "where t2 = data (4,), also called t\n");
}

TEST_CASE("naming: axes of one tensor with one name are of one extent") {
  Program program;
  const Tensor X = program.data("X", {3, 2}), S = program.data("S", {3, 3});
  const std::string error = error_of<ShapeError>([&] { (void)X.named("X", {"N", "N"}); });
  CHECK(error.find("named: the axis N of X (3, 2) has 3 elements, and 2") != std::string::npos);
  CHECK(error.find("hint: give axes of different extents different names") != std::string::npos);
  CHECK(S.named("S", {"N", "N"}).defined());
  CHECK(X.named("X", {"", ""}).defined());
}

TEST_SUITE_END();
