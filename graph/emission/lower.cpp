#include <chainrule/graph/emission/lower.hpp>

#include <unordered_set>

#include <chainrule/core/op.hpp>
#include <chainrule/graph/backward.hpp>
#include <chainrule/graph/derivation/build.hpp>
#include <chainrule/ops/reduce/reduction.hpp>

namespace chainrule::emission {

using derivation::Builder;
using derivation::Environment;
using derivation::Trace;

namespace {

Expr lowered(const Expr& expression, const Environment& environment) {
  Expr now = expression;
  while (true) {
    derivation::Replacements simpler;
    std::unordered_set<const Expression*> changed;  // what has something in it that is replaced
    visit_parts(now, [&](const Expr& e) {
      for (const Expr& operand : e->operands)
        if (operand && (changed.contains(operand.get()) || simpler.contains(operand.get())))
          changed.insert(e.get());
      if (e->kind != Expression::Kind::operation || has_form(*e)) return;
      // Operands first: what stands around another is replaced in the next round.
      if (changed.contains(e.get())) return;
      if (Expr longer = derivation::in_simpler_operations(e, environment))
        simpler[e.get()] = std::move(longer);
    });
    if (simpler.empty()) return now;
    now = replaced(now, simpler);
  }
}

}  // namespace

Expr lowered(const Expr& expression, const Trace& trace) {
  return lowered(expression, trace.environment());
}

Slope slope_formula(const Expression& slope, const Tensor& at) {
  Slope result{std::make_shared<Expression>(Expression{
                   .kind = Expression::Kind::constant, .shape = at.shape(), .value = at}),
               nullptr};
  const Environment nothing;
  Builder builder(nothing);
  const Tensor x = builder.value(result.symbol);
  const Expr raw = builder.build([&] {
    detail::Mode recorded = detail::mode;  // and watched, as it is
    recorded.recording = true;
    const detail::ModeScope scope(recorded);
    const Tensor z = Tensor(x.value_ref()).requires_grad_();
    const Tensor y = apply_again(*slope.application, std::span(&z, 1));
    return grad(sum(y), z).detach();
  });
  result.formula = lowered(raw, nothing);
  return result;
}

}  // namespace chainrule::emission
