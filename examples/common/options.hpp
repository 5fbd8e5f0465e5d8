#pragma once

#include <cstdint>
#include <cstdio>
#include <functional>
#include <string>
#include <vector>

#include <chainrule/core/dtype.hpp>

namespace examples {

/// What the examples on digits can be told on the command line, with the defaults.
struct Options {
  std::vector<std::int64_t> hidden = {32, 16};  ///< units of each hidden layer; may be empty
  std::int64_t batch = 32;
  std::int64_t epochs = 40;
  double rate = 1;
  std::uint64_t seed = 1;
  chainrule::DType dtype = chainrule::f64;
  std::string data = default_data();
  std::string page;  ///< file for a page about the derivation; none if empty
  std::string emit;  ///< folder for the trained network as C++; none if empty

  /// The units of all layers, from the pixels to the classes: 64, 32, 16, 10.
  std::vector<std::int64_t> layers() const;
  /// "32,16", or "none"
  std::string hidden_text() const;
  /// "64-32-16-10"
  std::string layers_text() const;

  /// examples/data/digits.csv.gz where this program was built.
  static std::string default_data();
};

/// A program on digits, for its --help.
struct Program {
  std::string name;
  std::string description;  ///< what it does
  std::string notes;        ///< exit status and examples, printed last
  bool page = false;        ///< whether it takes --page
  bool emit = false;        ///< whether it takes --emit
};

/// What became of a command line: options to go on with, or else a text to print and the status to
/// end with (0 for --help, 2 for an error, whose text is one line).
struct Parsed {
  bool go_on = false;
  Options options;
  std::string text;
  int status = 0;
};
Parsed parse_options(const Program& program, int argc, const char* const* argv);

/// The main function of a program on digits: parses, calls `body`, and returns the exit status,
/// which is body's; or 2 after one message to `errors` for a wrong command line, for a page or
/// folder that cannot be written, which is tried before, or an unreadable file
/// (chainrule::IoError), 1 after one for any other exception and for an output that cannot be
/// written.
int run(const Program& program, int argc, const char* const* argv,
        const std::function<int(const Options&)>& body, std::FILE* errors = stderr);

}  // namespace examples
