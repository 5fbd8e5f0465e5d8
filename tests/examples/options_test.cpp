#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cstdio>
#include <filesystem>
#include <new>
#include <string>
#include <vector>

#include <chainrule/core/error.hpp>
#include <chainrule/examples/common/options.hpp>

namespace {

using examples::Options;
using examples::Parsed;

const examples::Program program = {"prog", "What it does.", "How it ends."};

Parsed parse(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "path/to/prog");
  return examples::parse_options(program, static_cast<int>(arguments.size()), arguments.data());
}

Options options(std::vector<const char*> arguments) {
  const Parsed parsed = parse(std::move(arguments));
  CHECK(parsed.text == "");
  CHECK(parsed.status == 0);
  REQUIRE(parsed.go_on);
  return parsed.options;
}

// The message, without what all of them begin and end with.
std::string message(std::vector<const char*> arguments) {
  const Parsed parsed = parse(std::move(arguments));
  CHECK_FALSE(parsed.go_on);
  CHECK(parsed.status == 2);
  const std::string begin = "prog: ", end = " (see --help)\n";
  REQUIRE(parsed.text.starts_with(begin));
  REQUIRE(parsed.text.ends_with(end));
  return parsed.text.substr(begin.size(), parsed.text.size() - begin.size() - end.size());
}

using Layers = std::vector<std::int64_t>;

}  // namespace

TEST_SUITE_BEGIN("examples");

TEST_CASE("options: defaults") {
  const Options standard = options({});
  CHECK(standard.layers() == Layers{64, 32, 16, 10});
  CHECK(standard.layers_text() == "64-32-16-10");
  CHECK(standard.batch == 32);
  CHECK(standard.dtype == chainrule::f64);
  CHECK(std::filesystem::exists(standard.data));
}

TEST_CASE("options: values") {
  const Options all =
      options({"--hidden", "5,4096,1", "--batch=7", "--epochs", "0", "--rate", "1e-3", "--seed",
               "18446744073709551615", "--dtype", "f32", "--data", "no such file"});
  CHECK(all.hidden == Layers{5, 4096, 1});
  CHECK(all.layers_text() == "64-5-4096-1-10");
  CHECK(all.batch == 7);
  CHECK(all.epochs == 0);
  CHECK(all.rate == 1e-3);
  CHECK(all.seed == 18446744073709551615u);
  CHECK(all.dtype == chainrule::f32);
  CHECK(all.data == "no such file");

  CHECK(options({"--hidden", "none"}).layers() == Layers{64, 10});
  CHECK(options({"--hidden", "12"}).layers() == Layers{64, 12, 10});
  CHECK(options({"--epochs", "3", "--epochs", "4"}).epochs ==
        4);  // the last one, as in most programs
}

TEST_CASE("options: wrong values") {
  const std::string list = " is not none, or a list like 32,16 of whole numbers from 1 to 4096";
  for (const char* hidden : {"", ",", "0", "-1", "3,", ",3", "3,,4", "3, 4", "3;4", "4097", "1e2",
                             "2.5", "99999999999999999999", "x", "NONE", "none,3"})
    CHECK(message({"--hidden", hidden}) == fmt::format("--hidden: '{}'{}", hidden, list));
  CHECK(message({"--hidden", "4096,4096"}) ==
        "--hidden: these layers have 17,080,320 weights, more than the 5,000,000 there can be");
  std::string many = "2";
  for (int i = 0; i < 50; ++i) many += ",2";
  CHECK(message({"--hidden", many.c_str()}) ==
        "--hidden: 51 layers are more than the 50 there can be");

  for (const char* text : {"", "0", "-1", "1.5", "1e3", "1000001", "99999999999999999999", "x",
                           "3x", " 3", "+3", "nan", "0x10"})
    CHECK(message({"--batch", text}) ==
          fmt::format("--batch: '{}' is not a whole number from 1 to 1000000", text));
  for (const char* text : {"", "-1", "0.5", "1e99", "1000001", "inf", "many"})
    CHECK(message({"--epochs", text}) ==
          fmt::format("--epochs: '{}' is not a whole number from 0 to 1000000", text));
  for (const char* text :
       {"", "0", "-1", "-0.0", "nan", "-nan", "inf", "-inf", "1e99", "1e999", "1001", "1,5", "x"})
    CHECK(message({"--rate", text}) ==
          fmt::format("--rate: '{}' is not a number above 0, and at most 1000", text));
  for (const char* text : {"", "-1", "1.5", "18446744073709551616", "x"})
    CHECK(message({"--seed", text}) ==
          fmt::format("--seed: '{}' is not a whole number from 0 to 2^64 - 1", text));
  for (const char* text : {"", "f16", "F32", "double", "64"})
    CHECK(message({"--dtype", text}) == fmt::format("--dtype: '{}' is not f32 or f64", text));
  CHECK(message({"--data", ""}) == "--data: '' is not the name of a file");
  CHECK(message({"--rate", "\x1b[2J\n"}) ==
        "--rate: '?[2J?' is not a number above 0, and at most 1000");
}

TEST_CASE("options: missing values and unknown arguments") {
  for (const char* name :
       {"--hidden", "--batch", "--epochs", "--rate", "--seed", "--dtype", "--data"}) {
    CHECK(message({name}) == fmt::format("{}: its value is missing", name));
    CHECK(message({fmt::format("{}=", name).c_str()}) ==
          fmt::format("{}: its value is missing", name));
  }
  CHECK(message({"--no-such-option"}) == "unknown argument '--no-such-option'");
  CHECK(message({"--epoch", "3"}) == "unknown argument '--epoch'");
  CHECK(message({"digits.csv"}) == "unknown argument 'digits.csv'");
  CHECK(message({"-x"}) == "unknown argument '-x'");
  CHECK(message({""}) == "unknown argument ''");
  CHECK(message({"\x1b[31m"}) == "unknown argument '?[31m'");
}

TEST_CASE("options: help") {
  for (const char* name : {"--help", "-h"}) {
    const Parsed parsed = parse({"--epochs", "3", name});
    CHECK_FALSE(parsed.go_on);
    CHECK(parsed.status == 0);
    for (const char* part :
         {"What it does.", "How it ends.", "Usage: prog [options]", "--hidden", "[32,16]",
          "--batch", "[32]", "--epochs", "[40]", "--rate", "[1]", "--seed", "--dtype", "[f64]",
          "--data", "[examples/data/digits.csv.gz]"}) {
      CAPTURE(part);
      CHECK(parsed.text.find(part) != std::string::npos);
    }
  }
}

TEST_CASE("options: exit status and messages of a program") {
  // "status: what it wrote to standard error"
  const auto run = [](std::vector<const char*> arguments, auto body) {
    arguments.insert(arguments.begin(), "prog");
    examples::Program with_outputs = program;
    with_outputs.page = with_outputs.emit = true;
    std::FILE* errors = std::tmpfile();
    REQUIRE(errors != nullptr);
    const int status = examples::run(with_outputs, static_cast<int>(arguments.size()),
                                     arguments.data(), body, errors);
    std::rewind(errors);
    std::string text(1000, '\0');
    text.resize(std::fread(text.data(), 1, text.size(), errors));
    std::fclose(errors);
    return fmt::format("{}: {}", status, text);
  };
  CHECK(run({"--epochs", "3"}, [](const Options& o) { return int(o.epochs); }) == "3: ");
  bool called = false;
  CHECK(run({"--epochs", "-3"}, [&](const Options&) { return int{called = true}; }) ==
        "2: prog: --epochs: '-3' is not a whole number from 0 to 1000000 (see --help)\n");
  CHECK_FALSE(called);
  // Before anything is trained.
  CHECK(run({"--page", "no/such/folder/page.html"}, [&](const Options&) {
          return int{called = true};
        }) == "2: prog: no/such/folder/page.html cannot be written: No such file or directory\n");
  CHECK(run({"--emit", "/dev/null/folder"}, [&](const Options&) { return int{called = true}; }) ==
        "2: prog: /dev/null/folder cannot be made: Not a directory\n");
  CHECK_FALSE(called);
  CHECK(run({}, [](const Options&) -> int { throw chainrule::IoError("f:3: bad"); }) ==
        "2: prog: f:3: bad\n");
  CHECK(run({}, [](const Options&) -> int { throw chainrule::ValueError("bad"); }) ==
        "1: prog: bad\n");
  CHECK(run({}, [](const Options&) -> int { throw std::bad_alloc(); }) ==
        "1: prog: std::bad_alloc\n");
}

TEST_SUITE_END();
