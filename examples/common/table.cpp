#include <chainrule/examples/common/table.hpp>

#include <fmt/format.h>

#include <algorithm>

namespace examples {

namespace {

constexpr std::string_view gap = "  ";

enum class Align { left, right, centre };

std::string padded(std::string_view text, std::size_t width, Align align) {
  const std::size_t blank = width - std::min(width, width_of(text));
  const std::size_t before = align == Align::left ? 0 : align == Align::right ? blank : blank / 2;
  return std::string(before, ' ') + std::string(text) + std::string(blank - before, ' ');
}

void end_line(std::string& text) {
  text.erase(text.find_last_not_of(' ') + 1);
  text += '\n';
}

}  // namespace

std::size_t width_of(std::string_view text) {
  // Every byte but those that continue a code point.
  return static_cast<std::size_t>(
      std::ranges::count_if(text, [](char c) { return (c & 0xC0) != 0x80; }));
}

std::string grouped(std::int64_t number) {
  std::string digits = std::to_string(number);
  const std::size_t first = number < 0 ? 1 : 0;
  for (std::size_t i = digits.size(); i > first + 3; i -= 3) digits.insert(i - 3, 1, ',');
  return digits;
}

void Table::add(std::vector<std::string> cells) {
  cells.resize(columns_.size());
  rows_.push_back(std::move(cells));
}

std::vector<std::size_t> Table::widths() const {
  std::vector<std::size_t> widths;
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    std::size_t width = width_of(columns_[i].title);
    for (const auto& row : rows_) width = std::max(width, width_of(row[i]));
    widths.push_back(width);
  }
  return widths;
}

std::string Table::to_string() const {
  std::vector<std::size_t> width = widths();
  std::string groups;
  for (std::size_t i = 0, end = 0; i < columns_.size(); i = end) {
    // The columns i … end − 1 are of one group; the last one grows to hold its heading.
    std::size_t across = width[i];
    for (end = i + 1; end < columns_.size() && columns_[end].group == columns_[i].group; ++end)
      across += gap.size() + width[end];
    const std::size_t needed = width_of(columns_[i].group);
    if (needed > across) width[end - 1] += needed - across;
    if (i > 0) groups += gap;
    groups += padded(columns_[i].group, std::max(across, needed), Align::centre);
  }

  std::string text;
  end_line(groups);
  if (groups != "\n") text += groups;
  std::size_t total = 0;
  const auto line = [&](auto cell) {
    std::string row;
    for (std::size_t i = 0; i < columns_.size(); ++i) {
      if (i > 0) row += gap;
      row += padded(cell(i), width[i], columns_[i].left ? Align::left : Align::right);
    }
    total = std::max(total, width_of(row));
    end_line(row);
    return row;
  };
  text += line([&](std::size_t i) { return columns_[i].title; });
  for (std::size_t i = 0; i < total; ++i) text += "─";
  text += '\n';
  for (const auto& row : rows_) text += line([&](std::size_t i) { return row[i]; });
  return text;
}

}  // namespace examples
