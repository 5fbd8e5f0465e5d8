#include <chainrule/graph/derivation/text.hpp>

#include <fmt/format.h>

#include <cmath>
#include <string_view>
#include <unordered_map>

#include <chainrule/core/op.hpp>

namespace chainrule::derivation {

namespace {

// How strongly something holds together: what stands in a tighter place needs parentheses.
enum Strength { sum = 1, product, matrix_product, prefix, power, atom };

struct Written {
  std::string text;
  Strength strength;
};

struct Sign {
  std::string_view text;
  Strength strength;
  bool right_is_tighter;  // a − (b − c), a ⊘ (b ⊘ c)
};
constexpr Sign signs[] = {{" + ", sum, false},     {" − ", sum, true},
                          {" ⊗ ", product, false}, {" ⊘ ", product, true},
                          {" / ", product, true},  {"·", matrix_product, false}};
constexpr std::string_view suffixes[] = {"ᵀ", "²", "^", "'", "["};
constexpr std::string_view prefixes[] = {"−", "√", "Σ", "log ", "¬"};

bool is_single_letter(std::string_view text) {
  std::size_t letters = 0;
  for (const char c : text) letters += (c & 0xC0) != 0x80;
  return letters == 1;
}

// A template of an op, cut at its operands and at the signs between them.
class Template {
 public:
  Template(std::string_view text, const std::vector<Written>& operands) {
    int depth = 0;
    for (std::size_t i = 0; i < text.size();) {
      const std::string_view rest = text.substr(i);
      if (const Sign* sign = sign_at(rest)) {
        if (depth == 0) strength_ = std::min(strength_, sign->strength);
        need_ = sign->right_is_tighter ? static_cast<Strength>(sign->strength + 1) : sign->strength;
        out_.text += sign->text;
        i += sign->text.size();
        continue;
      }
      if (rest[0] == '{') {
        const std::size_t end = rest.find('}');
        const auto k = static_cast<std::size_t>(std::stoi(std::string(rest.substr(1, end - 1))));
        append(operands[k], rest.substr(end + 1), depth);
        i += end + 1;
        continue;
      }
      if (rest[0] == '(' || rest[0] == '[') {
        ++depth;
        need_ = sum;
      }
      if (rest[0] == ')' || rest[0] == ']') --depth;
      if (rest[0] == ',') need_ = sum;
      for (const std::string_view sign : prefixes)
        if (rest.starts_with(sign)) {
          need_ = sign == "−" ? product : power;
          if (depth == 0) strength_ = std::min(strength_, sign == "−" ? sum : prefix);
        }
      out_.text += rest[0];
      ++i;
    }
    out_.strength = strength_;
  }
  Written take() { return std::move(out_); }

 private:
  static const Sign* sign_at(std::string_view rest) {
    for (const Sign& sign : signs)
      if (rest.starts_with(sign.text)) return &sign;
    return nullptr;
  }

  void append(const Written& operand, std::string_view rest, int depth) {
    Strength need = need_;
    bool raised = false;
    for (const Sign& sign : signs)
      if (rest.starts_with(sign.text)) need = std::max(need, sign.strength);
    for (const std::string_view suffix : suffixes)
      if (rest.starts_with(suffix)) {
        raised = true;
        need = atom;
        if (depth == 0) strength_ = std::min(strength_, power);
      }
    // (h2)ᵀ, but xᵀ.
    const bool crowded = raised && !is_single_letter(operand.text) && operand.text.back() != ')';
    const bool parentheses = operand.strength < need || crowded;
    // Σ(a ⊗ b), but Σ a.
    const bool behind_prefix = need_ == power && !out_.text.empty() && out_.text.back() == ' ';
    if (parentheses && behind_prefix) out_.text.pop_back();
    out_.text += parentheses ? "(" + operand.text + ")" : operand.text;
  }

  Written out_{"", atom};
  Strength strength_ = atom;
  Strength need_ = sum;  // of an operand that comes now
};

std::string number_text(double number) {
  const std::string text = fmt::format("{:.6g}", std::abs(number));
  return std::signbit(number) ? "−" + text : text;
}

// A factor that is a number: 2 x, x / 32.
Written scaled(double factor, const Written& x) {
  const double inverse = 1 / factor;
  if (factor == 1) return x;
  if (factor == -1) return Template("−{0}", {x}).take();
  if (std::abs(factor) < 1 && inverse == std::round(inverse) && inverse > 0)
    return Template("{0} / {1}", {x, {number_text(inverse), atom}}).take();
  Written number{number_text(factor), factor < 0 ? sum : atom};
  const bool parentheses = x.strength < product;
  return {number.text + " " + (parentheses ? "(" + x.text + ")" : x.text),
          factor < 0 ? sum : product};
}

// σ' from σ({0}); name' from name({0}).
std::string slope_template(const Node& application) {
  std::string text = application.op()->written(application);
  const std::size_t open = text.find('(');
  if (open == std::string::npos) return std::string(application.op()->name()) + "'({0})";
  return text.insert(open, "'");
}

Written write(const Expression& e, const std::vector<Written>& operands) {
  const bool is_mul = e.is_op("mul"), is_div = e.is_op("div");
  if (is_mul || is_div) {
    const auto number = [&](std::size_t k) {
      return e.operands[k]->kind == Expression::Kind::number;
    };
    if (number(1))
      return scaled(is_mul ? e.operands[1]->number : 1 / e.operands[1]->number, operands[0]);
    if (is_mul && number(0)) return scaled(e.operands[0]->number, operands[1]);
  }
  const std::string text = e.kind == Expression::Kind::slope ? slope_template(*e.application)
                                                             : e.op()->written(*e.application);
  return Template(text, operands).take();
}

}  // namespace

std::string text_of(const Expr& expression, const Names& names) {
  std::unordered_map<const Expression*, Written> done;
  visit_parts(expression, [&](const Expr& part) {
    Written written{"", atom};
    if (part->kind == Expression::Kind::number) {
      written = {number_text(part->number), std::signbit(part->number) ? sum : atom};
    } else if (part->kind == Expression::Kind::operation || part->kind == Expression::Kind::slope) {
      std::vector<Written> operands;
      for (const Expr& operand : part->operands)
        operands.push_back(operand ? done.at(operand.get()) : Written{"none", atom});
      written = write(*part, operands);
    } else {
      written.text = names(*part);
    }
    done.emplace(part.get(), std::move(written));
  });
  return done.at(expression.get()).text;
}

}  // namespace chainrule::derivation
