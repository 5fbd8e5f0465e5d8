#include <chainrule/core/create.hpp>
#include <chainrule/core/random.hpp>
#include <chainrule/graph/derivation/derive.hpp>

#include <doctest/doctest.h>

#include <fmt/format.h>

#include <set>
#include <string>
#include <string_view>

#include <chainrule/graph/derivation/text.hpp>
#include <chainrule/graph/picture/picture.hpp>
#include <chainrule/graph/teaching/exercise.hpp>
#include <chainrule/ops/elementwise/activations.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/elementwise/functions.hpp>
#include <chainrule/ops/linalg/matmul.hpp>
#include <chainrule/ops/reduce/reduction.hpp>
#include <chainrule/ops/shape/indexing.hpp>
#include <chainrule/ops/shape/manipulation.hpp>

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
