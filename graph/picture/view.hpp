#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include <chainrule/graph/traversal.hpp>

namespace chainrule::picture {

/// What a picture shows of a graph: nodes, leaves once more beside their uses, and modules that are
/// folded into one box.
struct View {
  struct Item {
    std::uint32_t node = Traversal::none;  ///< of a box for one node
    bool is_copy = false;                  ///< of a leaf that stands elsewhere, too
    std::string module{};                  ///< of a folded module
    std::vector<std::uint32_t> inside{};   ///< its nodes
  };
  struct Edge {
    std::uint32_t from, to;
  };
  std::vector<Item> items;  ///< in topological order
  std::vector<Edge> edges;
};

/// What made a result: "matmul", or "var_mean[0]" for one of several.
std::string op_of(const Node& node);

/// `modules` says for every node the module that it is shown as a part of; those in `folded` are
/// one box for each time that the program went through them, but for those that take turns.
View view_of(const Traversal& traversal, const std::vector<std::string>& modules,
             const std::set<std::string>& folded);

}  // namespace chainrule::picture
