#include <chainrule/graph/teaching/sheet.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include <chainrule/core/detail/text.hpp>
#include <chainrule/core/naming_all_memory.hpp>
#include <chainrule/core/print.hpp>

namespace chainrule {

namespace teaching {

namespace {

std::string padded(const std::string& text, std::size_t width) {
  return text + std::string(width - std::min(width, detail::width_of(text)), ' ');
}

// The elements of a tensor, its lines one below the other behind `indent` columns.
std::string elements_text(const Tensor& value, std::size_t indent) {
  constexpr std::string_view before = "tensor(", behind = ", dtype";
  std::string text = to_string(value, {.precision = 3});
  text = text.substr(before.size(), text.rfind(behind) - before.size());
  const std::string margin = "\n" + std::string(before.size(), ' ');
  for (std::size_t at = text.find(margin); at != std::string::npos; at = text.find(margin, at + 1))
    text.replace(at + 1, before.size(), std::string(indent, ' '));
  return text;
}

}  // namespace

std::string program_text(const Exercise& exercise) {
  std::size_t width = 0;
  std::vector<std::pair<std::string, std::string>> rows;
  std::vector<std::string> given;
  for (const Exercise::Named& named : exercise.program) {
    if (named.formula.text.empty()) {
      given.push_back(named.name.text + " " + to_string(named.shape));
      continue;
    }
    rows.emplace_back(named.name.text + " = " + named.formula.text, to_string(named.shape));
    width = std::max(width, detail::width_of(rows.back().first));
  }
  std::string text = "  given " + detail::joined(given, ", ") + "\n";
  for (const auto& [equation, shape] : rows)
    text += "  " + padded(equation, width) + "  " + shape + "\n";
  return text;
}

std::string definitions_text(const Exercise& exercise) {
  std::string text;
  for (const Derivation::Definition& definition : exercise.definitions)
    text += fmt::format("  {} {} = {}\n", text.empty() ? "where" : "     ", definition.name.text,
                        definition.formula.text);
  return text;
}

std::string letter(std::size_t k) {
  return k < 26 ? std::string(1, static_cast<char>('a' + k)) : std::to_string(k + 1);
}

std::string choices_text(const Exercise::Line& line) {
  std::string text;
  for (std::size_t k = 0; k < line.choices.size(); ++k)
    text += fmt::format("   {}  {}\n", letter(k), line.choices[k].formula.text);
  return text;
}

std::string element_name(const Exercise::Line& line) {
  std::vector<std::string> index;
  for (const std::int64_t i : line.element->index) index.push_back(std::to_string(i));
  return index.empty() ? line.gradient.text
                       : fmt::format("{}[{}]", line.gradient.text, detail::joined(index, ", "));
}

std::string number_text(double number) {
  const std::string text = fmt::format("{:.4g}", number);
  return text.starts_with('-') ? "−" + text.substr(1) : text;
}

std::string values_text(std::span<const Exercise::Element::Given> values) {
  std::size_t width = 0;
  for (const Exercise::Element::Given& given : values)
    width = std::max(width, detail::width_of(given.name.text));
  std::string text;
  for (const Exercise::Element::Given& given : values)
    text += fmt::format("   {} = {}\n", padded(given.name.text, width),
                        elements_text(given.value, width + 6));
  return text;
}

}  // namespace teaching

namespace {

// What elements are computed from, without the gradients that are asked for.
std::vector<Exercise::Element::Given> numbers_for(const Exercise& exercise) {
  std::set<std::string> known;
  for (const Exercise::Line& line : exercise.lines) known.insert(line.gradient.text);
  std::vector<Exercise::Element::Given> numbers;
  for (const Exercise::Line& line : exercise.lines)
    if (line.element)
      for (const Exercise::Element::Given& given : line.element->given)
        if (known.insert(given.name.text).second) numbers.push_back(given);
  return numbers;
}

std::string answers_of(const Exercise::Line& line) {
  using namespace teaching;
  std::string text =
      fmt::format("{}: {} = {}", letter(line.right), line.gradient.text, line.formula.text);
  if (line.element)
    text += fmt::format("; {} = {}", element_name(line), number_text(line.element->value));
  text += "\n";
  for (std::size_t k = 0; k < line.choices.size(); ++k)
    if (k != line.right) text += fmt::format("   {}: {}\n", letter(k), line.choices[k].why);
  return text;
}

}  // namespace

std::string Exercise::text(bool answers, Where where) const {
  return detail::naming_all_memory("Exercise::text", where, [&] {
    using namespace teaching;
    std::string questions, solutions;
    for (std::size_t k = 0; k < lines.size(); ++k) {
      const Line& line = lines[k];
      questions += fmt::format("\n{}. {} = ", k + 1, line.gradient.text);
      if (line.choices.empty()) {
        questions += line.formula.text + "\n";
        continue;
      }
      questions += fmt::format("?   {} points\n{}", line.points, choices_text(line));
      if (line.element)
        questions +=
            fmt::format("   {} = ?   {} points\n", element_name(line), line.element->points);
      solutions += fmt::format("{}. {}", k + 1, answers_of(line));
    }
    std::string text = fmt::format("{}\n{} points\n\nThe program\n{}{}{}", title, points(),
                                   program_text(*this), definitions_text(*this), questions);
    if (const auto numbers = numbers_for(*this); !numbers.empty())
      text += "\nThe numbers; indices begin with 0\n" + values_text(numbers);
    return answers ? text + "\nAnswers\n" + solutions : text;
  });
}

}  // namespace chainrule
