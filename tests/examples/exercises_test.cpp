#include <chainrule/examples/exercises/exercises.hpp>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <sstream>

#include <chainrule/core/error.hpp>
#include <chainrule/examples/exercises/program.hpp>
#include <chainrule/examples/find_the_mistake/mistakes.hpp>
#include <chainrule/tests/core/error_of.hpp>

using namespace chainrule;

namespace {

struct Run {
  int status;
  std::string out, errors;
};
Run run(const std::vector<const char*>& arguments, const std::string& answers = "") {
  std::vector<const char*> argv{"exercises"};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  std::istringstream in(answers);
  std::ostringstream out, errors;
  const int status = exercises::run(static_cast<int>(argv.size()), argv.data(), in, out, errors);
  return {status, out.str(), errors.str()};
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

std::string temporary(const char* name) {
  return (std::filesystem::temp_directory_path() / name).string();
}

std::string letter(std::size_t k) { return std::string(1, static_cast<char>('a' + k)); }

// On every second of the models that were not written for exercises; check_derivation() judges.
void check_choices(std::size_t first) {
  int wrong = 0;
  const std::vector<mistakes::Derived> models = mistakes::right_derivations();
  for (std::size_t m = first; m < models.size(); m += 2) {
    const mistakes::Derived& each = models[m];
    CAPTURE(each.model);
    const Exercise exercise = make_exercise(each.loss, {.seed = 7, .choices = 5});
    std::map<std::string, Tensor> tensors;
    for (const Formula& formula : each.formulas) tensors[formula.name] = formula.of;
    for (const Exercise::Line& line : exercise.lines) {
      const auto of = tensors.find(line.gradient.text);
      if (of == tensors.end()) continue;
      for (std::size_t k = 0; k < line.choices.size(); ++k) {
        const Exercise::Choice& choice = line.choices[k];
        if (!choice.value.defined()) continue;
        CAPTURE(choice.formula.text);
        const FormulaVerdict verdict =
            check_derivation(each.loss, {{line.gradient.text, of->second, choice.value}})
                .verdicts()[0];
        CHECK(verdict.ok == (k == line.right));
        wrong += k != line.right;
      }
    }
  }
  CHECK(wrong > 250);
}

}  // namespace

TEST_SUITE_BEGIN("examples");

TEST_CASE("exercises: the first one is the chain of the textbook") {
  const std::map<std::string, std::string> textbook = {
      {"dz3", "p − y"},        {"dW3", "dz3·(h2)ᵀ"}, {"dh2", "(W3)ᵀ·dz3"},    {"dW2", "dz2·(h1)ᵀ"},
      {"dz2", "dh2 ⊗ σ'(z2)"}, {"dh1", "(W2)ᵀ·dz2"}, {"dz1", "dh1 ⊗ σ'(z1)"}, {"dW1", "dz1·xᵀ"}};
  std::set<std::string> sizes;
  for (std::uint64_t seed = 0; seed < 6; ++seed) {
    const Exercise exercise = exercises::all().front().make(seed, {});
    std::size_t found = 0;
    for (const Exercise::Line& line : exercise.lines) {
      const auto formula = textbook.find(line.gradient.text);
      if (formula == textbook.end()) continue;
      CHECK(line.formula.text == formula->second);
      ++found;
      if (line.gradient.text[1] == 'W') sizes.insert(to_string(line.shape));
    }
    CHECK(found == textbook.size());
  }
  CHECK(sizes.size() > 2);
}

TEST_CASE("exercises: the quiz asks for layers 5, 7 and 4, and explains the usual wrong answers") {
  const std::map<std::string, std::string> right = {
      {"dW5", "dz5·(h4)ᵀ"}, {"dh7", "(W8)ᵀ·dz8"}, {"dz4", "dh4 ⊗ σ'(z4)"}};
  const std::map<std::string, std::set<std::string>> wrong = {
      {"dW5", {"dz5·(h5)ᵀ", "dz4·(h5)ᵀ"}},
      {"dh7", {"(W7)ᵀ·dz7", "(W6)ᵀ·dz6", "(W7)ᵀ·dz6"}},
      {"dz4", {"dh3 ⊗ σ'(z3)", "dh4 ⊗ σ'(z5)"}}};
  for (std::uint64_t seed = 0; seed < 5; ++seed) {
    const Exercise quiz = exercises::find("rules")->make(seed, {});
    REQUIRE(quiz.lines.size() == 3);
    for (const Exercise::Line& line : quiz.lines) {
      CHECK(line.formula.text == right.at(line.gradient.text));
      CHECK(line.choices.size() == 4);
      std::set<std::string> missing = wrong.at(line.gradient.text);
      for (std::size_t k = 0; k < line.choices.size(); ++k) {
        missing.erase(line.choices[k].formula.text);
        CHECK(line.choices[k].why.empty() == (k == line.right));
      }
      CHECK(missing.empty());
    }
  }
  // A person's own words for one of them.
  const Exercise own =
      exercises::find("rules")->make(1, {{"dW5", "dz5·(h5)ᵀ", "Look at what goes in."}});
  CHECK(contains(own.text(true), ": Look at what goes in.\n"));
}

TEST_CASE("exercises: every one can be solved, for any seed") {
  for (const exercises::Named& each : exercises::all())
    for (std::uint64_t seed = 0; seed < 5; ++seed) {
      CAPTURE(each.name);
      CAPTURE(seed);
      const Exercise exercise = each.make(seed, {});
      CHECK(each.make(seed, {}).text(true) == exercise.text(true));
      std::string answers;
      for (const Exercise::Line& line : exercise.lines) {
        if (line.choices.empty()) continue;
        CHECK(line.choices.size() == 4);
        answers += letter(line.right) + "\n";
        if (line.element) answers += fmt::format("{:.3g}\n", line.element->value);
      }
      const std::string with_seed = std::to_string(seed);
      const Run result = run({"--exercise", each.name, "--seed", with_seed.c_str()}, answers);
      CHECK(result.status == 0);
      CHECK(contains(result.out, fmt::format("\n{0} of {0} points\n", exercise.points())));
    }
}

TEST_CASE("exercises: of other programs no wrong formula is right") { check_choices(0); }

TEST_CASE("exercises: of further programs no wrong formula is right") { check_choices(1); }

TEST_CASE("exercises: a session in the terminal") {
  const Exercise exercise = exercises::find("rules")->make(2, {});
  const Exercise::Line& first = exercise.lines.front();
  const std::size_t other = first.right == 0 ? 1 : 0;
  const Run result = run({"--exercise", "rules", "--seed", "2"},
                         letter(other) + "\nhint\n" + letter(first.right) + "\nskip\nskip\n");
  CHECK(result.status == 0);
  CHECK(contains(result.out, "✗ " + first.choices[other].why + "\n"));
  CHECK(contains(result.out, "which tensors: " + first.hints[0] + "\n"));
  CHECK(contains(result.out,
                 fmt::format("\n{} of {} points\n", first.points - 2, exercise.points())));
  CHECK(contains(run({}).out, "Not finished. 0 of "));
}

TEST_CASE("exercises: list, sheet, page and help instead of a session") {
  const Run list = run({"--list"});
  CHECK(list.status == 0);
  for (const exercises::Named& each : exercises::all()) CHECK(contains(list.out, each.name));
  CHECK(run({"--sheet"}).out == exercises::all().front().make(1, {}).text());
  CHECK(run({"--sheet", "--answers", "--seed", "3"}).out ==
        exercises::all().front().make(3, {}).text(true));
  const std::string file = temporary("chainrule_exercises_test.html");
  const Run page = run({"--page", file.c_str()});
  CHECK(page.status == 0);
  CHECK(page.out.empty());
  std::ifstream in(file);
  CHECK(std::string(std::istreambuf_iterator<char>(in), {}) ==
        exercises::all().front().make(1, {}).html());
  std::remove(file.c_str());
  CHECK(contains(run({"--help"}).out, "--mistakes FILE"));
}

TEST_CASE("exercises: wrong options are one line and status 2") {
  const auto message = [](const std::vector<const char*>& arguments) {
    const Run result = run(arguments);
    CHECK(result.status == 2);
    CHECK(result.out.empty());
    return result.errors;
  };
  CHECK(message({"--no-such"}) == "exercises: unknown argument '--no-such' (see --help)\n");
  CHECK(message({"--seed", "-1"}) ==
        "exercises: --seed: '-1' is not a whole number from 0 to 2^64 - 1 (see --help)\n");
  CHECK(message({"--seed"}) == "exercises: --seed: its value is missing (see --help)\n");
  CHECK(message({"--exercise", "lstm"})
            .starts_with("exercises: --exercise: 'lstm' is none of chain, "));
  CHECK(message({"--answers"}) == "exercises: --answers goes with --sheet (see --help)\n");
  CHECK(message({"--page", "no/such/folder/page.html"})
            .starts_with("exercises: no/such/folder/page.html cannot be written: "));
  CHECK(message({"--mistakes", "no/such/file"}).starts_with("exercises: no/such/file"));
}

TEST_CASE("exercises: a person's own list of mistakes comes from a file") {
  const std::string file = temporary("chainrule_mistakes_test.txt");
  const auto write = [&](const char* text) { std::ofstream(file) << text; };
  write("# my own\n\ndW2 | dz2·(h2)ᵀ | h2 comes out of layer 2\r\n  dW1|dz1|x is missing | here\n");
  const std::vector<UsualMistake> mistakes = exercises::read_mistakes(file);
  REQUIRE(mistakes.size() == 2);
  CHECK(mistakes[0].formula == "dz2·(h2)ᵀ");
  CHECK(mistakes[0].why == "h2 comes out of layer 2");
  CHECK(mistakes[1].gradient == "dW1");
  CHECK(mistakes[1].why == "x is missing | here");
  CHECK(contains(run({"--sheet", "--answers", "--mistakes", file.c_str()}).out,
                 ": h2 comes out of layer 2\n"));
  write("\ndW2 | dz2·(h2)ᵀ\n");
  CHECK(error_of<IoError>([&] { exercises::read_mistakes(file); }) ==
        file + ":2: this is not 'gradient | formula | what it confuses'");
  write("dW9 | dz9 | no such layer\n");
  const Run result = run({"--mistakes", file.c_str()});
  CHECK(result.status == 1);
  CHECK(contains(result.errors, "the usual mistake dz9 is for dW9, which is not asked for"));
  std::remove(file.c_str());
}

TEST_SUITE_END();
