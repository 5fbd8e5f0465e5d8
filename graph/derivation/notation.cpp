#include <chainrule/graph/derivation/notation.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include <chainrule/core/error.hpp>
#include <chainrule/core/op.hpp>

namespace chainrule::derivation {

OperandMark operand_mark(std::string_view notation) {
  const std::size_t end = notation.find('}');
  std::size_t index = 0;
  if (end != std::string_view::npos) {
    const char *first = notation.data() + 1, *last = notation.data() + end;
    const auto [stop, error] = std::from_chars(first, last, index);
    if (error == std::errc() && stop == last && index < 4096) return {index, end + 1};
  }
  throw ValueError(
      fmt::format("derive: \"{}\" in the notation of an op names no operand", notation),
      Where::current(), "operands are {0}, {1} …");
}

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

std::string slope_notation(const Node& application) {
  std::string text = application.op()->written(application);
  const std::size_t open = text.find('(');
  if (open == std::string::npos) return std::string(application.op()->name()) + "'({0})";
  return text.insert(open, "'");
}

std::string slope_name(const Node& application) {
  const std::string notation = slope_notation(application);
  return notation.substr(0, notation.find('('));
}

}  // namespace chainrule::derivation
