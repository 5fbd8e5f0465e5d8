#include <chainrule/graph/teaching/practise.hpp>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <sstream>

#include <chainrule/tests/core/error_of.hpp>
#include <chainrule/tests/graph/derivation/textbook_network.hpp>

using namespace chainrule;

namespace {

// One gradient with an element, made by hand: a right formula and two wrong ones.
Exercise small() {
  const auto written = [](const char* text) { return Exercise::Written{text, text, text}; };
  const auto value = [](double x) { return full({2}, x, f64); };
  Exercise::Line line{written("dw"), written("g ⊗ x"), {2}};
  line.choices = {{written("g"), value(3), "A factor is missing."},
                  {written("g ⊗ x"), value(6), ""},
                  {written("g ⊗ w"), value(-1), "Another tensor."}};
  line.right = 1;
  line.hints = {"first", "second"};
  line.points = 3;
  line.element = {{0}, {{written("g"), value(3)}}, 6, 0.1, 2};
  Exercise exercise{"Small", {}, {line}, {}};
  exercise.lines.push_back({written("db"), written("g"), {2}});
  return exercise;
}

struct Result {
  ExerciseScore score;
  std::string said;
};
Result with(const Exercise& exercise, const std::string& answers) {
  std::istringstream in(answers);
  std::ostringstream out;
  Result result;
  result.score = practise(exercise, in, out);
  result.said = out.str();
  return result;
}
Result with(const std::string& answers) { return with(small(), answers); }

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_SUITE_BEGIN("graph");

TEST_CASE("practise: right answers have all points, however they are typed") {
  for (const char* answers : {"b\n6\n", " B \r\n6.05\r\n", "b\n 5,95\n", "b\n+6", "b)\ndw[0] = 6\n",
                              "(B)\n= 6,0\n", "dw = b.\n6\n"}) {
    CAPTURE(answers);
    const Result result = with(answers);
    CHECK(result.score.points == 5);
    CHECK(result.score.of == 5);
    CHECK(result.score.finished);
    CHECK(result.score.mistakes.empty());
    CHECK(contains(result.said, "✓ dw = g ⊗ x   3 of 3 points\n"));
    CHECK(contains(result.said, "\n2. db = g\n"));
    CHECK(result.said.ends_with("\n5 of 5 points\n"));
  }
}

TEST_CASE("practise: a wrong answer is explained, costs a point, and is asked again") {
  const Result result = with("a\nc\nb\n3\n–1\n100\n6.2\n6\n");
  CHECK(result.score.points == 1);
  CHECK(result.score.finished);
  CHECK(contains(result.said, "✗ A factor is missing.\n"));
  CHECK(contains(result.said, "✗ Another tensor.\n"));
  CHECK(contains(result.said, "✓ dw = g ⊗ x   1 of 3 points\n"));
  CHECK(contains(result.said, "✗ g gives that. A factor is missing.\n"));
  CHECK(contains(result.said, "✗ g ⊗ w gives that. Another tensor.\n"));
  CHECK(contains(result.said, "✗ No formula above gives that: look at the arithmetic.\n"));
  CHECK(contains(result.said, "✓ dw[0] = 6   0 of 2 points\n"));
  REQUIRE(result.score.mistakes.size() == 4);
  CHECK(result.score.mistakes[0] == "dw, not g: A factor is missing.");
  CHECK(contains(result.said, "To look at again\n  dw, not g: A factor is missing.\n"));
}

TEST_CASE("practise: hints come in steps and cost a point each, an answer that is shown all") {
  const Result hints = with("hint\nhint\nhint\nb\nhint\nskip\n");
  CHECK(contains(hints.said, "  which tensors: first\n"));
  CHECK(contains(hints.said, "  which rule: second\n"));
  CHECK(contains(hints.said, "Those were all the hints.\n"));
  CHECK(hints.score.points == 1);
  CHECK(contains(hints.said, "  dw[0] = 6\n"));
  CHECK(hints.score.finished);
  CHECK(with("skip\n6\n").score.points == 2);
}

TEST_CASE("practise: what is no answer costs nothing") {
  const Result result = with("\nd\nbb\n6\nb\nx\n1e400\nnan\n6x\n6\n");
  CHECK(result.score.points == 5);
  CHECK(contains(result.said, "Type the letter of a formula, hint, skip or quit.\n"));
  CHECK(contains(result.said, "Type a number, hint, skip or quit.\n"));
}

TEST_CASE("practise: ends with what was reached when the answers end") {
  for (const char* answers : {"", "b\n", "b\nquit\n", "b\nq\n6\n"}) {
    CAPTURE(answers);
    const Result result = with(answers);
    CHECK_FALSE(result.score.finished);
    CHECK(result.score.points == (*answers ? 3 : 0));
    CHECK(contains(result.said, "Not finished. "));
  }
}

TEST_CASE("practise: a stream that fails is an error, and no end of the answers") {
  std::istringstream in("b\n6\n"), broken;
  broken.setstate(std::ios::badbit);
  std::ostringstream out, closed;
  closed.setstate(std::ios::badbit);
  CHECK(error_of<IoError>([&] {
          practise(small(), in, closed);
        }).starts_with("practise: what is asked could not be written\n  at HERE\n  hint: "));
  CHECK(error_of<IoError>([&] {
          practise(small(), broken, out);
        }).starts_with("practise: an answer could not be read\n  at HERE\n  hint: "));
}

TEST_CASE("practise: goes through an exercise of a program") {
  const TextbookNetwork net({2, 3, 3, 2}, 1);
  const Exercise exercise = make_exercise(net.loss, {.seed = 3});
  std::string answers;
  for (const Exercise::Line& line : exercise.lines) {
    answers += fmt::format("{}\n", static_cast<char>('a' + line.right));
    if (line.element) answers += fmt::format("{:.4g}\n", line.element->value);
  }
  const Result result = with(exercise, answers);
  CHECK(result.score.finished);
  CHECK(result.score.points == exercise.points());
  CHECK(contains(result.said, "  z2 = W2·h1 + b2"));
}

TEST_SUITE_END();
