#include <chainrule/graph/picture/page.hpp>

#include <fmt/format.h>

#include <string_view>

#include <chainrule/graph/derivation/markup.hpp>
#include <chainrule/graph/picture/page_parts.hpp>

namespace chainrule::picture {

using derivation::in_markup;

namespace {

// A string of JSON that may stand in a script element.
std::string in_json(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\')
      out += fmt::format("\\{}", c);
    else if (c == '<' || static_cast<unsigned char>(c) < 0x20)
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    else
      out += c;
  }
  return out + "\"";
}

std::string in_json(const std::vector<Note>& notes) {
  std::string out;
  for (const Note& note : notes) {
    out += fmt::format("{}{{\"node\":{}", out.empty() ? "[" : ",\n", note.node);
    for (const auto& [key, text] : {std::pair<const char*, const std::string&>{"title", note.title},
                                    {"forward", note.forward},
                                    {"gradient", note.gradient},
                                    {"numbers", note.numbers},
                                    {"place", note.place}})
      if (!text.empty()) out += fmt::format(",\"{}\":{}", key, in_json(text));
    out += "}";
  }
  return (out.empty() ? "[" : out) + "]";
}

constexpr const char* buttons =
    R"html(<button id="fit" title="the whole graph (0)">fit</button>
<button id="smaller" title="(−)">−</button><button id="larger" title="(+)">+</button>
<button id="back" title="one step of the sweep back (←)">◀</button>
<button id="play" title="the backward sweep, step by step">▶ backward</button>
<button id="next" title="one step of the sweep (→)">▶</button>
<button id="end" title="show all again (Esc)">✕</button><span id="count"></span>
)html";

}  // namespace

std::string page_of(const std::vector<Scene>& scenes, const std::string& shown_first,
                    const std::vector<Note>& notes, const std::string& legend) {
  const bool has_menu = scenes.size() > 1;
  std::string menu, views;
  for (const Scene& scene : scenes) {
    const std::string id = in_markup(scene.id);
    const bool shown = scene.id == shown_first;
    menu += fmt::format("<option value=\"{}\"{}>{}</option>", id, shown ? " selected" : "",
                        in_markup(scene.label));
    views += fmt::format("<div class=\"view\" data-view=\"{}\"{}>{}</div>\n", id,
                         shown ? "" : " hidden", scene.svg);
  }
  if (has_menu) menu = "<select id=\"view\">" + menu + "</select>\n";
  return fmt::format(
      "{}<div id=\"bar\">{}{}</div>\n<div id=\"stage\">\n{}</div>\n"
      "<div id=\"panel\"><div id=\"about\">Click a box for its rule, or a formula for its box; "
      "drag "
      "and turn the wheel to move and zoom{}.</div><ol id=\"formulas\"></ol></div>\n"
      "<div id=\"legend\">{}</div>\n"
      "<script type=\"application/json\" id=\"notes\">{}</script>\n{}</html>\n",
      page_head, has_menu ? menu : "", buttons, views,
      has_menu ? "; double-click what is folded to unfold it" : "", legend, in_json(notes),
      page_script);
}

}  // namespace chainrule::picture
