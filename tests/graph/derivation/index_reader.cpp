#include <chainrule/tests/graph/derivation/index_reader.hpp>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string_view>
#include <utility>

namespace index_reader {

namespace {

using Values = std::vector<std::int64_t>;  // of letters, by number
using Formula = std::function<double(Values&)>;
using Position = std::function<std::int64_t(Values&)>;

[[noreturn]] void fail(const std::string& what) { throw std::runtime_error(what); }

// The plain character of a subscript that the text begins with; 0 for none. All have three bytes.
char lowered(std::string_view text) {
  static constexpr std::string_view signs = "ₖₗₘₙₚₛₜᵢⱼᵣᵤᵥₐₑₕₒₓ₊₋₀₁₂₃₄₅₆₇₈₉";
  static constexpr std::string_view plain = "klmnpstijruvaehox+-0123456789";
  if (text.size() < 3) return 0;
  for (std::size_t i = 0; i < plain.size(); ++i)
    if (text.substr(0, 3) == signs.substr(3 * i, 3)) return plain[i];
  return 0;
}

bool is_letter(char c) { return c >= 'a' && c <= 'z'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

double softplus(double x) { return x > 30 ? x : std::log1p(std::exp(x)); }
double logistic(double x) { return 1 / (1 + std::exp(-x)); }

const std::map<std::string, double (*)(double)>& functions() {
  static const std::map<std::string, double (*)(double)> known{
      {"σ", logistic},
      {"σ'", [](double x) { return logistic(x) * (1 - logistic(x)); }},
      {"tanh", [](double x) { return std::tanh(x); }},
      {"tanh'", [](double x) { return 1 - std::tanh(x) * std::tanh(x); }},
      {"exp", [](double x) { return std::exp(x); }},
      {"log", [](double x) { return std::log(x); }},
      {"√", [](double x) { return std::sqrt(x); }},
      {"sin", [](double x) { return std::sin(x); }},
      {"cos", [](double x) { return std::cos(x); }},
      {"relu", [](double x) { return x > 0 ? x : 0; }},
      {"relu'", [](double x) { return x > 0 ? 1.0 : 0.0; }},
      {"sign", [](double x) { return x > 0   ? 1.0
                                     : x < 0 ? -1.0
                                             : 0.0; }},
      {"softplus", softplus},
      {"softplus'", logistic}};
  return known;
}

// sum := ["−"] product (("+" | "−") product)*; product := factor ((" " | " / ") factor)*, from left
// to right; Σ takes the rest of its product.
class Reader {
 public:
  Reader(std::string_view text, const Arrays& arrays) : rest_(text), arrays_(arrays) {}

  std::string name() { return std::string(take_name()); }
  // The letters of the left side, which are in scope for the right one, and of a shape.
  std::vector<std::pair<char, int>> declare(const Array* array) {
    std::vector<std::pair<char, int>> letters;
    for (const std::string& position : positions())
      for (const char c : position)
        if (is_letter(c)) letters.emplace_back(c, declare(c));
    rest_ = before_;
    const auto axes = positions();
    for (std::size_t axis = 0; axis < axes.size(); ++axis)
      left_.push_back(position(axes[axis], array ? array->shape.at(axis) : 0));
    return letters;
  }
  Formula read(std::string_view text) {
    rest_ = text;
    Formula formula = sum();
    if (!rest_.empty()) fail("cannot read: " + std::string(rest_));
    return formula;
  }
  std::int64_t extent(int letter) const {
    const std::int64_t extent = extents_[static_cast<std::size_t>(letter)];
    if (extent == 0) fail("a letter has no extent");
    return extent;
  }
  std::size_t letter_count() const { return extents_.size(); }
  const std::vector<Position>& left() const { return left_; }

 private:
  bool take(std::string_view text) {
    if (!rest_.starts_with(text)) return false;
    rest_.remove_prefix(text.size());
    return true;
  }
  void expect(std::string_view text) {
    if (!take(text)) fail(std::string(text) + " is expected at: " + std::string(rest_));
  }
  std::string_view take_name() {
    std::size_t end = 0;
    while (end < rest_.size() &&
           std::string_view(" ()[],|^").find(rest_[end]) == std::string::npos &&
           !lowered(rest_.substr(end)) && !rest_.substr(end).starts_with("²"))
      ++end;
    const std::string_view name = rest_.substr(0, end);
    rest_.remove_prefix(end);
    before_ = rest_;
    return name;
  }
  // "i", "j" of ᵢⱼ; "4i+j" of ₄ᵢ₊ⱼ.
  std::vector<std::string> positions() {
    std::string plain;
    while (true) {
      if (const char c = lowered(rest_)) {
        plain += c;
        rest_.remove_prefix(3);
      } else if (rest_.starts_with(",") && lowered(rest_.substr(1))) {
        plain += ',';
        rest_.remove_prefix(1);
      } else {
        break;
      }
    }
    std::vector<std::string> result;
    if (std::ranges::all_of(plain, is_letter)) {
      for (const char c : plain) result.emplace_back(1, c);
      return result;
    }
    for (std::size_t begin = 0; begin <= plain.size();) {
      const std::size_t end = std::min(plain.find(',', begin), plain.size());
      result.push_back(plain.substr(begin, end - begin));
      begin = end + 1;
    }
    return result;
  }
  int declare(char letter) {
    const int number = static_cast<int>(extents_.size());
    extents_.push_back(0);
    scope_.emplace_back(letter, number);
    return number;
  }
  int number_of(char letter) const {
    for (auto each = scope_.rbegin(); each != scope_.rend(); ++each)
      if (each->first == letter) return each->second;
    fail(std::string("the letter ") + letter + " is not in scope");
  }
  // "2n+1" on an axis of this extent, 0 for an unknown one.
  Position position(std::string_view plain, std::int64_t extent) {
    std::vector<std::pair<int, std::int64_t>> parts;
    std::int64_t offset = 0;
    while (!plain.empty()) {
      std::int64_t sign = 1, number = 0;
      if (plain[0] == '+' || plain[0] == '-') {
        sign = plain[0] == '-' ? -1 : 1;
        plain.remove_prefix(1);
      }
      const bool has_number = !plain.empty() && is_digit(plain[0]);
      while (!plain.empty() && is_digit(plain[0])) {
        number = 10 * number + (plain[0] - '0');
        plain.remove_prefix(1);
      }
      if (!plain.empty() && is_letter(plain[0])) {
        parts.emplace_back(number_of(plain[0]), sign * (has_number ? number : 1));
        plain.remove_prefix(1);
      } else {
        if (!has_number) fail("no position: " + std::string(plain));
        offset += sign * number;
      }
    }
    // 12 i + 4 j + k: each goes as far as the next one's step.
    if (offset == 0 && extent > 0 &&
        std::ranges::all_of(parts, [](const auto& part) { return part.second > 0; })) {
      std::int64_t up_to = extent;
      std::ranges::sort(parts, [](const auto& a, const auto& b) { return a.second > b.second; });
      if (!parts.empty() && parts.back().second == 1)
        for (const auto& [letter, step] : parts) {
          std::int64_t& known = extents_[static_cast<std::size_t>(letter)];
          known = known == 0 ? up_to / step : std::min(known, up_to / step);
          up_to = step;
        }
    }
    return [parts, offset](Values& values) {
      std::int64_t at = offset;
      for (const auto& [letter, step] : parts)
        at += step * values[static_cast<std::size_t>(letter)];
      return at;
    };
  }

  Formula sum() {
    bool negative = take("−");
    std::vector<std::pair<Formula, double>> terms;
    do terms.emplace_back(product(), negative ? -1.0 : 1.0);
    while (take(" + ") ? (negative = false, true) : take(" − ") && (negative = true));
    return [terms](Values& values) {
      double total = 0;
      for (const auto& [term, sign] : terms) total += sign * term(values);
      return total;
    };
  }
  Formula product() {
    Formula result = factor();
    while (true) {
      if (rest_.starts_with(" + ") || rest_.starts_with(" − ") || relation(rest_)) return result;
      const bool divides = take(" / ");
      if (!divides && !take(" ")) return result;
      result = [left = std::move(result), right = factor(), divides](Values& values) {
        return divides ? left(values) / right(values) : left(values) * right(values);
      };
    }
  }
  static std::size_t relation(std::string_view text) {
    for (const std::string_view sign : {" = ", " > ", " < ", " ≥ ", " ≤ ", " ≠ "})
      if (text.starts_with(sign)) return sign.size();
    return 0;
  }
  Formula factor() {
    Formula base = bare_factor();
    if (take("²"))
      return [base](Values& values) {
        const double x = base(values);
        return x * x;
      };
    if (!take("^(")) return base;
    const Formula exponent = sum();
    expect(")");
    return [base, exponent](Values& values) { return std::pow(base(values), exponent(values)); };
  }
  Formula bare_factor() {
    if (take("Σ")) {
      const std::vector<int> letters = summed();
      // Σₙ₌₀⁴: n runs from 0 to 4.
      if (take("₌₀")) extents_[static_cast<std::size_t>(letters.back())] = raised_number() + 1;
      expect(" ");
      Formula body = product();
      scope_.resize(scope_.size() - letters.size());
      return folded(letters, 0, std::plus<>(), body);
    }
    if (take("(")) {
      Formula inside = sum();
      expect(")");
      return inside;
    }
    if (take("|")) {
      const Formula inside = sum();
      expect("|");
      return [inside](Values& values) { return std::abs(inside(values)); };
    }
    if (take("[")) return condition();
    if (is_digit(rest_[0])) return number();
    return named();
  }
  std::int64_t raised_number() {
    static constexpr std::string_view digits[] = {"⁰", "¹", "²", "³", "⁴", "⁵", "⁶", "⁷", "⁸", "⁹"};
    std::int64_t number = 0;
    for (bool any = true; any;) {
      any = false;
      for (int digit = 0; digit < 10 && !any; ++digit)
        if (take(digits[digit])) {
          number = 10 * number + digit;
          any = true;
        }
    }
    return number;
  }
  std::vector<int> summed() {
    std::vector<int> letters;
    for (const std::string& letter : positions()) letters.push_back(declare(letter.at(0)));
    return letters;
  }
  template <class F>
  Formula folded(std::vector<int> letters, double start, F f, Formula body) {
    return [=, this](Values& values) {
      double result = start;
      const std::function<void(std::size_t)> each = [&](std::size_t k) {
        if (k == letters.size()) {
          result = f(result, body(values));
          return;
        }
        std::int64_t& value = values[static_cast<std::size_t>(letters[k])];
        for (value = 0; value < extent(letters[k]); ++value) each(k + 1);
      };
      each(0);
      return result;
    };
  }
  // A side of a condition: a position as "2n+1", or a formula.
  Formula side() {
    std::size_t end = 0;
    std::string plain;
    while (end < rest_.size() && rest_[end] != ' ' && rest_[end] != ']') {
      const bool minus = rest_.substr(end).starts_with("−");
      plain += minus ? '-' : rest_[end];
      end += minus ? std::string_view("−").size() : 1;
    }
    const bool is_position = std::ranges::all_of(plain, [&](char c) {
      return is_digit(c) || c == '+' || c == '-' ||
             (is_letter(c) && !arrays_.contains(std::string(1, c)));
    });
    if (!is_position) return sum();
    rest_.remove_prefix(end);
    return [at = position(plain, 0)](Values& values) { return static_cast<double>(at(values)); };
  }
  Formula condition() {
    const Formula a = side();
    const std::size_t length = relation(rest_);
    const std::string sign(rest_.substr(0, length));
    rest_.remove_prefix(length);
    if (length == 0) {  // a mask
      expect("]");
      return a;
    }
    const Formula b = side();
    expect("]");
    return [=](Values& values) {
      const double x = a(values), y = b(values);
      const bool holds = sign == " = "   ? x == y
                         : sign == " > " ? x > y
                         : sign == " < " ? x < y
                         : sign == " ≥ " ? x >= y
                         : sign == " ≤ " ? x <= y
                                         : x != y;
      return holds ? 1.0 : 0.0;
    };
  }
  Formula number() {
    std::size_t used = 0;
    const double value = std::stod(std::string(rest_), &used);
    rest_.remove_prefix(used);
    return [value](Values&) { return value; };
  }
  Formula named() {
    const std::string name(take_name());
    if (name.empty()) fail("a name is expected at: " + std::string(rest_));
    if (!arrays_.contains(name)) return call(name);
    const Array& array = arrays_.at(name);
    std::vector<Position> at;
    if (take("[")) {
      do {
        const Formula here = side_of_index(array.shape.at(at.size()));
        at.emplace_back([here](Values& values) { return static_cast<std::int64_t>(here(values)); });
      } while (take(", "));
      expect("]");
    } else {
      const auto axes = positions();
      if (axes.size() != array.shape.size())
        fail(name + " has another number of indices than axes");
      for (std::size_t axis = 0; axis < axes.size(); ++axis)
        at.push_back(position(axes[axis], array.shape[axis]));
    }
    return [&array, at](Values& values) {
      std::int64_t flat = 0;
      for (std::size_t axis = 0; axis < at.size(); ++axis) {
        const std::int64_t i = at[axis](values);
        if (i < 0 || i >= array.shape[axis]) fail("an index is out of range");
        flat = flat * array.shape[axis] + i;
      }
      return array.elements[static_cast<std::size_t>(flat)];
    };
  }
  Formula side_of_index(std::int64_t extent) {
    const std::size_t end = rest_.find_first_of(",]");
    const std::string plain(rest_.substr(0, end));
    if (!std::ranges::all_of(plain, [](char c) { return is_letter(c) || is_digit(c) || c == '+'; }))
      return sum();
    rest_.remove_prefix(end);
    return
        [at = position(plain, extent)](Values& values) { return static_cast<double>(at(values)); };
  }
  Formula call(const std::string& name) {
    std::vector<int> letters;
    const bool along = name == "softmax" || name == "log_softmax";
    std::size_t added = 0;
    for (const std::string& letter : positions()) {
      letters.push_back(along ? number_of(letter.at(0)) : declare(letter.at(0)));
      added += along ? 0 : 1;
    }
    if (!take("(")) fail("unknown: " + name);
    std::vector<Formula> arguments;
    do arguments.push_back(sum());
    while (take(", "));
    expect(")");
    scope_.resize(scope_.size() - added);
    const Formula x = arguments[0];
    if (along) {
      const auto exponential = [x](Values& values) { return std::exp(x(values)); };
      const Formula all = folded(letters, 0, std::plus<>(), exponential);
      const bool log = name == "log_softmax";
      return [=](Values& values) {
        Values inside = values;
        const double p = std::exp(x(values)) / all(inside);
        return log ? std::log(p) : p;
      };
    }
    if (name == "max" || name == "min") {
      const double sign = name == "max" ? 1 : -1;
      const auto larger = [sign](double a, double b) {
        return sign * std::max(sign * a, sign * b);
      };
      return folded(letters, -sign * std::numeric_limits<double>::infinity(), larger, x);
    }
    if (name == "logsumexp") {
      const Formula all =
          folded(letters, 0, std::plus<>(), [x](Values& values) { return std::exp(x(values)); });
      return [all](Values& values) { return std::log(all(values)); };
    }
    if (name == "where" && arguments.size() == 3)
      return [arguments](Values& values) {
        return arguments[0](values) != 0 ? arguments[1](values) : arguments[2](values);
      };
    if (!functions().contains(name)) fail("unknown: " + name);
    return [f = functions().at(name), x](Values& values) { return f(x(values)); };
  }

  std::string_view rest_, before_;
  const Arrays& arrays_;
  std::vector<std::pair<char, int>> scope_;
  std::vector<std::int64_t> extents_;  // by number of the letter; 0: not known yet
  std::vector<Position> left_;
};

}  // namespace

std::string name_in(const std::string& left) { return Reader(left, {}).name(); }

Array computed(const std::string& left, const std::string& right, const Arrays& arrays) {
  Reader reader(left, arrays);
  const auto known = arrays.find(reader.name());
  const auto letters = reader.declare(known == arrays.end() ? nullptr : &known->second);
  const Formula formula = reader.read(right);
  Array result;
  // The extent of an axis is one more than its last position.
  Values values(reader.letter_count());
  for (const auto& [letter, number] : letters)
    values[static_cast<std::size_t>(number)] = reader.extent(number) - 1;
  std::int64_t count = 1;
  for (const Position& position : reader.left()) {
    result.shape.push_back(position(values) + 1);
    count *= result.shape.back();
  }
  result.elements.assign(static_cast<std::size_t>(count), std::numeric_limits<double>::quiet_NaN());
  std::int64_t all = 1;
  for (const auto& [letter, number] : letters) all *= reader.extent(number);
  for (std::int64_t i = 0; i < all; ++i) {
    std::int64_t left_over = i;
    for (std::size_t k = letters.size(); k-- > 0;) {
      const int number = letters[k].second;
      values[static_cast<std::size_t>(number)] = left_over % reader.extent(number);
      left_over /= reader.extent(number);
    }
    std::int64_t flat = 0;
    for (std::size_t axis = 0; axis < result.shape.size(); ++axis)
      flat = flat * result.shape[axis] + reader.left()[axis](values);
    result.elements[static_cast<std::size_t>(flat)] = formula(values);
  }
  return result;
}

}  // namespace index_reader
