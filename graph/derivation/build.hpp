#pragma once

#include <unordered_map>

#include <chainrule/core/observer.hpp>
#include <chainrule/graph/derivation/attempt.hpp>
#include <chainrule/graph/derivation/expression.hpp>

namespace chainrule::derivation {

/// Makes expressions by computing: an operation on values of known expressions gives a value whose
/// expression is known, too. So what is built has the right shapes, and its value to compare.
class Builder final : public Observer {
 public:
  /// Values are those at the environment, and of these expressions known already, where they are
  /// given. Both outlive this.
  explicit Builder(const Environment& environment, const Values* known = nullptr)
      : environment_(environment), known_values_(known) {}

  /// The value that stands for an expression from now on.
  Tensor value(const Expr& expression);
  /// The expression of a value that f() computes from values that value() gave; null for an
  /// undefined one.
  template <class F>
  Expr build(F&& f) {
    const Tensor result = [&] {
      const NoGrad guard;
      const Observing observing(*this);
      return f();
    }();
    return result.defined() ? expression(result) : nullptr;
  }

 private:
  void applied(Ref<Node> application, Operands inputs,
               std::span<const Ref<Value>> outputs) override;
  Expr expression(const Tensor& value);

  const Environment& environment_;
  const Values* known_values_;
  std::unordered_map<const Value*, Expr> known_;
  std::unordered_map<const Expression*, Tensor> values_;
  std::vector<Ref<Value>> held_;  // so that no other value gets their places
  std::vector<Expr> expressions_;
};

/// The expression that f(builder) computes at a point; null for an undefined one, and where an
/// operation does not take the values.
template <class F>
Expr built(const Environment& environment, F&& f) {
  return attempt([&] {
           Builder builder(environment);
           return builder.build([&] { return f(builder); });
         })
      .value_or(nullptr);
}

/// What an operation is in simpler ones, where its op says so; else null. The environment gives its
/// operands values, but for those that are known.
Expr in_simpler_operations(const Expr& operation, const Environment& environment,
                           const Values* known = nullptr);

}  // namespace chainrule::derivation
