#include <chainrule/graph/derivation/notation.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>

#include <chainrule/core/detail/text.hpp>
#include <chainrule/core/error.hpp>
#include <chainrule/core/op.hpp>
#include <chainrule/graph/said_by_op.hpp>

namespace chainrule::derivation {

namespace {

std::optional<OperandMark> mark_at(std::string_view notation) {
  const std::size_t end = notation.find('}');
  if (end == std::string_view::npos) return {};
  const char *first = notation.data() + 1, *last = notation.data() + end;
  std::size_t index = 0;
  const auto [stop, error] = std::from_chars(first, last, index);
  if (error != std::errc() || stop != last || index >= 4096) return {};
  return OperandMark{index, end + 1};
}

// As the op says it, of this many operands.
std::string checked(std::string notation, const Node& application, std::size_t operands) {
  constexpr std::string_view out_of_place = "\uFFFD";
  if (detail::printable(notation).find(out_of_place) != std::string::npos &&
      notation.find(out_of_place) == std::string::npos)
    throw ValueError(
        fmt::format("{}: its notation is no UTF-8", detail::printable(application.op()->name())),
        application.where(), "write the op's name and notation in UTF-8, as formulas are");
  if (notation.find_first_not_of(' ') == std::string::npos)
    throw ValueError(fmt::format("{}: its notation is empty", application.op()->name()),
                     application.where(),
                     "say how formulas show the op, or nothing at all: they "
                     "show its name then, and its operands");
  std::string_view rest = notation;
  while (true) {
    rest.remove_prefix(std::min(rest.find('{'), rest.size()));
    if (rest.empty()) return notation;
    const std::optional<OperandMark> mark = mark_at(rest);
    if (!mark || mark->index >= operands)
      throw ValueError(
          fmt::format("{}: \"{}\" in its notation names no operand, of which there {}",
                      application.op()->name(), rest.substr(0, mark ? mark->length : rest.size()),
                      operands == 1 ? "is 1" : fmt::format("are {}", operands)),
          application.where(), "operands are {0}, {1} …");
    rest.remove_prefix(mark->length);
  }
}

}  // namespace

OperandMark operand_mark(std::string_view notation) { return mark_at(notation).value(); }

std::vector<std::size_t> operands_in(std::string_view notation) {
  std::vector<std::size_t> operands;
  while (true) {
    notation.remove_prefix(std::min(notation.find('{'), notation.size()));
    if (notation.empty()) return operands;
    const auto [index, length] = operand_mark(notation);
    operands.push_back(index);
    notation.remove_prefix(length);
  }
}

std::string notation_of(const Node& application, std::size_t output, std::size_t operands) {
  return checked(detail::notation_said(application, output), application, operands);
}

std::string slope_notation(const Node& application) {
  std::string text = notation_of(application, 0, application.inputs().size());
  const std::size_t open = text.find('(');
  if (open == std::string::npos) return std::string(application.op()->name()) + "'({0})";
  return text.insert(open, "'");
}

std::string slope_name(const Node& application) {
  const std::string notation = slope_notation(application);
  return notation.substr(0, notation.find('('));
}

}  // namespace chainrule::derivation
