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

// Makes the view of a graph, in the order in which its methods stand.
class ViewBuilder {
 public:
  ViewBuilder(const Traversal& traversal, const std::vector<std::string>& modules,
              const std::set<std::string>& folded)
      : traversal_(traversal),
        modules_(modules),
        folded_(folded),
        count_(static_cast<std::uint32_t>(traversal.size())),
        uses_(count_),
        group_(count_),
        item_of_(count_, Traversal::none) {
    for (std::uint32_t i = 0; i < count_; ++i)
      for (const std::uint32_t input : traversal.edges(i))
        if (input != Traversal::none) uses_[input].push_back(i);
  }

  View build() {
    find_groups();
    make_items();
    draw_edges();
    // A single operation is what it is.
    for (View::Item& item : view_.items)
      if (!item.module.empty() && item.inside.size() == 1) item = {.node = item.inside[0]};
    return sorted();
  }

 private:
  // Which box an operation is in: of one module, and one pass through it.
  void find_groups() {
    for (const std::string& module : folded_) {
      std::vector<bool> is_in(count_);
      for (std::uint32_t i = 0; i < count_; ++i) is_in[i] = modules_[i] == module;
      const std::vector<int> pass = passes_through(traversal_, is_in);
      for (std::uint32_t i = 0; i < count_; ++i)
        if (is_in[i] && !is_leaf(i)) group_[i] = {module, pass[i]};
    }
  }

  void make_items() {
    std::map<std::pair<std::string, int>, std::uint32_t> boxes;
    for (std::uint32_t i = 0; i < count_; ++i) {
      if (is_inside(i)) continue;
      if (is_folded(i)) {
        const auto [at, added] = boxes.try_emplace(group_[i]);
        if (added) at->second = add({.module = title_of(group_[i])});
        item_of_[i] = at->second;
        view_.items[at->second].inside.push_back(i);
      } else if (!is_leaf(i) || uses_[i].size() <= most_uses) {
        item_of_[i] = add({.node = i});
      }
    }
  }

  // Arrows, each once.
  void draw_edges() {
    std::set<std::pair<std::uint32_t, std::uint32_t>> drawn;
    for (std::uint32_t i = 0; i < count_; ++i) {
      if (item_of_[i] == Traversal::none) continue;
      std::set<std::uint32_t> copied;
      for (const std::uint32_t input : traversal_.edges(i)) {
        if (input == Traversal::none) continue;
        if (is_leaf(input) && is_folded(i) && folded_.contains(modules_[input])) {
          put_inside(input, view_.items[item_of_[i]]);
          continue;
        }
        std::uint32_t from = item_of_[input];
        if (from == Traversal::none) {
          if (!copied.insert(input).second) continue;
          from = add({.node = input, .is_copy = uses_[input][0] != i});
        }
        if (from != item_of_[i] && drawn.insert({from, item_of_[i]}).second)
          view_.edges.push_back({from, item_of_[i]});
      }
    }
  }

  // In topological order: a box is behind all that it needs, whatever order that gave above.
  View sorted() {
    const std::size_t n = view_.items.size();
    std::vector<int> waits(n);
    std::vector<std::vector<std::uint32_t>> behind(n);
    for (const View::Edge& edge : view_.edges) {
      ++waits[edge.to];
      behind[edge.from].push_back(edge.to);
    }
    std::vector<std::uint32_t> order, place(n);
    for (std::uint32_t i = 0; i < n; ++i)
      if (waits[i] == 0) order.push_back(i);
    for (std::size_t k = 0; k < order.size(); ++k)
      for (const std::uint32_t next : behind[order[k]])
        if (--waits[next] == 0) order.push_back(next);
    if (order.size() < n) return with_turns_shown_open(waits);
    View view;
    for (const std::uint32_t i : order) {
      place[i] = static_cast<std::uint32_t>(view.items.size());
      view.items.push_back(std::move(view_.items[i]));
    }
    for (const View::Edge& edge : view_.edges)
      view.edges.push_back({place[edge.from], place[edge.to]});
    return view;
  }

  // Modules that take turns need one another: these are not folded.
  View with_turns_shown_open(const std::vector<int>& waits) const {
    std::set<std::string> others = folded_;
    for (std::size_t i = 0; i < waits.size(); ++i)
      if (waits[i] > 0)
        for (const std::uint32_t node : view_.items[i].inside) others.erase(modules_[node]);
    return view_of(traversal_, modules_, others);
  }

  bool is_leaf(std::uint32_t i) const { return traversal_.node(i).is_leaf(); }
  bool is_folded(std::uint32_t i) const { return !group_[i].first.empty(); }
  // Whether it is a parameter of a folded module, and of nothing else.
  bool is_inside(std::uint32_t i) const {
    return is_leaf(i) && !uses_[i].empty() && folded_.contains(modules_[i]) &&
           std::ranges::all_of(uses_[i], [&](std::uint32_t use) { return is_folded(use); });
  }
  static std::string title_of(const std::pair<std::string, int>& group) {
    const auto& [module, pass] = group;
    return pass == 0 ? module : fmt::format("{} ({})", module, pass + 1);
  }
  static void put_inside(std::uint32_t leaf, View::Item& item) {
    if (std::ranges::find(item.inside, leaf) == item.inside.end()) item.inside.push_back(leaf);
  }
  std::uint32_t add(View::Item item) {
    view_.items.push_back(std::move(item));
    return static_cast<std::uint32_t>(view_.items.size() - 1);
  }

  const Traversal& traversal_;
  const std::vector<std::string>& modules_;
  const std::set<std::string>& folded_;
  std::uint32_t count_;
  std::vector<std::vector<std::uint32_t>> uses_;
  std::vector<std::pair<std::string, int>> group_;
  std::vector<std::uint32_t> item_of_;
  View view_;
};

}  // namespace

View view_of(const Traversal& traversal, const std::vector<std::string>& modules,
             const std::set<std::string>& folded) {
  return ViewBuilder(traversal, modules, folded).build();
}

std::string op_of(const Node& node) {
  if (!node.is_output()) return node.op()->name();
  return fmt::format("{}[{}]", node.inputs()[0]->op()->name(), node.output_index());
}

}  // namespace chainrule::picture
