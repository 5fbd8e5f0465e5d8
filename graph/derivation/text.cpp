#include <chainrule/graph/derivation/text.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string_view>
#include <unordered_map>

#include <chainrule/core/op.hpp>
#include <chainrule/graph/derivation/style.hpp>

namespace chainrule::derivation {

namespace {

// How strongly something holds together: what stands in a tighter place needs parentheses.
enum Strength { sum = 1, product, matrix_product, prefix, power, atom };

struct Written {
  std::string text;
  Strength strength;
  bool single;  // one letter, or in parentheses: it may be raised as it stands
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

bool is_single_letter(std::string_view text) {
  return std::ranges::count_if(text, [](char c) { return (c & 0xC0) != 0x80; }) == 1;
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
    const std::size_t end = rest_.find('}');
    const auto k = static_cast<std::size_t>(std::stoi(std::string(rest_.substr(1, end - 1))));
    rest_.remove_prefix(end + 1);
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
    // (h2)ᵀ, but xᵀ.
    const bool parentheses = operand.strength < need || (!above.empty() && !operand.single);
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
  return Reader(notation, operands, style).read();
}

std::string digits_of(double number) {
  const std::string text = fmt::format("{:.6g}", std::abs(number));
  return std::signbit(number) ? "−" + text : text;
}

Written number(double x, const Style& style) {
  return {style.number(digits_of(x)), std::signbit(x) ? sum : atom, false};
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
  return {style.number(digits_of(factor)) + space +
              (parentheses ? style.parenthesized(x.text) : x.text),
          factor < 0 ? sum : product, false};
}

// σ' from σ({0}); name' from name({0}).
std::string slope_notation(const Node& application) {
  std::string text = application.op()->written(application);
  const std::size_t open = text.find('(');
  if (open == std::string::npos) return std::string(application.op()->name()) + "'({0})";
  return text.insert(open, "'");
}

Written write(const Expression& e, const std::vector<Written>& operands, const Style& style) {
  const bool is_mul = e.is_op("mul"), is_div = e.is_op("div");
  if (is_mul || is_div) {
    const auto is_number = [&](std::size_t k) {
      return e.operands[k]->kind == Expression::Kind::number;
    };
    if (is_number(1))
      return scaled(is_mul ? e.operands[1]->number : 1 / e.operands[1]->number, operands[0], style);
    if (is_mul && is_number(0)) return scaled(e.operands[0]->number, operands[1], style);
  }
  return read(e.kind == Expression::Kind::slope ? slope_notation(*e.application)
                                                : e.op()->written(*e.application),
              operands, style);
}

}  // namespace

std::string text_of(const Expr& expression, const Names& names, Format format) {
  const Style& style = style_of(format);
  std::unordered_map<const Expression*, Written> done;
  visit_parts(expression, [&](const Expr& part) {
    using Kind = Expression::Kind;
    Written written{"", atom, false};
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
      const bool gradient = part->kind == Kind::gradient;
      written = {gradient ? style.gradient(name) : style.symbol(name), atom,
                 !gradient && (format != Format::unicode || is_single_letter(name))};
    }
    done.emplace(part.get(), std::move(written));
  });
  return done.at(expression.get()).text;
}

}  // namespace chainrule::derivation
