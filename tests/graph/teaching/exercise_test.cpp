#include <chainrule/graph/teaching/exercise.hpp>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include <chainrule/graph/backward.hpp>
#include <chainrule/graph/checking/check_derivation.hpp>
#include <chainrule/ops/elementwise/functions.hpp>
#include <chainrule/ops/nn/cross_entropy.hpp>
#include <chainrule/ops/nn/linear.hpp>
#include <chainrule/tests/core/error_of.hpp>
#include <chainrule/tests/graph/derivation/textbook_network.hpp>

using namespace chainrule;
using Choice = Exercise::Choice;
using Line = Exercise::Line;

namespace {

const Line& line_of(const Exercise& exercise, const std::string& gradient) {
  for (const Line& line : exercise.lines)
    if (line.gradient.text == gradient) return line;
  FAIL("no line for " << gradient);
  return exercise.lines.front();
}

std::vector<std::string> formulas_of(const Line& line) {
  std::vector<std::string> formulas;
  for (const Choice& choice : line.choices) formulas.push_back(choice.formula.text);
  return formulas;
}

bool offers(const Line& line, const std::string& formula) {
  const std::vector<std::string> formulas = formulas_of(line);
  return std::ranges::find(formulas, formula) != formulas.end();
}

// The loss with an element of one parameter or result moved, from there on.
double moved_loss(const TextbookNetwork& net, const std::string& name, std::size_t at, double by) {
  const auto moved = [&](const Tensor& x, const std::string& called) {
    std::vector<double> elements = x.detach().to_vector<double>();
    if (called == name) elements[at] += by;
    return from_vector(elements, x.shape());
  };
  Tensor h = net.x;
  const std::size_t layers = net.W.size() - 1;
  for (std::size_t l = 1; l <= layers; ++l) {
    const std::string k = std::to_string(l);
    const Tensor z = moved(matmul(moved(net.W[l], "W" + k), h) + moved(net.b[l], "b" + k), "z" + k);
    h = l < layers ? moved(sigmoid(z), "h" + k) : z;
  }
  return (-sum(net.y * log(softmax(h, 0)))).item<double>();
}

std::size_t place_of(const Line& line) {
  std::int64_t place = 0;
  for (int axis = 0; axis < line.shape.rank(); ++axis)
    place = place * line.shape[axis] + line.element->index[axis];
  return static_cast<std::size_t>(place);
}

}  // namespace

TEST_SUITE_BEGIN("graph");

TEST_CASE("make_exercise: the lines are those of the textbook, the right formula among others") {
  const TextbookNetwork net({2, 3, 4, 2}, 1);
  const Exercise exercise = make_exercise(net.loss, {.title = "Backpropagation", .seed = 4});
  CHECK(exercise.title == "Backpropagation");
  const std::map<std::string, std::string> textbook = {
      {"dz3", "p − y"},        {"dW3", "dz3·(h2)ᵀ"}, {"db3", "dz3"}, {"dh2", "(W3)ᵀ·dz3"},
      {"dz2", "dh2 ⊗ σ'(z2)"}, {"dW2", "dz2·(h1)ᵀ"}, {"db2", "dz2"}, {"dh1", "(W2)ᵀ·dz2"},
      {"dz1", "dh1 ⊗ σ'(z1)"}, {"dW1", "dz1·xᵀ"},    {"db1", "dz1"}};
  REQUIRE(exercise.lines.size() == textbook.size());
  int points = 0;
  for (const Line& line : exercise.lines) {
    CAPTURE(line.gradient.text);
    CHECK(line.formula.text == textbook.at(line.gradient.text));
    REQUIRE(line.choices.size() == 4);
    CHECK(line.choices[line.right].formula.text == line.formula.text);
    const std::vector<std::string> formulas = formulas_of(line);
    CHECK(std::set<std::string>(formulas.begin(), formulas.end()).size() == 4);
    for (std::size_t k = 0; k < line.choices.size(); ++k)
      CHECK(line.choices[k].why.empty() == (k == line.right));
    CHECK(line.hints.size() == 3);
    CHECK(line.points >= 2);
    points += line.points + (line.element ? line.element->points : 0);
  }
  CHECK(exercise.points() == points);
  CHECK(line_of(exercise, "db3").points < line_of(exercise, "dW3").points);

  std::vector<std::string> names;
  for (const Exercise::Named& named : exercise.program)
    names.push_back(named.name.text +
                    (named.formula.text.empty() ? "" : " = " + named.formula.text));
  for (const char* expected : {"x", "W1", "z1 = W1·x + b1", "h1 = σ(z1)", "p = softmax(z3)"})
    CHECK(std::ranges::find(names, expected) != names.end());
}

// check_derivation() judges each by differences of the loss.
TEST_CASE("make_exercise: no wrong formula is right, and none is another one") {
  for (std::uint64_t seed = 0; seed < 4; ++seed)
    for (const std::int64_t samples : {1, 3}) {
      CAPTURE(seed);
      CAPTURE(samples);
      const TextbookNetwork net({2, 3, 3, 2}, samples, seed);
      const Exercise exercise = make_exercise(net.loss, {.seed = seed, .choices = 6});
      std::map<std::string, Tensor> tensors;
      for (std::size_t l = 1; l <= 3; ++l) {
        const std::string k = std::to_string(l);
        tensors.insert({{"dW" + k, net.W[l]}, {"db" + k, net.b[l]}, {"dz" + k, net.z[l]}});
        if (l < 3) tensors.emplace("dh" + k, net.h[l]);
      }
      for (const Line& line : exercise.lines) {
        for (std::size_t k = 0; k < line.choices.size(); ++k) {
          const Choice& choice = line.choices[k];
          CAPTURE(line.gradient.text);
          CAPTURE(choice.formula.text);
          if (!choice.value.defined()) {
            CHECK(k != line.right);
            CHECK(choice.why.find("With these shapes it cannot give the shape (") !=
                  std::string::npos);
            continue;
          }
          CHECK_FALSE(choice.value.requires_grad());
          const DerivationReport report = check_derivation(
              net.loss, {{line.gradient.text, tensors.at(line.gradient.text), choice.value}});
          CHECK(report.ok() == (k == line.right));
          for (std::size_t other = 0; other < k; ++other) {
            if (!line.choices[other].value.defined()) continue;
            CHECK(choice.value.to_vector<double>() !=
                  line.choices[other].value.to_vector<double>());
          }
        }
      }
    }
}

TEST_CASE("make_exercise: what is right for the recorded values alone is not offered as wrong") {
  Generator random(3);
  const Tensor x = randn({3, 1}, random, f64).named("x");
  const Tensor a = randn({3, 3}, random, f64);
  const Tensor W1 = randn({3, 3}, random, f64).named("W1").requires_grad_();
  const Tensor W2 = (a + a.T()).named("W2").requires_grad_();      // symmetric
  const Tensor g = ones({3, 1}, f64).named("g").requires_grad_();  // of no effect
  const Tensor z1 = matmul(W1, x).named("z1"), h1 = tanh(z1).named("h1");
  const Tensor z2 = matmul(W2, h1).named("z2"), u = (g * z2).named("u");
  const Tensor loss = sum(square(u)) / 2.0;
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    const Exercise exercise = make_exercise(loss, {.seed = seed, .choices = 12});
    CHECK(offers(line_of(exercise, "dh1"), "(W2)ᵀ·dz2"));
    CHECK_FALSE(offers(line_of(exercise, "dh1"), "W2·dz2"));
    CHECK_FALSE(offers(line_of(exercise, "dz2"), "du"));
  }
}

TEST_CASE("make_exercise: an element is that of differences, and follows from what is given") {
  int elements = 0;
  for (std::uint64_t seed = 0; seed < 8; ++seed) {
    const TextbookNetwork net({2, 3, 3, 2}, 1, seed);
    for (const Line& line : make_exercise(net.loss, {.seed = seed}).lines) {
      if (!line.element) continue;
      ++elements;
      CAPTURE(seed);
      CAPTURE(line.gradient.text);
      const Exercise::Element& element = *line.element;
      const std::string name = line.gradient.text.substr(1);
      const std::size_t at = place_of(line);
      constexpr double h = 1e-5;
      const double slope = (moved_loss(net, name, at, h) - moved_loss(net, name, at, -h)) / (2 * h);
      CHECK(element.value == doctest::Approx(slope).epsilon(1e-7));
      CHECK(element.tolerance < std::abs(element.value) / 4);

      // By hand, from the rounded numbers.
      std::map<std::string, std::vector<double>> given;
      for (const Exercise::Element::Given& each : element.given) {
        given[each.name.text] = each.value.to_vector<double>();
        for (const double number : given[each.name.text])
          CHECK(std::abs(number * 1e3 - std::round(number * 1e3)) < 1e-9);
      }
      const auto k = static_cast<std::size_t>(name.back() - '0');
      const std::string mine = std::to_string(k), next = std::to_string(k + 1);
      const auto row = static_cast<std::size_t>(element.index[0]),
                 column = static_cast<std::size_t>(element.index[1]);
      double by_hand = 0;
      if (name == "z3") {
        by_hand = given.at("p")[row] - given.at("y")[row];
      } else if (name[0] == 'z') {
        const double y = given.at("h" + mine)[row];
        by_hand = given.at("dh" + mine)[row] * y * (1 - y);
      } else if (name[0] == 'h') {
        const std::vector<double>&W = given.at("W" + next), &dz = given.at("dz" + next);
        for (std::size_t i = 0; i < dz.size(); ++i)
          by_hand += W[i * W.size() / dz.size() + row] * dz[i];
      } else {
        const std::string before = k == 1 ? "x" : "h" + std::to_string(k - 1);
        by_hand = given.at("dz" + mine)[row] * given.at(before)[column];
      }
      CHECK(std::abs(by_hand - element.value) <= element.tolerance);
    }
  }
  CHECK(elements > 50);
}

TEST_CASE("make_exercise: what is missing is named whole, and functions keep their small letters") {
  const Tensor w = tensor({{0.4, -0.7}, {0.3, 0.9}}, f64).named("W").requires_grad_();
  const Tensor v = tensor({{0.6, -0.2}}, f64).named("v").requires_grad_();
  const Tensor x = tensor({{0.5}, {-1.5}}, f64).named("x");
  const Tensor z = matmul(w, x).named("z"), h = tanh(z).named("h");
  const Tensor loss = sum(square(matmul(v, h).named("y"))).named("loss");
  std::set<std::string> said;
  for (std::uint64_t seed = 1; seed <= 12; ++seed)
    for (const Line& line : make_exercise(loss, {.seed = seed, .choices = 6}).lines)
      for (const Choice& choice : line.choices)
        said.insert(choice.why.substr(0, choice.why.find('.')));
  CHECK(said.contains("A factor is missing: tanh'(z)"));
  CHECK_FALSE(said.contains("A factor is missing: z"));
  CHECK(said.contains("tanh in the place of tanh'"));
}

TEST_CASE("make_exercise: hints go from the tensors to the form") {
  const TextbookNetwork net({2, 3, 3, 2}, 1);
  const Exercise exercise = make_exercise(net.loss);
  const std::vector<std::string>& of_product = line_of(exercise, "dW2").hints;
  CHECK(of_product[0] == "W2 stands in z2 = W2·h1 + b2; what arrives is in dz2.");
  CHECK(of_product[1] == "The rule of a product of matrices, C = A·B: dA = dC·Bᵀ and dB = Aᵀ·dC.");
  CHECK(of_product[2] == "dW2 = dz2·▢ᵀ, of the shape (3, 3).");
  CHECK(line_of(exercise, "dz2").hints[1] ==
        "The rule of a function of each element, c = σ(a): da = dc ⊗ σ'(a).");
  CHECK(line_of(exercise, "dz3").hints[2].find("since Σ y = 1") != std::string::npos);
}

TEST_CASE("make_exercise: one seed makes one exercise") {
  const TextbookNetwork net({2, 3, 3, 2}, 1);
  const auto text = [&](std::uint64_t seed) {
    return make_exercise(net.loss, {.seed = seed}).text(true);
  };
  CHECK(text(5) == text(5));
  CHECK(text(5) != text(6));
  CHECK(make_exercise(net.loss, {.seed = 5}).html() == make_exercise(net.loss, {.seed = 5}).html());
}

TEST_CASE("make_exercise: a teacher's own mistakes come first, with their reasons") {
  const TextbookNetwork net({3, 3, 3, 3}, 1);
  const Tensor dz2 = grad(net.loss, net.z[2], {.retain_graph = true});
  const Exercise exercise = make_exercise(
      net.loss,
      {.of = {net.W[2], net.h[1]},
       .mistakes = {{"dW2", "dz2·(h2)ᵀ", "h2 is what comes out.", matmul(dz2, net.h[2].T())},
                    {"dW2", "(h1 dz2)ᵀ", "<no> such product"}}});
  REQUIRE(exercise.lines.size() == 2);
  const Line& line = line_of(exercise, "dW2");
  REQUIRE(line.choices.size() == 4);
  std::map<std::string, std::string> reasons;
  for (const Choice& choice : line.choices) reasons[choice.formula.text] = choice.why;
  CHECK(reasons.at("dz2·(h2)ᵀ") == "h2 is what comes out.");
  CHECK(reasons.at("(h1 dz2)ᵀ") == "<no> such product");
  CHECK(offers(line, "dz2·(h1)ᵀ"));
  CHECK(exercise.html().find("<no>") == std::string::npos);
  CHECK(exercise.html().find("&lt;no&gt; such product") != std::string::npos);
}

TEST_CASE("make_exercise: what cannot be asked is said, with the remedy") {
  const TextbookNetwork net({3, 3, 3}, 1);
  const Tensor dz2 = (net.p - net.y).detach(), right = matmul(dz2, net.h[1].detach().T());
  const auto message = [&](ExerciseOptions options) {
    return error_of<ValueError>([&] { make_exercise(net.loss, options); });
  };
  CHECK(message({.choices = 1}) ==
        "make_exercise: 1 choices leave nothing to choose\n  at HERE\n  hint: 2 or more");
  CHECK(message({.blanks = -1}).starts_with("make_exercise: -1 blanks\n"));
  CHECK(message({.of = {net.W[2]}, .mistakes = {{"dW1", "dz1", "why"}}}) ==
        "make_exercise: the usual mistake dz1 is for dW1, which is not asked for\n  at HERE\n"
        "  hint: asked for are dW2");
  CHECK(message({.mistakes = {{"dW2", "dz2", ""}}}) ==
        "make_exercise: a usual mistake for dW2 has no why\n  at HERE\n"
        "  hint: say what is written, and what it confuses");
  CHECK(message({.mistakes = {{"dW2", "dz2 · h1ᵀ", "why"}}}) ==
        "make_exercise: the usual mistake dz2 · h1ᵀ for dW2: this is the right formula\n"
        "  at HERE\n  hint: leave it out");
  CHECK(message({.mistakes = {{"dW2", "(p − y)·(h1)ᵀ", "why", right}}}) ==
        "make_exercise: the usual mistake (p − y)·(h1)ᵀ for dW2: its value is what the right "
        "formula dz2·(h1)ᵀ gives\n  at HERE\n"
        "  hint: leave it out, or choose values where the two differ");
  CHECK(message({.mistakes = {{"dW2", "dz2·xᵀ", "why", -right}, {"dW2", "−dz2", "why", -right}}})
            .starts_with("make_exercise: the usual mistake −dz2 for dW2 stands there twice, or "
                         "gives what dz2·xᵀ gives\n  at HERE"));
  const Tensor z = matmul(net.W[1], net.x), unused = ones({2}, f64).requires_grad_();
  CHECK(error_of<GradError>([&] {
          make_exercise(net.loss, {.of = {unused}});
        }).starts_with("make_exercise: the derivation of the loss has no line for "));
  CHECK(error_of<GradError>([&] { make_exercise(ones({2}, f64)); }).find("make_exercise") !=
        std::string::npos);
}

TEST_CASE("make_exercise: blanks are some of the lines") {
  const TextbookNetwork net({2, 3, 3, 2}, 1);
  const Exercise exercise = make_exercise(net.loss, {.seed = 2, .blanks = 3, .elements = false});
  CHECK(exercise.lines.size() == 11);
  CHECK(std::ranges::count_if(exercise.lines, [](const Line& l) { return !l.choices.empty(); }) ==
        3);
  for (const Line& line : exercise.lines) {
    CHECK_FALSE(line.element);
    CHECK((line.points == 0) == line.choices.empty());
    CHECK_FALSE(line.formula.text.empty());
  }
}

TEST_CASE("make_exercise: any program, and it can be differentiated afterwards") {
  Generator random(1);
  const Tensor X = randn({6, 3}, random, f32), t = randn({6}, random, f32).named("t");
  const Tensor w = randn({3}, random, f32).named("w").requires_grad_();
  const Tensor c = zeros({3}, f32).named("c").requires_grad_();
  const Tensor r = (matmul(X, w) - t).named("r");
  const Tensor loss = mean(square(r)) + 0.1 * sum(square(w)) + sum(c * 0.0);
  const Exercise exercise = make_exercise(loss);
  CHECK(line_of(exercise, "dc").choices.empty());  // 0, and so is each mistake in it
  CHECK(line_of(exercise, "dw").choices.size() == 4);
  CHECK(exercise.program.back().name.text == "loss");
  // X has no name, and gets one that is explained.
  REQUIRE_FALSE(exercise.definitions.empty());
  CHECK(exercise.definitions[0].formula.text == "data (6, 3)");
  CHECK(exercise.text().find("where " + exercise.definitions[0].name.text) != std::string::npos);
  loss.backward();
  CHECK(w.grad().defined());
}

TEST_CASE(
    "make_exercise: a result without a name whose gradient several formulas need is explained") {
  Generator random(2);
  const Tensor Q = randn({2, 3}, random, f64).named("Q").requires_grad_();
  const Tensor K = randn({2, 3}, random, f64).named("K").requires_grad_();
  const Tensor T = randn({2, 2}, random, f64).named("T");
  const Tensor S = square(matmul(Q, K.T())).named("S");
  const Exercise exercise = make_exercise(sum(sin(S) * T));
  CHECK(exercise.definitions.empty());
  const auto product = std::ranges::find_if(
      exercise.program, [](const auto& each) { return each.formula.text == "Q·Kᵀ"; });
  REQUIRE(product != exercise.program.end());
  const std::string name = product->name.text;  // whatever it is called
  CHECK(
      line_of(exercise, "d" + name).hints[0].starts_with(name + " stands in S = (" + name + ")²"));
}

TEST_CASE("make_exercise: operations of several steps, and programs without names") {
  Generator random(4);
  const Tensor x = randn({5, 4}, random), W1 = randn({3, 4}, random).named("W1").requires_grad_();
  const Tensor W2 = randn({2, 3}, random).named("W2").requires_grad_();
  const Tensor b2 = randn({2}, random).named("b2").requires_grad_();
  const Tensor loss =
      cross_entropy(linear(relu(linear(x, W1)), W2, b2), randint(0, 2, {5}, random));
  const Exercise exercise = make_exercise(loss);
  const std::vector<std::string>& hints = line_of(exercise, "dW2").hints;
  CHECK(hints[1] == "The rule of a product of matrices, C = A·B: dA = dC·Bᵀ and dB = Aᵀ·dC.");
  CHECK(line_of(exercise, "db2").hints[1].starts_with("The rule of a sum, "));
  // The results in between have equations, so that no formula repeats them.
  for (const Line& line : exercise.lines)
    CHECK(line.formula.text.find("relu(") == std::string::npos);
}

TEST_CASE("Exercise::text: questions without what gives them away, and answers on demand") {
  const TextbookNetwork net({2, 3, 3, 2}, 1);
  const Exercise exercise = make_exercise(net.loss, {.title = "Sheet", .seed = 1});
  const std::string sheet = exercise.text(), with_answers = exercise.text(true);
  CHECK(with_answers.starts_with(sheet));
  CHECK(sheet.starts_with(fmt::format("Sheet\n{} points\n\nThe program\n", exercise.points())));
  CHECK(sheet.find("\n2. dW3 = ?   4 points\n   a  ") != std::string::npos);
  CHECK(sheet.find("\n   d  ") != std::string::npos);
  for (const Line& line : exercise.lines) {
    CHECK(sheet.find(line.gradient.text + " = [") == std::string::npos);
    const std::string answer = fmt::format(". {}: {} = {}", static_cast<char>('a' + line.right),
                                           line.gradient.text, line.formula.text);
    CHECK(sheet.find(answer) == std::string::npos);
    CHECK(with_answers.find(answer) != std::string::npos);
  }
  // What is not asked for is given.
  CHECK(make_exercise(net.loss, {.of = {net.W[2]}}).text().find("\n   dz2 = [[") !=
        std::string::npos);
}

TEST_SUITE_END();
