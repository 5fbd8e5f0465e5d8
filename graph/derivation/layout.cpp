#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include <chainrule/graph/derivation/markup.hpp>
#include <chainrule/graph/derive.hpp>

namespace chainrule {

namespace {

std::size_t width_of(const std::string& text) {
  return static_cast<std::size_t>(
      std::ranges::count_if(text, [](char c) { return (c & 0xC0) != 0x80; }));
}

std::string padded(const std::string& text, std::size_t width) {
  return text + std::string(width - std::min(width, width_of(text)), ' ');
}

// The words of a reason, for \text.
std::string in_latex(std::string_view words) {
  std::string out;
  while (!words.empty()) {
    if (words.starts_with("Σ")) {
      out += "$\\textstyle\\sum$";
      words.remove_prefix(std::string_view("Σ").size());
      continue;
    }
    if (std::string_view("_%#&${}").find(words[0]) != std::string_view::npos) out += '\\';
    out += words[0];
    words.remove_prefix(1);
  }
  return out;
}

}  // namespace

template <class Row>
void Derivation::rows(bool in_full, Row&& row) const {
  static const Formula nothing;
  for (const Step& step : steps_) {
    if (!in_full) {
      row(step.gradient, step.formula(), std::string());
      continue;
    }
    for (std::size_t k = 0; k < step.forms.size(); ++k)
      row(k == 0 ? step.gradient : nothing, step.forms[k].formula, step.forms[k].reason);
  }
}

std::string Derivation::text(bool in_full) const {
  std::size_t width = 0, longest = 0;
  for (const Step& step : steps_) width = std::max(width, width_of(step.gradient.text));
  rows(in_full, [&](const Formula&, const Formula& right, const std::string& reason) {
    if (!reason.empty()) longest = std::max(longest, width_of(right.text));
  });
  std::string text;
  rows(in_full, [&](const Formula& left, const Formula& right, const std::string& reason) {
    text += padded(left.text, width) + " = ";
    text += reason.empty() ? right.text : padded(right.text, longest) + "    since " + reason;
    text += '\n';
  });
  const char* where = "where";
  for (const Definition& definition : definitions_) {
    if (definition.only_in_full && !in_full) continue;
    text += fmt::format("{} {} = {}\n", std::exchange(where, "     "), definition.name.text,
                        definition.formula.text);
  }
  return text;
}

std::string Derivation::latex(bool in_full) const {
  std::string text = "\\begin{align*}\n";
  std::string end;
  rows(in_full, [&](const Formula& left, const Formula& right, const std::string& reason) {
    text += end + fmt::format("  {} &= {}", left.latex, right.latex);
    if (!reason.empty()) text += fmt::format(" && \\text{{since {}}}", in_latex(reason));
    end = " \\\\\n";
  });
  for (const Definition& definition : definitions_)
    if (in_full || !definition.only_in_full)
      text += end + fmt::format("  {} &= {}", definition.name.latex, definition.formula.latex);
  return text + "\n\\end{align*}\n";
}

std::string Derivation::markdown(bool in_full) const {
  std::string text = in_full ? "| gradient | formula | since |\n|---|---|---|\n"
                             : "| gradient | formula |\n|---|---|\n";
  rows(in_full, [&](const Formula& left, const Formula& right, const std::string& reason) {
    text += left.latex.empty() ? "| |" : fmt::format("| ${}$ |", left.latex);
    text += fmt::format(" ${}$ |", right.latex);
    if (in_full) text += reason.empty() ? " |" : fmt::format(" {} |", reason);
    text += '\n';
  });
  std::string list;
  for (const Definition& definition : definitions_)
    if (in_full || !definition.only_in_full)
      list += fmt::format("\n- ${} = {}$", definition.name.latex, definition.formula.latex);
  return list.empty() ? text : text + "\nwhere\n" + list + "\n";
}

std::string Derivation::html(bool in_full) const {
  return "<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n"
         "<title>Derivation</title>\n<style>\n"
         "  body { font: 16px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 60em; }\n"
         "</style>\n<h1>Derivation</h1>\n" +
         html_table(in_full) + "</html>\n";
}

std::string Derivation::html_table(bool in_full) const {
  std::string text = "<table style=\"border-spacing: 0.8em 0.3em\">\n";
  const auto math = [](const std::string& inside) {
    return inside.empty() ? inside : "<math><mrow>" + inside + "</mrow></math>";
  };
  const auto line = [&](const Formula& left, const Formula& right, const std::string& remark) {
    text +=
        fmt::format("<tr><td>{}</td><td>=</td><td>{}</td><td style=\"color: #666\">{}</td></tr>\n",
                    math(left.mathml), math(right.mathml), derivation::in_markup(remark));
  };
  rows(in_full, [&](const Formula& left, const Formula& right, const std::string& reason) {
    line(left, right, reason.empty() ? reason : "since " + reason);
  });
  for (const Definition& definition : definitions_)
    if (in_full || !definition.only_in_full)
      line(definition.name, definition.formula, "abbreviation");
  return text +
         "</table>\n<p>Valid for the program that ran: other branches of it may have other "
         "derivatives.</p>\n";
}

}  // namespace chainrule
