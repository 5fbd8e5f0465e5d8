#pragma once

#include <map>
#include <unordered_set>
#include <utility>

#include <chainrule/graph/derivation/known_values.hpp>
#include <chainrule/graph/derivation/repeating.hpp>
#include <chainrule/graph/derivation/trace.hpp>

namespace chainrule::derivation {

/// Knows an expression for every value that the rules can meet: those that the graph saved, and
/// those that they make.
class Trace::Watcher final : public KnownValues {
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
    for (const Expr& forward : trace.forward_)
      if (forward) know_intermediates(forward->application, forward->operands);
    // Of several outputs those that the loss was not computed from.
    for (std::uint32_t i = 0; i < traversal.size(); ++i)
      if (const Expr& forward = trace.forward_[i]; forward && traversal.node(i).is_output())
        know_outputs(forward->application, forward->operands);
    // Data that is no tensor's value as well.
    for (const auto& [where, constant] : constants_)
      know(Ref<Value>::share(where.second), constant);
  }

 private:
  void check(const Node& application, Operands inputs,
             std::span<const Ref<Value>> outputs) override {
    check_known(application, inputs, outputs);
  }
  // What a rule reads has its node: several may share their elements.
  Expr operand(const Tensor& input) override {
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

  const Trace& trace_;
  // What an application was given without a node: a tensor that was detached shares its value with
  // the result that it was.
  std::map<std::pair<const Node*, Value*>, Expr> constants_;
  std::unordered_set<const Node*> applications_;
  const Node* rule_of_ = nullptr;
};

}  // namespace chainrule::derivation
