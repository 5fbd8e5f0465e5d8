#include <chainrule/core/op.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <mutex>

namespace chainrule {

namespace {

struct Registry {
  std::mutex mutex;
  std::vector<const Op*> ops;
};

Registry& registry() {
  static Registry& the_registry = *new Registry;  // ops of other libraries may end after this one
  return the_registry;
}

}  // namespace

Op::Op(const char* name, const char* notation) : name_(name), notation_(notation) {
  const std::lock_guard lock(registry().mutex);
  registry().ops.push_back(this);
}

Op::~Op() {
  const std::lock_guard lock(registry().mutex);
  std::erase(registry().ops, this);
}

void Op::vjp(Vjp& r) const {
  throw GradError(fmt::format("{}: the op has no vjp rule", name_), r.node().where());
}

Tensor Op::jvp(Jvp& r) const {
  throw GradError(fmt::format("{}: the op has no jvp rule", name_), r.node().where());
}

std::string Op::written(const Node& node) const {
  if (*notation_) return notation_;
  std::string call = std::string(name_) + "(";
  for (std::size_t i = 0; i < node.inputs().size(); ++i)
    call += fmt::format("{}{{{}}}", i == 0 ? "" : ", ", i);
  return call + ")";
}

Tensor Op::replay(const Node& node, std::span<const Tensor>) const {
  throw GradError(fmt::format("{}: the op cannot be computed again from other inputs", name_),
                  node.where(), "override replay(); see docs/adding_an_op.md");
}

Tensor Op::written_out(const Node&, std::span<const Tensor>) const { return {}; }

std::vector<const Op*> all_ops() {
  const std::lock_guard lock(registry().mutex);
  std::vector<const Op*> ops = registry().ops;
  std::ranges::sort(ops,
                    [](const Op* a, const Op* b) { return std::strcmp(a->name(), b->name()) < 0; });
  return ops;
}

Application::~Application() = default;

const Tensor& Application::lend(Value* value, Node::SavedMask which, Node* node, Loan& loan) const {
  const char* op = node_.op()->name();
  if (!value) {
    if (node_.released())
      throw GradError(fmt::format("{}: its saved values were released by an earlier backward", op),
                      node_.where(), "pass {.retain_graph = true} to the first backward");
    throw GradError(
        fmt::format("{}: the gradient rule reads a value that the op does not save", op),
        node_.where(), "name it in the saved mask that the op passes to record()");
  }
  const std::uint32_t saved = node_.saved_version(which), now = value->version();
  if (saved != now) {
    const std::string_view name = node ? node->name() : std::string_view();
    throw GradError(
        fmt::format(
            "{}: the saved {} {}{}{} was written to after it was used: saved at version {}, "
            "now {}",
            op, which == Node::output ? "output" : "operand", name, name.empty() ? "" : " ",
            to_string(value->shape()), saved, now),
        node_.where(), "call backward() before the optimizer's step or any other write");
  }
  return loan.lend(value, recorded_ ? node : nullptr);
}

const Tensor& Application::in(std::size_t i) const {
  if (i >= quick_loans && !more_) more_ = std::make_unique<Loan[]>(input_count());
  return lend(node_.saved_input(i), detail::input(i), node_.inputs()[i],
              i < quick_loans ? inputs_[i] : more_[i]);
}

const Tensor& Application::out() const {
  if (out_forgotten_)
    throw GradError(
        fmt::format("{}: the gradient rule reads out() after drop_out()", node_.op()->name()),
        node_.where(), "call drop_out() behind the last use of the output");
  return lend(node_.saved_output(), Node::output, const_cast<Node*>(&node_), output_);
}

namespace detail {

void observe(const Op& op, const Ref<Value>& out, std::span<const Tensor* const> inputs,
             std::span<const std::byte> parameters, const Where& where) {
  Ref<Node> node = Node::make(op, static_cast<std::uint32_t>(inputs.size()), 0, parameters, *out,
                              mode.rule_of ? *mode.rule_of : where);
  node->fill([](std::size_t) { return nullptr; }, [](std::size_t) { return nullptr; }, nullptr);
  mode.observer->applied(std::move(node), inputs, out);
}

Tensor record_node(const Op& op, Ref<Value> out, std::span<const Tensor* const> inputs,
                   Node::SavedMask saved, std::span<const std::byte> parameters,
                   const Where& where) {
  // Besides what the rules read, the values that no node computes: with them the graph can be
  // computed again. Most of them are kept by others anyway: parameters, and the user's data.
  for (std::size_t i = 0; i < inputs.size() && i < Node::most_saved_inputs; ++i)
    if (inputs[i]->defined() && (!inputs[i]->requires_grad() || inputs[i]->node()->is_leaf()))
      saved |= input(i);
  Ref<Node> node = Node::make(op, static_cast<std::uint32_t>(inputs.size()), saved, parameters,
                              *out, mode.rule_of ? *mode.rule_of : where);
  node->fill([&](std::size_t i) { return inputs[i]->node(); },
             [&](std::size_t i) { return inputs[i]->value_ref().get(); }, out.get());
  return Tensor(std::move(out), std::move(node));
}

}  // namespace detail

Tensor record_provenance(const Op& op, Ref<Value> out, std::initializer_list<const Tensor*> inputs,
                         Node::SavedMask saved, const Where& where,
                         std::span<const std::byte> parameters) {
  const std::span all(inputs.begin(), inputs.size());
  if (detail::mode.observer) detail::observe(op, out, all, parameters, where);
  bool requires_grad = false;
  for (const Tensor* input : all) requires_grad |= input->requires_grad();
  if (detail::mode.recording && requires_grad)
    return detail::record_node(op, std::move(out), all, saved, parameters, where);
  if (!detail::mode.provenance) return Tensor(std::move(out));
  // A node without edges: it keeps the values that log() may want, and no graph.
  const Node::SavedMask kept = saved & ~Node::output;
  Ref<Node> node =
      Node::make(op, static_cast<std::uint32_t>(inputs.size()), kept, parameters, *out, where);
  node->fill([](std::size_t) { return nullptr; },
             [&](std::size_t i) { return all[i]->value_ref().get(); }, nullptr);
  return Tensor(std::move(out), std::move(node));
}

}  // namespace chainrule
