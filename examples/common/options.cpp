#include <chainrule/examples/common/options.hpp>

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <charconv>
#include <cmath>
#include <exception>
#include <filesystem>
#include <string_view>

#include <chainrule/core/error.hpp>
#include <chainrule/examples/common/digits.hpp>
#include <chainrule/examples/common/table.hpp>
#include <chainrule/examples/common/text_file.hpp>

namespace examples {

namespace {

// Far beyond what this task needs, and still within the memory and the patience of a person.
constexpr std::size_t most_layers = 50;
constexpr std::int64_t most_units = 4096;
constexpr std::int64_t most_weights = 5'000'000;
constexpr std::int64_t most_epochs = 1'000'000;
constexpr std::int64_t largest_batch = 1'000'000;
constexpr double highest_rate = 1000;

// The whole of `text` as a number.
template <class T>
bool parse(std::string_view text, T& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc{} && end == text.data() + text.size();
}

[[noreturn]] void refuse(const char* option, const std::string& text, const std::string& wanted) {
  throw CLI::ValidationError(option, fmt::format("{} is not {}", in_quotes(text), wanted));
}

std::int64_t whole(const char* option, const std::string& text, std::int64_t least,
                   std::int64_t most) {
  std::int64_t number = 0;
  if (!parse(text, number) || number < least || number > most)
    refuse(option, text, fmt::format("a whole number from {} to {}", least, most));
  return number;
}

double parse_rate(const std::string& text) {
  double rate = 0;
  if (!parse(text, rate) || !(rate > 0 && rate <= highest_rate))
    refuse("--rate", text, fmt::format("a number above 0, and at most {}", highest_rate));
  return rate;
}

std::uint64_t parse_seed(const std::string& text) {
  std::uint64_t seed = 0;
  if (!parse(text, seed)) refuse("--seed", text, "a whole number from 0 to 2^64 - 1");
  return seed;
}

chainrule::DType parse_dtype(const std::string& text) {
  if (text == "f32") return chainrule::f32;
  if (text != "f64") refuse("--dtype", text, "f32 or f64");
  return chainrule::f64;
}

std::vector<std::int64_t> parse_hidden(const std::string& text) {
  std::vector<std::int64_t> hidden;
  if (text == "none") return hidden;
  const std::string wanted =
      fmt::format("none, or a list like 32,16 of whole numbers from 1 to {}", most_units);
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    std::int64_t units = 0;
    if (!parse(std::string_view(text).substr(begin, end - begin), units) || units < 1 ||
        units > most_units)
      refuse("--hidden", text, wanted);
    hidden.push_back(units);
    begin = end + 1;
  }
  if (hidden.size() > most_layers)
    throw CLI::ValidationError(
        "--hidden",
        fmt::format("{} layers are more than the {} there can be", hidden.size(), most_layers));
  std::int64_t weights = 0, in = Digits::pixel_count;
  for (const std::int64_t units : hidden) weights += std::exchange(in, units) * units;
  weights += in * Digits::classes;
  if (weights > most_weights)
    throw CLI::ValidationError(
        "--hidden", fmt::format("these layers have {} weights, more than the {} there can "
                                "be",
                                grouped(weights), grouped(most_weights)));
  return hidden;
}

}  // namespace

std::vector<std::int64_t> Options::layers() const {
  std::vector<std::int64_t> layers = {Digits::pixel_count};
  layers.insert(layers.end(), hidden.begin(), hidden.end());
  layers.push_back(Digits::classes);
  return layers;
}

std::string Options::layers_text() const { return fmt::format("{}", fmt::join(layers(), "-")); }

std::string Options::hidden_text() const {
  return hidden.empty() ? "none" : fmt::format("{}", fmt::join(hidden, ","));
}

std::string Options::default_data() { return CHAINRULE_EXAMPLES_DATA "/digits.csv.gz"; }

Parsed parse_options(const Program& program, int argc, const char* const* argv) {
  Parsed parsed;
  Options& options = parsed.options;

  CLI::App app(program.description, program.name);
  app.footer(program.notes);
  app.get_formatter()->column_width(18);
  app.get_formatter()->label("OPTIONS", "options");
  app.set_help_flag("-h,--help", "print this and exit");
  // Values are taken as text and parsed here, so that every message says what would be right.
  const auto add = [&](const char* name, const char* type, const std::string& standard,
                       const char* help, auto set) {
    app.add_option_function<std::string>(
           name, [set](const std::string& text) { set(text); },
           fmt::format("{} [{}]", help, standard))
        ->type_name(type)
        ->take_last();
  };
  add("--hidden", "N,N", options.hidden_text(),
      "units of the hidden layers, as many layers as you like, or\n"
      "none: the pixels go straight to the output layer",
      [&](const std::string& text) { options.hidden = parse_hidden(text); });
  add("--batch", "N", std::to_string(options.batch),
      "images in a batch; one update of the weights for each",
      [&](const std::string& text) { options.batch = whole("--batch", text, 1, largest_batch); });
  add("--epochs", "N", std::to_string(options.epochs),
      "how often to go through the training images; 0: never",
      [&](const std::string& text) { options.epochs = whole("--epochs", text, 0, most_epochs); });
  add("--rate", "X", fmt::format("{}", options.rate), "the learning rate η",
      [&](const std::string& text) { options.rate = parse_rate(text); });
  add("--seed", "N", std::to_string(options.seed),
      "of the first weights and of the order of the images; the\n"
      "same seed gives the same numbers again",
      [&](const std::string& text) { options.seed = parse_seed(text); });
  add("--dtype", "TYPE", name_of(options.dtype), "f32 or f64, single or double precision",
      [&](const std::string& text) { options.dtype = parse_dtype(text); });
  add("--data", "FILE", "examples/data/digits.csv.gz",
      "images: CSV or gzipped CSV, on each line 64 pixels from 0 to\n"
      "16, then the digit",
      [&](const std::string& text) {
        if (text.empty()) refuse("--data", text, "the name of a file");
        options.data = text;
      });

  if (program.emit)
    add("--emit", "FOLDER", "none", "leave the network there as C++ that needs Eigen alone",
        [&](const std::string& text) {
          if (text.empty()) refuse("--emit", text, "the name of a folder");
          options.emit = text;
        });
  if (program.page)
    add("--page", "FILE", "none", "leave a page there: formulas, graph, training curve",
        [&](const std::string& text) {
          if (text.empty()) refuse("--page", text, "the name of a file");
          options.page = text;
        });

  std::string wrong;
  try {
    app.parse(argc, argv);
    parsed.go_on = true;
    return parsed;
  } catch (const CLI::CallForHelp&) {
    parsed.text = app.help();
    return parsed;
  } catch (const CLI::ExtrasError&) {
    wrong = "unknown argument " + in_quotes(app.remaining().front());
  } catch (const CLI::ArgumentMismatch& error) {
    const std::string message = error.what();  // "--epochs: 1 required N missing"
    wrong = message.substr(0, message.find(':')) + ": its value is missing";
  } catch (const CLI::ParseError& error) {
    wrong = error.what();
  }
  parsed.text = fmt::format("{}: {} (see --help)\n", program.name, wrong);
  parsed.status = 2;
  return parsed;
}

namespace {

// What is written after training is tried before.
void check_outputs(const Options& options) {
  if (!options.page.empty()) check_writable(options.page);
  if (options.emit.empty()) return;
  const std::filesystem::path folder = options.emit;
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error)
    throw chainrule::IoError(fmt::format("{} cannot be made: {}", options.emit, error.message()));
  check_writable((folder / "writable").string());
}

}  // namespace

int run(const Program& program, int argc, const char* const* argv,
        const std::function<int(const Options&)>& body, std::FILE* errors) {
  int status = 0;
  try {
    const Parsed parsed = parse_options(program, argc, argv);
    if (parsed.go_on) {
      check_outputs(parsed.options);
      status = body(parsed.options);
    } else {
      fmt::print(parsed.status == 0 ? stdout : errors, "{}", parsed.text);
      status = parsed.status;
    }
  } catch (const chainrule::IoError& error) {
    fmt::print(errors, "{}: {}\n", program.name, error.what());
    return 2;
  } catch (const std::exception& error) {
    fmt::print(errors, "{}: {}\n", program.name, error.what());
    return 1;
  }
  if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) {
    fmt::print(errors, "{}: the output cannot be written\n", program.name);
    return 1;
  }
  return status;
}

}  // namespace examples
