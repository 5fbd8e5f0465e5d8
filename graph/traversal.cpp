#include <chainrule/graph/traversal.hpp>

#include <algorithm>
#include <mutex>

namespace chainrule {

namespace {

// Nodes carry the scratch mark of a search. Threads may share leaves, so one searches at a time;
// the search is a small part of a traversal, and calls nothing outside of this file.
std::mutex search_mutex;

struct Step {
  Node* node;
  std::uint32_t next_input;
  std::uint32_t first_edge;
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
    bool applies = false;
    for (std::uint32_t& edge : std::span(edges_).subspan(entries_[i].first_edge, edges(i).size())) {
      if (edge != none && !entries_[edge].relevant) edge = none;
      applies |= edge != none;
    }
    entries_[i].applies = applies;
    entries_[i].relevant = applies || entries_[i].target;
  }
}

void Traversal::search(std::span<const Tensor> outputs, Visit visit) {
  const auto wanted = [visit](const Node* node) {
    return node && (visit == Visit::everything || node->requires_grad());
  };
  // A mark is the node's position once it is finished. Marks of earlier searches need no clearing:
  // a mark counts only if the entry that it points to is this node.
  Vector<Step> stack;
  // A search meets most of the nodes that its thread has made and not freed; of those nearly all
  // have one input or two.
  const auto nodes = static_cast<std::size_t>(
      std::clamp<std::int64_t>(memory::cache().nodes.load(std::memory_order_relaxed), 16, 4096));
  stack.reserve(nodes);
  entries_.reserve(nodes);
  edges_.reserve(2 * nodes);
  leaves_.reserve(nodes);
  const auto enter = [&](Node* node) {
    stack.push_back({node, 0, static_cast<std::uint32_t>(edges_.size())});
    edges_.insert(edges_.end(), node->inputs().size(), none);
  };
  bool several = false;
  for (const Tensor& output : outputs) {
    if (!wanted(output.node()) || finished(output.node())) continue;
    enter(output.node());
    while (!stack.empty()) {
      Step& top = stack.back();
      const auto inputs = top.node->inputs();
      Node* unfinished = nullptr;
      for (; top.next_input < inputs.size(); ++top.next_input) {
        Node* input = inputs[top.next_input];
        if (!wanted(input)) continue;
        if (!finished(input)) {
          unfinished = input;
          break;
        }
        edges_[top.first_edge + top.next_input] = input->mark;
      }
      if (unfinished) {
        enter(unfinished);
        continue;
      }
      const auto position = static_cast<std::uint32_t>(entries_.size());
      const bool released = top.node->released();
      top.node->mark = position;
      several |= top.node->output_count() > 1;
      any_released_ |= released;
      const bool leaf = top.node->is_leaf();
      entries_.push_back({top.node, top.first_edge, true, !leaf, false, released});
      if (leaf) leaves_.push_back(position);
      stack.pop_back();
    }
  }
  places_ = entries_.size();
  if (!several) return;
  for (std::uint32_t i = 0; i < entries_.size(); ++i) {
    const std::size_t outputs = entries_[i].node->output_count();
    first_places_.push_back(outputs == 1 ? i : static_cast<std::uint32_t>(places_));
    if (outputs > 1) places_ += outputs;
  }
}

}  // namespace chainrule
