#include <chainrule/graph/traversal.hpp>

#include <mutex>

namespace chainrule {

namespace {

// Nodes carry the scratch mark of a search. Threads may share leaves, so one searches at a time;
// the search is a small part of a traversal, and calls nothing outside of this file.
std::mutex search_mutex;

struct Step {
  Node* node;
  std::uint32_t next_input;
};

}  // namespace

Traversal::Traversal(std::span<const Tensor> outputs, std::span<const Tensor> targets,
                     Visit visit) {
  {
    const std::lock_guard lock(search_mutex);
    search(outputs, visit);
    const auto position = [this](const Tensor& tensor) {
      return tensor.node() && finished(tensor.node()) ? tensor.node()->mark : none;
    };
    for (const Tensor& output : outputs) outputs_.push_back(position(output));
    for (const Tensor& target : targets) targets_.push_back(position(target));
  }
  if (targets.empty()) return;
  for (Entry& entry : entries_) entry.relevant = false;
  for (std::uint32_t target : targets_)
    if (target != none) entries_[target].target = true;
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    bool relevant = entries_[i].target;
    for (std::uint32_t edge : edges(i))
      relevant = relevant || (edge != none && entries_[edge].relevant);
    entries_[i].relevant = relevant;
  }
}

void Traversal::search(std::span<const Tensor> outputs, Visit visit) {
  const auto wanted = [visit](const Node* node) {
    return node && (visit == Visit::everything || node->requires_grad());
  };
  // A mark is the node's position once it is finished. Marks of earlier searches need no clearing:
  // a mark counts only if the entry that it points to is this node.
  Vector<Step> stack;
  for (const Tensor& output : outputs) {
    if (!wanted(output.node()) || finished(output.node())) continue;
    stack.push_back({output.node(), 0});
    while (!stack.empty()) {
      Step& top = stack.back();
      Node* const node = top.node;
      const auto inputs = node->inputs();
      while (top.next_input < inputs.size()) {
        const Node* input = inputs[top.next_input];
        if (wanted(input) && !finished(input)) break;
        ++top.next_input;
      }
      if (top.next_input < inputs.size()) {
        stack.push_back({inputs[top.next_input++], 0});
        continue;
      }
      stack.pop_back();
      const auto first_edge = static_cast<std::uint32_t>(edges_.size());
      for (const Node* input : inputs) edges_.push_back(wanted(input) ? input->mark : none);
      node->mark = static_cast<std::uint32_t>(entries_.size());
      entries_.push_back({node, first_edge, true, false, node->released()});
    }
  }
}

}  // namespace chainrule
