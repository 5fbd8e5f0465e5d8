#pragma once

#include <utility>

#include <chainrule/core/tensor.hpp>

namespace chainrule::nn {

class Module;

/// A tensor that belongs to a module and stays the same tensor as long as the module lives: it can
/// be used wherever a tensor can, but not be replaced by another one, since the module's table and
/// the optimizer would not know the new one (a Tensor& that refers to it would still let this
/// happen: take a const Tensor&). Its elements are set in place.
class State : public Tensor {
 public:
  /// No tensor at all, as the bias of a layer without one.
  State() noexcept = default;
  State(const State&) noexcept = default;
  State(State&&) noexcept = default;
  /// set() gives it other elements.
  State& operator=(const State& set_gives_other_elements) = delete;
  State& operator=(const Tensor& set_gives_other_elements) = delete;

  /// Copies the elements of `values`, of the same shape and dtype and with any strides, into this
  /// tensor. Nothing is recorded, and the version moves, so that a backward through a graph that
  /// saved the old elements reports it. Throws ShapeError, DTypeError.
  void set(const Tensor& values, Where where = Where::current());

  /// Would make another tensor of this handle alone, which the module does not know. To leave a
  /// parameter as it is, do not give it to the optimizer.
  Tensor& requires_grad_(bool on = true, Where where = Where::current()) = delete;

 protected:
  explicit State(Tensor tensor) noexcept : Tensor(std::move(tensor)) {}
};

/// A trained tensor of a module, made by Module::parameter(): a leaf that requires gradients.
class Parameter : public State {
 public:
  Parameter() noexcept = default;
  using State::operator=;  // deleted, for the sake of what compilers say

 private:
  friend class Module;
  explicit Parameter(Tensor tensor) noexcept : State(std::move(tensor)) {}
};

/// A tensor that belongs to a module's state but is not trained, as a running mean; made by
/// Module::buffer().
class Buffer : public State {
 public:
  Buffer() noexcept = default;
  using State::operator=;

 private:
  friend class Module;
  explicit Buffer(Tensor tensor) noexcept : State(std::move(tensor)) {}
};

}  // namespace chainrule::nn
