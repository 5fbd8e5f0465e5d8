#include <chainrule/core/node.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <iterator>
#include <mutex>
#include <new>
#include <string>
#include <string_view>
#include <utility>

#include <chainrule/core/allocator.hpp>
#include <chainrule/core/fork.hpp>
#include <chainrule/core/op.hpp>

namespace chainrule {

thread_local constinit std::uint64_t detail::next_sequence
    __attribute__((tls_model("initial-exec"))) = 0;

namespace {

// Nodes whose last reference is gone, while one of them is being freed further down the stack.
thread_local constinit Node* dead_nodes __attribute__((tls_model("initial-exec"))) = nullptr;
thread_local constinit bool freeing __attribute__((tls_model("initial-exec"))) = false;

// An application looks for the nodes of its outputs, and these leave it when they go, perhaps on
// another thread.
std::mutex outputs_mutex;
const detail::HeldOverFork held(outputs_mutex);

// What grad_value() and grad_node() refer to without a gradient.
const Ref<Value> no_value;
const Ref<Node> no_node;
const RowGradientParts no_rows;

// Threads may read the gradient of a shared parameter at the same time.
std::mutex rows_mutex;
const detail::HeldOverFork rows_held(rows_mutex);

}  // namespace

// What few nodes have.
struct Node::Extra {
  char* name = nullptr;  // core/gdb/printers.py reads the first two
  std::size_t name_size = 0;
  std::size_t axes_size = 0;  // of their names, which stand behind the name, each before a newline
  Ref<Value> grad_value;
  Ref<Node> grad_node;
  RowGradientParts grad_rows;

  ~Extra() { drop_name(); }
  void drop_name() noexcept {
    if (name) memory::deallocate(name, name_size + axes_size);
    name = nullptr;
    name_size = axes_size = 0;
  }
  void set_name(std::string_view text, std::string_view axes) {
    char* copy = nullptr;
    if (const std::size_t size = text.size() + axes.size(); size != 0) {
      copy = static_cast<char*>(memory::allocate(size));
      std::ranges::copy(axes, std::ranges::copy(text, copy).out);
    }
    drop_name();
    name = copy;
    name_size = text.size();
    axes_size = axes.size();
  }
};

void Node::throw_parameters(std::size_t asked) const {
  detail::throw_parameter_size(asked, parameter_size(), op_ ? op_->name() : "a leaf", where_);
}

void Node::throw_too_many(const Op& op, std::uint32_t output_count, const Where& where) {
  throw ValueError(fmt::format("{}: {} outputs are too many", op.name(), output_count), where,
                   fmt::format("an op has at most {}", most_counted));
}

std::uint32_t Node::content_of(const Value* value) noexcept {
  return value->content() | content_saved;
}

Ref<Node> Node::make_leaf(const Value& value, bool requires_grad, const Where& where) {
  Node* node = allocate(nullptr, 0, 0, {}, value, where, 1);
  node->requires_grad_ = requires_grad;
  return Ref<Node>::adopt(node);
}

Ref<Node> Node::output_of(const Ref<Node>& application, std::size_t k, const Value& value) {
  Node*& place = application->output_array()[k];
  {
    const std::lock_guard lock(outputs_mutex);
    if (place && place->refs.retain_if_alive()) return Ref<Node>::adopt(place);
  }
  Ref<Node> node =
      Ref<Node>::adopt(allocate(&detail::output_op(), 1, 0, {}, value, application->where(), 1));
  node->output_count_ = 0;
  node->index_or_left_out_ = static_cast<std::uint8_t>(k);
  const auto nothing_saved = [&](std::size_t) { return const_cast<Value*>(&value); };
  node->fill([&](std::size_t) { return application.get(); }, nothing_saved, nothing_saved);
  const std::lock_guard lock(outputs_mutex);
  if (place && place->refs.retain_if_alive()) return Ref<Node>::adopt(place);  // another was faster
  place = node.get();
  return node;
}

// True when the node of an output, whose last reference seems to be gone, was not found by its
// application meanwhile, and will not be any more.
bool Node::leaves_application() noexcept {
  const std::lock_guard lock(outputs_mutex);
  if (!refs.is_still_last()) return false;
  Node*& place = input_array()[0]->output_array()[output_index()];
  if (place == this) place = nullptr;
  return true;
}

Node::Extra& Node::extra() {
  if (!extra_) extra_ = new (memory::allocate(sizeof(Extra))) Extra;
  return *extra_;
}

std::string_view Node::name() const noexcept {
  return extra_ ? std::string_view(extra_->name, extra_->name_size) : std::string_view();
}

void Node::set_name(std::string_view name) { extra().set_name(name, {}); }

std::vector<std::string_view> Node::axes() const {
  std::vector<std::string_view> axes;
  if (!extra_) return axes;
  std::string_view rest(extra_->name + extra_->name_size, extra_->axes_size);
  while (!rest.empty()) {
    const std::size_t end = rest.find('\n');
    axes.push_back(rest.substr(0, end));
    rest.remove_prefix(end + 1);
  }
  return axes;
}

void Node::set_axes(const std::vector<std::string_view>& axes) {
  std::string text;
  for (const std::string_view axis : axes) {
    // A newline in a name would end it.
    std::ranges::replace_copy(axis, std::back_inserter(text), '\n', ' ');
    text += '\n';
  }
  // The old name is read while the new one is made.
  Extra& mine = extra();
  mine.set_name(std::string(mine.name, mine.name_size), text);
}

const Ref<Value>& Node::grad_value() const noexcept {
  return extra_ ? extra_->grad_value : no_value;
}

const Ref<Node>& Node::grad_node() const noexcept { return extra_ ? extra_->grad_node : no_node; }

void Node::set_grad(Ref<Value> value, Ref<Node> node) {
  if (!extra_ && !value) return;
  Extra& mine = extra();
  mine.grad_value = std::move(value);
  mine.grad_node = std::move(node);
  mine.grad_rows.clear();
}

const RowGradientParts& Node::grad_rows() const noexcept {
  return extra_ ? extra_->grad_rows : no_rows;
}

void Node::reserve_grad_rows(const RowGradientParts& rows) { extra().grad_rows.reserve_for(rows); }

void Node::add_grad_rows(RowGradientParts&& rows) noexcept {
  extra_->grad_rows.append(std::move(rows));
}

void Node::make_grad_dense() {
  if (!extra_) return;
  const std::lock_guard lock(rows_mutex);
  if (extra_->grad_rows.empty()) return;
  const Shape all = shape();
  Ref<Value> dense = Value::make(dtype(), all);
  std::memset(dense->bytes(), 0, dense->byte_count());
  extra_->grad_rows.add_to(*dense);
  set_grad(std::move(dense), {});
}

void Node::release_saved() noexcept {
  if (saved_ == Saved::none) return;
  saved_ = Saved::none;
  Value** saved = saved_array();
  for (std::size_t i = 0; i < saved_count(); ++i)
    Ref<Value>::adopt(std::exchange(saved[i], nullptr));
}

void Node::release_saved_output() noexcept {
  if (saved_ != Saved::all) return;
  for (std::size_t k = 0; k < output_count_ && k < most_outputs; ++k) {
    if (!(saved_mask_ & output_at(k))) continue;
    saved_ = Saved::some;
    Ref<Value>::adopt(std::exchange(saved_array()[slot(output_at(k))], nullptr));
  }
}

void Node::free_block(Node* node) noexcept {
  const std::size_t bytes = block_bytes(node->input_count_, node->saved_count(), node->rank_,
                                        node->output_nodes(), node->parameter_size());
  for (Node* input : node->inputs())
    if (input && input->refs.release()) destroy(input);
  node->release_saved();
  if (Extra* extra = node->extra_) {
    extra->~Extra();
    memory::deallocate(extra, sizeof(Extra));
  }
  memory::deallocate(node, bytes);
  memory::count_node(-1);
}

// Freeing a node may free its inputs, and so on for a million levels: what becomes free meanwhile
// is put on a list instead of on the stack.
void Node::destroy(Node* node) noexcept {
  if (node->is_output() && !node->leaves_application()) return;
  node->next_ = std::exchange(dead_nodes, node);
  if (freeing) return;
  freeing = true;
  while (dead_nodes) {
    Node* next = dead_nodes;
    dead_nodes = next->next_;
    free_block(next);
  }
  freeing = false;
}

std::int64_t live_nodes() { return memory::node_count(); }

}  // namespace chainrule
