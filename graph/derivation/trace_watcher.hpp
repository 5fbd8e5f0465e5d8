#pragma once

#include <map>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include <chainrule/graph/derivation/repeating.hpp>
#include <chainrule/graph/derivation/trace.hpp>

namespace chainrule::derivation {

/// Knows an expression for every value that the rules can meet: those that the graph saved, and
/// those that they make. Holds what it knows, so that no other value gets the same place in memory.
class Trace::Watcher final : public Observer {
 public:
  explicit Watcher(const Trace& trace) : trace_(trace) {
    const Traversal& traversal = trace.traversal_;
    for (std::uint32_t i = 0; i < traversal.size(); ++i) {
      if (!trace.forward_[i]) continue;
      const Node& node = *trace.forward_[i]->application;
      applications_.insert(&node);
      for (std::size_t k = 0; k < node.inputs().size(); ++k) {
        Value* value = node.saved_input(k);
        if (!value) continue;
        const Expr& operand = trace.forward_[i]->operands[k];
        if (node.inputs()[k])
          know(Ref<Value>::share(value), operand);
        else
          constants_.emplace(std::pair(&node, value), operand);
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
    // Data that is no tensor's value as well.
    for (const auto& [where, constant] : constants_)
      know(Ref<Value>::share(where.second), constant);
  }

  void applied(Ref<Node> application, Operands inputs,
               std::span<const Ref<Value>> outputs) override {
    if (known_.contains(outputs[0].get())) return;  // a view of all of it
    check_known(*application, inputs, outputs);
    std::vector<Expr> operands;
    for (const Tensor* input : inputs) operands.push_back(operand(*input));
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
  // What a rule reads has its node: several may share their elements.
  Expr operand(const Tensor& input) {
    if (!input.defined()) return nullptr;
    if (const std::uint32_t i = trace_.find(input); i != Traversal::none)
      return tensor_expression(i, input.shape());
    if (const auto data = constants_.find({rule_of(), input.value_ref().get()});
        data != constants_.end() && !input.node())
      return data->second;
    return of(input.value_ref());
  }
  // The application of the trace whose rule runs, maybe by way of derivatives within it.
  const Node* rule_of() {
    const Node* node = detail::mode.rule_of;
    if (applications_.contains(node)) rule_of_ = node;
    return rule_of_;
  }
  void know(Ref<Value> value, Expr expression) {
    if (known_.emplace(value.get(), std::move(expression)).second)
      held_.push_back(std::move(value));
  }

  const Trace& trace_;
  // What an application was given without a node: a tensor that was detached shares its value with
  // the result that it was.
  std::map<std::pair<const Node*, Value*>, Expr> constants_;
  std::unordered_set<const Node*> applications_;
  const Node* rule_of_ = nullptr;
  std::unordered_map<const Value*, Expr> known_;
  std::vector<Ref<Value>> held_;
};

}  // namespace chainrule::derivation
