#include <chainrule/graph/picture/dot.hpp>

#include <fmt/format.h>

#include <chainrule/core/naming_all_memory.hpp>
#include <chainrule/graph/picture/view.hpp>
#include <chainrule/graph/traversal.hpp>

namespace chainrule {

namespace {

std::string escaped(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (c == '\n')
      out += "\\n";
    else
      out += c;
  }
  return out;
}

// One node: what it is, its shape and dtype, and how it looks: parameters green boxes, named
// constants grey boxes, results white ellipses.
std::string statement(const Node& node, std::size_t i) {
  const std::string kind = node.is_leaf() ? (node.requires_grad() ? "parameter" : "constant")
                                          : escaped(picture::op_of(node));
  const char* look = !node.is_leaf()        ? "shape=ellipse, fillcolor=\"white\""
                     : node.requires_grad() ? "shape=box, fillcolor=\"#d5efd5\""
                                            : "shape=box, fillcolor=\"#e6e6e6\"";
  const std::string title =
      node.name().empty() ? kind : fmt::format("{}\\n{}", escaped(node.name()), kind);
  return fmt::format("  n{} [label=\"{}\\n{} {}\", style=filled, {}, tooltip=\"{}:{}\"];\n", i,
                     title, to_string(node.shape()), name_of(node.dtype()), look,
                     escaped(node.where().file_name()), node.where().line());
}

}  // namespace

std::string to_dot(std::span<const Tensor> outputs, Where where) {
  return detail::naming_all_memory("to_dot", where, [&] {
    detail::check_defined("to_dot", "output", outputs, where);
    const Traversal traversal(outputs, Traversal::Visit::everything);
    std::string text = "digraph chainrule {\n  rankdir=BT;\n  node [fontname=\"Helvetica\"];\n";
    for (std::size_t i = 0; i < traversal.size(); ++i) {
      text += statement(traversal.node(i), i);
      const auto edges = traversal.edges(i);
      for (std::size_t k = 0; k < edges.size(); ++k) {
        const std::string order = edges.size() > 1 ? fmt::format(" [label=\"{}\"]", k) : "";
        if (edges[k] != Traversal::none) {
          text += fmt::format("  n{} -> n{}{};\n", edges[k], i, order);
          continue;
        }
        // A constant without a name has no node of its own; its value may be saved here.
        const Value* saved = traversal.node(i).saved_input(k);
        text += fmt::format(
            "  n{0}_{1} [label=\"constant{2}\", shape=box, style=\"filled,dashed\", "
            "fillcolor=\"#f4f4f4\"];\n  n{0}_{1} -> n{0}{3};\n",
            i, k, saved ? "\\n" + to_string(saved->shape()) : "", order);
      }
    }
    for (std::size_t i = 0; i < outputs.size(); ++i)
      if (!outputs[i].node())
        text += fmt::format("  o{} [label=\"{} {}\", shape=box];\n", i,
                            to_string(outputs[i].shape()), name_of(outputs[i].dtype()));
    return text + "}\n";
  });
}

std::string to_dot(const Tensor& output, Where where) {
  return to_dot(std::span(&output, 1), where);
}

}  // namespace chainrule
