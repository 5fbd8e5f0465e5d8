#include <chainrule/graph/picture/view.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

#include <chainrule/core/op.hpp>

namespace chainrule::picture {

namespace {

// A leaf with more uses than this is drawn beside each of them.
constexpr std::size_t most_uses = 3;

// For the nodes of a module, the how manyth time the program went through it: a result that left
// the module and came back begins another.
std::vector<int> passes_through(const Traversal& traversal, const std::vector<bool>& is_in) {
  std::vector<int> pass(traversal.size(), -1);
  for (std::uint32_t i = 0; i < traversal.size(); ++i) {
    for (const std::uint32_t input : traversal.edges(i)) {
      if (input == Traversal::none || pass[input] < 0) continue;
      const bool returns = is_in[i] && !is_in[input];
      pass[i] = std::max(pass[i], pass[input] + (returns ? 1 : 0));
    }
    if (is_in[i] && !traversal.node(i).is_leaf()) pass[i] = std::max(pass[i], 0);
  }
  return pass;
}

}  // namespace

View view_of(const Traversal& traversal, const std::vector<std::string>& modules,
             const std::set<std::string>& folded) {
  const auto count = static_cast<std::uint32_t>(traversal.size());
  std::vector<std::vector<std::uint32_t>> uses(count);
  for (std::uint32_t i = 0; i < count; ++i)
    for (const std::uint32_t input : traversal.edges(i))
      if (input != Traversal::none) uses[input].push_back(i);

  // Which box an operation is in: of one module, and one pass through it.
  std::vector<std::pair<std::string, int>> group(count);
  for (const std::string& module : folded) {
    std::vector<bool> is_in(count);
    for (std::uint32_t i = 0; i < count; ++i) is_in[i] = modules[i] == module;
    const std::vector<int> pass = passes_through(traversal, is_in);
    for (std::uint32_t i = 0; i < count; ++i)
      if (is_in[i] && !traversal.node(i).is_leaf()) group[i] = {module, pass[i]};
  }
  const auto is_folded = [&](std::uint32_t i) { return !group[i].first.empty(); };

  View view;
  std::map<std::pair<std::string, int>, std::uint32_t> boxes;
  std::vector<std::uint32_t> item_of(count, Traversal::none);
  const auto add = [&](View::Item item) {
    view.items.push_back(std::move(item));
    return static_cast<std::uint32_t>(view.items.size() - 1);
  };
  for (std::uint32_t i = 0; i < count; ++i) {
    const bool leaf = traversal.node(i).is_leaf();
    if (leaf && !uses[i].empty() && folded.contains(modules[i]) &&
        std::ranges::all_of(uses[i], is_folded))
      continue;  // a parameter inside
    if (is_folded(i)) {
      const auto [at, added] = boxes.try_emplace(group[i]);
      if (added)
        at->second =
            add({.module = group[i].second == 0 ? group[i].first
                                                : group[i].first + " (" +
                                                      std::to_string(group[i].second + 1) + ")"});
      item_of[i] = at->second;
      view.items[at->second].inside.push_back(i);
    } else if (!leaf || uses[i].size() <= most_uses) {
      item_of[i] = add({.node = i});
    }
  }
  // Arrows, each once; a box is behind all that it needs, whatever order that gave above.
  std::set<std::pair<std::uint32_t, std::uint32_t>> drawn;
  for (std::uint32_t i = 0; i < count; ++i) {
    if (item_of[i] == Traversal::none) continue;
    std::set<std::uint32_t> copied;
    for (const std::uint32_t input : traversal.edges(i)) {
      if (input == Traversal::none) continue;
      std::uint32_t from = item_of[input];
      const bool leaf = traversal.node(input).is_leaf();
      if (leaf && is_folded(i) && folded.contains(modules[input])) {
        if (std::ranges::find(view.items[item_of[i]].inside, input) ==
            view.items[item_of[i]].inside.end())
          view.items[item_of[i]].inside.push_back(input);
        continue;
      }
      if (from == Traversal::none) {
        if (!copied.insert(input).second) continue;
        from = add({.node = input, .is_copy = uses[input][0] != i});
      }
      if (from != item_of[i] && drawn.insert({from, item_of[i]}).second)
        view.edges.push_back({from, item_of[i]});
    }
  }
  // A single operation is what it is.
  for (View::Item& item : view.items)
    if (!item.module.empty() && item.inside.size() == 1) item = {.node = item.inside[0]};
  // In topological order.
  const std::size_t n = view.items.size();
  std::vector<int> waits(n);
  std::vector<std::vector<std::uint32_t>> behind(n);
  for (const View::Edge& edge : view.edges) {
    ++waits[edge.to];
    behind[edge.from].push_back(edge.to);
  }
  std::vector<std::uint32_t> order, place(n);
  for (std::uint32_t i = 0; i < n; ++i)
    if (waits[i] == 0) order.push_back(i);
  for (std::size_t k = 0; k < order.size(); ++k)
    for (const std::uint32_t next : behind[order[k]])
      if (--waits[next] == 0) order.push_back(next);
  if (order.size() < n) {
    // Modules that take turns need one another: these are shown open.
    std::set<std::string> others = folded;
    for (std::uint32_t i = 0; i < n; ++i)
      if (waits[i] > 0)
        for (const std::uint32_t node : view.items[i].inside) others.erase(modules[node]);
    return view_of(traversal, modules, others);
  }
  View sorted;
  for (const std::uint32_t i : order) {
    place[i] = static_cast<std::uint32_t>(sorted.items.size());
    sorted.items.push_back(std::move(view.items[i]));
  }
  for (const View::Edge& edge : view.edges)
    sorted.edges.push_back({place[edge.from], place[edge.to]});
  return sorted;
}

std::string op_of(const Node& node) {
  if (!node.is_output()) return node.op()->name();
  return fmt::format("{}[{}]", node.inputs()[0]->op()->name(), node.output_index());
}

}  // namespace chainrule::picture
