#include <chainrule/examples/common/confusion.hpp>

#include <fmt/format.h>

#include <array>

#include <chainrule/examples/common/digits.hpp>
#include <chainrule/examples/common/table.hpp>

namespace examples {

double accuracy(const chainrule::Tensor& labels, const chainrule::Tensor& predicted) {
  const auto is = labels.to_vector<std::int64_t>();
  const auto said = predicted.to_vector<std::int64_t>();
  std::int64_t right = 0;
  for (std::size_t i = 0; i < is.size(); ++i) right += is[i] == said.at(i);
  return static_cast<double>(right) / static_cast<double>(is.size());
}

std::string confusion_matrix(const chainrule::Tensor& labels, const chainrule::Tensor& predicted) {
  constexpr auto classes = static_cast<std::size_t>(Digits::classes);
  std::array<std::array<std::int64_t, classes>, classes> counts{};
  const auto is = labels.to_vector<std::int64_t>();
  const auto said = predicted.to_vector<std::int64_t>();
  for (std::size_t i = 0; i < is.size(); ++i)
    ++counts.at(static_cast<std::size_t>(is[i])).at(static_cast<std::size_t>(said.at(i)));

  std::vector<Table::Column> columns = {{.title = "digit"}};
  for (std::size_t j = 0; j < classes; ++j)
    columns.push_back({.title = std::to_string(j), .group = "recognised as"});
  columns.push_back({.title = "right"});

  Table table(columns);
  for (std::size_t i = 0; i < classes; ++i) {
    std::vector<std::string> cells = {std::to_string(i)};
    std::int64_t images = 0;
    for (const std::int64_t count : counts[i]) {
      images += count;
      cells.push_back(count == 0 ? "·" : std::to_string(count));
    }
    cells.push_back(images == 0 ? "none there" : fmt::format("{} of {}", counts[i][i], images));
    table.add(cells);
  }
  return table.to_string();
}

}  // namespace examples
