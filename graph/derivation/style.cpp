#include <chainrule/graph/derivation/style.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include <chainrule/core/detail/text.hpp>
#include <chainrule/graph/derivation/markup.hpp>

namespace chainrule::derivation {

namespace {

using detail::is_digit;

// What the name of a function begins with.
bool begins_word(char c) { return detail::is_letter(c) || c == '_'; }

bool is_word(std::string_view name) {
  return std::ranges::all_of(name,
                             [](char c) { return begins_word(c) || is_digit(c) || (c & 0x80); });
}

// The subscript at the end of a name, in plain characters: "k+1" of "Wₖ₊₁". `length`: of the rest.
std::string subscript(std::string_view name, std::size_t& length) {
  static constexpr std::pair<std::string_view, char> signs[] = {
      {"ₖ", 'k'}, {"₊", '+'}, {"₋", '-'}, {"₀", '0'}, {"₁", '1'}, {"₂", '2'}, {"₃", '3'},
      {"₄", '4'}, {"₅", '5'}, {"₆", '6'}, {"₇", '7'}, {"₈", '8'}, {"₉", '9'}};
  std::string plain;
  while (name.size() > 3) {
    const auto* sign =
        std::ranges::find_if(signs, [&](const auto& pair) { return name.ends_with(pair.first); });
    if (sign == std::end(signs)) break;
    plain.insert(plain.begin(), sign->second);
    name.remove_suffix(sign->first.size());
  }
  length = name.size();
  return plain;
}

// "W3" is W and 3, "Wₖ₊₁" W and k+1; other names are one.
std::pair<std::string_view, std::string> split(std::string_view name) {
  std::size_t length = 0;
  if (std::string index = subscript(name, length); !index.empty())
    return {name.substr(0, length), std::move(index)};
  std::size_t letter = 1;
  while (letter < name.size() && (name[letter] & 0xC0) == 0x80) ++letter;
  const std::string_view rest = name.substr(std::min(letter, name.size()));
  if (std::ranges::all_of(rest, is_digit)) return {name.substr(0, letter), std::string(rest)};
  return {name, ""};
}

struct Replacement {
  std::string_view from, to;
};

class Unicode final : public Style {
 public:
  std::string symbol(std::string_view name) const override { return std::string(name); }
  std::string gradient(std::string_view name) const override {
    return is_word(name) ? "d" + std::string(name) : "d(" + std::string(name) + ")";
  }
  std::string number(std::string_view digits) const override { return std::string(digits); }
  std::string literal(std::string_view text) const override { return std::string(text); }
  std::string parenthesized(const std::string& inside) const override { return "(" + inside + ")"; }
  std::string raised(const std::string& base, const std::string& above) const override {
    return base + (above == "ᵀ" || above == "²" ? above : "^" + above);
  }
};

class Latex final : public Style {
 public:
  std::string symbol(std::string_view name) const override {
    const auto [letter, index] = split(name);
    std::string base = letter.size() == 1 || (letter[0] & 0x80)
                           ? greek(letter)
                           : "\\mathrm{" + escaped(letter) + "}";
    return index.empty() ? base : base + "_{" + index + "}";
  }
  std::string gradient(std::string_view name) const override {
    return "\\mathrm{d}" + symbol(name);
  }
  std::string number(std::string_view digits) const override {
    const std::size_t e = digits.find('e');
    if (e == std::string_view::npos) return literal(digits);
    const int exponent = std::stoi(std::string(digits.substr(e + 1)));
    return literal(digits.substr(0, e)) + " \\cdot 10^{" + std::to_string(exponent) + "}";
  }
  std::string literal(std::string_view text) const override {
    static constexpr Replacement signs[] = {
        {"⊗", "\\odot"},   {"⊘", "\\oslash"}, {"·", "\\,"},      {"−", "-"},      {"Σ", "\\sum"},
        {"√", "\\surd "},  {"σ", "\\sigma"},  {"¬", "\\neg "},   {"…", "\\dots"}, {"≥", "\\ge"},
        {"≤", "\\le"},     {"≠", "\\ne"},     {"∧", "\\wedge "}, {"∨", "\\vee "}, {"₀", "_{0}"},
        {"₁", "_{1}"},     {"₂", "_{2}"},     {"₃", "_{3}"},     {"₄", "_{4}"},   {"₅", "_{5}"},
        {"₆", "_{6}"},     {"₇", "_{7}"},     {"₈", "_{8}"},     {"₉", "_{9}"},   {"′", "'"},
        {"∞", "\\infty "}, {"{", "\\{"},      {"}", "\\}"}};
    std::string out;
    while (!text.empty()) {
      const auto* sign = std::ranges::find_if(
          signs, [&](const Replacement& r) { return text.starts_with(r.from); });
      if (sign != std::end(signs)) {
        out += sign->to;
        text.remove_prefix(sign->from.size());
      } else if (begins_word(text[0])) {
        std::size_t end = 0;
        while (end < text.size() && (begins_word(text[end]) || is_digit(text[end]))) ++end;
        out += "\\operatorname{" + escaped(text.substr(0, end)) + "}";
        text.remove_prefix(end);
      } else {
        out += text[0];
        text.remove_prefix(1);
      }
    }
    return out;
  }
  std::string parenthesized(const std::string& inside) const override {
    return "\\left(" + inside + "\\right)";
  }
  std::string raised(const std::string& base, const std::string& above) const override {
    const std::string exponent = above == "ᵀ" ? "\\top" : above == "²" ? "2" : above;
    return "{" + base + "}^{" + exponent + "}";
  }

 private:
  static std::string escaped(std::string_view name) {
    std::string out;
    for (const char c : name) {
      if (c == '_' || c == '%' || c == '#' || c == '&' || c == '$' || c == '{' || c == '}')
        out += '\\';
      if (c == '\\')
        out += "\\backslash ";
      else if (c == '^' || c == '~')
        out += std::string("\\") + c + "{}";
      else
        out += c;
    }
    return out;
  }
  static std::string greek(std::string_view letter) {
    static constexpr Replacement letters[] = {
        {"α", "\\alpha"},      {"β", "\\beta"},   {"γ", "\\gamma"}, {"δ", "\\delta"},
        {"ε", "\\varepsilon"}, {"ζ", "\\zeta"},   {"η", "\\eta"},   {"θ", "\\theta"},
        {"κ", "\\kappa"},      {"λ", "\\lambda"}, {"μ", "\\mu"},    {"ν", "\\nu"},
        {"ξ", "\\xi"},         {"π", "\\pi"},     {"ρ", "\\rho"},   {"σ", "\\sigma"},
        {"τ", "\\tau"},        {"φ", "\\varphi"}, {"χ", "\\chi"},   {"ψ", "\\psi"},
        {"ω", "\\omega"},      {"Γ", "\\Gamma"},  {"Δ", "\\Delta"}, {"Θ", "\\Theta"},
        {"Λ", "\\Lambda"},     {"Σ", "\\Sigma"},  {"Φ", "\\Phi"},   {"Ψ", "\\Psi"},
        {"Ω", "\\Omega"}};
    for (const Replacement& each : letters)
      if (letter == each.from) return std::string(each.to);
    return (letter[0] & 0x80) ? "\\text{" + std::string(letter) + "}" : escaped(letter);
  }
};

class MathMl final : public Style {
 public:
  std::string symbol(std::string_view name) const override {
    const auto [letter, index] = split(name);
    const std::string base = "<mi>" + in_markup(letter) + "</mi>";
    return index.empty() ? base : "<msub>" + base + "<mn>" + index + "</mn></msub>";
  }
  std::string gradient(std::string_view name) const override {
    return "<mrow><mi mathvariant=\"normal\">d</mi>" + symbol(name) + "</mrow>";
  }
  std::string number(std::string_view digits) const override {
    if (digits.starts_with("−"))
      return "<mo>−</mo>" + number(digits.substr(std::string_view("−").size()));
    return "<mn>" + in_markup(digits) + "</mn>";
  }
  std::string literal(std::string_view text) const override {
    std::string out;
    std::size_t last = 0;  // where the last element begins, to which a subscript belongs
    while (!text.empty()) {
      if (text[0] == ' ') {
        text.remove_prefix(1);
        continue;
      }
      std::size_t end = 0;
      while (end < text.size() && begins_word(text[end])) ++end;
      const bool word = end > 0;
      if (!word) {
        end = 1;
        while (end < text.size() && (text[end] & 0xC0) == 0x80) ++end;
      }
      const std::string_view part = text.substr(0, end);
      if (const std::size_t digit = std::string_view("₀₁₂₃₄₅₆₇₈₉").find(part);
          part.size() == 3 && digit != std::string_view::npos && digit % 3 == 0) {
        out = out.substr(0, last) + "<msub><mrow>" + out.substr(last) + "</mrow><mn>" +
              std::to_string(digit / 3) + "</mn></msub>";
        text.remove_prefix(end);
        continue;
      }
      last = out.size();
      const bool digit = is_digit(part[0]);
      const char* tag = word || part == "σ" ? "mi" : digit ? "mn" : "mo";
      out += std::string("<") + tag + ">" + in_markup(part == "·" ? "⋅" : part) + "</" + tag + ">";
      text.remove_prefix(end);
    }
    return out;
  }
  std::string parenthesized(const std::string& inside) const override {
    return "<mrow><mo>(</mo>" + inside + "<mo>)</mo></mrow>";
  }
  std::string raised(const std::string& base, const std::string& above) const override {
    const std::string exponent = above == "ᵀ"   ? "<mo>⊤</mo>"
                                 : above == "²" ? "<mn>2</mn>"
                                                : "<mrow>" + above + "</mrow>";
    return "<msup><mrow>" + base + "</mrow>" + exponent + "</msup>";
  }
};

}  // namespace

const Style& style_of(Format format) {
  static const Unicode unicode;
  static const Latex latex;
  static const MathMl mathml;
  if (format == Format::latex) return latex;
  if (format == Format::mathml) return mathml;
  return unicode;
}

std::string digits_of(double number, int precision) {
  if (std::isnan(number)) return "NaN";
  const std::string text =
      std::isinf(number) ? "∞" : fmt::format("{:.{}g}", std::abs(number), precision);
  return std::signbit(number) ? "−" + text : text;
}

std::string symbol_text(std::string_view name, Format format) {
  return style_of(format).symbol(name);
}

std::string gradient_text(std::string_view name, Format format) {
  return style_of(format).gradient(name);
}

}  // namespace chainrule::derivation
