#include <chainrule/graph/checking/other_symbols.hpp>

#include <algorithm>

#include <chainrule/graph/derivation/compare.hpp>

namespace chainrule::derivation {

using Kind = Expression::Kind;

bool may_stand_for(const Trace& trace, const Environment& point, std::uint32_t target,
                   std::uint32_t i, const Expr& symbol) {
  const Expression& e = symbol->kind == Kind::slope ? *symbol->operands[0] : *symbol;
  if (!e.is_symbol() || i == e.node) return false;
  if (trace.node(i).name().empty() && !trace.node(i).is_leaf()) return false;
  if (e.kind == Kind::gradient &&
      (i == target || !point.gradients[i].defined() || trace.gradient(i)->kind == Kind::gradient))
    return false;  // itself; and db = dz goes by the name of dz
  const Tensor& value = e.kind == Kind::gradient ? point.gradients[i] : trace.replay().value(i);
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
