#pragma once

#include <utility>

namespace chainrule {

class Node;
class Observer;

namespace detail {

/// What the operations of the calling thread leave behind.
struct Mode {
  bool recording = true;   // nodes, for gradients
  bool provenance = true;  // where a softmax, sigmoid or exp came from, so that log() is stable
  // In a gradient rule: the application that it differentiates, whose line the nodes get that the
  // rule leaves.
  const Node* rule_of = nullptr;
  Observer* observer = nullptr;  // is told of every operation
};

extern thread_local constinit Mode mode __attribute__((tls_model("initial-exec")));

/// The mode of now, but for what is recorded.
inline Mode mode_with(bool recording, bool provenance) noexcept {
  Mode changed = mode;
  changed.recording = recording;
  changed.provenance = provenance;
  return changed;
}

/// Restores the mode when it goes.
class ModeScope {
 public:
  explicit ModeScope(Mode inside) noexcept : before_(std::exchange(mode, inside)) {}
  ModeScope(const ModeScope&) = delete;
  ModeScope& operator=(const ModeScope&) = delete;
  ~ModeScope() { mode = before_; }

 private:
  Mode before_;
};

}  // namespace detail

/// True when operations of this thread are recorded; the default.
inline bool is_recording() noexcept { return detail::mode.recording; }

/// While it lives, operations of this thread leave no graph: `NoGrad guard;`.
class NoGrad {
 public:
  NoGrad() noexcept : scope_(detail::mode_with(false, detail::mode.provenance)) {}

 private:
  detail::ModeScope scope_;
};

/// While it lives, operations of this thread are recorded, also inside of a NoGrad.
class EnableGrad {
 public:
  EnableGrad() noexcept : scope_(detail::mode_with(true, true)) {}

 private:
  detail::ModeScope scope_;
};

/// Calls f() without recording and returns its result: `auto y = no_grad([&] { return model(x);
/// });`.
template <class F>
decltype(auto) no_grad(F&& f) {
  NoGrad guard;
  return std::forward<F>(f)();
}

}  // namespace chainrule
