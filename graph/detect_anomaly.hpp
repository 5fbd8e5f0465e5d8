#pragma once

#include <utility>

#include <chainrule/core/error.hpp>
#include <chainrule/core/observer.hpp>

namespace chainrule {

/// The first NaN or infinity that came up while it was looked for: which operation made it and
/// where, or through which operand it came in.
class AnomalyError : public Error {
 public:
  using Error::Error;
};

struct AnomalyOptions {
  bool infinity = true;  ///< false: NaN alone, for programs that are to compute with infinities
};

/// While it lives, the first operation of this thread whose result has NaN or infinity throws
/// AnomalyError, forward and in gradient rules of any order, the program's own ops included:
///
///     DetectAnomaly guard;
///     loss_of(model, batch).backward();
///
/// It names the operation and its line, or that of the operation which the rule differentiates; the
/// operands with their shapes, ranges (of the finite elements), counts of NaN and infinity, and
/// what they are at the first such element; and a remedy.
///
/// Infinities that the program hands in, as the −inf of a mask, may pass on; what operations make
/// of finite numbers, and NaN, may not. After the error the gradients are in the state in which
/// backward() leaves them when a rule throws.
///
/// Every result is read once more, and rules take the ways that can be watched, which is slower;
/// without a guard nothing is.
class DetectAnomaly {
 public:
  explicit DetectAnomaly(AnomalyOptions options = {}) noexcept
      : detector_(options), observing_(detector_) {}

 private:
  class Detector final : public Observer {
   public:
    explicit Detector(AnomalyOptions options) noexcept : options_(options) {}
    void applied(Ref<Node> application, Operands inputs,
                 std::span<const Ref<Value>> outputs) override;

   private:
    AnomalyOptions options_;
    Observer* outer_ = detail::mode.observer;  // is told, too
  };

  Detector detector_;
  Observing observing_;
};

/// Calls f() with such a guard and returns its result: `auto loss = detect_anomaly([&] { return
/// model(x); });`.
template <class F>
decltype(auto) detect_anomaly(F&& f, AnomalyOptions options = {}) {
  const DetectAnomaly guard(options);
  return std::forward<F>(f)();
}

}  // namespace chainrule
