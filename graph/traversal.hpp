#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include <chainrule/core/allocator.hpp>
#include <chainrule/core/tensor.hpp>

namespace chainrule {

/// The recorded graph behind some outputs, in topological order: the inputs of a node come before
/// it. Holds no references: the outputs must live as long.
///
/// It is found by depth-first search with its own stack, each node once, so that neither long
/// chains nor graphs with exponentially many paths cost more than their nodes and edges.
class Traversal {
 public:
  static constexpr std::uint32_t none = ~std::uint32_t{0};
  enum class Visit { differentiable, everything };

  Traversal(std::span<const Tensor> outputs, Visit visit) : Traversal(outputs, {}, visit) {}
  /// Only nodes on a path from a target to an output are relevant(). What is older than all targets
  /// is not even visited.
  Traversal(std::span<const Tensor> outputs, std::span<const Tensor> targets, Visit visit);

  std::size_t size() const noexcept { return entries_.size(); }
  Node& node(std::size_t i) const noexcept { return *entries_[i].node; }
  /// Where the inputs of node i are in the order; `none` for inputs that are not visited or not
  /// relevant.
  std::span<const std::uint32_t> edges(std::size_t i) const noexcept {
    return {edges_.data() + entries_[i].first_edge, entries_[i].node->inputs().size()};
  }
  /// What is kept for each tensor of the graph (a gradient, a value) has as many places: node i has
  /// place i, and an application of several outputs those from first_place(i) on.
  std::size_t places() const noexcept { return places_; }
  std::size_t first_place(std::size_t i) const noexcept {
    return first_places_.empty() ? i : first_places_[i];
  }
  /// Where the outputs and targets are in the order; `none` for those that were not reached:
  /// targets that no output depends on, and outputs without a graph or older than all targets.
  std::uint32_t output(std::size_t i) const noexcept { return outputs_[i]; }
  std::uint32_t target(std::size_t i) const noexcept { return targets_[i]; }
  /// True for nodes on a path from a target to an output; for all when there are no targets.
  bool relevant(std::size_t i) const noexcept { return entries_[i].relevant; }
  /// True for nodes whose rule is to be applied: relevant ones with a relevant input.
  bool applies(std::size_t i) const noexcept { return entries_[i].applies; }
  bool is_target(std::size_t i) const noexcept { return entries_[i].target; }
  /// Where the leaves are in the order.
  std::span<const std::uint32_t> leaves() const noexcept { return leaves_; }
  /// True when some node had lost its saved values before the search; and when node i had.
  bool any_released() const noexcept { return any_released_; }
  bool released(std::size_t i) const noexcept { return entries_[i].released; }

 private:
  struct Entry {
    Node* node;
    std::uint32_t first_edge;
    bool relevant;
    bool applies;
    bool target;
    bool released;
  };
  template <class T>
  using Vector = std::vector<T, memory::Pool<T>>;

  std::size_t places_ = 0;
  bool any_released_ = false;
  Vector<Entry> entries_;
  Vector<std::uint32_t> edges_;
  Vector<std::uint32_t> first_places_;  // empty when each node has its own place alone
  Vector<std::uint32_t> leaves_;
  Vector<std::uint32_t> outputs_;
  Vector<std::uint32_t> targets_;

  class NodeMarks;
  class TableMarks;
  template <class Marks>
  void search(Marks& marks, std::span<const Tensor> outputs, std::span<const Tensor> targets,
              Visit visit);
  void find_relevant() noexcept;
  void count_places();
};

namespace detail {

/// One reverse sweep from a scalar that records what the rules compute and keeps the graph:
/// at_node(i, gradient) for every node that gets one, outputs first. No rule steps over `stops`.
/// Throws GradError as backward() does. In backward.cpp.
void sweep(const Traversal& traversal, const Tensor& output, std::span<const Tensor> stops,
           const char* caller,
           const std::function<void(std::size_t i, const Tensor& gradient)>& at_node,
           const Where& where);

/// Whether the rule of node i does without the tangent of its operand k.
using LeftOut = std::function<bool(std::size_t i, std::size_t k)>;

/// One forward sweep, inputs first: the tangents of all nodes, by node, from those of the targets,
/// which are there already. at_node(i) behind each; `keep` records what the rules compute. In
/// functional.cpp.
void push_forward(const Traversal& traversal, std::span<Tensor> tangents, bool keep,
                  const std::function<void(std::size_t i)>& at_node, const LeftOut& left_out);

}  // namespace detail

}  // namespace chainrule
