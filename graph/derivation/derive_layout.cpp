#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <utility>

#include <chainrule/core/detail/text.hpp>
#include <chainrule/core/naming_all_memory.hpp>
#include <chainrule/core/print.hpp>
#include <chainrule/graph/derivation/derive.hpp>
#include <chainrule/graph/derivation/markup.hpp>
#include <chainrule/graph/derivation/modules.hpp>
#include <chainrule/graph/derivation/repeated.hpp>
#include <chainrule/graph/derivation/sides.hpp>
#include <chainrule/graph/derivation/value_text.hpp>

namespace chainrule {

namespace {

using derivation::definitions_of;
using derivation::left_of;
using derivation::right_of;
using Written = Derivation::Written;
using Step = Derivation::Step;
using detail::joined;
using detail::width_of;

// A line of a derivation, whatever the format.
struct Row {
  Written left, right;
  std::string remark;             // "since Σ y = 1", "for k = 3 … 1"
  std::vector<const Step*> of{};  // on the last line for them: shapes, norms and values are theirs
  bool is_summary = false;        // of a module
  std::string numbers{};          // shapes and norms
};

bool is_shown(const Step& step, const DerivationView& view) {
  return view.steps || !step.only_in_full;
}

// What is said once of steps that differ in the layer's number alone.
std::vector<std::optional<derivation::Numbered>> numbered(const std::vector<Step>& steps,
                                                          const DerivationView& view) {
  std::vector<std::optional<derivation::Numbered>> equations(steps.size());
  if (!derivation::says_layers_once(view)) return equations;
  for (std::size_t i = 0; i < steps.size(); ++i)
    if (is_shown(steps[i], view) && (view.fold_modules == 0 || steps[i].module.empty()))
      equations[i] = derivation::numbered(steps[i].in_layer, view);
  return equations;
}

// "encoder: 4 gradients, d(encoder.0.weight) …"
Row folded(std::string_view module, const std::vector<const Step*>& steps) {
  std::vector<std::string> names;
  for (const Step* step : steps)
    if (names.size() < 3) names.push_back(step->gradient.text);
  const std::string text =
      fmt::format("{} formula{} in {}: {}{}", steps.size(), steps.size() == 1 ? "" : "s", module,
                  joined(names, ", "), steps.size() > names.size() ? " …" : "");
  const Written summary{text, "\\text{" + derivation::in_latex_text(text) + "}",
                        "<mtext>" + derivation::in_markup(text) + "</mtext>"};
  return {{}, summary, "", {}, true};
}

double norm_of(const Tensor& value) {
  double squares = 0;
  for (const double x : value.to_vector<double>()) squares += x * x;
  return std::sqrt(squares);
}

// Shapes and norms of a row's gradients, each once where they are the same.
std::string shapes_and_norms(const Row& row, const DerivationView& view) {
  std::vector<std::string> shapes, norms;
  for (const Step* step : row.of) {
    const std::string shape = to_string(step->shape);
    if (view.shapes && (shapes.empty() || shapes.back() != shape)) shapes.push_back(shape);
    if (view.norms) norms.push_back(fmt::format("{:.4g}", norm_of(step->value)));
  }
  std::string text = joined(shapes, ", ");
  if (!norms.empty())
    text += (text.empty() ? "" : "  ") + fmt::format("‖·‖ = {}", joined(norms, ", "));
  return text;
}

std::vector<Row> rows_of(const std::vector<Step>& steps, const DerivationView& view,
                         const Where& where) {
  if (view.fold_modules < 0)
    throw ValueError(fmt::format("derive: fold_modules = {}: a number of names cannot be negative",
                                 view.fold_modules),
                     where, "0 folds none, 1 the outermost");
  for (const Step& step : steps)
    if ((view.norms || view.values) && !step.value.defined())
      throw ValueError(
          fmt::format("derive_forward: the value of {} is not known", step.gradient.text), where,
          "hand in the tangents of the inputs: derive_forward(z, {W}, {dW})");
  std::vector<Row> rows;
  std::map<std::string_view, std::vector<const Step*>> in_module;
  if (view.fold_modules > 0)
    for (const Step& step : steps)
      if (!step.module.empty() && is_shown(step, view))
        in_module[derivation::outer_module(step.module, view.fold_modules)].push_back(&step);
  const auto equations = numbered(steps, view);
  const auto layers = derivation::repeated(equations);
  std::set<const Step*> done;
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const Step& step = steps[i];
    if (!is_shown(step, view) || !done.insert(&step).second) continue;
    if (view.fold_modules > 0 && !step.module.empty()) {
      const std::string_view module = derivation::outer_module(step.module, view.fold_modules);
      rows.push_back(folded(module, in_module[module]));
      done.insert(in_module[module].begin(), in_module[module].end());
    } else if (const auto same = layers.find(i); same != layers.end()) {
      rows.push_back({left_of(*step.in_layer, view),
                      right_of(*step.in_layer, view, same->second.with_positions),
                      derivation::layers_text(equations, same->second.places)});
      for (const std::size_t k : same->second.places) rows.back().of.push_back(&steps[k]);
      done.insert(rows.back().of.begin(), rows.back().of.end());
    } else if (!view.steps) {
      const Derivation::Form& last = step.forms.back();
      rows.push_back({left_of(step, last, view), right_of(last, view), "", {&step}});
    } else {
      for (std::size_t k = 0; k < step.forms.size(); ++k) {
        const std::string& reason = step.forms[k].reason;
        rows.push_back({k == 0 ? left_of(step, step.forms[k], view) : Written(),
                        right_of(step.forms[k], view),
                        reason.empty() ? reason : "since " + reason,
                        {}});
      }
      rows.back().of = {&step};
    }
  }
  for (Row& row : rows) row.numbers = shapes_and_norms(row, view);
  return rows;
}

std::string padded(const std::string& text, std::size_t width) {
  return text + std::string(width - std::min(width, width_of(text)), ' ');
}

std::string both(const std::string& a, const std::string& b, std::string_view between) {
  return a.empty() || b.empty() ? a + b : a + std::string(between) + b;
}

// A format in which formulas and values stand in one table.
struct TableFormat {
  std::string Written::* formula;
  std::string (*value)(const Tensor&);
  const char* remark_of_definition;
};

// Calls line(left side, right side, remark) for all that stands in the table.
template <class Line>
void each_line(const Derivation& derivation, const DerivationView& view, const Where& where,
               const TableFormat& format, Line&& line) {
  const auto& [formula, value_in_format, remark_of_definition] = format;
  for (const Row& row : rows_of(derivation.steps(), view, where)) {
    line(row.left.*formula, row.right.*formula, both(row.remark, row.numbers, ", "));
    if (!view.values) continue;
    for (const Step* step : row.of)
      if (const std::string value = value_in_format(step->value); !value.empty())
        line(row.of.size() == 1 ? "" : step->gradient.*formula, value, "");
  }
  for (const auto& [left, right, layers] : definitions_of(derivation, view))
    line(left.*formula, right.*formula, both(remark_of_definition, layers, ", "));
}

constexpr const char* limits =
    "Valid for the program that ran: other branches of it may have other derivatives.";

// What `write` makes of a derivation, unless that was moved from.
template <class Write>
std::string written(const char* caller, const Derivation& derivation, const Where& where,
                    Write&& write) {
  return detail::naming_all_memory(
      caller, where, [&] { return derivation.steps().empty() ? std::string() : write(); });
}

}  // namespace

std::string Derivation::text(const DerivationView& view, Where where) const {
  return written("Derivation::text", *this, where, [&] {
    const std::vector<Row> rows = rows_of(steps_, view, where);
    std::size_t left = 0, right = 0, remark = 0;
    for (const Row& row : rows) {
      left = std::max(left, width_of(row.left.text));
      if (!row.remark.empty() || !row.numbers.empty())
        right = std::max(right, width_of(row.right.text));
      remark = std::max(remark, width_of(row.remark));
    }
    std::string text;
    for (const Row& row : rows) {
      std::string line = row.is_summary ? "(" + row.right.text + ")"
                                        : padded(row.left.text, left) + " = " + row.right.text;
      if (!row.remark.empty() || !row.numbers.empty()) {
        line = padded(line, left + 3 + right);
        if (remark > 0)
          line += "    " + (row.numbers.empty() ? row.remark : padded(row.remark, remark));
      }
      if (!row.numbers.empty()) line += "    " + row.numbers;
      text += line + '\n';
      if (!view.values) continue;
      for (const Step* step : row.of) {
        const std::string value = fmt::format("{} = {}", step->gradient.text,
                                              to_string(step->value.detach(), {.line_width = 90}));
        for (std::size_t at = 0; at < value.size();) {
          const std::size_t end = std::min(value.find('\n', at), value.size());
          const std::size_t indent = at == 0 ? 4 : 4 + width_of(step->gradient.text) + 3;
          text += std::string(indent, ' ') + value.substr(at, end - at) + '\n';
          at = end + 1;
        }
      }
    }
    const char* before = "where";
    for (const auto& [left, right, layers] : definitions_of(*this, view))
      text += fmt::format("{} {} = {}{}\n", std::exchange(before, "     "), left.text, right.text,
                          layers.empty() ? "" : "    " + layers);
    return view.limits ? text + limits + '\n' : text;
  });
}

std::string Derivation::latex(const DerivationView& view, Where where) const {
  return written("Derivation::latex", *this, where, [&] {
    std::string text = view.limits ? fmt::format("% {}\n", limits) : "";
    text += "\\begin{align*}\n";
    std::string end;
    const auto line = [&](const std::string& left, const std::string& right,
                          const std::string& remark) {
      text += end + fmt::format("  {} &= {}", left, right);
      if (!remark.empty())
        text += fmt::format(" && \\text{{{}}}", derivation::in_latex_text(remark));
      end = " \\\\\n";
    };
    each_line(*this, view, where, {&Written::latex, derivation::value_in_latex, ""}, line);
    return text + "\n\\end{align*}\n";
  });
}

std::string Derivation::markdown(const DerivationView& view, Where where) const {
  return written("Derivation::markdown", *this, where, [&] {
    const std::vector<Row> rows = rows_of(steps_, view, where);
    std::vector<std::string> titles{"gradient", "formula"};
    if (std::ranges::any_of(rows, [](const Row& row) { return !row.remark.empty(); }))
      titles.emplace_back("");
    const bool numbers = view.shapes || view.norms;
    const bool remarks = titles.size() > 2;
    if (numbers)
      titles.emplace_back(view.shapes && view.norms ? "shape, norm"
                          : view.shapes             ? "shape"
                                                    : "norm");
    if (view.values) titles.emplace_back("value");
    std::string text = "| " + joined(titles, " | ") + " |\n|";
    for (std::size_t i = 0; i < titles.size(); ++i) text += "---|";
    text += '\n';
    const auto math = [](const std::string& latex) {
      return latex.empty() ? latex : "$" + latex + "$";
    };
    for (const Row& row : rows) {
      std::vector<std::string> cells{math(row.left.latex), math(row.right.latex)};
      if (remarks) cells.push_back(row.remark);
      if (numbers) cells.push_back(row.numbers);
      if (view.values) {
        std::vector<std::string> values;
        for (const Step* step : row.of)
          values.push_back(math(derivation::value_in_latex(step->value)));
        cells.push_back(joined(values, ", "));
      }
      text += '|';
      for (const std::string& cell : cells)
        text += cell.empty() ? " |" : " " + derivation::in_markdown_cell(cell) + " |";
      text += '\n';
    }
    std::string list;
    for (const auto& [left, right, layers] : definitions_of(*this, view))
      list += fmt::format("\n- ${} = {}${}", left.latex, right.latex, both(" ", layers, ""));
    if (!list.empty()) text += "\nwhere\n" + list + "\n";
    return view.limits ? text + "\n" + limits + "\n" : text;
  });
}

std::string Derivation::html(const DerivationView& view, Where where) const {
  return written("Derivation::html", *this, where, [&] {
    return "<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n"
           "<title>Derivation</title>\n<style>\n"
           "  body { font: 16px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 60em; }\n"
           "</style>\n<h1>Derivation</h1>\n" +
           html_table(view, where) + "</html>\n";
  });
}

std::string Derivation::html_table(const DerivationView& view, Where where) const {
  return written("Derivation::html_table", *this, where, [&] {
    std::string text = "<table style=\"border-spacing: 0.8em 0.3em\">\n";
    const auto math = [](const std::string& inside) {
      return inside.empty() ? inside : "<math><mrow>" + inside + "</mrow></math>";
    };
    const auto line = [&](const std::string& left, const std::string& right,
                          const std::string& remark) {
      text += fmt::format(
          "<tr><td>{}</td><td>=</td><td>{}</td><td style=\"color: #666\">{}</td></tr>\n",
          math(left), math(right), derivation::in_markup(remark));
    };
    each_line(*this, view, where, {&Written::mathml, derivation::value_in_mathml, "abbreviation"},
              line);
    text += "</table>\n";
    return view.limits ? text + "<p>" + limits + "</p>\n" : text;
  });
}

}  // namespace chainrule
