#include <doctest/doctest.h>
#include <fmt/format.h>

#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include <chainrule/core/error.hpp>
#include <chainrule/tests/core/error_of.hpp>

using namespace chainrule;

TEST_SUITE_BEGIN("core");

// An exception that cannot be copied without fail ends the program when it is thrown.
static_assert(std::is_nothrow_copy_constructible_v<Error>);
static_assert(std::is_nothrow_copy_constructible_v<ShapeError>);

TEST_CASE("error: message, place and hint") {
  CHECK(error_of<Error>([] { throw Error("op: no"); }) == "op: no");
  CHECK(error_of<Error>([] { throw Error("op: no", Where::current()); }) == "op: no\n  at HERE");
  CHECK(error_of<Error>([] { throw Error("op: no", Where(), "say yes"); }) ==
        "op: no\n  hint: say yes");
  CHECK(error_of<IoError>([] { throw IoError("op: no", Where::current(), "say yes"); }) ==
        "op: no\n  at HERE\n  hint: say yes");
}

namespace {

// The message after a handler has added to the error and handed it on.
template <class E, class Change>
std::string changed(const E& error, Change change, Where caller = Where::current()) {
  const auto hand_on = [&] {
    try {
      throw error;
    } catch (Error& caught) {
      change(caught);
      throw;
    }
  };
  return error_of<E>(hand_on, 0, caller);
}

}  // namespace

TEST_CASE("error: a context stands after the message, and the type stays") {
  const auto in_fc1 = [](Error& error) {
    CHECK_FALSE(error.has_context());
    error.set_context("in fc1");
    CHECK(error.has_context());
  };
  CHECK(changed(Error("op: no"), in_fc1) == "op: no\n  in fc1");
  CHECK(changed(GradError("op: no", Where(), "say yes"), in_fc1) ==
        "op: no\n  in fc1\n  hint: say yes");
  CHECK(changed(ShapeError("op: no\nnor this", Where::current(), "say yes"), in_fc1) ==
        "op: no\nnor this\n  in fc1\n  at HERE\n  hint: say yes");
  // Another one replaces it.
  CHECK(changed(ValueError("op: no", Where(), "say yes"), [](Error& error) {
          error.set_context("in a place with a long name");
          error.set_context("in fc2");
        }) == "op: no\n  in fc2\n  hint: say yes");
  CHECK(changed(ValueError("op: no", Where(), "say yes"), [](Error& error) {
          error.set_context("in fc1");
          error.set_context("");
          CHECK_FALSE(error.has_context());
        }) == "op: no\n  hint: say yes");
}

TEST_CASE("error: an operation that it passes through is named, and the user's line") {
  const Where here = Where::current();
  const std::string line = fmt::format("{}:{}", here.file_name(), here.line());
  const auto named = [&](Error& error) {
    detail::name_operation(error, "the vjp rule of ", "scale", here);
  };
  CHECK(changed(Error("no", Where(), "say yes"), named) ==
        "no\n  in the vjp rule of scale\n  at " + line + "\n  hint: say yes");
  CHECK(changed(ShapeError("op: no", Where::current()), named) ==
        "op: no\n  in the vjp rule of scale at " + line + "\n  at HERE");
  // What names the line already stays as it is.
  CHECK(changed(Error("op: no", here), named) == "op: no\n  at " + line);
  // A context stands behind it, and may come before or after.
  CHECK(changed(Error("no", Where(), "say yes"), [&](Error& error) {
          error.set_context("in fc1");
          named(error);
          error.set_context("in fc2");
          error.set_hint("say so");
        }) == "no\n  in the vjp rule of scale\n  in fc2\n  at " + line + "\n  hint: say so");
}

TEST_CASE("error: a better hint") {
  const auto say_so = [](Error& error) { error.set_hint("say so"); };
  CHECK(changed(Error("op: no"), say_so) == "op: no\n  hint: say so");
  CHECK(changed(DTypeError("op: no", Where::current(), "say yes"), say_so) ==
        "op: no\n  at HERE\n  hint: say so");
  CHECK(changed(DTypeError("op: no", Where(), "say yes"), [](Error& error) {
          error.set_hint("say so");
          error.set_context("in fc1");
          error.set_hint("");
        }) == "op: no\n  in fc1");
}

TEST_CASE("error: a copy has its own context") {
  const Error first("op: no", Where(), "say yes");
  Error second = first;
  second.set_context("in fc1");
  CHECK(std::string_view(first.what()) == "op: no\n  hint: say yes");
  CHECK(std::string_view(second.what()) == "op: no\n  in fc1\n  hint: say yes");
  const Error third = second;
  CHECK(third.has_context());
}

TEST_CASE("error: a message that what() ends early") {
  using namespace std::string_view_literals;
  Error error("op: \0no"sv, Where(), "say yes");
  error.set_context("in fc1");
  error.set_hint("say so");
  CHECK(std::string_view(error.what()) == "op: \n  in fc1\n  hint: say so");
}

TEST_CASE("error: what was moved from still says it all") {
  ValueError error("f: no", Where::current(), "try g");
  const std::string text = error.what();
  const ValueError other = std::move(error);
  CHECK(other.what() == text);
  CHECK(error.what() == text);  // NOLINT(bugprone-use-after-move): the claim
  error.set_hint("try h");
  CHECK(std::string(error.what()).ends_with("hint: try h"));
  CHECK(other.what() == text);
}

TEST_SUITE_END();
