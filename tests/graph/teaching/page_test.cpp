#include <doctest/doctest.h>

#include <string>

#include <chainrule/graph/teaching/exercise.hpp>
#include <chainrule/tests/graph/derivation/textbook_network.hpp>

using namespace chainrule;

namespace {

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t n = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++n;
  return n;
}

}  // namespace

TEST_SUITE_BEGIN("graph");

TEST_CASE("Exercise::html: all lines on one page that needs no other file") {
  const TextbookNetwork net({2, 3, 3, 2}, 1);
  const Exercise exercise = make_exercise(net.loss, {.title = "a < b & c", .blanks = 6});
  const std::string page = exercise.html();
  CHECK(page.starts_with("<!DOCTYPE html>"));
  CHECK(page.ends_with("</html>\n"));
  CHECK(count(page, "<title>a &lt; b &amp; c</title>") == 1);
  CHECK(count(page, "<form class=\"formula\"") == 6);
  CHECK(count(page, " data-right>") == 6);
  CHECK(count(page, "type=\"radio\"") == 24);
  CHECK(count(page, "<p class=\"line\">") == 5);
  std::size_t elements = 0, hints = 0;
  for (const Exercise::Line& line : exercise.lines) {
    elements += line.element.has_value();
    hints += line.hints.size();
  }
  CHECK(count(page, "<form class=\"element\"") == elements);
  CHECK(count(page, "<li class=\"step\"") == hints);
  for (const char* part : {"src=", "href=", "http://", "https://", "@import", "url("})
    CHECK(count(page, part) == 0);
  CHECK(count(page, "<math>") == count(page, "</math>"));
  CHECK(count(page, "<form") == count(page, "</form>"));
}

TEST_CASE("Exercise::html: the looks of a formula do not say whether it is a teacher's own") {
  const TextbookNetwork net({2, 3, 3, 2}, 1);
  const std::string page =
      make_exercise(net.loss, {.elements = false,
                               .of = {net.W[2], net.W[3]},
                               .mistakes = {{"dW2", "h1 < dz2", "No operation."}}})
          .html();
  const std::size_t first = page.find("<form"), second = page.find("<form", first + 1);
  // dW3 comes first, in MathML; all of dW2 are text.
  const auto choices_in = [](const std::string& form) {
    return form.substr(form.find("<label>"), form.find("</fieldset>") - form.find("<label>"));
  };
  CHECK(count(choices_in(page.substr(first, second - first)), "<math>") == 4);
  CHECK(count(choices_in(page.substr(second)), "<math>") == 0);
  CHECK(count(choices_in(page.substr(second)), "<span>h1 &lt; dz2</span>") == 1);
  CHECK(count(choices_in(page.substr(second)), "<span>dz2·(h1)ᵀ</span>") == 1);
}

TEST_SUITE_END();
