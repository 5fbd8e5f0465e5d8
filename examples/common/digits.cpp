#include <chainrule/examples/common/digits.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <string_view>
#include <vector>

#include <chainrule/chainrule.hpp>
#include <chainrule/examples/common/text_file.hpp>

namespace examples {

namespace {

constexpr double darkest = 16;
constexpr std::int64_t columns = Digits::pixel_count + 1;

// Takes the part of `text` before the first separator away, and the separator.
std::string_view take_until(std::string_view& text, char separator) {
  const std::size_t end = std::min(text.find(separator), text.size());
  const std::string_view part = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return part;
}

std::string_view trimmed(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(" \t\r");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\r") + 1 - begin);
}

// Turns lines into numbers; its errors name the line.
class Reader {
 public:
  explicit Reader(const std::string& path) : path_(path) {}

  void read(std::string_view text) {
    if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);  // a byte order mark
    if (text.find_first_not_of(" \t\r\n") == std::string_view::npos) fail("the file is empty");
    while (!text.empty()) {
      ++line_;
      read_line(take_until(text, '\n'));
    }
    if (labels.size() < 2) fail("one image only, where some are to train with and others to test");
  }

  std::vector<double> pixels;
  std::vector<std::int64_t> labels;

 private:
  void read_line(std::string_view line) {
    if (trimmed(line).empty()) fail("the line is empty");
    const auto values = 1 + std::count(line.begin(), line.end(), ',');
    if (values != columns)
      fail(fmt::format("{} value{} instead of {}: {} pixels and the label", values,
                       values == 1 ? "" : "s", columns, columns - 1));
    for (std::int64_t i = 1; i < columns; ++i) {
      const std::string name = fmt::format("pixel {}", i);
      const double value = number(take_until(line, ','), name);
      if (!(value >= 0 && value <= darkest))
        fail(fmt::format("{} is {}, outside of 0 to {}", name, value, darkest));
      pixels.push_back(value / darkest);
    }
    const double label = number(line, "the label");
    if (!(label >= 0 && label < Digits::classes) || label != std::floor(label))
      fail(fmt::format("the label is {}, not a whole number from 0 to {}", label,
                       Digits::classes - 1));
    labels.push_back(static_cast<std::int64_t>(label));
  }

  double number(std::string_view text, const std::string& name) const {
    text = trimmed(text);
    double value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (text.empty()) fail(name + " is missing");
    if (error == std::errc::result_out_of_range)
      fail(fmt::format("{} is {}, too large or too small", name, in_quotes(std::string(text))));
    if (error != std::errc{} || end != text.data() + text.size())
      fail(fmt::format("{} is {}, not a number", name, in_quotes(std::string(text))));
    return value;
  }

  [[noreturn]] void fail(std::string_view what) const {
    throw chainrule::IoError(
        fmt::format("{}:{}: {}", path_, std::max<std::int64_t>(line_, 1), what));
  }

  const std::string& path_;
  std::int64_t line_ = 0;
};

}  // namespace

Digits Digits::pick(const cr::Tensor& which) const {
  return {cr::take(pixels, which), cr::take(labels, which)};
}

Digits read_digits(const std::string& path, cr::DType dtype) {
  Reader reader(path);
  reader.read(read_text_file(path));
  const auto count = static_cast<std::int64_t>(reader.labels.size());
  return {cr::to(cr::from_vector(reader.pixels, {count, Digits::pixel_count}), dtype),
          cr::from_vector(reader.labels)};
}

Split hold_out(const Digits& digits) {
  const std::int64_t count = digits.size();
  cr::Generator generator(1998);  // the year of the data; any number would do, but a fixed one
  const cr::Tensor order = cr::permutation(count, generator);
  const std::int64_t test =
      std::max<std::int64_t>(1, std::llround(0.2 * static_cast<double>(count)));
  return {.train = digits.pick(order[cr::slice(test, {})]),
          .test = digits.pick(order[cr::slice({}, test)])};
}

}  // namespace examples
