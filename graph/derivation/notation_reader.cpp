#include <chainrule/graph/derivation/notation_reader.hpp>

#include <algorithm>
#include <string>
#include <utility>

#include <chainrule/core/detail/text.hpp>
#include <chainrule/graph/derivation/notation.hpp>

namespace chainrule::derivation {

namespace {

using enum Strength;
using Open = Written::Open;

struct Sign {
  std::string_view text;
  Strength strength, left, right;  // of what it makes, and that its operands need
};
// a − (b − c), a ⊘ (b ⊘ c), (a > b) = c
constexpr Sign signs[] = {{" + ", sum, sum, sum},
                          {" − ", sum, sum, unknown_sign},
                          {" ⊗ ", product, product, product},
                          {" ⊘ ", product, product, matrix_product},
                          {" / ", product, product, matrix_product},
                          {" · ", matrix_product, matrix_product, matrix_product},
                          {"·", matrix_product, matrix_product, matrix_product},
                          {" > ", relation, sum, sum},
                          {" ≥ ", relation, sum, sum},
                          {" < ", relation, sum, sum},
                          {" ≤ ", relation, sum, sum},
                          {" = ", relation, sum, sum},
                          {" ≠ ", relation, sum, sum},
                          {" ∧ ", conjunction, conjunction, conjunction},
                          {" ∨ ", disjunction, disjunction, disjunction}};
struct Prefix {
  std::string_view text;
  Strength needs, strength;
  Open open;
};
constexpr Prefix prefixes[] = {{"−", product, sum, Open::no},
                               {"√", power, prefix, Open::no},
                               {"Σ", power, prefix, Open::linear},
                               {"log ", power, prefix, Open::yes},
                               {"¬", power, prefix, Open::no}};

const Sign* sign_at(std::string_view rest) {
  for (const Sign& sign : signs)
    if (rest.starts_with(sign.text)) return &sign;
  return nullptr;
}

std::size_t length_at(std::string_view text) {
  std::size_t length = 1;
  while (length < text.size() && (text[length] & 0xC0) == 0x80) ++length;
  return length;
}

bool is_prefix_at(std::string_view rest) {
  return std::ranges::any_of(prefixes,
                             [&](const Prefix& sign) { return rest.starts_with(sign.text); });
}

std::string_view without_leading_spaces(std::string_view rest) {
  return rest.substr(std::min(rest.find_first_not_of(' '), rest.size()));
}

// How many bytes an unknown sign, which is none of those above, has here: ∘, ★, mod, ∇². 0 for
// letters that are not between spaces, digits, brackets, and what stands above or below others.
std::size_t sign_length(std::string_view rest) {
  constexpr std::string_view no_signs = "()[]{},._^'⟨⟩‖|⌊⌋⌈⌉ᵀ²′₀₁₂₃₄₅₆₇₈₉";
  const auto letters_of_one = [&](std::string_view at) -> std::size_t {
    const std::string_view first = at.substr(0, length_at(at));
    if (at.empty() || first == " " || no_signs.find(first) != std::string_view::npos) return 0;
    const bool is_word = detail::is_letter(first[0]) || detail::is_digit(first[0]);
    return is_word ? 0 : first.size();
  };
  if (rest.starts_with(' ')) {  // a word between two operands
    const std::size_t end = rest.find(' ', 1);
    const bool is_word = end != std::string_view::npos && end > 1 && detail::is_letter(rest[1]) &&
                         !without_leading_spaces(rest.substr(end)).empty() &&
                         !sign_at(rest.substr(end));
    return is_word ? end : 0;
  }
  std::size_t length = letters_of_one(rest);
  while (length > 0 && !is_prefix_at(rest.substr(length)) && !sign_at(rest.substr(length))) {
    const std::size_t more = letters_of_one(rest.substr(length));
    if (more == 0) break;
    length += more;
  }
  return length;
}

// An unknown sign, with the spaces in front of it, and where it stands to operands.
struct UnknownSign {
  enum class Place : std::uint8_t { none, between, in_front, at_end };
  std::size_t length = 0;
  Place place = Place::none;
};

// The unknown sign at the beginning of `rest`. `before` is the text in front of it, and `ends` says
// whether an operand, a number or a word ends there. A sign with a space on one side alone belongs
// to the other side, as in x! · y.
UnknownSign unknown_sign_at(std::string_view rest, std::string_view before, bool ends) {
  using Place = UnknownSign::Place;
  std::size_t length = sign_length(rest);
  const std::size_t spaces = rest.size() - without_leading_spaces(rest).size();
  if (length == 0 && spaces > 0) {
    length = sign_length(rest.substr(spaces));
    if (length > 0) length += spaces;
  }
  if (length == 0) return {};
  if (!ends) return {length, Place::in_front};
  const std::string_view sign = rest.substr(spaces, length - spaces), behind = rest.substr(length);
  const std::string_view next = without_leading_spaces(behind);
  constexpr std::string_view closing = ")],", raised = "⁺⁻⁰¹³⁴⁵⁶⁷⁸⁹ᴴ†";
  const bool follows =
      !next.empty() && !sign_at(behind) && closing.find(next[0]) == std::string_view::npos;
  if (!follows || raised.find(sign.substr(0, length_at(sign))) != std::string_view::npos)
    return {length, Place::at_end};
  // 2/√π is a number, and no operation.
  if (const std::size_t last = before.find_last_not_of(' ');
      last != std::string_view::npos && next[0] != '{' &&
      (detail::is_letter(before[last]) || detail::is_digit(before[last])))
    return {};
  const bool apart = spaces > 0 || before.ends_with(' '), apart_behind = behind.starts_with(' ');
  if (apart == apart_behind) return {length, Place::between};
  return {length, apart ? Place::in_front : Place::at_end};
}

// What an operand must be, and what comes of it, where it stands beside something without a sign.
struct Beside {
  Strength needs = list, strength = atom;
};

// Behind a number, 2 {0}, as a product; behind a word or another operand, D {0} and {0} {1}, as a
// function's name would want it.
Beside beside_what_precedes(std::string_view before, bool behind_operand) {
  const bool apart = before.ends_with(' ');
  while (before.ends_with(' ')) before.remove_suffix(1);
  if (before.empty()) return behind_operand ? Beside{power, matrix_product} : Beside{};
  const char last = before.back();
  if (last == ')' || detail::is_letter(last) || last == '_') return {power, matrix_product};
  if (!detail::is_digit(last)) return {};
  // x1 is a word, and 2 is none.
  std::size_t word = before.size();
  while (word > 0 && (detail::is_digit(before[word - 1]) || before[word - 1] == '.')) --word;
  if (word > 0 && (detail::is_letter(before[word - 1]) || before[word - 1] == '_'))
    return {power, matrix_product};
  return apart ? Beside{product, product} : Beside{power, product};
}

// In front of another operand, a number or a word; and with what stands below or above it.
Beside beside_what_follows(std::string_view rest) {
  const bool apart = rest.starts_with(' ');
  while (rest.starts_with(' ')) rest.remove_prefix(1);
  if (rest.empty()) return {};
  const bool is_word = detail::is_letter(rest[0]) || detail::is_digit(rest[0]);
  if (rest[0] == '{' || rest[0] == '(' || (apart && is_word)) return {power, matrix_product};
  constexpr std::string_view marks = "_^'′₀₁₂₃₄₅₆₇₈₉";
  const bool is_mark = marks.find(rest.substr(0, length_at(rest))) != std::string_view::npos;
  return !apart && (is_word || is_mark) ? Beside{atom, power} : Beside{};
}

// The notation of an op with its operands in it, read from left to right.
class Reader {
 public:
  Reader(std::string_view notation, const std::vector<Written>& operands, const Style& style)
      : rest_(notation), operands_(operands), style_(style) {}

  Written read() {
    int depth = 0;
    while (!rest_.empty()) {
      if (const Sign* sign = sign_at(rest_)) {
        if (depth == 0) {
          strength_ = std::min(strength_, sign->strength);
          below_ = sign->text == " / " || sign->text == " ⊘ ";
        }
        need_ = sign->right;
        prefix_ = Open::no;
        literal_ += sign->text;
        open_ = Open::no;
        ends_ = false;
        rest_.remove_prefix(sign->text.size());
        continue;
      }
      if (rest_[0] == '{') {
        operand(depth);
        continue;
      }
      if (rest_.starts_with("^{") && !literal_.empty() && !literal_.ends_with(' ')) {  // e^{0}
        rest_.remove_prefix(1);
        out_ += style_.raised(style_.literal(std::exchange(literal_, {})), exponent(take()));
        any_ = ends_ = true;
        if (depth == 0) strength_ = std::min(strength_, power);
        continue;
      }
      if (rest_[0] == '(' || rest_[0] == '[') ++depth;
      if (rest_[0] == ')' || rest_[0] == ']') --depth;
      const bool begins = rest_[0] == '(' || rest_[0] == '[' || rest_[0] == ',';
      if (begins) {
        need_ = disjunction;
        prefix_ = Open::no;
      }
      if (rest_[0] == ',' && depth == 0) strength_ = list;
      bool is_prefix = false;
      for (const Prefix& sign : prefixes)
        if (rest_.starts_with(sign.text)) {
          is_prefix = true;
          need_ = sign.needs;
          prefix_ = sign.open;
          if (depth == 0) strength_ = std::min(strength_, sign.strength);
        }
      std::size_t length = is_prefix ? 0 : read_unknown_sign(depth);
      if (length == 0) {
        length = length_at(rest_);
        if (rest_[0] != ' ') ends_ = !is_prefix && !begins;
      }
      literal_ += rest_.substr(0, length);
      rest_.remove_prefix(length);
      open_ = Open::no;
    }
    flush();
    return {std::move(out_), strength_, false, false, open_, below_};
  }

 private:
  const Written& take() {
    const auto [k, length] = operand_mark(rest_);
    rest_.remove_prefix(length);
    static const Written missing{"?"};  // a notation with more operands than there are
    return k < operands_.size() ? operands_[k] : missing;
  }

  // x^(y + w) and x^(2 y), where it is not set higher; but x^−2.
  std::string exponent(const Written& operand) const {
    constexpr std::string_view minus = "−";
    const std::string_view text = operand.text;
    const std::size_t digits = text.starts_with(minus) ? minus.size() : 0;
    const bool is_number = text.find_first_not_of("0123456789.", digits) == text.npos;
    const bool parentheses = !style_.sets_higher() && operand.strength < power && !is_number;
    return parentheses ? style_.parenthesized(operand.text) : operand.text;
  }

  // The length of an unknown sign, or 0: it binds as √ does in front of an operand
  // and behind one; where it stands between two, nobody knows how it does.
  std::size_t read_unknown_sign(int depth) {
    using Place = UnknownSign::Place;
    const auto [length, place] = unknown_sign_at(rest_, literal_, ends_);
    if (place == Place::none) return 0;
    const bool between = place == Place::between, beside = place == Place::in_front && ends_;
    need_ = between ? prefix : power;
    prefix_ = Open::no;
    const Strength made = between ? Strength::unknown_sign : beside ? matrix_product : prefix;
    if (depth == 0) strength_ = std::min(strength_, made);
    ends_ = place == Place::at_end;
    return length;
  }

  void operand(int depth) {
    const Written& operand = take();
    Strength need = need_;
    const bool behind_operand = literal_.find_first_not_of(' ') == std::string::npos && any_;
    const Beside before = beside_what_precedes(literal_, behind_operand);
    any_ = ends_ = true;
    need = std::max(need, before.needs);
    const bool touches_number = literal_.ends_with(' ') && literal_.size() > 1 &&
                                detail::is_digit(literal_[literal_.size() - 2]) &&
                                begins_with_number(operand);
    if (depth == 0) strength_ = std::min(strength_, before.strength);
    const UnknownSign unknown = unknown_sign_at(rest_, "", true);
    if (const Sign* sign = sign_at(rest_)) {
      need = std::max(need, sign->left);
      // (Σ a) ⊗ b, (log a) / 2, but Σ a / 2.
      const bool reaches =
          operand.open == Open::yes || (operand.open == Open::linear && sign->text != " / ");
      if (reaches && sign->strength > sum) need = atom;
    } else if (unknown.place != UnknownSign::Place::none) {
      need = std::max(need, unknown.place == UnknownSign::Place::between ? prefix : power);
      if (operand.open != Open::no) need = atom;
    } else {
      const Beside after = beside_what_follows(rest_);
      need = std::max(need, after.needs);
      if (depth == 0) strength_ = std::min(strength_, after.strength);
    }
    std::string above;
    for (const std::string_view suffix : {std::string_view("ᵀ"), std::string_view("²")})
      if (rest_.starts_with(suffix)) {
        above = suffix;
        rest_.remove_prefix(suffix.size());
      }
    if (rest_.starts_with("^{")) {
      rest_.remove_prefix(1);
      above = exponent(take());
    }
    if (!above.empty() || rest_.starts_with("[")) {
      need = atom;
      if (depth == 0) strength_ = std::min(strength_, power);
    }
    // −y ⊘ p is (−y) ⊘ p.
    const bool under = literal_.ends_with(" ⊘ ") || literal_.ends_with(" / ");
    const bool begins = out_.empty() && literal_.empty() && need == product && operand.negation;
    if (begins && depth == 0) strength_ = std::min(strength_, sum);
    // (h2)ᵀ, but xᵀ.
    const bool parentheses = (operand.strength < need && !begins) ||
                             (!above.empty() && !operand.single) || touches_number;
    // Σ(a ⊗ b), but Σ a.
    if (parentheses && need_ == power && literal_.ends_with(' ')) literal_.pop_back();
    constexpr std::string_view root = "√";
    const bool is_root = literal_.ends_with(root) && above.empty();
    if (is_root) literal_.resize(literal_.size() - root.size());
    flush();
    const std::string base = is_root       ? style_.root(operand.text, parentheses)
                             : parentheses ? style_.parenthesized(operand.text)
                                           : operand.text;
    out_ += above.empty() ? base : style_.raised(base, above);
    open_ = parentheses || !above.empty() ? Open::no : std::max(prefix_, operand.open);
    // a ⊘ Σ b / 3 were a ⊘ Σ(b / 3).
    if (under && open_ == Open::linear) open_ = Open::yes;
    if (depth == 0 && !parentheses && operand.below) below_ = true;
  }

  void flush() {
    if (!literal_.empty()) out_ += style_.literal(literal_);
    literal_.clear();
  }

  std::string_view rest_;
  const std::vector<Written>& operands_;
  const Style& style_;
  std::string out_, literal_;
  bool any_ = false;   // operands so far
  bool ends_ = false;  // whether an operand, a number or a word ends here
  Strength strength_ = atom;
  Strength need_ = disjunction;  // of an operand that comes now
  Open prefix_ = Open::no;       // of what stands in front of it
  Open open_ = Open::no;         // of what is written so far
  bool below_ = false;
};

}  // namespace

bool begins_with_number(const Written& text) {
  return text.text.starts_with("<mn>") || (!text.text.empty() && detail::is_digit(text.text[0]));
}

Written read(std::string_view notation, const std::vector<Written>& operands, const Style& style) {
  if (notation == "{0} / {1}")
    if (std::string text = style.fraction(operands[0].text, operands[1].text); !text.empty())
      return {std::move(text), prefix};
  Written written = Reader(notation, operands, style).read();
  written.negation = notation == "−{0}" && operands[0].strength >= product;
  return written;
}

}  // namespace chainrule::derivation
