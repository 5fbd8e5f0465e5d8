#pragma once

#include <span>

#include <chainrule/core/call.hpp>
#include <chainrule/core/recording.hpp>

namespace chainrule {

/// Is told of the operations of a thread while `Observing` lives, in their order. An operation that
/// is made of others inside is one.
class Observer {
 public:
  /// `application` is a node without edges that has the op, its parameters, the shape of the first
  /// output and the line.
  virtual void applied(Ref<Node> application, Operands inputs,
                       std::span<const Ref<Value>> outputs) = 0;

 protected:
  ~Observer() = default;
};

/// Turns an observer on for the calling thread, until it goes.
class Observing {
 public:
  explicit Observing(Observer& observer) noexcept : scope_(with(observer)) {}

 private:
  static detail::Mode with(Observer& observer) noexcept {
    detail::Mode mode = detail::mode;
    mode.observer = &observer;
    return mode;
  }
  detail::ModeScope scope_;
};

}  // namespace chainrule
