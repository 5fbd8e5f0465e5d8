#pragma once

#include <unordered_map>
#include <utility>
#include <vector>

#include <chainrule/core/observer.hpp>
#include <chainrule/core/op.hpp>
#include <chainrule/graph/derivation/expression.hpp>

namespace chainrule::derivation {

/// Watches operations and knows an expression for every value that they read or make. Holds what it
/// knows, so that no other value gets the same place in memory.
class KnownValues : public Observer {
 public:
  void applied(Ref<Node> application, Operands inputs,
               std::span<const Ref<Value>> outputs) override {
    if (known_.contains(outputs[0].get())) return;  // a view of all of it
    check(*application, inputs, outputs);
    std::vector<Expr> operands;
    for (const Tensor* input : inputs)
      operands.push_back(input->defined() ? operand(*input) : nullptr);
    for (std::size_t k = 0; k < outputs.size(); ++k)
      know(outputs[k], operation_expression(application, operands, outputs[k]->shape(), k));
  }

  /// A constant where it is not known.
  Expr of(const Ref<Value>& value) {
    if (const auto found = known_.find(value.get()); found != known_.end()) return found->second;
    Expr constant = constant_expression(Tensor(value));
    know(value, constant);
    return constant;
  }

  /// What is known already stays.
  void know(Ref<Value> value, Expr expression) {
    if (known_.emplace(value.get(), std::move(expression)).second)
      held_.push_back(std::move(value));
  }
  /// Known by another expression from here on.
  void name(const Ref<Value>& value, Expr expression) {
    known_[value.get()] = std::move(expression);
  }
  /// The results that a node keeps for its rules.
  void know_outputs(const Ref<Node>& application, const std::vector<Expr>& operands) {
    for (std::size_t k = 0; k < application->output_count(); ++k)
      if (Value* value = application->saved_output(k))
        know(Ref<Value>::share(value),
             operation_expression(application, operands, value->shape(), k));
  }
  /// What it keeps of what evaluate() computed on the way: no formula gives it, and it is what the
  /// op makes of its operands.
  void know_intermediates(const Ref<Node>& application, const std::vector<Expr>& operands) {
    for (std::size_t k = 0; k < Node::most_intermediates; ++k)
      if (Value* value = application->saved_intermediate(k))
        know(Ref<Value>::share(value), operation_expression(application, operands, value->shape(),
                                                            application->output_count() + k));
  }

 protected:
  virtual Expr operand(const Tensor& input) { return of(input.value_ref()); }
  /// May throw where an application is none that a formula can say.
  virtual void check(const Node&, Operands, std::span<const Ref<Value>>) {}

 private:
  std::unordered_map<const Value*, Expr> known_;
  std::vector<Ref<Value>> held_;
};

}  // namespace chainrule::derivation
