#include <chainrule/graph/derivation/layers.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

#include <chainrule/core/detail/text.hpp>

namespace chainrule::derivation {

namespace {

using detail::is_digit;

struct Number {
  std::size_t begin, end;
  int value;
};

// A part of a dotted name that is a number, else digits at the end.
std::optional<Number> number_in(std::string_view name) {
  const auto number = [&](std::size_t begin, std::size_t end) -> std::optional<Number> {
    if (end == begin || end - begin > 6) return std::nullopt;
    return Number{begin, end, std::atoi(std::string(name.substr(begin, end - begin)).c_str())};
  };
  if (name.find('.') != std::string_view::npos)
    for (std::size_t begin = 0; begin < name.size();) {
      const std::size_t end = std::min(name.find('.', begin), name.size());
      if (std::ranges::all_of(name.substr(begin, end - begin), is_digit))
        if (const auto found = number(begin, end)) return found;
      begin = end + 1;
    }
  std::size_t begin = name.size();
  while (begin > 0 && is_digit(name[begin - 1])) --begin;
  return begin == 0 ? std::nullopt : number(begin, name.size());
}

}  // namespace

std::optional<int> layer_of(std::string_view name) {
  const auto number = number_in(name);
  return number ? std::optional(number->value) : std::nullopt;
}

std::string name_in_layer(std::string_view name, int k, char letter) {
  const auto number = number_in(name);
  if (!number) return std::string(name);
  const int offset = number->value - k;
  const std::string before(name.substr(0, number->begin)), behind(name.substr(number->end));
  if (!behind.empty() || before.ends_with('.')) {
    const std::string index =
        offset == 0 ? std::string(1, letter) : fmt::format("{}{:+}", letter, offset);
    std::string base = before;
    if (base.ends_with('.')) base.pop_back();
    return fmt::format("{}[{}]{}", base, index, behind);
  }
  std::string index = letter == 't' ? "ₜ" : "ₖ";
  if (offset != 0) {
    index += offset > 0 ? "₊" : "₋";
    for (const char digit : fmt::format("{}", std::abs(offset)))
      index += std::string("₀₁₂₃₄₅₆₇₈₉").substr(3 * static_cast<std::size_t>(digit - '0'), 3);
  }
  return before + index;
}

}  // namespace chainrule::derivation
