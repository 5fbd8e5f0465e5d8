#include <chainrule/graph/teaching/fitted.hpp>

#include <unordered_map>

#include <chainrule/core/op.hpp>
#include <chainrule/core/recording.hpp>
#include <chainrule/graph/derivation/attempt.hpp>
#include <chainrule/graph/in_f64.hpp>
#include <chainrule/graph/said_by_op.hpp>
#include <chainrule/ops/elementwise/convert.hpp>

namespace chainrule::teaching {

using derivation::Environment;
using derivation::Expr;
using derivation::Expression;
using Kind = Expression::Kind;

namespace {

class Fitted {
 public:
  Fitted(const Expr& formula, const derivation::Replacements& others,
         const Environment& environment)
      : others_(others), environment_(environment) {
    derivation::visit_parts(
        formula, [&](const Expr& part) { fit(part); },
        [&](const Expr& part) { return !others.contains(part.get()); });
    result_ = done_.at(formula.get()).expression;
  }
  const Expr& result() const noexcept { return result_; }

 private:
  struct Done {
    Expr expression;
    Tensor value;
  };

  void fit(const Expr& part) {
    Done& mine = done_[part.get()];
    const auto other = others_.find(part.get());
    mine.expression = other == others_.end() ? part : other->second;
    if (other != others_.end() || part->operands.empty()) {
      mine.value = evaluate(mine.expression, environment_);
      return;
    }
    std::vector<Expr> operands, values_of_operands;
    std::vector<Tensor> values;
    for (const Expr& e : part->operands) {
      operands.push_back(e ? done_.at(e.get()).expression : nullptr);
      values.push_back(e ? done_.at(e.get()).value : Tensor());
      values_of_operands.push_back(e ? derivation::constant_expression(values.back()) : nullptr);
    }
    const NoGrad guard;
    const Ref<Node>& application = part->application;
    if (part->kind == Kind::slope) {
      mine.expression = slope_expression(application, operands[0]);
      mine.value = evaluate(slope_expression(application, values_of_operands[0]), {});
      return;
    }
    if (part->is_saved())
      mine.value = evaluate(operation_expression(application, std::move(values_of_operands),
                                                 part->shape, part->output),
                            {});
    else if (detail::role_said(*application).is(Role::Kind::conversion))
      mine.value = is_floating(application->dtype()) ? to(values[0], f64) : values[0];
    else
      mine.value = detail::in_f64(apply_again(*application, values, part->output));
    if (operands != part->operands || mine.value.shape() != part->shape)
      mine.expression =
          operation_expression(application, std::move(operands), mine.value.shape(), part->output);
  }

  const derivation::Replacements& others_;
  const Environment& environment_;
  std::unordered_map<const Expression*, Done> done_;
  Expr result_;
};

}  // namespace

Expr fitted(const Expr& formula, const derivation::Replacements& others,
            const Environment& environment) {
  return derivation::attempt([&] { return Fitted(formula, others, environment).result(); })
      .value_or(nullptr);
}

}  // namespace chainrule::teaching
