#include <chainrule/graph/derivation/rewrite.hpp>

#include <memory>
#include <unordered_map>
#include <utility>

namespace chainrule::derivation {

Expr with_operands(const Expr& expression, std::vector<Expr> operands) {
  if (operands == expression->operands) return expression;
  Expression copy = *expression;
  copy.operands = std::move(operands);
  return std::make_shared<Expression>(std::move(copy));
}

Expr rewritten(const Expr& expression, const Rewrite& rewrite) {
  std::unordered_map<const Expression*, Expr> done;
  visit_parts(expression, [&](const Expr& part) {
    std::vector<Expr> operands = part->operands;
    for (Expr& operand : operands)
      if (operand) operand = done.at(operand.get());
    done[part.get()] = rewrite(part, with_operands(part, std::move(operands)));
  });
  return done.at(expression.get());
}

}  // namespace chainrule::derivation
