#include <chainrule/graph/derivation/markup.hpp>

#include <algorithm>
#include <string>
#include <utility>

#include <chainrule/graph/derivation/text.hpp>

namespace chainrule::derivation {

std::string in_markup(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '<')
      out += "&lt;";
    else if (c == '>')
      out += "&gt;";
    else if (c == '&')
      out += "&amp;";
    else if (c == '"')
      out += "&quot;";
    else
      out += c;
  }
  return out;
}

std::string in_latex_text(std::string_view text) {
  static constexpr std::pair<std::string_view, std::string_view> signs[] = {
      {"Σ", "$\\textstyle\\sum$"},
      {"…", "\\dots"},
      {"‖·‖", "$\\lVert\\cdot\\rVert$"},
      {"⊗", "$\\odot$"},
      {"−", "$-$"},
      {"∞", "$\\infty$"},
      {"\\", "\\textbackslash{}"},
      {"^", "\\textasciicircum{}"},
      {"~", "\\textasciitilde{}"}};
  std::string out;
  while (!text.empty()) {
    const auto* sign =
        std::ranges::find_if(signs, [&](const auto& pair) { return text.starts_with(pair.first); });
    if (sign != std::end(signs)) {
      out += sign->second;
      text.remove_prefix(sign->first.size());
      continue;
    }
    // Letters that a text font may lack are set by LaTeX's own signs.
    if (text[0] & 0x80) {
      std::size_t length = 1;
      while (length < text.size() && (text[length] & 0xC0) == 0x80) ++length;
      const std::string letter = symbol_text(text.substr(0, length), Format::latex);
      out += letter.starts_with('\\') && !letter.starts_with("\\text")
                 ? "$" + letter + "$"
                 : std::string(text.substr(0, length));
      text.remove_prefix(length);
      continue;
    }
    if (std::string_view("_%#&${}").find(text[0]) != std::string_view::npos) out += '\\';
    out += text[0];
    text.remove_prefix(1);
  }
  return out;
}

std::string in_markdown_cell(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '|') out += '\\';
    out += c == '\n' ? ' ' : c;
  }
  return out;
}

}  // namespace chainrule::derivation
