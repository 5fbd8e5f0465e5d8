#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include <chainrule/core/node.hpp>
#include <chainrule/core/role.hpp>
#include <chainrule/core/tensor.hpp>
#include <chainrule/graph/replay.hpp>

/// Formulas over the tensors of a recorded graph and their gradients.
namespace chainrule::derivation {

struct Expression;
/// Immutable and shared: a common part of two formulas is one expression.
using Expr = std::shared_ptr<const Expression>;

struct Expression {
  enum class Kind : std::uint8_t {
    tensor,     ///< node `node` of the graph
    gradient,   ///< the gradient of the loss for it
    constant,   ///< `value`, which has no node
    number,     ///< `number`, in every element
    operation,  ///< the op of `application` applied to `operands`
    slope,      ///< the derivative of the elementwise op of `application` at operand 0
  };
  Kind kind;
  Shape shape;
  std::uint32_t node = 0;
  double number = 0;
  std::string name{};          ///< of a number that has one: the extent N
  Tensor value{};              ///< of a constant; floating ones in f64
  std::uint64_t elements = 0;  ///< what its elements are, in short: the same for equal ones
  Ref<Node> application{};  ///< for the op, its parameters, the output's shape and the line alone
  std::vector<Expr> operands{};  ///< null: the operation was done without this one
  /// Which result of an operation that has several; behind these, which value that it saved.
  std::size_t output = 0;

  /// Iterative: a chain of a million parts is an ordinary expression.
  ~Expression();
  /// Whether it stands for a tensor of the graph, or for the gradient of one.
  bool is_symbol() const noexcept { return kind == Kind::tensor || kind == Kind::gradient; }
  const Op* op() const noexcept { return application ? application->op() : nullptr; }
  /// Whether it is no result of the operation, but what that computed on the way.
  bool is_saved() const noexcept {
    return application && kind == Kind::operation && output >= application->output_count();
  }
  /// What an operation is in algebra; Role::Kind::other for everything else.
  Role role() const;
  bool is(Role::Kind role) const { return this->role().is(role); }
  /// Whether it is an operation that is done element by element, or the slope of one.
  bool is_elementwise() const;
  /// The notation of an operation, with {0}, {1} … for its operands.
  std::string written() const;
  /// What an operation is in simpler ones, computed from values of its operands; undefined where
  /// the op does not say it.
  Tensor written_out(std::span<const Tensor> values) const;
};

Expr tensor_expression(std::uint32_t node, const Shape& shape);
Expr gradient_expression(std::uint32_t node, const Shape& shape);
/// A number where all elements are equal, else a constant.
Expr constant_expression(const Tensor& value);
Expr number_expression(double number, const Shape& shape);
/// An extent that a program has a name for, as a scalar.
Expr extent_expression(std::int64_t extent, std::string name);
/// Result `output`, of the given shape, of an application.
Expr operation_expression(Ref<Node> application, std::vector<Expr> operands, const Shape& shape,
                          std::size_t output = 0);
Expr operation_expression(Ref<Node> application, std::vector<Expr> operands);
Expr slope_expression(Ref<Node> application, Expr at);

/// What stands for the tensors and the gradients, in f64, by node.
struct Environment {
  std::vector<Tensor> tensors;
  std::vector<Tensor> gradients;
};

/// The value of an expression, in f64. Throws GradError when a gradient that it needs is undefined.
/// Every result on the way goes through `adjust`, and every constant and number of the expression
/// through `adjust_constants`, where they are given.
Tensor evaluate(const Expr& expression, const Environment& environment,
                const Replay::Adjust& adjust = {}, const Replay::Adjust& adjust_constants = {});

/// The same for each of its parts.
using Values = std::unordered_map<const Expression*, Tensor>;
Values values_of_parts(const Expr& expression, const Environment& environment,
                       const Replay::Adjust& adjust = {},
                       const Replay::Adjust& adjust_constants = {});
/// Adds those of the parts that are not among them, and returns how many elements these have.
std::int64_t add_values_of_parts(Values& values, const Expr& expression,
                                 const Environment& environment, const Replay::Adjust& adjust = {},
                                 const Replay::Adjust& adjust_constants = {});

/// The expression with others in the place of some of its parts; what does not change is shared.
using Replacements = std::unordered_map<const Expression*, Expr>;
Expr replaced(const Expr& expression, const Replacements& parts);

/// The number that all elements are, through what only moves elements and through arithmetic: −1 of
/// expand(−1), 0.1 of 1 / 10.
std::optional<double> number_in(const Expression& e, int depth = 0);

/// Those among `parts` that have an operand.
std::vector<Expr> users_of(const Expr& operand, std::span<const Expr> parts);
/// An operation with another operand of the same shape in the place of one; null for what is none.
Expr with_operand(const Expr& operation, const Expr& operand, const Expr& other);

/// A string that is the same for equal expressions, in every process; and those of all parts of
/// one.
std::string key_of(const Expr& expression);
using Keys = std::unordered_map<const Expression*, std::string>;
Keys keys_of(const Expr& expression);

/// How many operations and symbols a reader sees.
int size_of(const Expr& expression);

/// Calls f(expression) for every part of an expression and itself, operands first, each once.
/// Iterative, so that long chains do no harm.
/// Parts below one for which `into` says no are passed over.
void visit_parts(const Expr& expression, const std::function<void(const Expr&)>& f,
                 const std::function<bool(const Expr&)>& into = {});

}  // namespace chainrule::derivation
