#include <chainrule/graph/derivation/extents.hpp>

#include <fmt/format.h>

#include <algorithm>

#include <chainrule/core/detail/text.hpp>
#include <chainrule/core/error.hpp>

namespace chainrule::derivation {

std::vector<Extent> extents_of(const Traversal& traversal, const char* caller, const Where& where) {
  std::vector<Extent> extents;
  for (std::uint32_t i = 0; i < traversal.size(); ++i) {
    const std::vector<std::string_view> axes = traversal.node(i).axes();
    const Shape shape = traversal.node(i).shape();
    for (std::size_t k = 0; k < axes.size(); ++k) {
      if (axes[k].empty()) continue;
      const std::string name = detail::printable(axes[k]);
      const std::int64_t count = shape[static_cast<int>(k)];
      const auto known = std::ranges::find(extents, name, &Extent::name);
      if (known == extents.end())
        extents.push_back({name, count});
      else if (known->count != count)
        throw ShapeError(fmt::format("{}: the axis {} has {} elements, and {} in {}", caller, name,
                                     known->count, count, traversal.node(i).name()),
                         where, "give axes of different extents different names");
    }
  }
  return extents;
}

std::vector<Extent> extents_in(double number, const std::vector<Extent>& extents) {
  // One is likelier than a product of two.
  std::vector<std::vector<Extent>> single, pairs;
  for (std::size_t i = 0; i < extents.size(); ++i) {
    const auto first = static_cast<double>(extents[i].count);
    if (first == number) single.push_back({extents[i]});
    for (std::size_t j = i + 1; j < extents.size(); ++j)
      if (first * static_cast<double>(extents[j].count) == number)
        pairs.push_back({extents[i], extents[j]});
  }
  const auto& found = single.empty() ? pairs : single;
  return found.size() == 1 ? found[0] : std::vector<Extent>();
}

}  // namespace chainrule::derivation
