#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <utility>

#include <chainrule/core/detail/text.hpp>
#include <chainrule/core/naming_all_memory.hpp>
#include <chainrule/graph/checking/check_derivation.hpp>
#include <chainrule/graph/derivation/markup.hpp>

namespace chainrule {

namespace {

constexpr const char* columns[] = {"",     "formula",  "shape",   "absolute", "relative",
                                   "ulps", "worst at", "by hand", "autograd", "differences"};
using Row = std::vector<std::string>;
using detail::width_of;

std::string mark_of(const FormulaVerdict& v) {
  return v.ok ? (v.autograd_ok ? "✓" : "?") : v.inherited ? "↳" : "✗";
}

Row cells(const FormulaVerdict& v) {
  const bool shapes = v.given == v.expected;
  const auto number = [&](double x, const char* format) {
    return shapes ? fmt::format(fmt::runtime(format), x) : std::string("–");
  };
  return {mark_of(v),
          v.name,
          shapes ? to_string(v.given)
                 : fmt::format("{} not {}", to_string(v.given), to_string(v.expected)),
          number(v.absolute_error, "{:.1e}"),
          number(v.relative_error, "{:.1e}"),
          number(v.ulps, "{:.3g}"),
          to_string(v.worst),
          number(v.by_hand, "{:.6g}"),
          fmt::format("{:.6g}", v.by_autograd),
          fmt::format("{:.6g}", v.by_differences)};
}

// What there is to say about a formula beside its numbers.
std::string remark(const FormulaVerdict& v) {
  if (v.ok) return v.note.empty() ? "" : fmt::format("{}: {}", v.name, v.note);
  if (v.inherited)
    return fmt::format("{}: right in itself, but it builds on a formula that is wrong", v.name);
  std::string text = v.diagnosis.empty() ? "wrong; the chain rule gives " + v.derived : v.diagnosis;
  if (!v.note.empty()) text += "; " + v.note;
  return fmt::format("{}: {}", v.name, text);
}

// Which formulas might be wrong elsewhere, and why, a line for each reason.
std::vector<std::string> asked_here_alone(const std::vector<FormulaVerdict>& verdicts) {
  std::vector<std::pair<std::string, std::vector<std::string>>> reasons;
  for (const FormulaVerdict& v : verdicts) {
    if (!v.ok || !v.here_alone) continue;
    auto reason =
        std::ranges::find(reasons, v.why_here_alone, [](const auto& known) { return known.first; });
    if (reason == reasons.end())
      reason = reasons.insert(reason, {v.why_here_alone, std::vector<std::string>()});
    reason->second.push_back(v.name);
  }
  std::vector<std::string> lines;
  for (const auto& [why, names] : reasons) {
    const bool all = names.size() == verdicts.size() && names.size() > 1;
    lines.push_back(fmt::format(
        "{} checked at the recorded values alone: {}",
        all ? "all are" : detail::joined(names, ", ") + (names.size() == 1 ? " is" : " are"), why));
  }
  return lines;
}

std::string json_string(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (static_cast<unsigned char>(c) < 0x20)
      out += fmt::format("\\u{:04x}", static_cast<int>(c));
    else
      out += c;
  }
  return out + "\"";
}

std::string json_number(double x) { return std::isfinite(x) ? fmt::format("{}", x) : "null"; }

std::string json_shape(const Shape& shape) {
  std::string out;
  for (const std::int64_t extent : shape)
    out += fmt::format("{}{}", out.empty() ? "" : ", ", extent);
  return "[" + out + "]";
}

}  // namespace

std::string DerivationReport::text(bool colour, Where where) const {
  return detail::naming_all_memory("DerivationReport::text", where, [&] {
    std::vector<Row> rows{Row(std::begin(columns), std::end(columns))};
    for (const FormulaVerdict& v : verdicts_) rows.push_back(cells(v));
    std::vector<std::size_t> widths(std::size(columns));
    for (const Row& row : rows)
      for (std::size_t c = 0; c < row.size(); ++c)
        widths[c] = std::max(widths[c], width_of(row[c]));
    std::string out;
    for (std::size_t r = 0; r < rows.size(); ++r) {
      std::string line;
      for (std::size_t c = 0; c < rows[r].size(); ++c) {
        const std::string space(widths[c] - width_of(rows[r][c]), ' ');
        line += (c == 0 ? "" : "  ") + (c < 3 ? rows[r][c] + space : space + rows[r][c]);
      }
      line.erase(line.find_last_not_of(' ') + 1);
      if (colour && r > 0)
        line = fmt::format("\x1b[{}m{}\x1b[0m", verdicts_[r - 1].ok ? 32 : 31, line);
      out += line + '\n';
    }
    if (const FormulaVerdict* first = first_wrong())
      out += fmt::format("the first wrong step is {}\n", first->name);
    for (const FormulaVerdict& v : verdicts_)
      if (const std::string text = remark(v); !text.empty()) out += text + '\n';
    for (const std::string& text : asked_here_alone(verdicts_)) out += text + '\n';
    return out;
  });
}

void DerivationReport::print(std::FILE* out, Where where) const {
  const char* no_colour = std::getenv("NO_COLOR");
  const bool colour = isatty(fileno(out)) != 0 && !(no_colour && *no_colour);
  fmt::print(out, "{}", text(colour, where));
}

std::string DerivationReport::markdown(Where where) const {
  return detail::naming_all_memory("DerivationReport::markdown", where, [&] {
    std::string out = "|", rule = "|";
    for (const char* column : columns) {
      out += fmt::format(" {} |", column);
      rule += "---|";
    }
    out += '\n' + rule + '\n';
    for (const FormulaVerdict& v : verdicts_) {
      out += '|';
      for (const std::string& cell : cells(v))
        out += fmt::format(" {} |", derivation::in_markdown_cell(cell));
      out += '\n';
    }
    for (const FormulaVerdict& v : verdicts_)
      if (const std::string text = remark(v); !text.empty()) out += "\n- " + text;
    for (const std::string& text : asked_here_alone(verdicts_)) out += "\n- " + text;
    return out + '\n';
  });
}

std::string DerivationReport::json(Where where) const {
  return detail::naming_all_memory("DerivationReport::json", where, [&] {
    std::string out = fmt::format("{{\"ok\": {}, \"first_wrong\": {}, \"formulas\": [", ok(),
                                  first_wrong() ? json_string(first_wrong()->name) : "null");
    for (std::size_t k = 0; k < verdicts_.size(); ++k) {
      const FormulaVerdict& v = verdicts_[k];
      out += fmt::format(
          "{}\n  {{\"name\": {}, \"ok\": {}, \"inherited\": {}, \"here_alone\": {}, "
          "\"why_here_alone\": {}, \"autograd_ok\": {}, "
          "\"shape\": {}, \"expected_shape\": {}, \"absolute_error\": {}, \"relative_error\": {}, "
          "\"ulps\": {}, \"worst\": {}, \"by_hand\": {}, \"by_autograd\": {}, "
          "\"by_differences\": {}, \"derived\": {}, \"diagnosis\": {}, \"note\": {}}}",
          k == 0 ? "" : ",", json_string(v.name), v.ok, v.inherited, v.here_alone,
          json_string(v.why_here_alone), v.autograd_ok, json_shape(v.given), json_shape(v.expected),
          json_number(v.absolute_error), json_number(v.relative_error), json_number(v.ulps),
          json_shape(v.worst), json_number(v.by_hand), json_number(v.by_autograd),
          json_number(v.by_differences), json_string(v.derived), json_string(v.diagnosis),
          json_string(v.note));
    }
    return out + "]}\n";
  });
}

}  // namespace chainrule
