#include <chainrule/graph/derivation/modules.hpp>

#include <algorithm>
#include <cstdint>
#include <optional>

namespace chainrule::derivation {

namespace {

using Path = std::optional<std::string>;  // nothing where nothing is known

std::string common(const std::string& a, const std::string& b) {
  std::size_t end = 0;
  const std::size_t shorter = std::min(a.size(), b.size());
  for (std::size_t i = 0; i <= shorter; ++i) {
    const bool a_ends = i == a.size() || a[i] == '.', b_ends = i == b.size() || b[i] == '.';
    if (a_ends && b_ends) end = i;
    if (i == shorter || a[i] != b[i]) break;
  }
  return a.substr(0, end);
}

void join(Path& path, const Path& other) {
  if (other) path = path ? common(*path, *other) : other;
}

}  // namespace

std::vector<std::string> modules_of(const Traversal& traversal) {
  const auto count = static_cast<std::uint32_t>(traversal.size());
  std::vector<Path> own(count), above(count), below(count);
  for (std::uint32_t i = 0; i < count; ++i) {
    const Node& node = traversal.node(i);
    const std::string_view name = node.name();
    const std::size_t dot = name.rfind('.');
    if (node.is_leaf() && node.requires_grad() && dot != std::string_view::npos)
      own[i] = std::string(name.substr(0, dot));
  }
  for (std::uint32_t i = 0; i < count; ++i)
    for (const std::uint32_t input : traversal.edges(i))
      if (input != Traversal::none && traversal.node(input).is_leaf()) join(own[i], own[input]);
  // Others lie between those before and those behind them.
  for (std::uint32_t i = 0; i < count; ++i)
    for (const std::uint32_t input : traversal.edges(i))
      if (input != Traversal::none) join(above[i], own[input] ? own[input] : above[input]);
  for (std::uint32_t i = count; i-- > 0;)
    for (const std::uint32_t input : traversal.edges(i))
      if (input != Traversal::none) join(below[input], own[i] ? own[i] : below[i]);
  std::vector<std::string> modules(count);
  for (std::uint32_t i = 0; i < count; ++i) {
    if (own[i])
      modules[i] = *own[i];
    else if (above[i] && below[i])
      modules[i] = common(*above[i], *below[i]);
  }
  return modules;
}

std::string_view outer_module(std::string_view path, int depth) {
  std::size_t end = 0;
  for (int i = 0; i < depth; ++i) {
    const std::size_t dot = path.find('.', i == 0 ? 0 : end + 1);
    if (dot == std::string_view::npos) return path;
    end = dot;
  }
  return path.substr(0, end);
}

}  // namespace chainrule::derivation
