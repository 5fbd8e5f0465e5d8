#include <chainrule/core/print.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <ostream>
#include <string_view>
#include <vector>

#include <chainrule/core/detail/text.hpp>
#include <chainrule/core/error.hpp>
#include <chainrule/core/out_of_memory.hpp>

// After numpy/_core/arrayprint.py (FloatingFormat, _formatArray), so that a NumPy user reads what
// they expect.

namespace chainrule {

namespace {

using Words = std::vector<std::string>;

bool abridged(const Value& value, const PrintOptions& options) {
  return value.numel() > options.threshold;
}

// Calls f(index) for the indices of an axis that are shown, with −1 for the gap between the edges.
template <class F>
void for_shown(std::int64_t extent, bool abridge, std::int64_t edge, F f) {
  const bool gap = abridge && edge < extent - edge;
  for (std::int64_t i = 0; i < (gap ? edge : extent); ++i) f(i);
  if (!gap) return;
  f(std::int64_t{-1});
  for (std::int64_t i = extent - edge; i < extent; ++i) f(i);
}

// The elements that are shown, in their order.
template <class T>
void collect(const Value& value, const PrintOptions& options, int axis, std::int64_t offset,
             std::vector<T>& out) {
  if (axis == value.rank()) {
    out.push_back(value.data<T>()[offset]);
    return;
  }
  for_shown(value.dims()[axis], abridged(value, options), options.edge_items, [&](std::int64_t i) {
    if (i >= 0) collect(value, options, axis + 1, offset + i * value.strides()[axis], out);
  });
}

// --- numbers ---

template <class T, class... Format>
std::string digits_of(T number, Format... format) {
  char text[std::numeric_limits<double>::max_exponent10 + 128];
  const auto [end, error] = std::to_chars(text, text + sizeof text, number, format...);
  return std::string(text, error == std::errc{} ? end : text);
}

// A number in parts: -12.5e+03 has whole "-12", fraction "5", exponent "+03".
struct Parts {
  std::string whole, fraction, exponent;
};

Parts split(const std::string& text) {
  const std::size_t e = std::min(text.find('e'), text.size());
  const std::size_t point = std::min(text.find('.'), e);
  Parts parts;
  parts.whole = text.substr(0, point);
  if (point < e) parts.fraction = text.substr(point + 1, e - point - 1);
  if (e < text.size()) parts.exponent = text.substr(e + 1);
  return parts;
}

template <class T>
Parts exactly(T number, bool scientific, int precision) {
  return split(digits_of(
      number, scientific ? std::chars_format::scientific : std::chars_format::fixed, precision));
}

// The fewest digits that tell the number from its neighbours, at most `precision` in the fraction.
template <class T>
Parts shortest(T number, bool scientific, int precision) {
  Parts parts = split(
      digits_of(number, scientific ? std::chars_format::scientific : std::chars_format::fixed));
  if (parts.fraction.size() <= static_cast<std::size_t>(precision)) return parts;
  parts = exactly(number, scientific, precision);
  parts.fraction.erase(parts.fraction.find_last_not_of('0') + 1);
  return parts;
}

template <class T>
bool wants_exponents(const std::vector<T>& numbers) {
  double least = std::numeric_limits<double>::infinity(), most = 0;
  for (const T number : numbers) {
    const double magnitude = std::abs(static_cast<double>(number));
    if (!std::isfinite(magnitude) || magnitude == 0) continue;
    least = std::min(least, magnitude);
    most = std::max(most, magnitude);
  }
  return most != 0 && (most >= 1e8 || least < 1e-4 || most / least > 1000);
}

template <class T>
Words words_of_reals(const std::vector<T>& numbers, const PrintOptions& options) {
  const int precision = std::clamp(options.precision, 0, 100);
  const bool automatic = options.notation == Notation::automatic;
  const bool scientific =
      automatic ? wants_exponents(numbers) : options.notation == Notation::scientific;
  std::vector<Parts> parts(numbers.size());
  std::size_t whole = 0, fraction = 0, exponent = 0, odd = 0;
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    if (!std::isfinite(numbers[i])) {
      // A NaN's sign says nothing.
      parts[i].whole = std::isnan(numbers[i]) ? "nan" : numbers[i] < 0 ? "-inf" : "inf";
      odd = std::max(odd, parts[i].whole.size());
      continue;
    }
    parts[i] = automatic ? shortest(numbers[i], scientific, precision)
                         : exactly(numbers[i], scientific, precision);
    whole = std::max(whole, parts[i].whole.size());
    fraction = std::max(fraction, parts[i].fraction.size());
    exponent = std::max(exponent, parts[i].exponent.size());
  }
  const std::size_t tail = 1 + fraction + (scientific && exponent != 0 ? 1 + exponent : 0);
  const std::size_t width = std::max(whole == 0 ? 0 : whole + tail, odd);
  Words words;
  words.reserve(numbers.size());
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    Parts& number = parts[i];
    if (!std::isfinite(numbers[i])) {
      words.push_back(fmt::format("{:>{}}", number.whole, width));
    } else if (scientific) {
      // One precision for all, and exponents of equal length.
      number = exactly(numbers[i], true, static_cast<int>(fraction));
      number.exponent.insert(1, exponent - std::min(exponent, number.exponent.size()), '0');
      words.push_back(fmt::format(
          "{:>{}}", fmt::format("{}.{}e{}", number.whole, number.fraction, number.exponent),
          width));
    } else {
      words.push_back(fmt::format(
          "{:>{}}", fmt::format("{}.{:<{}}", number.whole, number.fraction, fraction), width));
    }
  }
  return words;
}

Words words_of(const Value& value, const PrintOptions& options) {
  return visit(value.dtype(), [&](auto zero) {
    using T = decltype(zero);
    std::vector<T> shown;
    collect(value, options, 0, 0, shown);
    if constexpr (std::is_floating_point_v<T>) {
      return words_of_reals(shown, options);
    } else {
      Words words;
      std::size_t width = 0;
      for (const T element : shown) {
        words.push_back(fmt::format("{}", element));
        width = std::max(width, words.back().size());
      }
      for (std::string& word : words) word.insert(0, width - word.size(), ' ');
      return words;
    }
  });
}

// --- layout ---

// Puts words into brackets, rows and lines.
struct Layout {
  const Value& value;
  const PrintOptions& options;
  const Words& words;
  std::size_t next = 0;

  // The tensor from `axis` on, without the indent of its first line. Lines after the first start
  // with `indent`; `width` is what a line may hold before its closing brackets.
  std::string write(int axis, const std::string& indent, std::int64_t width) {
    if (axis == value.rank()) return words[next++];
    const bool rows = axis + 1 < value.rank();
    const std::string inner = indent + ' ';
    const std::string between =
        rows ? ',' + std::string(static_cast<std::size_t>(value.rank() - axis - 1), '\n') + inner
             : ", ";
    std::string text = "[";
    std::size_t line = inner.size();  // characters in the current line
    bool first = true;
    for_shown(value.dims()[axis], abridged(value, options), options.edge_items,
              [&](std::int64_t i) {
                const std::string word = i < 0 ? "..." : write(axis + 1, inner, width - 1);
                if (!first) {
                  text += between;
                  line += 2;
                }
                // A row of elements goes on in the next line when it is full.
                if (!rows && line > inner.size() &&
                    static_cast<std::int64_t>(line + word.size()) > width - 1) {
                  text.erase(text.find_last_not_of(' ') + 1);
                  text += '\n' + inner;
                  line = inner.size();
                }
                text += word;
                line += word.size();
                first = false;
              });
    return text + ']';
  }
};

std::string written(const Tensor& tensor, const PrintOptions& options) {
  if (!tensor.defined()) return "tensor(undefined)";
  const Value& value = *tensor.value_ref();
  PrintOptions mine = options;
  mine.edge_items = std::max<std::int64_t>(mine.edge_items, 1);
  const bool empty = value.numel() == 0;

  std::string text = tensor.name().empty() ? "tensor(" : fmt::format("{} = tensor(", tensor.name());
  const std::string indent(detail::width_of(text), ' ');
  std::string body = "[]";
  if (!empty) {
    const Words words = words_of(value, mine);
    body = Layout{value, mine, words}.write(0, indent, std::int64_t{mine.line_width} - 1);
  }
  text += body;

  std::string extras;
  if (empty ? value.rank() != 1 : abridged(value, mine))
    extras += ", shape=" + to_string(value.shape());
  if (value.dtype() == f64 || (empty && value.dtype() != f32))
    extras += fmt::format(", dtype={}", name_of(value.dtype()));
  if (tensor.requires_grad()) extras += ", requires_grad=true";
  if (!extras.empty()) {
    const std::size_t newline = body.rfind('\n');
    const std::size_t last =
        newline == std::string::npos ? indent.size() + body.size() : body.size() - newline - 1;
    if (static_cast<std::int64_t>(last + extras.size() + 1) > mine.line_width)
      extras.replace(1, 1, '\n' + indent);
    text += extras;
  }
  return text + ')';
}

}  // namespace

std::string to_string(const Tensor& tensor, const PrintOptions& options, Where where) {
  return detail::naming_memory("to_string", where, [&] { return written(tensor, options); });
}

std::ostream& operator<<(std::ostream& stream, const Tensor& tensor) {
  return stream << to_string(tensor, {}, {});
}

std::ostream& operator<<(std::ostream& stream, const Shape& shape) {
  return stream << to_string(shape);
}

std::ostream& operator<<(std::ostream& stream, DType dtype) { return stream << name_of(dtype); }

}  // namespace chainrule
