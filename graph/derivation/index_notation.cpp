#include <algorithm>
#include <initializer_list>
#include <string>
#include <string_view>

#include <chainrule/core/detail/text.hpp>
#include <chainrule/graph/derivation/index_written.hpp>
#include <chainrule/graph/derivation/notation.hpp>
#include <chainrule/graph/derivation/style.hpp>

namespace chainrule::derivation {

using enum IndexWritten::Strength;

IndexWritten in_notation(std::string_view rest,
                         const std::function<IndexWritten(std::size_t)>& part_of, Format format) {
  const Style& style = style_of(format);
  const auto in = [&](const IndexWritten& part, IndexWritten::Strength need) {
    return part.strength < need ? style.parenthesized(part.text) : part.text;
  };
  std::string out, literal;
  IndexWritten::Strength strength = atom;
  // "2 {0}": a factor, and no function's name.
  const bool number = !rest.empty() && detail::is_digit(rest[0]);
  bool open = false;
  int depth = 0;
  const auto flush = [&] {
    if (!literal.empty()) out += style.literal(literal);
    literal.clear();
  };
  const auto ends_with = [&](std::initializer_list<std::string_view> signs) {
    return std::ranges::any_of(signs, [&](auto sign) { return literal.ends_with(sign); });
  };
  while (!rest.empty()) {
    if (rest.starts_with(" ⊗ ")) {
      literal += " ";
      rest.remove_prefix(std::string_view(" ⊗ ").size());
      if (depth == 0) strength = std::min(strength, product);
      continue;
    }
    if (rest.starts_with(" ⊘ ")) {
      literal += " / ";
      rest.remove_prefix(std::string_view(" ⊘ ").size());
      if (depth == 0) strength = std::min(strength, product);
      continue;
    }
    if (rest[0] != '{') {
      depth += (rest[0] == '(' || rest[0] == '[') - (rest[0] == ')' || rest[0] == ']');
      if (rest[0] == ' ' && depth == 0) {
        if (!out.empty()) strength = sum;
        if (out.empty() && number) strength = product;
      }
      literal += rest[0];
      rest.remove_prefix(1);
      continue;
    }
    const auto [k, length] = operand_mark(rest);
    rest.remove_prefix(length);
    const IndexWritten part = part_of(k);
    if (rest.starts_with("²") || rest.starts_with("^{")) {
      std::string above = "²";
      if (rest.starts_with("^{")) {
        rest.remove_prefix(1);
        const auto [exponent, size] = operand_mark(rest);
        above = part_of(exponent).text;
        rest.remove_prefix(size);
        if (format == Format::unicode) above = "(" + above + ")";
      } else {
        rest.remove_prefix(above.size());
      }
      flush();
      out += style.raised(in(part, atom), above);
      continue;
    }
    const bool alone = ends_with({"(", "[", ", ", " > ", " < ", " ≥ ", " ≤ ", " = ", " ≠ ", "|"});
    const bool factor = number && depth == 0 && out.empty() && literal.ends_with(' ');
    const bool prefix = !alone && !factor && !literal.empty() && out.empty();
    if (prefix && literal.starts_with("−")) strength = sum;
    if (prefix && literal.back() == ' ') literal.pop_back();
    flush();
    out += prefix  ? style.parenthesized(part.text)
           : alone ? part.text
                   : in(part, factor && rest.empty() ? product : atom);
    open = open || (factor && rest.empty() && part.open);
  }
  flush();
  return {std::move(out), strength, open, number};
}

}  // namespace chainrule::derivation
