#include <chainrule/core/op.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <mutex>
#include <string>

#include <chainrule/core/fork.hpp>
#include <chainrule/core/observer.hpp>
#include <chainrule/core/other_result.hpp>
#include <chainrule/core/user_line.hpp>

namespace chainrule {

namespace {

struct Registry {
  std::mutex mutex;
  std::vector<const Op*> ops;
};

Registry& registry() {
  static Registry& the_registry = *new Registry;  // ops of other libraries may end after this one
  static const detail::HeldOverFork held(the_registry.mutex);
  return the_registry;
}

}  // namespace

Op::Op(const char* name, const char* notation) : name_(name), notation_(notation) {
  if (!*name)
    throw ValueError("op: an operation needs a name", Where(),
                     "messages, formulas and emitted code tell operations apart by it");
  const std::lock_guard lock(registry().mutex);
  for (const Op* other : registry().ops)
    if (std::strcmp(other->name(), name) == 0)
      throw ValueError(fmt::format("op: there is an operation called {} already", name), Where(),
                       "formulas and emitted code tell operations apart by their names: choose "
                       "another one");
  registry().ops.push_back(this);
}

Op::~Op() {
  const std::lock_guard lock(registry().mutex);
  std::erase(registry().ops, this);
}

namespace {

// Throws where an op is asked for what its class overrides because it has ended: then it is a mere
// Op, as the library's are in what runs behind the destructors of all globals.
void check_alive(const Op& op, const Where& where) {
  const std::lock_guard lock(registry().mutex);
  if (std::ranges::find(registry().ops, &op) == registry().ops.end())
    throw GradError(fmt::format("{}: the operation has ended already", op.name()), where,
                    "the library's operations live as long as globals do: use them in the "
                    "destructor of one or in std::atexit(), not in a [[gnu::destructor]] function");
}

}  // namespace

void Op::infer(Inference& call) const {
  check_alive(*this, call.where());
  throw GradError(
      fmt::format("{}: the op has no infer(), which says its results: it can neither be "
                  "applied nor computed again",
                  name_),
      call.where(), "override infer() and evaluate(); see docs/adding_an_op.md");
}

void Op::evaluate(Evaluation& call) const {
  check_alive(*this, call.where());
  throw GradError(fmt::format("{}: the op does not say how it is computed", name_), call.where(),
                  "override evaluate(); see docs/adding_an_op.md");
}

void Op::vjp(Vjp& r) const {
  check_alive(*this, r.node().where());
  throw GradError(fmt::format("{}: the op has no vjp rule", name_), r.node().where(),
                  "override vjp(), or say by differentiable() that the op has no gradient; see "
                  "docs/adding_an_op.md");
}

Tensor Op::jvp(Jvp& r) const {
  check_alive(*this, r.node().where());
  throw GradError(fmt::format("{}: the op has no jvp rule", name_), r.node().where(),
                  "override jvp(), which forward mode asks for; see docs/adding_an_op.md");
}

std::string Op::written(const Node& node) const {
  if (*notation_) return notation_;
  std::string call = std::string(name_) + "(";
  for (std::size_t i = 0; i < node.inputs().size(); ++i)
    call += fmt::format("{}{{{}}}", i == 0 ? "" : ", ", i);
  return call + ")";
}

std::string Op::written_output(const Node& node, std::size_t k) const {
  return fmt::format("{}[{}]", written(node), k);
}

Role Op::role(const Parameters&) const { return {}; }

Tensor Op::output_written_out(const Node&, std::span<const Tensor>, std::size_t) const {
  return {};
}

EigenForm Op::eigen(const Parameters&) const { return {}; }

Tensor Op::written_out(const Node&, std::span<const Tensor>) const { return {}; }

std::vector<const Op*> all_ops() {
  const std::lock_guard lock(registry().mutex);
  std::vector<const Op*> ops = registry().ops;
  std::ranges::sort(ops,
                    [](const Op* a, const Op* b) { return std::strcmp(a->name(), b->name()) < 0; });
  return ops;
}

namespace detail {

namespace {

struct Output final : Op {
  Output() noexcept : Op(Unlisted{}, "output") {}
  std::vector<Sample> samples() const override { return {}; }
};
CHAINRULE_EARLY const Output the_output;

const auto nothing = [](std::size_t) { return nullptr; };

const Where& line_of(const Call& call) noexcept { return user_line(call.where()); }

void mark_left_out(Node& node, const Call& call) {
  for (std::size_t i = 0; i < call.input_count(); ++i) {
    if (call.given(i)) continue;
    if (i >= Node::most_optional)
      throw ValueError(fmt::format("{}: operand {} was left out, but only the first {} can be",
                                   call.name(), i, Node::most_optional),
                       call.where(), "operands that can be left out stand before the others");
    node.leave_out(i);
  }
}

constexpr Node::SavedMask first_bits(std::size_t count, std::size_t most) noexcept {
  return (Node::SavedMask{1} << std::min(count, most)) - 1;
}

// An op's reads() may name what the call has, and nothing else.
void check_reads(const Call& call, std::size_t outputs, std::size_t saved, Node::SavedMask reads) {
  const Node::SavedMask there = first_bits(call.input_count(), Node::most_saved_inputs) |
                                first_bits(outputs, Node::most_outputs) * Node::output_at(0) |
                                first_bits(saved, Node::most_intermediates) * Node::intermediate(0);
  // What is beyond is everything; of a call that has as much, too, as it may have more.
  if (reads == Node::beyond) [[unlikely]]
    throw GradError(
        fmt::format(
            "{}: reads() names more than a node keeps: the first {} operands, {} results and "
            "{} saved values",
            call.name(), Node::most_saved_inputs, Node::most_outputs, Node::most_intermediates),
        call.where(),
        "join what the rules read into fewer tensors, or compute it again from the operands");
  if ((reads & ~there) == 0) [[likely]]
    return;
  throw GradError(
      fmt::format("{}: reads() names what the op does not have: of {} operands, {} outputs and {} "
                  "saved values, bit {}",
                  call.name(), call.input_count(), outputs, saved,
                  std::countr_zero(reads & ~there)),
      call.where(),
      "name Node::input(i), Node::output_at(k) and Node::intermediate(k) of the call");
}

}  // namespace

const Op& output_op() noexcept { return the_output; }

namespace {

// λ or y, or little arithmetic with them: 1 − λ, λ / (2 ν), X − μ. What has gone through more is
// data, so that one which a loop carries on keeps no history.
bool is_made_of_names(const Node& node, int most_operations) noexcept {
  if (node.requires_grad() || !is_floating(node.dtype())) return false;
  if (node.is_leaf()) return !node.name().empty();
  if (most_operations == 0) return false;
  bool any = false;
  for (const Node* input : node.inputs()) {
    if (!input) continue;
    if (!is_made_of_names(*input, most_operations - 1)) return false;
    any = true;
  }
  return any;
}

}  // namespace

// Of one operand whatever has a place in the graph; of several, numbers, and data with names that
// is not large, as the result keeps it.
bool follow_names(Operands inputs) noexcept {
  constexpr int most_operations = 2;
  constexpr std::int64_t most_elements = 1 << 16;
  // What only remembers for log() what it is of has no place in it.
  const auto is_in_graph = [](const Node* node) {
    return node->is_leaf() || std::ranges::any_of(node->inputs(), [](Node* n) { return n; });
  };
  if (inputs.size() < 2) return is_in_graph(inputs[0]->node());
  return std::ranges::all_of(inputs, [&](const Tensor* input) {
    if (!input->defined() || !is_floating(input->dtype())) return false;
    const Value& value = *input->value_ref();
    const Node* node = input->node();
    return value.numel() <= most_elements &&
           (node ? is_made_of_names(*node, most_operations) : value.rank() == 0);
  });
}

void observe(const Call& call, Results outputs) {
  Ref<Node> node =
      Node::make(call.op(), static_cast<std::uint32_t>(call.input_count()), 0, call.parameters(),
                 *outputs[0], line_of(call), static_cast<std::uint32_t>(outputs.size()));
  node->fill(nothing, nothing, nothing);
  mark_left_out(*node, call);
  mode.observer->applied(std::move(node), call.inputs(), outputs);
}

void mark_mask(const Call& call, Value& out) noexcept {
  if (out.dtype() != boolean || out.owner() != &out) return;
  int masks = 0, compared = 0;
  for (const Tensor* input : call.inputs()) {
    if (!input->defined() || input->value_ref()->dtype() != boolean) continue;
    ++masks;
    compared += input->value_ref()->compared() ? 1 : 0;
  }
  // Two of them together are no comparison any more.
  if (masks == 0 ? call.input_count() > 0 : masks == 1 && compared == 1) out.set_compared();
}

// Besides what the rules read, a node keeps the values that no node computes: with them the graph
// can be computed again. Most of them are kept by others anyway: parameters, and the user's data.
Ref<Node> make_node(const Call& call, Results outputs, Results saved, Node::SavedMask reads) {
  const Operands inputs = call.inputs();
  check_reads(call, outputs.size(), saved.size(), reads);
  const Node::SavedMask for_rules = reads;
  bool all_given = true;
  for (std::size_t i = 0; i < inputs.size() && i < Node::most_saved_inputs; ++i) {
    const Tensor& input = *inputs[i];
    if (!input.defined()) {
      all_given = false;
      reads &= ~Node::input(i);
    } else if (const Node* node = input.node();
               !node || !node->requires_grad() || node->is_leaf()) {
      reads |= Node::input(i);
    }
  }
  Ref<Node> node =
      Node::make(call.op(), static_cast<std::uint32_t>(inputs.size()), reads, call.parameters(),
                 *outputs[0], line_of(call), static_cast<std::uint32_t>(outputs.size()));
  node->fill([&](std::size_t i) { return inputs[i]->node(); },
             [&](std::size_t i) { return inputs[i]->value_ref().get(); },
             [&](std::size_t k) {
               return (k < outputs.size() ? outputs[k] : saved[k - outputs.size()]).get();
             },
             reads & ~for_rules);
  if (!all_given) mark_left_out(*node, call);
  return node;
}

void throw_several(const Inference& call) {
  throw GradError(fmt::format("{}: apply() gives one result, but infer() says {}", call.name(),
                              call.output_count()),
                  call.where(), "call apply_several(op, inputs, parameters, where)");
}

Tensor record_node(const Call& call, Ref<Value> out, Results saved, Node::SavedMask reads) {
  return naming_memory(call.name(), line_of(call), [&] {
    Ref<Node> node = make_node(call, std::span(&out, 1), saved, reads);
    return Tensor(std::move(out), std::move(node));
  });
}

// A node without edges: it keeps the values that log() may want, and no graph.
Tensor remember(const Call& call, const Tensor& what, Ref<Value> out) {
  return naming_memory(call.name(), call.where(), [&] {
    Ref<Node> node = Node::make(call.op(), static_cast<std::uint32_t>(call.input_count()),
                                Node::input(0), call.parameters(), *out, call.where());
    node->fill(nothing, [&](std::size_t) { return what.value_ref().get(); }, nothing);
    return Tensor(std::move(out), std::move(node));
  });
}

}  // namespace detail

namespace {

std::vector<Tensor> several_results(const Op& op, Operands inputs, const Parameters& parameters,
                                    const Where& where) {
  Inference inference(op, inputs, parameters, where);
  op.infer(inference);
  Evaluation evaluation(inference);
  if (!evaluation.only_views()) op.evaluate(evaluation);
  if (inference.output_count() == 1)
    return {finish(op, inference, evaluation.take_out(), evaluation.saved_values())};
  std::vector<Ref<Value>, memory::Pool<Ref<Value>>> results;
  for (std::size_t k = 0; k < inference.output_count(); ++k)
    results.push_back(evaluation.out_ref(k));
  if (detail::mode.observer) detail::observe(inference, results);
  Ref<Node> application;
  if (op.differentiable() && detail::mode.recording && detail::any_requires_grad(inputs))
    application =
        detail::make_node(inference, results, evaluation.saved_values(), op.reads(inference));
  std::vector<Tensor> tensors;
  for (std::size_t k = 0; k < results.size(); ++k) {
    const bool has_gradient = application && is_floating(results[k]->dtype());
    tensors.emplace_back(results[k],
                         has_gradient ? Node::output_of(application, k, *results[k]) : Ref<Node>());
  }
  return tensors;
}

}  // namespace

std::vector<Tensor> apply_several(const Op& op, Operands inputs, const Parameters& parameters,
                                  const Where& where) {
  return detail::naming_op(op.name(), where,
                           [&] { return several_results(op, inputs, parameters, where); });
}

namespace {

std::vector<const Tensor*> operands_of(std::span<const Tensor> inputs) {
  std::vector<const Tensor*> operands;
  for (const Tensor& input : inputs) operands.push_back(&input);
  return operands;
}

}  // namespace

Tensor saved_again(const Node& node, std::span<const Tensor> inputs, std::size_t k) {
  return detail::naming_op(node.op()->name(), node.where(), [&] {
    const std::vector<const Tensor*> operands = operands_of(inputs);
    Inference inference(*node.op(), operands, node.parameters(), node.where());
    node.op()->infer(inference);
    Evaluation evaluation(inference);
    node.op()->evaluate(evaluation);
    static_cast<void>(evaluation.saved(k));
    return Tensor(evaluation.saved_ref(k));
  });
}

void detail::throw_other_result(std::string_view op, std::string_view said, std::string_view says,
                                const Where& where) {
  throw GradError(
      fmt::format("{}: infer() does not repeat: it said {}, and says {} for the same operands", op,
                  said, says),
      where, "let the operands and the parameters alone say what the results are");
}

namespace {

[[noreturn]] void throw_other_count(const Node& node, std::size_t count) {
  const std::size_t said = node.output_count();
  detail::throw_other_result(
      node.op()->name(),
      fmt::format("{} result{} when it was recorded", said, said == 1 ? "" : "s"),
      std::to_string(count), node.where());
}

}  // namespace

Tensor apply_again(const Node& node, std::span<const Tensor> inputs, std::size_t k) {
  if (node.is_leaf() || k >= node.output_count())
    throw GradError(fmt::format("apply_again: {} has no result {}",
                                node.is_leaf() ? "a leaf" : node.op()->name(), k),
                    node.where(), "results of an operation are counted from 0; a leaf is none");
  const std::vector<const Tensor*> operands = operands_of(inputs);
  if (node.output_count() > 1) {
    std::vector<Tensor> results =
        apply_several(*node.op(), operands, node.parameters(), node.where());
    if (results.size() != node.output_count()) throw_other_count(node, results.size());
    return std::move(results[k]);
  }
  return apply(*node.op(), operands, node.parameters(), node.where());
}

void apply_again_into(std::span<Ref<Value>> results, const Node& node,
                      std::span<const Tensor> inputs) {
  detail::naming_op(node.op()->name(), node.where(), [&] {
    const std::vector<const Tensor*> operands = operands_of(inputs);
    Inference inference(*node.op(), operands, node.parameters(), node.where());
    node.op()->infer(inference);
    if (inference.output_count() != node.output_count())
      throw_other_count(node, inference.output_count());
    Evaluation evaluation(inference, results, {});
    if (!evaluation.only_views()) node.op()->evaluate(evaluation);
    for (std::size_t k = 0; k < results.size(); ++k) results[k] = evaluation.out_ref(k);
  });
}

}  // namespace chainrule
