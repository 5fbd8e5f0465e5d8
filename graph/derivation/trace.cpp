#include <chainrule/graph/derivation/trace.hpp>

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

namespace chainrule::derivation {

namespace {

// A formula of more symbols and operations gets parts with names.
constexpr int largest_without_name = 40;

}  // namespace

// Knows an expression for every value that the rules can meet: those that the graph saved, and
// those that they make. Holds what it knows, so that no other value gets the same place in memory.
class Trace::Watcher final : public Observer {
 public:
  explicit Watcher(const Trace& trace) {
    const Traversal& traversal = trace.traversal_;
    for (std::uint32_t i = 0; i < traversal.size(); ++i) {
      if (!trace.forward_[i]) continue;
      const Node& node = *trace.forward_[i]->application;
      for (std::size_t k = 0; k < node.inputs().size(); ++k) {
        Value* value = node.saved_input(k);
        if (!value) continue;
        know(Ref<Value>::share(value), trace.forward_[i]->operands[k]);
      }
      if (Value* value = node.saved_output(traversal.node(i).output_index()))
        know(Ref<Value>::share(value), tensor_expression(i, value->shape()));
    }
    // What a rule computes with though no formula gives it; it is what the op makes of its
    // operands.
    for (std::uint32_t i = 0; i < traversal.size(); ++i) {
      const Expr& forward = trace.forward_[i];
      for (std::size_t k = 0; forward && k < Node::most_intermediates; ++k)
        if (Value* value = forward->application->saved_intermediate(k))
          know(Ref<Value>::share(value),
               operation_expression(forward->application, forward->operands, value->shape(),
                                    forward->application->output_count() + k));
    }
    // Of several outputs those that the loss was not computed from.
    for (std::uint32_t i = 0; i < traversal.size(); ++i) {
      const Expr& forward = trace.forward_[i];
      if (!traversal.node(i).is_output() || !forward) continue;
      for (std::size_t k = 0; k < forward->application->output_count(); ++k)
        if (Value* value = forward->application->saved_output(k))
          know(Ref<Value>::share(value),
               operation_expression(forward->application, forward->operands, value->shape(), k));
    }
  }

  void applied(Ref<Node> application, Operands inputs,
               std::span<const Ref<Value>> outputs) override {
    if (known_.contains(outputs[0].get())) return;  // a view of all of it
    std::vector<Expr> operands;
    for (const Tensor* input : inputs)
      operands.push_back(input->defined() ? of(input->value_ref()) : nullptr);
    for (std::size_t k = 0; k < outputs.size(); ++k)
      know(outputs[k], operation_expression(application, operands, outputs[k]->shape(), k));
  }

  Expr of(const Ref<Value>& value) {
    const auto found = known_.find(value.get());
    if (found != known_.end()) return found->second;
    Expr constant = constant_expression(Tensor(value));
    know(value, constant);
    return constant;
  }

  void name(const Ref<Value>& value, Expr expression) {
    known_[value.get()] = std::move(expression);
  }

 private:
  void know(Ref<Value> value, Expr expression) {
    if (known_.emplace(value.get(), std::move(expression)).second)
      held_.push_back(std::move(value));
  }

  std::unordered_map<const Value*, Expr> known_;
  std::vector<Ref<Value>> held_;
};

Trace::Trace(const Tensor& loss, std::span<const Tensor> asked, const char* caller,
             const Where& where)
    : traversal_(std::span(&loss, 1), Traversal::Visit::everything),
      replay_(traversal_, std::span(&loss, 1), caller, where),
      forward_(size()),
      gradients_(size()),
      named_(size()) {
  for (std::uint32_t i = 0; i < size(); ++i) {
    // An application of several outputs is shown where each of them is.
    if (!replay_.computed(i) || traversal_.node(i).output_count() > 1) continue;
    const std::uint32_t at = traversal_.node(i).is_output() ? traversal_.edges(i)[0] : i;
    const Node& node = traversal_.node(at);
    std::vector<Expr> operands;
    const auto edges = traversal_.edges(at);
    for (std::size_t k = 0; k < edges.size(); ++k) {
      const Tensor& value = replay_.operand(at, k);
      if (edges[k] != Traversal::none)
        operands.push_back(tensor_expression(edges[k], value.shape()));
      else
        operands.push_back(value.defined() ? constant_expression(value) : nullptr);
    }
    Ref<Node> application = Ref<Node>::share(const_cast<Node*>(&node));
    forward_[i] =
        operation_expression(std::move(application), std::move(operands),
                             traversal_.node(i).shape(), traversal_.node(i).output_index());
  }

  std::unordered_set<const Node*> wanted;
  for (const Tensor& tensor : asked) wanted.insert(tensor.node());
  std::vector<Tensor> stops;
  for (std::uint32_t i = 0; i < size(); ++i) {
    Node& node = traversal_.node(i);
    if (!node.requires_grad() || i == traversal_.output(0)) continue;
    named_[i] = node.is_leaf() || !node.name().empty();
    named_[i] = named_[i] || wanted.contains(&node);
    if (named_[i]) stops.push_back(Tensor(Ref<Value>(), Ref<Node>::share(&node)));
  }

  Watcher watcher(*this);
  const Traversal differentiable(std::span(&loss, 1), Traversal::Visit::differentiable);
  for (std::uint32_t i = 0; i < size(); ++i) places_[&traversal_.node(i)] = i;
  {
    const Observing observing(watcher);
    detail::sweep(
        differentiable, loss, stops, caller,
        [&](std::size_t at, const Tensor& g) {
          const std::uint32_t i = places_.at(&differentiable.node(at));
          passed_.push_back(i);
          gradients_[i] = watcher.of(g.value_ref());
          const Expression::Kind kind = gradients_[i]->kind;
          if (named_[i] && kind != Expression::Kind::gradient && kind != Expression::Kind::number)
            watcher.name(g.value_ref(), gradient_expression(i, g.shape()));
        },
        where);
  }
  // What no rule gave anything for has a gradient of zeros.
  for (std::uint32_t i = 0; i < size(); ++i) {
    if (gradients_[i] || !node(i).is_leaf() || !node(i).requires_grad()) continue;
    gradients_[i] = number_expression(0, node(i).shape());
    passed_.push_back(i);
  }
  name_shared();
  std::vector<Tensor> tensors;
  for (std::uint32_t i = 0; i < size(); ++i) tensors.push_back(replay_.value(i));
  environment_ = at(std::move(tensors));
}

// Gradients of results without a name that several formulas are made from get one of their own.
void Trace::name_shared() {
  std::unordered_map<const Expression*, int> uses;
  std::unordered_set<const Expression*> seen, named_already;
  for (const std::uint32_t i : passed_) {
    if (!named_[i]) continue;
    ++uses[gradients_[i].get()];
    named_already.insert(gradients_[i].get());
    visit_parts(
        gradients_[i],
        [&](const Expr& part) {
          if (!seen.insert(part.get()).second) return;
          for (const Expr& operand : part->operands)
            if (operand) ++uses[operand.get()];
        },
        [&](const Expr& part) { return !seen.contains(part.get()); });
  }
  Replacements symbols;
  for (const std::uint32_t i : passed_) {
    const Expr formula = gradients_[i];
    // As it stands in terms of those that were named before.
    gradients_[i] = replaced(formula, symbols);
    if (formula->kind != Expression::Kind::operation || symbols.contains(formula.get()) ||
        named_already.contains(formula.get()))
      continue;
    bool has_symbols = false;
    visit_parts(gradients_[i], [&](const Expr& part) {
      has_symbols |= part->kind == Expression::Kind::tensor ||
                     part->kind == Expression::Kind::gradient ||
                     part->kind == Expression::Kind::constant;
    });
    const bool shared = uses[formula.get()] > 1 && has_symbols;
    if (!shared && size_of(gradients_[i]) <= largest_without_name) continue;
    symbols[formula.get()] = gradient_expression(i, formula->shape);
    named_[i] = true;
  }
}

Environment Trace::at(std::vector<Tensor> tensors, const Replay::Adjust& adjust) const {
  Environment environment{std::move(tensors), std::vector<Tensor>(size())};
  for (const std::uint32_t i : passed_)
    if (named_[i]) environment.gradients[i] = evaluate(gradients_[i], environment, adjust);
  return environment;
}

std::vector<std::uint32_t> Trace::order() const {
  // A leaf is done when the first operation that used it has been passed.
  std::vector<std::uint32_t> used_at(size(), Traversal::none);
  for (std::uint32_t i = 0; i < size(); ++i)
    for (const std::uint32_t edge : traversal_.edges(i))
      if (edge != Traversal::none && used_at[edge] == Traversal::none) used_at[edge] = i;
  std::vector<std::uint32_t> order = passed_;
  // Weights before biases: of those that belong together, the larger first.
  const auto key = [&](std::uint32_t i) { return node(i).is_leaf() ? used_at[i] : i; };
  std::ranges::stable_sort(order, [&](std::uint32_t a, std::uint32_t b) {
    return key(a) != key(b) ? key(a) > key(b) : node(b).is_leaf() && !node(a).is_leaf();
  });
  // W·x + b: the parameters of one layer form a group.
  for (auto begin = order.begin(); begin != order.end();) {
    const auto is_break = [&](std::uint32_t i) {
      if (node(i).is_leaf()) return false;
      const bool of_one_layer =
          forward_[i]->is(Role::Kind::sum) || forward_[i]->is(Role::Kind::matrix_product);
      return named_[i] || !of_one_layer;
    };
    const auto end = std::find_if(begin, order.end(), is_break);
    const auto leaves =
        std::stable_partition(begin, end, [&](std::uint32_t i) { return !node(i).is_leaf(); });
    std::stable_sort(leaves, end, [&](std::uint32_t a, std::uint32_t b) {
      return node(a).shape().numel() > node(b).shape().numel();
    });
    begin = end == order.end() ? end : end + 1;
  }
  return order;
}

std::uint32_t Trace::find(const Node* node) const {
  const auto found = places_.find(node);
  return found == places_.end() ? Traversal::none : found->second;
}

}  // namespace chainrule::derivation
