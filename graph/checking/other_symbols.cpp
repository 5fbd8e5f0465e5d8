#include <chainrule/graph/checking/other_symbols.hpp>

#include <algorithm>

#include <chainrule/graph/derivation/compare.hpp>

namespace chainrule::derivation {

using Kind = Expression::Kind;

namespace {

// Whether a function of it, as this slope is one of, has a name.
bool is_known_by_result(const Trace& trace, std::uint32_t i, const Expr& slope) {
  for (std::uint32_t j = i + 1; j < trace.size(); ++j)
    if (const Expr& e = trace.forward(j);
        e && !trace.node(j).name().empty() && e->op() == slope->op() && e->operands.size() == 1 &&
        e->operands[0] && e->operands[0]->kind == Kind::tensor && e->operands[0]->node == i)
      return true;
  return false;
}

}  // namespace

bool may_stand_for(const Trace& trace, const Environment& point, std::uint32_t target,
                   std::uint32_t i, const Expr& symbol) {
  const Expression& e = symbol->kind == Kind::slope ? *symbol->operands[0] : *symbol;
  if (!e.is_symbol() || i == e.node) return false;
  if (trace.node(i).name().empty() && !trace.node(i).is_leaf() &&
      !(symbol->kind == Kind::slope && trace.node(i).shape() == e.shape &&
        is_known_by_result(trace, i, symbol)))
    return false;
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
