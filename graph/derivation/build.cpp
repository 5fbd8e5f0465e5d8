#include <chainrule/graph/derivation/build.hpp>

#include <chainrule/ops/kernels/elementwise/loops.hpp>

namespace chainrule::derivation {

Tensor Builder::value(const Expr& expression) {
  const auto found = values_.find(expression.get());
  if (found != values_.end()) return found->second;
  const Tensor* known = nullptr;
  if (known_values_)
    if (const auto at = known_values_->find(expression.get()); at != known_values_->end())
      known = &at->second;
  Tensor value = known ? *known : evaluate(expression, environment_);
  // Two expressions may have one value; each gets its own place.
  if (known_.contains(value.value_ref().get())) value = Tensor(kernels::copied(*value.value_ref()));
  known_[value.value_ref().get()] = expression;
  held_.push_back(value.value_ref());
  expressions_.push_back(expression);
  values_[expression.get()] = value;
  return value;
}

void Builder::applied(Ref<Node> application, Operands inputs, std::span<const Ref<Value>> outputs) {
  std::vector<Expr> operands;
  for (const Tensor* input : inputs)
    operands.push_back(input->defined() ? expression(*input) : nullptr);
  for (std::size_t k = 0; k < outputs.size(); ++k) {
    if (known_.contains(outputs[k].get())) continue;
    known_[outputs[k].get()] = operation_expression(application, operands, outputs[k]->shape(), k);
    held_.push_back(outputs[k]);
  }
}

Expr Builder::expression(const Tensor& value) {
  const auto found = known_.find(value.value_ref().get());
  if (found != known_.end()) return found->second;
  const Expr constant = constant_expression(value);
  known_[value.value_ref().get()] = constant;
  held_.push_back(value.value_ref());
  return constant;
}

Expr in_simpler_operations(const Expr& operation, const Environment& environment,
                           const Values* known) {
  Builder builder(environment, known);
  std::vector<Tensor> values;
  for (const Expr& operand : operation->operands)
    values.push_back(operand ? builder.value(operand) : Tensor());
  return builder.build([&] { return operation->written_out(values); });
}

}  // namespace chainrule::derivation
