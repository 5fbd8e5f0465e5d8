#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <chainrule/core/row_gradient.hpp>
#include <chainrule/core/tensor.hpp>

namespace chainrule::nn {

/// The base of optimizers: what changes parameters by their gradients.
///
///     for (…) {
///       Tensor error = loss(model(x), target);
///       optimizer.zero_grad();
///       error.backward();
///       optimizer.step();
///     }
///
/// Of a parameter of which only a few rows were read, by take(), w[i] or w[slice(i, j)], the
/// gradient is these rows (Tensor::grad() says where it is not): an optimizer whose update leaves
/// alone what has no gradient (SGD without momentum and weight decay) costs what they cost, another
/// one as much as the whole parameter.
///
/// An optimizer writes into the parameters, in place and unrecorded, and moves their versions. Its
/// options hold for all of its parameters: where some are to have others (no weight decay for
/// biases, say, or a smaller learning rate), give each group an optimizer of its own.
class Optimizer {
 public:
  Optimizer(const Optimizer&) = delete;
  Optimizer& operator=(const Optimizer&) = delete;
  virtual ~Optimizer() = default;

  const std::vector<Tensor>& parameters() const noexcept { return parameters_; }
  /// One update of all parameters. Throws ValueError when the optimizer was moved from. Throws
  /// GradError and names the first parameter that has no gradient: usually one that the loss does
  /// not depend on, and that would silently not be trained. When missing gradients are allowed,
  /// such parameters stay as they are, and it throws only when none has a gradient. Throws
  /// MemoryError when there is none for the optimizer's state or the rows of a gradient. Whatever
  /// it throws, no parameter has changed, and step() can be called again.
  void step(Where where = Where::current());
  /// Removes the gradients of all parameters. Throws ValueError when the optimizer was moved from.
  void zero_grad(Where where = Where::current());
  /// How often step() was done.
  std::int64_t step_count() const noexcept { return step_count_; }

  double learning_rate() const noexcept { return learning_rate_; }
  /// For schedules. Throws ValueError for a negative rate, NaN and infinity (0 stands still), and
  /// when the optimizer was moved from.
  void set_learning_rate(double rate, Where where = Where::current());

 protected:
  /// `name` is for messages. Throws ValueError without parameters, for one undefined or given
  /// twice, for memory that must not be written and for a view that is not row-major, and unless
  /// the learning rate is positive and finite; GradError for a tensor that does not require
  /// gradients.
  Optimizer(const char* name, std::vector<Tensor> parameters, double learning_rate,
            bool allow_missing, const Where& where);
  Optimizer(Optimizer&&) noexcept = default;

  /// Makes the state that update() needs for parameter i, before any parameter is changed: the
  /// place for all that may fail.
  virtual void prepare(std::size_t i, const Value& parameter) = 0;
  /// Updates parameter i, whose elements are row-major as those of its gradient of the same shape
  /// and dtype. Recording is off, and step_count() and update_count(i) count this step already.
  /// Must not fail, or the parameters before this one are a step ahead.
  virtual void update(std::size_t i, Value& parameter, const Value& gradient) = 0;
  /// Whether update_rows() does the same as update() with a gradient that is zero but for some
  /// rows.
  virtual bool takes_rows() const noexcept { return false; }
  /// Updates parameter i, whose gradient is zero but for some rows; in all else as update().
  virtual void update_rows(std::size_t i, Value& parameter, const RowGradient& gradient);
  /// How many steps parameter i was updated in; step_count() unless gradients were missing.
  std::int64_t update_count(std::size_t i) const noexcept { return update_counts_[i]; }

  /// Throws ValueError unless the value is finite and `fits`: "SGD: the momentum -1 is negative or
  /// not finite", where `otherwise` says what it is; `hint` names a usual one.
  void check_option(const char* option, double value, bool fits, const char* otherwise,
                    const char* hint, const Where& where) const;

  const char* name() const noexcept { return name_; }
  /// "parameter 2, fc1.weight (32, 64),", for messages.
  std::string describe_parameter(std::size_t i) const;

 private:
  void check_parameters(const Where& where) const;
  void check_not_moved(const Where& where) const;
  void check_gradients(const Where& where) const;
  void prepare_step(std::size_t i, std::vector<Ref<Value>>& copies, std::vector<RowGradient>& rows,
                    const Where& where);

  const char* name_;
  std::vector<Tensor> parameters_;
  std::vector<std::int64_t> update_counts_;
  double learning_rate_;
  bool allow_missing_;
  std::int64_t step_count_ = 0;
};

}  // namespace chainrule::nn
