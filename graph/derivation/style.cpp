#include <chainrule/graph/derivation/style.hpp>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include <chainrule/core/detail/text.hpp>
#include <chainrule/graph/derivation/markup.hpp>
#include <chainrule/graph/derivation/symbol_name.hpp>

namespace chainrule::derivation {

namespace {

using detail::is_digit;

// What the name of a function begins with.
bool begins_word(char c) { return detail::is_letter(c) || c == '_'; }

bool is_word(std::string_view name) {
  return std::ranges::all_of(name,
                             [](char c) { return begins_word(c) || is_digit(c) || (c & 0x80); });
}

// Of the first letter, in UTF-8.
std::size_t length_of_letter(std::string_view text) {
  std::size_t length = 1;
  while (length < text.size() && (text[length] & 0xC0) == 0x80) ++length;
  return length;
}

// Whether positions need nothing between them.
bool all_letters(const std::vector<Style::Position>& positions) {
  const auto is_one = [](const Style::Position& each) {
    return each.element.empty() && each.plain.size() == 1 && detail::is_letter(each.plain[0]);
  };
  return std::ranges::all_of(positions, is_one);
}

// Of one that stands in front.
std::string sign_of(Mark mark) {
  return mark == Mark::gradient ? "d" : mark == Mark::nabla ? "∇" : "∂";
}

struct Replacement {
  std::string_view from, to;
};

// The subscripts of a name, and further ones.
std::string both(const std::string& index, const std::string& more, const char* between = ",") {
  return index + (index.empty() || more.empty() ? "" : between) + more;
}

class Unicode final : public Style {
 public:
  std::string symbol(std::string_view name, Mark mark, const std::string& indices) const override {
    const bool formula = is_formula(name);
    std::string text = formula ? "(" + std::string(name) + ")" : std::string(name);
    if (is_prefix(mark))
      text = sign_of(mark) + (formula || is_word(name) ? text : "(" + text + ")");
    if (mark == Mark::tangent) text = dotted(text);
    std::size_t length = 0;
    const bool has_some = !indices.empty() && !subscript(name, length).empty();
    return (has_some ? "(" + text + ")" : text) + indices;
  }
  std::string number(std::string_view digits) const override { return std::string(digits); }
  std::string indices(const std::vector<Position>& positions) const override {
    std::string text;
    for (const Position& position : positions) {
      const std::optional<std::string> below = lowered(position.plain);
      if (!position.element.empty() || !below) return in_brackets(positions);
      text += (text.empty() || all_letters(positions) ? "" : ",") + *below;
    }
    return text;
  }
  std::string below(const std::string& base, const std::string& indices) const override {
    return base + indices;
  }
  std::string position(std::string_view plain) const override {
    std::string text;
    for (const char c : plain) text += c == '-' ? "−" : std::string(1, c);
    return text;
  }
  std::string literal(std::string_view text) const override { return std::string(text); }
  std::string ones(const Shape& shape) const override {
    std::string text = "𝟏";
    for (int axis = 0; axis < shape.rank(); ++axis)
      text += (axis == 0 ? "" : "ₓ") + lowered(std::to_string(shape[axis])).value();
    return text;
  }
  std::string parenthesized(const std::string& inside) const override { return "(" + inside + ")"; }
  bool sets_higher() const override { return false; }
  std::string raised(const std::string& base, const std::string& above) const override {
    if (above == "ᵀ" || above == "²") return base + above;
    constexpr std::string_view minus = "−";
    const bool negative = above.starts_with(minus);
    const std::string_view rest = std::string_view(above).substr(negative ? minus.size() : 0);
    const bool is_whole = !rest.empty() && std::ranges::all_of(rest, is_digit);
    return base + (is_whole ? (negative ? "⁻" : "") + superscript(rest) : "^" + above);
  }
  std::string sum_over(char letter, int first, int last) const override {
    const auto digits = [](int number) { return fmt::format("{}", std::abs(number)); };
    return fmt::format("Σ{}₌{}{}{}{} ", lowered(std::string(1, letter)).value(),
                       first < 0 ? "₋" : "", lowered(digits(first)).value(), last < 0 ? "⁻" : "",
                       superscript(digits(last)));
  }

 private:
  std::string in_brackets(const std::vector<Position>& positions) const {
    std::vector<std::string> texts;
    for (const Position& each : positions)
      texts.push_back(each.element.empty() ? position(each.plain) : each.element);
    return "[" + detail::joined(texts, ", ") + "]";
  }
  static std::string superscript(std::string_view digits) {
    static constexpr std::string_view raised[] = {"⁰", "¹", "²", "³", "⁴", "⁵", "⁶", "⁷", "⁸", "⁹"};
    std::string text;
    for (const char digit : digits) text += raised[digit - '0'];
    return text;
  }
};

// The digits in subscripts that a text begins with, which are taken off it: "0,1" of ₀₁.
std::string digits_below(std::string_view& text) {
  static constexpr std::string_view digits = "₀₁₂₃₄₅₆₇₈₉";
  std::string below;
  while (text.size() >= 3) {
    const std::size_t at = digits.find(text.substr(0, 3));
    if (at == std::string_view::npos || at % 3 != 0) break;
    below += (below.empty() ? "" : ",") + std::to_string(at / 3);
    text.remove_prefix(3);
  }
  return below;
}

// Of a number with an exponent that a text begins with, 1e-12, how long it is; 0 for others.
std::size_t end_of_power_of_ten(std::string_view text) {
  const auto skip_digits = [&](std::size_t at) {
    while (at < text.size() && (is_digit(text[at]) || text[at] == '.')) ++at;
    return at;
  };
  const std::size_t e = skip_digits(0);
  if (e == 0 || e == text.size() || text[e] != 'e') return 0;
  const std::size_t digits = e + 1 + (text.substr(e + 1).starts_with('-') ? 1 : 0);
  const std::size_t end = skip_digits(digits);
  return end > digits ? end : 0;
}

class Latex final : public Style {
 public:
  std::string symbol(std::string_view name, Mark mark, const std::string& indices) const override {
    const auto [letter, index] = split(name);
    std::string base = letter.size() == length_of_letter(letter)
                           ? greek(letter)
                           : "\\mathrm{" + escaped(letter) + "}";
    if (is_formula(name)) base = parenthesized(base);
    if (mark == Mark::gradient) base = "\\mathrm{d}" + base;
    if (mark == Mark::nabla) base = "\\nabla " + base;
    if (mark == Mark::partial) base = "\\partial " + base;
    if (mark == Mark::tangent) base = "\\dot{" + base + "}";
    const std::string below = both(index, indices);
    return below.empty() ? base : base + "_{" + below + "}";
  }
  std::string indices(const std::vector<Position>& positions) const override {
    std::string text;
    for (const Position& each : positions)
      text += (text.empty() || all_letters(positions) ? "" : ",") +
              (each.element.empty() ? each.plain : each.element);
    return text;
  }
  std::string below(const std::string& base, const std::string& indices) const override {
    return indices.empty() ? base : base + "_{" + indices + "}";
  }
  std::string position(std::string_view plain) const override { return std::string(plain); }
  std::string number(std::string_view digits) const override {
    const std::size_t e = digits.find('e');
    if (e == std::string_view::npos) return literal(digits);
    const int exponent = std::stoi(std::string(digits.substr(e + 1)));
    return literal(digits.substr(0, e)) + " \\cdot 10^{" + std::to_string(exponent) + "}";
  }
  std::string literal(std::string_view text) const override {
    static constexpr Replacement signs[] = {
        {"⊗", "\\odot"},    {"⊘", "\\oslash"},  {"·", "\\,"},       {"−", "-"},
        {"Σ", "\\sum"},     {"√", "\\surd "},   {"σ", "\\sigma"},   {"¬", "\\neg "},
        {"…", "\\dots"},    {"≥", "\\ge"},      {"≤", "\\le"},      {"≠", "\\ne"},
        {"∧", "\\wedge "},  {"∨", "\\vee "},    {"′", "'"},         {"∞", "\\infty "},
        {"{", "\\{"},       {"}", "\\}"},       {"∇", "\\nabla "},  {"∂", "\\partial "},
        {"×", "\\times "},  {"±", "\\pm "},     {"∘", "\\circ "},   {"⊕", "\\oplus "},
        {"⊖", "\\ominus "}, {"∗", "\\ast "},    {"★", "\\star "},   {"‖", "\\Vert "},
        {"⟨", "\\langle "}, {"⟩", "\\rangle "}, {"⌊", "\\lfloor "}, {"⌋", "\\rfloor "},
        {"⌈", "\\lceil "},  {"⌉", "\\rceil "},  {"∈", "\\in "},     {"²", "^{2}"},
        {"³", "^{3}"},      {"ᵀ", "^{\\top}"},  {"⊤", "^{\\top}"}};
    std::string out;
    while (!text.empty()) {
      if (const std::string below = digits_below(text); !below.empty()) {
        out += "_{" + below + "}";
        continue;
      }
      if (const std::size_t end = end_of_power_of_ten(text); end != 0) {
        out += number(text.substr(0, end));
        text.remove_prefix(end);
        continue;
      }
      const auto* sign = std::ranges::find_if(
          signs, [&](const Replacement& r) { return text.starts_with(r.from); });
      if (sign != std::end(signs)) {
        out += sign->to;
        text.remove_prefix(sign->from.size());
      } else if (begins_word(text[0])) {
        std::size_t end = 0;
        while (end < text.size() && (begins_word(text[end]) || is_digit(text[end]))) ++end;
        // x[t-1]
        const bool is_position = end == 1 && (out.ends_with('[') || out.ends_with(',')) &&
                                 text.size() > 1 &&
                                 std::string_view("],+-").find(text[1]) != std::string_view::npos;
        out += is_position ? std::string(1, text[0])
                           : "\\operatorname{" + escaped(text.substr(0, end)) + "}";
        text.remove_prefix(end);
      } else {
        const std::size_t length = length_of_letter(text);
        out += greek(text.substr(0, length));
        if (length > 1) out += ' ';  // \alpha x
        text.remove_prefix(length);
      }
    }
    return out;
  }
  std::string ones(const Shape& shape) const override {
    return fmt::format("\\mathbf{{1}}_{{{}}}", fmt::join(shape, " \\times "));
  }
  std::string parenthesized(const std::string& inside) const override {
    return "\\left(" + inside + "\\right)";
  }
  std::string raised(const std::string& base, const std::string& above) const override {
    const std::string exponent = above == "ᵀ" ? "\\top" : above == "²" ? "2" : above;
    return "{" + base + "}^{" + exponent + "}";
  }
  std::string root(const std::string& inside, bool) const override {
    return "\\sqrt{" + inside + "}";
  }
  std::string fraction(const std::string& above, const std::string& below) const override {
    return "\\frac{" + above + "}{" + below + "}";
  }
  std::string sum_over(char letter, int first, int last) const override {
    return fmt::format("\\sum_{{{}={}}}^{{{}}} ", letter, first, last);
  }

 private:
  static std::string escaped(std::string_view name) {
    std::string out;
    while (!name.empty()) {
      const char c = name[0];
      if (c & 0x80) {
        const std::string_view letter = name.substr(0, length_of_letter(name));
        out += greek(letter) + ' ';
        name.remove_prefix(letter.size());
        continue;
      }
      name.remove_prefix(1);
      if (c == '_' || c == '%' || c == '#' || c == '&' || c == '$' || c == '{' || c == '}')
        out += '\\';
      if (c == '\\')
        out += "\\backslash ";
      else if (c == '^')  // \^ and \~ are accents of text
        out += "{\\wedge}";
      else if (c == '~')
        out += "{\\sim}";
      else
        out += c;
    }
    return out;
  }
  static std::string greek(std::string_view letter) {
    static constexpr Replacement letters[] = {
        {"α", "\\alpha"},      {"β", "\\beta"},   {"γ", "\\gamma"},   {"δ", "\\delta"},
        {"ε", "\\varepsilon"}, {"ζ", "\\zeta"},   {"η", "\\eta"},     {"θ", "\\theta"},
        {"κ", "\\kappa"},      {"λ", "\\lambda"}, {"μ", "\\mu"},      {"ν", "\\nu"},
        {"ξ", "\\xi"},         {"π", "\\pi"},     {"ρ", "\\rho"},     {"σ", "\\sigma"},
        {"τ", "\\tau"},        {"φ", "\\varphi"}, {"χ", "\\chi"},     {"ψ", "\\psi"},
        {"ω", "\\omega"},      {"Γ", "\\Gamma"},  {"Δ", "\\Delta"},   {"Θ", "\\Theta"},
        {"Λ", "\\Lambda"},     {"Σ", "\\Sigma"},  {"Φ", "\\Phi"},     {"Ψ", "\\Psi"},
        {"Ω", "\\Omega"},      {"ϕ", "\\phi"},    {"ι", "\\iota"},    {"ℓ", "\\ell"},
        {"ℒ", "\\mathcal{L}"}, {"∇", "\\nabla"},  {"∂", "\\partial"}, {"·", "\\cdot"},
        {"×", "\\times"},      {"−", "-"},        {"∞", "\\infty"},   {"′", "'"}};
    for (const Replacement& each : letters)
      if (letter == each.from) return std::string(each.to);
    std::size_t length = 0;
    if (const std::string below = subscript(std::string("···").append(letter), length);
        !below.empty())
      return "_{" + below + "}";
    return (letter[0] & 0x80) ? "\\text{" + std::string(letter) + "}" : escaped(letter);
  }
};

class MathMl final : public Style {
 public:
  std::string symbol(std::string_view name, Mark mark, const std::string& indices) const override {
    const auto [letter, index] = split(name);
    std::string base = "<mi>" + in_markup(letter) + "</mi>";
    if (is_formula(name)) base = parenthesized(base);
    if (mark == Mark::tangent) base = "<mover>" + base + "<mo>˙</mo></mover>";
    const std::string number = index.empty() ? "" : "<mn>" + index + "</mn>";
    const std::string below =
        indices.empty() ? number : "<mrow>" + both(number, indices, "<mo>,</mo>") + "</mrow>";
    if (!below.empty()) base = "<msub>" + base + below + "</msub>";
    if (!is_prefix(mark)) return base;
    return "<mrow><mi mathvariant=\"normal\">" + sign_of(mark) + "</mi>" + base + "</mrow>";
  }
  std::string indices(const std::vector<Position>& positions) const override {
    std::string text;
    for (const Position& each : positions)
      text += (text.empty() || all_letters(positions) ? "" : "<mo>,</mo>") +
              (each.element.empty() ? position(each.plain) : each.element);
    return text;
  }
  std::string below(const std::string& base, const std::string& indices) const override {
    if (indices.empty()) return base;
    return "<msub><mrow>" + base + "</mrow><mrow>" + indices + "</mrow></msub>";
  }
  std::string position(std::string_view plain) const override {
    std::string text;
    while (!plain.empty()) {
      std::size_t end = 0;
      while (end < plain.size() && is_digit(plain[end])) ++end;
      const char* tag = end > 0 ? "mn" : detail::is_letter(plain[0]) ? "mi" : "mo";
      end = std::max(end, std::size_t{1});
      text += std::string("<") + tag + ">" + std::string(plain.substr(0, end)) + "</" + tag + ">";
      plain.remove_prefix(end);
    }
    return text;
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
      if (const std::string below = digits_below(text); !below.empty()) {
        out = out.substr(0, last) + "<msub><mrow>" + out.substr(last) + "</mrow><mn>" + below +
              "</mn></msub>";
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
  std::string ones(const Shape& shape) const override {
    return fmt::format("<msub><mn>𝟏</mn><mrow><mn>{}</mn></mrow></msub>",
                       fmt::join(shape, "</mn><mo>×</mo><mn>"));
  }
  std::string root(const std::string& inside, bool) const override {
    return "<msqrt>" + inside + "</msqrt>";
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
  std::string sum_over(char letter, int first, int last) const override {
    return fmt::format(
        "<munderover><mo>∑</mo><mrow><mi>{}</mi><mo>=</mo><mn>{}</mn></mrow><mn>{}</mn>"
        "</munderover>",
        letter, first, last);
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

std::string symbol_text(std::string_view name, Format format, Mark mark) {
  return style_of(format).symbol(name, mark);
}

}  // namespace chainrule::derivation
