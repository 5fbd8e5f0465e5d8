#include <chainrule/graph/traversal.hpp>

#include <algorithm>
#include <cstdint>
#include <mutex>

#include <chainrule/core/fork.hpp>

namespace chainrule {

namespace {

// Nodes carry the scratch mark of a search. Threads may share nodes, so one at a time marks them,
// and who comes meanwhile remembers their places in a table of his own instead of waiting.
std::mutex search_mutex;
const detail::HeldOverFork held(search_mutex);

struct Step {
  Node* node;
  std::uint32_t next_input;
  std::uint32_t first_edge;
};

// Nothing that was not made after the oldest target can depend on one.
std::uint64_t oldest_of(std::span<const Tensor> targets) noexcept {
  std::uint64_t oldest = targets.empty() ? 0 : ~std::uint64_t{0};
  for (const Tensor& target : targets)
    if (target.node()) oldest = std::min(oldest, target.node()->sequence());
  return oldest;
}

}  // namespace

// A mark is the node's position once it is finished. Marks of earlier searches need no clearing: a
// mark counts only if the entry that it points to is this node.
class Traversal::NodeMarks {
 public:
  std::uint32_t of(const Node* node, const Vector<Entry>& entries) const noexcept {
    const std::uint32_t mark = node->mark;
    return mark < entries.size() && entries[mark].node == node ? mark : none;
  }
  void set(Node* node, std::uint32_t position) noexcept { node->mark = position; }
};

// The same beside the nodes: open addressing, never more than half full.
class Traversal::TableMarks {
 public:
  std::uint32_t of(const Node* node, const Vector<Entry>&) const noexcept {
    for (std::size_t i = place_of(node);; i = (i + 1) & (slots_.size() - 1))
      if (slots_[i].node == node || !slots_[i].node) return slots_[i].position;
  }
  void set(const Node* node, std::uint32_t position) {
    if (2 * ++used_ > slots_.size()) grow();
    insert({node, position});
  }

 private:
  struct Slot {
    const Node* node = nullptr;
    std::uint32_t position = none;
  };
  std::size_t place_of(const Node* node) const noexcept {
    const auto address = reinterpret_cast<std::uintptr_t>(node) / 16;
    return (address * 0x9E3779B97F4A7C15U >> 20) & (slots_.size() - 1);
  }
  void insert(const Slot& slot) noexcept {
    std::size_t i = place_of(slot.node);
    while (slots_[i].node) i = (i + 1) & (slots_.size() - 1);
    slots_[i] = slot;
  }
  void grow() {
    Vector<Slot> old(2 * slots_.size());
    old.swap(slots_);
    for (const Slot& slot : old)
      if (slot.node) insert(slot);
  }

  Vector<Slot> slots_ = Vector<Slot>(64);
  std::size_t used_ = 0;
};

Traversal::Traversal(std::span<const Tensor> outputs, std::span<const Tensor> targets,
                     Visit visit) {
  if (std::unique_lock lock(search_mutex, std::try_to_lock); lock) {
    NodeMarks marks;
    search(marks, outputs, targets, visit);
  } else {
    TableMarks marks;
    search(marks, outputs, targets, visit);
  }
  if (!targets.empty()) find_relevant();
}

void Traversal::find_relevant() noexcept {
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

template <class Marks>
void Traversal::search(Marks& marks, std::span<const Tensor> outputs,
                       std::span<const Tensor> targets, Visit visit) {
  const std::uint64_t oldest = oldest_of(targets);
  const auto wanted = [visit, oldest](const Node* node) {
    return node && (visit == Visit::everything || node->requires_grad()) &&
           node->sequence() >= oldest;
  };
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
    if (!wanted(output.node()) || marks.of(output.node(), entries_) != none) continue;
    enter(output.node());
    while (!stack.empty()) {
      Step& top = stack.back();
      const auto inputs = top.node->inputs();
      Node* unfinished = nullptr;
      for (; top.next_input < inputs.size(); ++top.next_input) {
        Node* input = inputs[top.next_input];
        if (!wanted(input)) continue;
        const std::uint32_t position = marks.of(input, entries_);
        if (position == none) {
          unfinished = input;
          break;
        }
        edges_[top.first_edge + top.next_input] = position;
      }
      if (unfinished) {
        enter(unfinished);
        continue;
      }
      const auto position = static_cast<std::uint32_t>(entries_.size());
      const bool released = top.node->released();
      marks.set(top.node, position);
      several |= top.node->output_count() > 1;
      any_released_ |= released;
      const bool leaf = top.node->is_leaf();
      entries_.push_back({top.node, top.first_edge, true, !leaf, false, released});
      if (leaf) leaves_.push_back(position);
      stack.pop_back();
    }
  }
  const auto position = [&](const Tensor& tensor) {
    return tensor.node() ? marks.of(tensor.node(), entries_) : none;
  };
  for (const Tensor& output : outputs) outputs_.push_back(position(output));
  for (const Tensor& target : targets) targets_.push_back(position(target));
  places_ = entries_.size();
  if (several) count_places();
}

// An application of several outputs has places for these behind those of all nodes.
void Traversal::count_places() {
  for (std::uint32_t i = 0; i < entries_.size(); ++i) {
    const std::size_t outputs = entries_[i].node->output_count();
    first_places_.push_back(outputs == 1 ? i : static_cast<std::uint32_t>(places_));
    if (outputs > 1) places_ += outputs;
  }
}

}  // namespace chainrule
