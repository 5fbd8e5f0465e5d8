#include <chainrule/graph/derivation/number_text.hpp>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <optional>
#include <string>

namespace chainrule::derivation {

namespace {

// Larger whole numbers tell a reader no more than digits do.
constexpr double largest_below = 1e6;                             // 1 / 60000
constexpr double largest_above = 64, largest_below_others = 360;  // 5 / 48, 7 / 90
constexpr double largest_root = 4096;

// A number above 0 as above / below, of whole numbers, either of them under a root.
struct Fraction {
  double above = 1, below = 1;
  bool root_above = false, root_below = false;
  bool is_whole() const { return below == 1 && !root_above; }
};

// Whether two numbers are one, to what forms of a formula agree in, or to the last digit of the f32
// that a is.
bool same(double a, double b) {
  const bool is_f32 = static_cast<double>(static_cast<float>(a)) == a;
  const double unit = is_f32 ? std::numeric_limits<float>::epsilon() / 2 : 1e-9;
  return std::abs(a - b) <= unit * std::abs(b);
}

bool is_short_decimal(double x) {
  const std::string digits = digits_of(x, 6);
  return same(x, number_said(digits));
}

// The forms that are shorter than six digits.
std::optional<Fraction> fraction_of(double x) {
  if (x >= 1 && x == std::round(x)) return Fraction{x};
  if (const double below = std::round(1 / x);
      below >= 1 && below <= largest_below && same(x, 1 / below))
    return Fraction{1, below};
  if (is_short_decimal(x)) return std::nullopt;
  for (double below = 3; below <= largest_below_others; ++below) {
    const double above = std::round(x * below);
    if (above >= 1 && above <= largest_above && same(x, above / below))
      return Fraction{above, below};
  }
  const double square = std::round(x * x), inverse = std::round(1 / (x * x));
  if (square > 1 && square <= largest_root && same(x, std::sqrt(square)))
    return Fraction{square, 1, true};
  if (inverse > 1 && inverse <= largest_root && same(x, 1 / std::sqrt(inverse)))
    return Fraction{1, inverse, false, true};
  return std::nullopt;
}

// As many as it takes to tell the number from others.
Written digits(double x, const Style& style) {
  constexpr int fewest = 6, most = 10;
  int precision = fewest;
  while (precision < most && !same(std::abs(x), number_said(digits_of(std::abs(x), precision))))
    ++precision;
  Written text{style.number(digits_of(x, precision)),
               std::signbit(x) ? Strength::sum : Strength::atom};
  text.negation = std::signbit(x);
  return text;
}

Written whole_text(double x, bool root, const Style& style) {
  const Written number = digits(x, style);
  return root ? read("√{0}", {number}, style) : number;
}

}  // namespace

double number_said(std::string_view digits) noexcept {
  double number = std::numeric_limits<double>::quiet_NaN();
  std::from_chars(digits.data(), digits.data() + digits.size(), number);
  return number;
}

Written number_text(double x, const Style& style) {
  const std::optional<Fraction> form = fraction_of(std::abs(x));
  if (!form || form->is_whole() || is_short_decimal(std::abs(x))) return digits(x, style);
  Written text = whole_text(form->above, form->root_above, style);
  if (form->below != 1)
    text = read("{0} / {1}", {text, whole_text(form->below, form->root_below, style)}, style);
  return x < 0 ? read("−{0}", {text}, style) : text;
}

double number_meant(float x) noexcept {
  const double size = std::abs(static_cast<double>(x));
  if (!std::isfinite(size) || size == 0 || size == std::round(size)) return x;
  double meant = size;
  if (const std::optional<Fraction> form = fraction_of(size)) {
    const auto value = [](double of, bool root) { return root ? std::sqrt(of) : of; };
    meant = value(form->above, form->root_above) / value(form->below, form->root_below);
  } else if (is_short_decimal(size)) {
    meant = number_said(digits_of(size, 6));
  }
  return std::copysign(meant, static_cast<double>(x));
}

FactorText factor_text(double x, const Style& style) {
  const std::optional<Fraction> form = fraction_of(x);
  if (!form) return {digits(x, style).text, ""};
  FactorText text;
  if (form->above != 1) text.above = whole_text(form->above, form->root_above, style).text;
  if (form->below != 1) text.below = whole_text(form->below, form->root_below, style).text;
  return text;
}

Written beside_text(const Written& number, const Written& x, const Style& style) {
  const bool parentheses = x.strength < Strength::product || begins_with_number(x);
  // (a / 2) x, which else were a / (2 x); (1 − a) x, but −a x.
  const bool apart = number.below || (number.strength < Strength::product && !number.negation);
  Written text{(apart ? style.parenthesized(number.text) : number.text) + style.literal(" ") +
               (parentheses ? style.parenthesized(x.text) : x.text)};
  text.strength = apart ? Strength::product : std::min(number.strength, Strength::product);
  text.open = parentheses ? Written::Open::no : x.open;
  text.below = !parentheses && x.below;
  return text;
}

Written scaled_text(double factor, const Written& x, const Style& style) {
  if (factor == 1) return x;
  if (factor == -1) return read("−{0}", {x}, style);
  const std::optional<Fraction> form = fraction_of(std::abs(factor));
  const double above = form && !form->root_above ? std::copysign(form->above, factor) : factor;
  Written text = x;
  if (above == -1) {
    text = read("−{0}", {x}, style);
  } else if (above != 1) {
    const Written number =
        form && form->root_above ? number_text(factor, style) : digits(above, style);
    text = beside_text(number, x, style);
  }
  if (!form || form->below == 1) return text;
  return read("{0} / {1}", {text, whole_text(form->below, form->root_below, style)}, style);
}

}  // namespace chainrule::derivation
