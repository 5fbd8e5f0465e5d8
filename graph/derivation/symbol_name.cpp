#include <chainrule/graph/derivation/symbol_name.hpp>

#include <algorithm>
#include <iterator>

#include <chainrule/core/detail/text.hpp>

namespace chainrule::derivation {

namespace {

using detail::is_digit;

struct Subscript {
  std::string_view lowered;
  char plain;
};
constexpr Subscript subscripts[] = {
    {"ₖ", 'k'}, {"ₜ", 't'}, {"₊", '+'}, {"₋", '-'}, {"₀", '0'}, {"₁", '1'}, {"₂", '2'}, {"₃", '3'},
    {"₄", '4'}, {"₅", '5'}, {"₆", '6'}, {"₇", '7'}, {"₈", '8'}, {"₉", '9'}, {"ₐ", 'a'}, {"ₑ", 'e'},
    {"ₕ", 'h'}, {"ᵢ", 'i'}, {"ⱼ", 'j'}, {"ₗ", 'l'}, {"ₘ", 'm'}, {"ₙ", 'n'}, {"ₒ", 'o'}, {"ₚ", 'p'},
    {"ᵣ", 'r'}, {"ₛ", 's'}, {"ₜ", 't'}, {"ᵤ", 'u'}, {"ᵥ", 'v'}, {"ₓ", 'x'}};

struct Dotted {
  std::string_view from, to;
};

// A letter with a dot above, in one character where there is one: terminals show that best.
std::string with_dot(std::string_view letter) {
  static constexpr Dotted letters[] = {
      {"B", "Ḃ"}, {"C", "Ċ"}, {"D", "Ḋ"}, {"E", "Ė"}, {"F", "Ḟ"}, {"G", "Ġ"}, {"H", "Ḣ"},
      {"M", "Ṁ"}, {"N", "Ṅ"}, {"O", "Ȯ"}, {"P", "Ṗ"}, {"R", "Ṙ"}, {"S", "Ṡ"}, {"T", "Ṫ"},
      {"W", "Ẇ"}, {"X", "Ẋ"}, {"Y", "Ẏ"}, {"Z", "Ż"}, {"a", "ȧ"}, {"b", "ḃ"}, {"c", "ċ"},
      {"d", "ḋ"}, {"e", "ė"}, {"f", "ḟ"}, {"g", "ġ"}, {"h", "ḣ"}, {"m", "ṁ"}, {"n", "ṅ"},
      {"o", "ȯ"}, {"p", "ṗ"}, {"r", "ṙ"}, {"s", "ṡ"}, {"t", "ṫ"}, {"w", "ẇ"}, {"x", "ẋ"},
      {"y", "ẏ"}, {"z", "ż"}, {"A", "Ȧ"}};
  for (const Dotted& each : letters)
    if (letter == each.from) return std::string(each.to);
  return std::string(letter) + "\u0307";
}

}  // namespace

std::string subscript(std::string_view name, std::size_t& length) {
  std::string plain;
  while (name.size() > 3) {
    const auto* sign = std::ranges::find_if(
        subscripts, [&](const Subscript& each) { return name.ends_with(each.lowered); });
    if (sign == std::end(subscripts)) break;
    plain.insert(plain.begin(), sign->plain);
    name.remove_suffix(sign->lowered.size());
  }
  length = name.size();
  return plain;
}

std::optional<std::string> lowered(std::string_view plain) {
  std::string text;
  for (const char c : plain) {
    const auto* sign = std::ranges::find(subscripts, c, &Subscript::plain);
    if (sign == std::end(subscripts)) return std::nullopt;
    text += sign->lowered;
  }
  return text;
}

std::pair<std::string_view, std::string> split(std::string_view name) {
  std::size_t length = 0;
  if (std::string index = subscript(name, length); !index.empty())
    return {name.substr(0, length), std::move(index)};
  std::size_t word = name.size();
  while (word > 0 && is_digit(name[word - 1])) --word;
  const std::string_view digits = name.substr(word);
  if (word > 1 && !digits.empty() && name[word - 1] == '_') --word;
  if (word == 0 || digits.empty()) return {name, ""};
  return {name.substr(0, word), std::string(digits)};
}

std::string plain(std::string_view name) {
  const auto [word, index] = split(name);
  return std::string(word) + (index.empty() ? "" : "_") + index;
}

bool is_formula(std::string_view name) {
  constexpr std::string_view plain = " +-*/^|&<>=~!";
  constexpr std::string_view signs[] = {"·", "×", "−", "±", "⊗", "⊘", "⊕",
                                        "⊙", "∘", "≥", "≤", "≠", "∧", "∨"};
  int depth = 0;
  for (std::size_t i = 0; i < name.size(); ++i) {
    if (name[i] == '(' || name[i] == '[' || name[i] == '{') ++depth;
    if (name[i] == ')' || name[i] == ']' || name[i] == '}') --depth;
    const std::string_view rest = name.substr(i);
    const bool is_sign = plain.find(name[i]) != plain.npos ||
                         std::ranges::any_of(signs, [&](auto s) { return rest.starts_with(s); });
    if (depth <= 0 && is_sign && rest.size() > 1) return true;  // but w* is a name
  }
  return false;
}

std::string dotted(std::string_view name) {
  const std::string_view letter = split(name).first;
  if (detail::width_of(letter) != 1) return std::string(name) + "˙";
  return with_dot(letter) + std::string(name.substr(letter.size()));
}

}  // namespace chainrule::derivation
