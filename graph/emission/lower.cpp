#include <chainrule/graph/emission/lower.hpp>

#include <unordered_set>

#include <chainrule/core/create.hpp>
#include <chainrule/core/op.hpp>
#include <chainrule/graph/backward.hpp>
#include <chainrule/graph/derivation/build.hpp>
#include <chainrule/ops/elementwise/activations.hpp>
#include <chainrule/ops/elementwise/log.hpp>
#include <chainrule/ops/nn/softmax.hpp>
#include <chainrule/ops/reduce/reduction.hpp>

namespace chainrule::emission {

using derivation::Builder;
using derivation::Environment;
using derivation::Trace;

namespace {

// The logarithm of what is known to come from exponentials of z, in a form that is exact where they
// underflow.
Tensor stable_log(const Expression& origin, const Tensor& x, const Tensor& z) {
  if (origin.is_op("softmax"))
    return log_softmax(z, origin.application->parameters<detail::SoftmaxParameters>().axis);
  if (origin.is_op("sigmoid")) return log_sigmoid(z);
  if (origin.is_op("sum")) {
    const auto& p = origin.application->parameters<detail::ReduceParameters>();
    return logsumexp(z, Axes::of_mask(p.mask), p.keepdim);
  }
  return log(x);
}

Expr written_out(const Expr& e, const Trace* trace, const Environment& environment) {
  Builder builder(environment);
  std::vector<Tensor> values;
  for (const Expr& operand : e->operands)
    values.push_back(operand ? builder.value(operand) : Tensor());
  bool any = false;
  const Expr longer = builder.build([&] {
    if (e->is_op("stable_log")) {
      const Expr& x = e->operands[0];
      const bool is_tensor = x->kind == Expression::Kind::tensor;
      const Expr origin = is_tensor && trace ? trace->forward(x->node) : x;
      any = true;
      return origin && origin->kind == Expression::Kind::operation
                 ? stable_log(*origin, values[0], values[1])
                 : log(values[0]);
    }
    const Tensor result = e->op()->written_out(*e->application, values);
    any = result.defined();
    return any ? result : values[0];
  });
  return any ? longer : nullptr;
}

Expr lowered(const Expr& expression, const Trace* trace, const Environment& environment) {
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
      if (Expr longer = written_out(e, trace, environment)) simpler[e.get()] = std::move(longer);
    });
    if (simpler.empty()) return now;
    now = replaced(now, simpler);
  }
}

}  // namespace

Expr lowered(const Expr& expression, const Trace& trace) {
  return lowered(expression, &trace, trace.environment());
}

Slope slope_formula(const Expression& slope, bool scalar) {
  const Tensor at = scalar ? tensor(0.3, f64) : tensor({{0.3, 0.6}, {0.4, 0.7}}, f64);
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
    const Tensor y = slope.op()->replay(*slope.application, std::span(&z, 1));
    return grad(sum(y), z).detach();
  });
  result.formula = lowered(raw, nullptr, nothing);
  return result;
}

}  // namespace chainrule::emission
