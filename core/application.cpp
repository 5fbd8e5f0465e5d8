#include <chainrule/core/application.hpp>

#include <fmt/format.h>

#include <bit>
#include <new>
#include <string>
#include <vector>

#include <chainrule/core/allocator.hpp>
#include <chainrule/core/op.hpp>

namespace chainrule {

const Tensor detail::undefined;

// Values of inputs behind the first ones, what was computed on the way, and several outputs.
struct Application::Rare {
  using Loans = std::vector<Loan, memory::Pool<Loan>>;
  Loans inputs, intermediates;
  std::vector<Tensor, memory::Pool<Tensor>> outputs;
};

Application::Rare& Application::rare() const {
  if (!rare_) rare_ = new (memory::allocate(sizeof(Rare))) Rare;
  return *rare_;
}

void Application::free_rare() noexcept {
  rare_->~Rare();
  memory::deallocate(rare_, sizeof(Rare));
}

namespace {

const char* kind_of(Node::SavedMask which) {
  return which >= Node::intermediate(0) ? "value" : which >= Node::output ? "output" : "operand";
}

// As a rule asks for it: "in(2)".
std::string asked_for(Node::SavedMask which) {
  const auto bit = static_cast<std::size_t>(std::countr_zero(which));
  if (which >= Node::intermediate(0))
    return fmt::format("saved({})", bit - Node::most_saved_inputs - Node::most_outputs);
  if (which >= Node::output) return fmt::format("out({})", bit - Node::most_saved_inputs);
  return fmt::format("in({})", bit);
}

}  // namespace

void Application::throw_unsaved(Node::SavedMask which) const {
  const char* op = node_.op()->name();
  if (!node_.saved(which) && node_.released())
    throw GradError(fmt::format("{}: its saved values were released by an earlier backward", op),
                    node_.where(), "pass {.retain_graph = true} to the first backward");
  throw GradError(fmt::format("{}: the gradient rule reads {}, which the op does not save", op,
                              asked_for(which)),
                  node_.where(), "name it in what the op's reads() returns");
}

void Application::throw_not_there(const char* what, std::size_t i, std::size_t count) const {
  throw GradError(fmt::format("{}: the gradient rule reads {}({}), and there {} {}, counted from 0",
                              node_.op()->name(), what, i, count == 1 ? "is" : "are",
                              count == 0 ? "none" : std::to_string(count)),
                  node_.where(), "in(i) is an operand that the op was applied to, out(k) a result");
}

void Application::throw_beyond(const char* what, std::size_t i, std::size_t most) const {
  throw GradError(fmt::format("{}: the gradient rule reads {}({}), and a node keeps the first {} "
                              "of these",
                              node_.op()->name(), what, i, most),
                  node_.where(),
                  "join what the rule reads into fewer tensors, or compute it again");
}

void Application::throw_no_node(std::size_t i) const {
  const char* op = node_.op()->name();
  if (i < input_count())
    throw GradError(fmt::format("{}: its rule asks for the shape of input {}, a constant", op, i),
                    node_.where(), fmt::format("save it in reads(), and ask in({}).shape()", i));
  throw GradError(fmt::format("{}: its rule asks for the shape of input {}, and there are {}", op,
                              i, input_count()),
                  node_.where(), "inputs are the operands of the op, counted from 0");
}

// Throws where a rule cannot read a saved value, and says why; `named` is the node of its tensor.
void Application::check_readable(Node::SavedMask which, const Node* named) const {
  const Node::SavedValue saved = node_.saved_as(which);
  const Value* value = saved.value;
  if (value && saved.for_rules() && saved.unchanged()) return;
  if (!value || !saved.for_rules()) throw_unsaved(which);
  const std::string_view name = named ? named->name() : std::string_view();
  const std::string how = saved.by_content()
                              ? "through what mutable_data() or an Eigen map of it gave before"
                              : fmt::format("saved at version {}, now {}",
                                            saved.version & Node::version_bits, value->version());
  throw GradError(
      fmt::format("{}: the saved {} {}{}{} was written to after it was used: {}",
                  node_.op()->name(), kind_of(which), name, name.empty() ? "" : " ",
                  to_string(value->shape()), how),
      node_.where(),
      "call backward() before the optimizer's step or any other write; a state that goes on into "
      "the next step is cut from the graph of the last one by s = s.detach()");
}

// The saved value that a rule reads, as it was.
inline Value* Application::checked(Node::SavedMask which, const Node* named) const {
  const Node::SavedValue saved = node_.saved_as(which);
  if (!saved.readable()) [[unlikely]]
    check_readable(which, named);
  return saved.value;
}

inline const Tensor& Application::lend(Node::SavedMask which, Node* node, Loan& loan) const {
  return loan.lend(checked(which, node), with_nodes_ ? node : nullptr);
}

const Tensor& Application::in(std::size_t i) const {
  if (!node_.saves_input(i)) [[unlikely]]
    throw_unsaved_input(i);
  Node* node = node_.inputs()[i];
  if (i < quick_loans) return lend(Node::input(i), node, inputs_[i]);
  return lend(Node::input(i), node, rare_input(i));
}

void Application::throw_unsaved_input(std::size_t i) const {
  if (i >= input_count()) throw_not_there("in", i, input_count());
  if (i < Node::most_saved_inputs) throw_unsaved(Node::input(i));
  throw_beyond("in", i, Node::most_saved_inputs);
}

Application::Loan& Application::rare_input(std::size_t i) const {
  Rare::Loans& more = rare().inputs;
  if (more.empty()) more = Rare::Loans(input_count());
  return more[i];
}

void Application::throw_forgotten() const {
  throw GradError(
      fmt::format("{}: the gradient rule reads out() after drop_out()", node_.op()->name()),
      node_.where(), "call drop_out() behind the last use of the output");
}

const Tensor& Application::out(std::size_t k) const {
  if (out_forgotten_) [[unlikely]]
    throw_forgotten();
  if (node_.output_count() > 1) [[unlikely]]
    return of_several(k);
  if (k != 0) [[unlikely]]
    throw_not_there("out", k, 1);
  return lend(Node::output, const_cast<Node*>(&node_), output_);
}

const Tensor& Application::of_several(std::size_t k) const {
  if (k >= node_.output_count()) throw_not_there("out", k, node_.output_count());
  if (k >= Node::most_outputs) throw_beyond("out", k, Node::most_outputs);
  auto& outputs = rare().outputs;
  outputs.resize(node_.output_count());
  Value* value = checked(Node::output_at(k), nullptr);
  Ref<Node> node;
  if (with_nodes_ && is_floating(value->dtype()))
    node = Node::output_of(Ref<Node>::share(const_cast<Node*>(&node_)), k, *value);
  outputs[k] = Tensor(Ref<Value>::share(value), std::move(node));
  return outputs[k];
}

const Tensor& Application::saved(std::size_t k) const {
  if (k == 0) return lend(Node::intermediate(0), nullptr, intermediate_);
  if (k >= Node::most_intermediates) throw_beyond("saved", k, Node::most_intermediates);
  Rare::Loans& intermediates = rare().intermediates;
  if (intermediates.empty()) intermediates = Rare::Loans(Node::most_intermediates);
  return lend(Node::intermediate(k), nullptr, intermediates[k]);
}

}  // namespace chainrule
