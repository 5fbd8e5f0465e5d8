#include <chainrule/graph/checking/other_symbols.hpp>

#include <algorithm>

#include <chainrule/graph/derivation/compare.hpp>

namespace chainrule::derivation {

using Kind = Expression::Kind;

bool OtherSymbols::is_known_by_result(std::uint32_t i, const Op* function) {
  if (!known_by_result_) {
    known_by_result_.emplace();
    for (std::uint32_t j = 0; j < trace_.size(); ++j)
      if (const Expr& e = trace_.forward(j); e && !trace_.node(j).name().empty() &&
                                             e->operands.size() == 1 && e->operands[0] &&
                                             e->operands[0]->kind == Kind::tensor)
        known_by_result_->emplace(e->op(), e->operands[0]->node);
  }
  return known_by_result_->contains({function, i});
}

bool OtherSymbols::contain(std::uint32_t i, const Expr& symbol) {
  const Expression& e = symbol->kind == Kind::slope ? *symbol->operands[0] : *symbol;
  if (!e.is_symbol() || i == e.node) return false;
  if (trace_.node(i).name().empty() && !trace_.node(i).is_leaf() &&
      !(symbol->kind == Kind::slope && trace_.node(i).shape() == e.shape &&
        is_known_by_result(i, symbol->op())))
    return false;
  if (e.kind == Kind::gradient && (i == target_ || !point_.gradients[i].defined() ||
                                   trace_.gradient(i)->kind == Kind::gradient))
    return false;  // itself; and db = dz goes by the name of dz
  const Tensor& value = e.kind == Kind::gradient ? point_.gradients[i] : trace_.replay().value(i);
  return value.defined() && value.shape() == e.shape;
}

bool is_negative(const Expr& a, const Expr& b, const Environment& point) {
  return std::ranges::equal(numbers(evaluate(a, point)), numbers(evaluate(b, point)),
                            [](double x, double y) { return x == -y; });
}

Expr same_kind(const Expr& symbol, std::uint32_t i) {
  if (symbol->kind == Kind::slope)
    return slope_expression(symbol->application, tensor_expression(i, symbol->shape));
  return symbol->kind == Kind::gradient ? gradient_expression(i, symbol->shape)
                                        : tensor_expression(i, symbol->shape);
}

}  // namespace chainrule::derivation
