#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace examples {

/// How many columns of a terminal UTF-8 text takes (one for each code point).
std::size_t width_of(std::string_view text);

/// 1234567 as "1,234,567".
std::string grouped(std::int64_t number);

/// A table with aligned columns, to be read by a person:
///
///                        difference
///     formula         absolute  relative
///     ──────────────────────────────────
///     dz3 = p − y      1.1e-16   1.2e-16
class Table {
 public:
  struct Column {
    std::string title;
    bool left = false;       ///< text begins at the left; numbers end at the right
    std::string group = {};  ///< a heading above neighbouring columns of one group
  };

  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

  /// Adds a row with a text for each column.
  void add(std::vector<std::string> cells);
  /// The headings, a line and the rows, each line ended.
  std::string to_string() const;

 private:
  std::vector<std::size_t> widths() const;

  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace examples
