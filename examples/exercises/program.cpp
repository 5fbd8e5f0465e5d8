#include <chainrule/examples/exercises/program.hpp>

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <charconv>
#include <fstream>
#include <ostream>

#include <chainrule/core/error.hpp>
#include <chainrule/examples/common/table.hpp>
#include <chainrule/examples/common/text_file.hpp>
#include <chainrule/examples/exercises/exercises.hpp>
#include <chainrule/graph/teaching/practise.hpp>

namespace exercises {

namespace {

constexpr const char* description =
    "Derivations with blanks: derive the gradients of a program line by line, choose\n"
    "each formula among wrong ones, and compute an element by hand. What is wrong is\n"
    "explained. Sizes and numbers follow from a seed.";

constexpr const char* notes =
    "Examples:\n"
    "  exercises                                 the chain of two hidden layers\n"
    "  exercises --exercise rules --seed 3       the quiz, with other wrong answers\n"
    "  exercises --page chain.html               a page that needs no server\n"
    "  exercises --sheet --answers               on paper, with the answers\n"
    "  exercises < answers.txt                   an answer on each line\n"
    "\n"
    "A file for --mistakes has on each line a gradient, a wrong formula, and what it\n"
    "confuses: dW2 | dz2·(h2)ᵀ | h2 comes out of layer 2.\n"
    "\n"
    "Exit status: 0; 2 for a wrong option or an unusable file.";

struct Options {
  std::string exercise = all().front().name;
  std::uint64_t seed = 1;
  std::string page, mistakes;
  bool list = false, sheet = false, answers = false;
};

std::uint64_t parse_seed(const std::string& text) {
  std::uint64_t seed = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seed);
  if (error != std::errc() || end != text.data() + text.size())
    throw CLI::ValidationError(
        "--seed", examples::in_quotes(text) + " is not a whole number from 0 to 2^64 - 1");
  return seed;
}

std::string names() {
  std::string text;
  for (const Named& each : all()) text += fmt::format("{}{}", text.empty() ? "" : ", ", each.name);
  return text;
}

void add_options(CLI::App& app, Options& options) {
  app.footer(notes);
  app.get_formatter()->column_width(18);
  app.get_formatter()->label("OPTIONS", "options");
  app.set_help_flag("-h,--help", "print this and exit");
  const auto add = [&](const char* name, const char* type, const std::string& help, auto set) {
    app.add_option_function<std::string>(name, set, help)->type_name(type)->take_last();
  };
  add("--exercise", "NAME", fmt::format("{} [{}]", names(), options.exercise),
      [&](const std::string& text) {
        if (!find(text))
          throw CLI::ValidationError(
              "--exercise", fmt::format("{} is none of {}", examples::in_quotes(text), names()));
        options.exercise = text;
      });
  add("--seed", "N",
      "of the sizes, the numbers and the wrong formulas; the\nsame seed gives the "
      "same exercise again [1]",
      [&](const std::string& text) { options.seed = parse_seed(text); });
  add("--mistakes", "FILE", "a person's own list of mistakes, offered first [none]",
      [&](const std::string& text) { options.mistakes = text; });
  add("--page", "FILE", "leave a page there instead of asking [none]",
      [&](const std::string& text) { options.page = text; });
  app.add_flag("--sheet", options.sheet, "print the exercise instead of asking");
  app.add_flag("--answers", options.answers, "with --sheet: the answers, too");
  app.add_flag("--list", options.list, "print what exercises there are");
}

// Whether to go on; else `status` and a text have been given.
bool parse(int argc, const char* const* argv, Options& options, std::ostream& out,
           std::ostream& errors, int& status) {
  CLI::App app(description, "exercises");
  add_options(app, options);
  std::string wrong;
  try {
    app.parse(argc, argv);
    if (!options.answers || options.sheet) return true;
    wrong = "--answers goes with --sheet";
  } catch (const CLI::CallForHelp&) {
    out << app.help();
    status = 0;
    return false;
  } catch (const CLI::ExtrasError&) {
    wrong = "unknown argument " + examples::in_quotes(app.remaining().front());
  } catch (const CLI::ArgumentMismatch& error) {
    const std::string message = error.what();  // "--seed: 1 required N missing"
    wrong = message.substr(0, message.find(':')) + ": its value is missing";
  } catch (const CLI::ParseError& error) {
    wrong = error.what();
  }
  errors << "exercises: " << wrong << " (see --help)\n";
  status = 2;
  return false;
}

void write(const std::string& path, const std::string& text) {
  examples::check_writable(path);
  std::ofstream file(path);
  file << text;
  file.flush();
  if (!file) throw chainrule::IoError(path + ": the page cannot be written");
}

void print_list(std::ostream& out) {
  examples::Table table({{"name", true}, {"about", true}});
  for (const Named& each : all()) table.add({each.name, each.about});
  out << table.to_string();
}

}  // namespace

int run(int argc, const char* const* argv, std::istream& in, std::ostream& out,
        std::ostream& errors) {
  try {
    Options options;
    int status = 0;
    if (!parse(argc, argv, options, out, errors, status)) return status;
    if (options.list) {
      print_list(out);
      return 0;
    }
    std::vector<chainrule::UsualMistake> mistakes;
    if (!options.mistakes.empty()) mistakes = read_mistakes(options.mistakes);
    const chainrule::Exercise exercise = find(options.exercise)->make(options.seed, mistakes);
    if (!options.page.empty()) write(options.page, exercise.html());
    if (options.sheet) out << exercise.text(options.answers);
    if (options.page.empty() && !options.sheet) practise(exercise, in, out);
  } catch (const chainrule::IoError& error) {
    errors << "exercises: " << error.what() << "\n";
    return 2;
  } catch (const std::exception& error) {
    errors << "exercises: " << error.what() << "\n";
    return 1;
  }
  out.flush();
  if (out) return 0;
  errors << "exercises: the output cannot be written\n";
  return 1;
}

}  // namespace exercises
