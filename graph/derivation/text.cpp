#include <chainrule/graph/derivation/text.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include <chainrule/core/detail/text.hpp>
#include <chainrule/core/op.hpp>
#include <chainrule/graph/derivation/notation.hpp>
#include <chainrule/graph/derivation/style.hpp>

namespace chainrule::derivation {

namespace {

// How strongly something holds together: what stands in a tighter place needs parentheses.
enum Strength { sum = 1, product, matrix_product, prefix, power, atom };

struct Written {
  std::string text;
  Strength strength;
  bool single;            // one letter, or in parentheses: it may be raised as it stands
  bool negation = false;  // −y, which may begin a product as it stands
};

struct Sign {
  std::string_view text;
  Strength strength;
  bool right_is_tighter;  // a − (b − c), a ⊘ (b ⊘ c)
};
constexpr Sign signs[] = {{" + ", sum, false},     {" − ", sum, true},
                          {" ⊗ ", product, false}, {" ⊘ ", product, true},
                          {" / ", product, true},  {"·", matrix_product, false}};
constexpr std::string_view prefixes[] = {"−", "√", "Σ", "log ", "¬"};

const Sign* sign_at(std::string_view rest) {
  for (const Sign& sign : signs)
    if (rest.starts_with(sign.text)) return &sign;
  return nullptr;
}

bool is_single_letter(std::string_view text) { return detail::width_of(text) == 1; }

// The notation of an op with its operands in it, read from left to right.
class Reader {
 public:
  Reader(std::string_view notation, const std::vector<Written>& operands, const Style& style)
      : rest_(notation), operands_(operands), style_(style) {}

  Written read() {
    int depth = 0;
    while (!rest_.empty()) {
      if (const Sign* sign = sign_at(rest_)) {
        if (depth == 0) strength_ = std::min(strength_, sign->strength);
        need_ = sign->right_is_tighter ? static_cast<Strength>(sign->strength + 1) : sign->strength;
        literal_ += sign->text;
        rest_.remove_prefix(sign->text.size());
        continue;
      }
      if (rest_[0] == '{') {
        operand(depth);
        continue;
      }
      if (rest_[0] == '(' || rest_[0] == '[') ++depth;
      if (rest_[0] == ')' || rest_[0] == ']') --depth;
      if (rest_[0] == '(' || rest_[0] == '[' || rest_[0] == ',') need_ = sum;
      for (const std::string_view sign : prefixes)
        if (rest_.starts_with(sign)) {
          need_ = sign == "−" ? product : power;
          if (depth == 0) strength_ = std::min(strength_, sign == "−" ? sum : prefix);
        }
      literal_ += rest_[0];
      rest_.remove_prefix(1);
    }
    flush();
    return {std::move(out_), strength_, false};
  }

 private:
  const Written& take() {
    const auto [k, length] = operand_mark(rest_);
    rest_.remove_prefix(length);
    static const Written missing{"?", atom, true};  // a notation with more operands than there are
    return k < operands_.size() ? operands_[k] : missing;
  }

  void operand(int depth) {
    const Written& operand = take();
    Strength need = need_;
    if (const Sign* sign = sign_at(rest_)) need = std::max(need, sign->strength);
    std::string above;
    for (const std::string_view suffix : {std::string_view("ᵀ"), std::string_view("²")})
      if (rest_.starts_with(suffix)) {
        above = suffix;
        rest_.remove_prefix(suffix.size());
      }
    if (rest_.starts_with("^{")) {
      rest_.remove_prefix(1);
      above = take().text;
    }
    if (!above.empty() || rest_.starts_with("[")) {
      need = atom;
      if (depth == 0) strength_ = std::min(strength_, power);
    }
    // −y ⊘ p is (−y) ⊘ p.
    const bool begins = out_.empty() && literal_.empty() && need == product && operand.negation;
    if (begins && depth == 0) strength_ = std::min(strength_, sum);
    // (h2)ᵀ, but xᵀ.
    const bool parentheses =
        (operand.strength < need && !begins) || (!above.empty() && !operand.single);
    // Σ(a ⊗ b), but Σ a.
    if (parentheses && need_ == power && literal_.ends_with(' ')) literal_.pop_back();
    flush();
    const std::string base = parentheses ? style_.parenthesized(operand.text) : operand.text;
    out_ += above.empty() ? base : style_.raised(base, above);
  }

  void flush() {
    if (!literal_.empty()) out_ += style_.literal(literal_);
    literal_.clear();
  }

  std::string_view rest_;
  const std::vector<Written>& operands_;
  const Style& style_;
  std::string out_, literal_;
  Strength strength_ = atom;
  Strength need_ = sum;  // of an operand that comes now
};

Written read(std::string_view notation, const std::vector<Written>& operands, const Style& style) {
  Written written = Reader(notation, operands, style).read();
  written.negation = notation == "−{0}" && operands[0].strength >= product;
  return written;
}

Written number(double x, const Style& style) {
  return {style.number(digits_of(x, 6)), std::signbit(x) ? sum : atom, false};
}

// A factor that is a number: 2 x, x / 32.
Written scaled(double factor, const Written& x, const Style& style) {
  const double inverse = 1 / factor;
  if (factor == 1) return x;
  if (factor == -1) return read("−{0}", {x}, style);
  if (std::abs(factor) < 1 && std::abs(inverse - std::round(inverse)) < 1e-9 * inverse)
    return read("{0} / {1}", {x, number(std::round(inverse), style)}, style);
  const std::string space = style.literal(" ");
  const bool parentheses = x.strength < product;
  return {style.number(digits_of(factor, 6)) + space +
              (parentheses ? style.parenthesized(x.text) : x.text),
          factor < 0 ? sum : product, false};
}

// The number that all elements are, through what only moves elements or turns the sign: −1 of
// expand(−1).
std::optional<double> number_in(const Expression& e) {
  const Expression* at = &e;
  double sign = 1;
  while (at->kind == Expression::Kind::operation) {
    const Role role = at->role();
    const bool negates = role.is(Role::Kind::negation);
    const bool moves = role.is(Role::Kind::copy) || role.is(Role::Kind::reshape) ||
                       role.is(Role::Kind::permutation);
    if (!negates && !moves) return std::nullopt;
    if (negates) sign = -sign;
    at = at->operands[0].get();
  }
  return at->kind == Expression::Kind::number ? std::optional(sign * at->number) : std::nullopt;
}

Written write(const Expression& e, const std::vector<Written>& operands, const Style& style) {
  if (const auto known = number_in(e)) return number(*known, style);
  // [a > b] is 1 where that is so, else 0; between f32 and f64 a formula has nothing to say.
  if (e.is(Role::Kind::conversion)) {
    const Op* inside = e.operands[0]->op();
    if (inside && !inside->differentiable()) return read("[{0}]", operands, style);
    return operands[0];
  }
  const bool is_mul = e.is(Role::Kind::product), is_div = e.is(Role::Kind::quotient);
  if (is_mul || is_div) {
    const auto first = number_in(*e.operands[0]), second = number_in(*e.operands[1]);
    if (second) return scaled(is_mul ? *second : 1 / *second, operands[0], style);
    if (is_mul && first) return scaled(*first, operands[1], style);
  }
  return read(e.kind == Expression::Kind::slope ? slope_notation(*e.application) : e.written(),
              operands, style);
}

// The parts that the notations of the operations around them show: an op may have operands that it
// is not written with, such as statistics.
std::unordered_set<const Expression*> shown_parts(const Expr& expression) {
  std::unordered_set<const Expression*> shown{expression.get()};
  std::vector<const Expression*> to_do{expression.get()};
  while (!to_do.empty()) {
    const Expression& e = *to_do.back();
    to_do.pop_back();
    const auto show = [&](std::size_t k) {
      if (k < e.operands.size() && e.operands[k] && shown.insert(e.operands[k].get()).second)
        to_do.push_back(e.operands[k].get());
    };
    if (e.kind != Expression::Kind::operation) {
      for (std::size_t k = 0; k < e.operands.size(); ++k) show(k);
      continue;
    }
    for (const std::size_t k : operands_in(e.written())) show(k);
  }
  return shown;
}

}  // namespace

std::string text_of(const Expr& expression, const Names& names, Format format, Mark derivative) {
  const Style& style = style_of(format);
  std::unordered_map<const Expression*, Written> done;
  const std::unordered_set<const Expression*> shown = shown_parts(expression);
  visit_parts(expression, [&](const Expr& part) {
    using Kind = Expression::Kind;
    Written written{"", atom, false};
    if (!shown.contains(part.get())) {
      done.emplace(part.get(), std::move(written));
      return;
    }
    if (part->kind == Kind::number) {
      written = number(part->number, style);
    } else if (part->kind == Kind::operation || part->kind == Kind::slope) {
      std::vector<Written> operands;
      for (const Expr& operand : part->operands)
        operands.push_back(operand ? done.at(operand.get())
                                   : Written{style.symbol("none"), atom, false});
      written = write(*part, operands, style);
    } else {
      const std::string name = names(*part);
      const Mark mark = part->kind == Kind::gradient ? derivative : Mark::none;
      written = {style.symbol(name, mark), atom,
                 mark != Mark::gradient && (format != Format::unicode || is_single_letter(name))};
    }
    done.emplace(part.get(), std::move(written));
  });
  return done.at(expression.get()).text;
}

}  // namespace chainrule::derivation
