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

// The digits below the line at the end of a name: h₁₂.
std::optional<Number> number_below(std::string_view name) {
  constexpr std::string_view digits = "₀₁₂₃₄₅₆₇₈₉";
  constexpr std::size_t length = 3, most_digits = 6;
  std::string plain;
  std::size_t begin = name.size();
  while (begin > length && plain.size() < most_digits) {
    const std::size_t at = digits.find(name.substr(begin - length, length));
    if (at == std::string_view::npos || at % length != 0) break;
    plain.insert(plain.begin(), static_cast<char>('0' + at / length));
    begin -= length;
  }
  if (plain.empty()) return std::nullopt;
  return Number{begin, name.size(), std::atoi(plain.c_str())};
}

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
  if (begin == name.size()) return number_below(name);
  return begin == 0 ? std::nullopt : number(begin, name.size());
}

// "k", "k+2", "k-1"
std::string from(char letter, int offset) {
  return offset == 0 ? std::string(1, letter) : fmt::format("{}{:+}", letter, offset);
}

}  // namespace

std::optional<LayerName> layer_name(std::string_view name) {
  const auto number = number_in(name);
  if (!number) return std::nullopt;
  return LayerName{fmt::format("{}{}", name.substr(0, number->begin), name.substr(number->end)),
                   number->value};
}

std::optional<int> layer_of(std::string_view name) {
  const auto number = number_in(name);
  return number ? std::optional(number->value) : std::nullopt;
}

bool differ_in_layer(std::string_view a, std::string_view b) {
  const auto x = layer_name(a), y = layer_name(b);
  return x && y && x->layer != y->layer && x->stem == y->stem;
}

std::string name_in_layer(std::string_view name, int k, char letter) {
  const auto number = number_in(name);
  if (!number) return std::string(name);
  const int offset = number->value - k;
  std::string before(name.substr(0, number->begin));
  const std::string behind(name.substr(number->end));
  if (!behind.empty() || before.ends_with('.')) {
    std::string base = before;
    if (base.ends_with('.')) base.pop_back();
    return fmt::format("{}[{}]{}", base, from(letter, offset), behind);
  }
  if (before.size() > 1 && before.ends_with('_')) before.pop_back();
  std::string index = letter == 't' ? "ₜ" : "ₖ";
  if (offset != 0) {
    index += offset > 0 ? "₊" : "₋";
    for (const char digit : fmt::format("{}", std::abs(offset)))
      index += std::string("₀₁₂₃₄₅₆₇₈₉").substr(3 * static_cast<std::size_t>(digit - '0'), 3);
  }
  return before + index;
}

std::string positions_in_layer(std::string_view notation, int k, char letter) {
  std::string result;
  while (!notation.empty()) {
    const std::size_t bracket = std::min(notation.find('['), notation.size());
    std::size_t end = bracket + (bracket < notation.size() ? 1 : 0);
    result += notation.substr(0, end);
    notation.remove_prefix(end);
    end = 0;
    while (end < notation.size() && is_digit(notation[end])) ++end;
    const bool is_position =
        bracket < notation.npos && end > 0 && end <= 6 && end < notation.size() &&
        (notation[end] == ']' || notation[end] == ',') && result.ends_with('[');
    if (!is_position) continue;
    result += from(letter, std::atoi(std::string(notation.substr(0, end)).c_str()) - k);
    notation.remove_prefix(end);
  }
  return result;
}

}  // namespace chainrule::derivation
