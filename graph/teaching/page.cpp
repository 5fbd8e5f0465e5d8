#include <fmt/format.h>

#include <algorithm>

#include <chainrule/core/naming_all_memory.hpp>
#include <chainrule/graph/derivation/markup.hpp>
#include <chainrule/graph/derivation/value_text.hpp>
#include <chainrule/graph/teaching/elements.hpp>
#include <chainrule/graph/teaching/exercise.hpp>
#include <chainrule/graph/teaching/page_parts.hpp>
#include <chainrule/graph/teaching/sheet.hpp>

namespace chainrule {

using derivation::in_markup;
using teaching::letter;

namespace {

std::string math(const std::string& inside) { return "<math><mrow>" + inside + "</mrow></math>"; }

std::string equation(const std::string& left, const std::string& right) {
  return math(left + "<mo>=</mo>" + right);
}

std::string program_of(const Exercise& exercise) {
  std::string given, rows;
  for (const Exercise::Named& named : exercise.program) {
    const std::string shape = in_markup(to_string(named.shape));
    if (named.formula.text.empty())
      given += fmt::format("{}{} {}", given.empty() ? "" : ", ", math(named.name.mathml), shape);
    else
      rows += fmt::format("<tr><td>{}</td><td>{}</td></tr>\n",
                          equation(named.name.mathml, named.formula.mathml), shape);
  }
  for (const Derivation::Definition& definition : exercise.definitions)
    rows += fmt::format("<tr><td>{}</td><td>abbreviation</td></tr>\n",
                        equation(definition.name.mathml, definition.formula.mathml));
  return fmt::format("<p>Given {}</p>\n<table>\n{}</table>\n", given, rows);
}

// Buttons, and where it is said whether an answer is right.
std::string below(bool hints) {
  return fmt::format(
      "<p><button>Check</button>{} <button type=\"button\" class=\"skip\">Show the answer</button>"
      "</p>\n<ol class=\"told\"></ol>\n<p class=\"said\" role=\"status\"></p>\n",
      hints ? " <button type=\"button\" class=\"hint\">Hint (−1)</button>" : "");
}

// The formulas that are offered: as text where one of them is known as text alone, so that its
// looks do not give it away.
std::vector<std::string> looks_of(const Exercise::Line& line) {
  const bool as_text = std::ranges::any_of(
      line.choices, [](const Exercise::Choice& choice) { return choice.formula.mathml.empty(); });
  std::vector<std::string> looks;
  for (const Exercise::Choice& choice : line.choices)
    looks.push_back(as_text ? "<span>" + in_markup(choice.formula.text) + "</span>"
                            : math(choice.formula.mathml));
  return looks;
}

std::string formula_form(const Exercise::Line& line, std::size_t number) {
  std::string choices, hints;
  const std::vector<std::string> looks = looks_of(line);
  for (std::size_t k = 0; k < line.choices.size(); ++k)
    choices += fmt::format(
        "<label><input type=\"radio\" name=\"choice\" value=\"{0}\" data-text=\"{1}\"{2}> {0} "
        "&nbsp; {3}<span class=\"why\" hidden>{4}</span></label>\n",
        letter(k), in_markup(line.choices[k].formula.text), k == line.right ? " data-right" : "",
        looks[k], in_markup(line.choices[k].why));
  for (const std::string& hint : line.hints)
    hints += fmt::format("<li class=\"step\" hidden>{}</li>\n", in_markup(hint));
  return fmt::format(
      "<form class=\"formula\" data-points=\"{}\" data-name=\"{}\" autocomplete=\"off\">\n"
      "<fieldset><legend>{}. {} <small>{} points</small></legend>\n{}</fieldset>\n"
      "<template>{}</template>\n{}<p class=\"solution\" hidden>{}</p>\n</form>\n",
      line.points, in_markup(line.gradient.text), number,
      equation(line.gradient.mathml, "<mo>?</mo>"), line.points, choices, hints,
      below(!line.hints.empty()), equation(line.gradient.mathml, line.formula.mathml));
}

std::string element_form(const Exercise::Line& line) {
  const Exercise::Element& element = *line.element;
  const std::string name = in_markup(teaching::element_name(line));
  std::string given, wrong;
  for (const Exercise::Element::Given& each : element.given)
    given += " " + equation(each.name.mathml, derivation::value_in_mathml(each.value));
  for (const teaching::WrongElement& each : teaching::wrong_elements(line))
    wrong += fmt::format("<li data-value=\"{}\" hidden>{} gives that. {}</li>\n", each.value,
                         in_markup(each.choice->formula.text), in_markup(each.choice->why));
  return fmt::format(
      "<form class=\"element\" data-points=\"{}\" data-name=\"{}\" data-value=\"{}\" "
      "data-tolerance=\"{}\" autocomplete=\"off\" hidden>\n"
      "<p><label>{} = <input name=\"number\" inputmode=\"decimal\" size=\"8\"></label> "
      "<small>{} points; to about 1 %, indices from 0</small></p>\n<p class=\"given\">{}</p>\n"
      "<template>{}</template>\n{}<p class=\"solution\" hidden>{} = {}</p>\n</form>\n",
      element.points, name, element.value, element.tolerance, name, element.points, given, wrong,
      below(false), name, teaching::number_text(element.value));
}

}  // namespace

std::string Exercise::html(Where where) const {
  return detail::naming_all_memory("Exercise::html", where, [&] {
    std::string items;
    std::size_t number = 0;
    for (const Line& line : lines) {
      ++number;
      if (line.choices.empty())
        items += fmt::format("<p class=\"line\">{}. {}</p>\n", number,
                             equation(line.gradient.mathml, line.formula.mathml));
      else
        items += "<section class=\"line\">\n" + formula_form(line, number) +
                 (line.element ? element_form(line) : "") + "</section>\n";
    }
    const std::string name = in_markup(title);
    return fmt::format(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n"
        "<meta name=\"viewport\" content=\"width=device-width\">\n<title>{0}</title>\n{1}"
        "<h1>{0}</h1>\n<p id=\"score\" role=\"status\"><b>0</b> of {2} points</p>\n"
        "<noscript><p>This page needs its script to say what is right.</p></noscript>\n"
        "<h2>The program</h2>\n{3}<h2>The gradients</h2>\n"
        "<p>Arrow keys or letters choose, Enter checks. A hint and a wrong answer cost a point "
        "each.</p>\n{4}<section id=\"end\" hidden><h2>To look at again</h2><ul></ul></section>\n"
        "{5}</html>\n",
        name, teaching::page_style, points(), program_of(*this), items, teaching::page_script);
  });
}

}  // namespace chainrule
