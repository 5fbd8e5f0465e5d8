#pragma once

#include <cstddef>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <chainrule/core/node.hpp>
#include <chainrule/core/recording.hpp>
#include <chainrule/core/tensor.hpp>

namespace chainrule {

/// What a gradient rule can read of the application that it differentiates.
class Application {
 public:
  Application(const Node& node, bool recorded) noexcept : node_(node), recorded_(recorded) {}
  Application(const Application&) = delete;
  Application& operator=(const Application&) = delete;
  ~Application();

  const Node& node() const noexcept { return node_; }
  std::size_t input_count() const noexcept { return node_.inputs().size(); }
  /// Input i, which the op saved; valid while the rule runs, a copy of the tensor for longer.
  /// Throws GradError when it was written to since.
  const Tensor& in(std::size_t i) const;
  /// The output, which the op saved; the same holds. Throws GradError after Vjp::drop_out().
  const Tensor& out() const;
  /// The shape of input i, saved or not. Only for an input that has a node.
  Shape shape_of(std::size_t i) const { return node_.inputs()[i]->shape(); }
  int rank_of(std::size_t i) const noexcept { return node_.inputs()[i]->rank(); }
  template <class P>
  const P& parameters() const noexcept {
    return node_.parameters<P>();
  }

 protected:
  /// From now on out() throws, and what it gave is undefined.
  void forget_out() noexcept {
    out_forgotten_ = true;
    output_.take_back();
  }

 private:
  // Handles of what the node owns anyway: they share its references instead of counting their own.
  class Loan {
   public:
    Loan() noexcept = default;
    ~Loan() { take_back(); }
    void take_back() noexcept { tensor_.forget(); }
    const Tensor& lend(Value* value, Node* node) noexcept {
      take_back();
      tensor_ = Tensor(Ref<Value>::adopt(value), Ref<Node>::adopt(node));
      return tensor_;
    }

   private:
    Tensor tensor_;
  };
  static constexpr std::size_t quick_loans = 3;

  const Tensor& lend(Value* value, Node::SavedMask which, Node* node, Loan& loan) const;
  const Node& node_;
  bool recorded_;  // whether the rule itself is recorded, and its operands need their nodes
  bool out_forgotten_ = false;
  mutable Loan inputs_[quick_loans];
  mutable Loan output_;
  mutable std::unique_ptr<Loan[]> more_;  // of inputs behind the first ones
};

/// The reverse rule's view: the gradient g of the output, and where the inputs' gradients go.
class Vjp : public Application {
 public:
  using Application::Application;
  virtual ~Vjp() = default;
  /// The gradient of the output; its shape and dtype are the output's.
  virtual const Tensor& g() const noexcept = 0;
  /// The same handed over, for a rule that may write into its memory; g() is undefined afterwards.
  virtual Tensor take_g() noexcept = 0;
  /// Says that the output will not be read again: its memory is free for what follows, unless the
  /// graph is kept. In either case out() throws from now on, and the tensor that it gave is
  /// undefined; only a copy of that tensor stays, and keeps the memory.
  virtual void drop_out() noexcept = 0;
  /// True when somebody wants the gradient of input i.
  virtual bool needs(std::size_t i) const noexcept = 0;
  /// Adds to the gradient of input i. A gradient of the broadcast shape is summed to the input's.
  virtual void give(std::size_t i, Tensor gradient) = 0;
  /// What has come together for the gradient of input i so far, if an op may add to it in place
  /// instead of giving another contribution: row-major, of the input's shape and dtype. Else null.
  virtual Value* sum_of(std::size_t i) const noexcept = 0;
  /// True when the gradient of this very node was asked for, so that no rule may step over it.
  virtual bool asked_for(const Node* node) const noexcept = 0;
};

/// The forward rule's view: the tangents of the inputs.
class Jvp : public Application {
 public:
  using Application::Application;
  virtual ~Jvp() = default;
  /// False when the tangent of input i is zero.
  virtual bool has(std::size_t i) const noexcept = 0;
  /// The tangent of input i, which has() one; its shape is the input's.
  virtual const Tensor& tangent(std::size_t i) const = 0;
};

/// One input on which an op is to be tested.
struct Sample {
  std::string label;           ///< distinguishes the samples of one op
  std::vector<Tensor> inputs;  ///< f64 where the op takes floating numbers, away from kinks
  Tensor (*apply)(std::span<const Tensor> inputs);
};

/// One operation's rules. An op is a static object without state; it is known to `all_ops()`, which
/// drives the tests, as long as it lives.
class Op {
 public:
  /// `name` as users call it; `notation` is how a formula shows it, with {0}, {1} … for the
  /// operands, or empty for name(operands). Both must outlive the op.
  Op(const char* name, const char* notation = "");
  Op(const Op&) = delete;
  Op& operator=(const Op&) = delete;
  virtual ~Op();

  const char* name() const noexcept { return name_; }
  const char* notation() const noexcept { return notation_; }
  /// True when element i of the result depends on element i of the operand alone.
  virtual bool elementwise() const noexcept { return false; }
  /// How a formula shows one application of the op: the notation, with what its parameters say.
  virtual std::string written(const Node& node) const;
  /// False for ops whose results have no gradient (comparisons, argmax …); they are not recorded.
  virtual bool differentiable() const noexcept { return true; }

  /// Vector-Jacobian product: for every input i that r.needs(i), gives the gradient of
  /// ⟨g, op(inputs)⟩ with respect to it. Written in tensor operations, so that it can be recorded.
  virtual void vjp(Vjp& r) const;
  /// Jacobian-vector product: the tangent of the output, of the output's shape or one that
  /// broadcasts to it. At least one input has a tangent.
  virtual Tensor jvp(Jvp& r) const;
  /// The op once more, as `node` was computed: with its parameters, but other inputs of the same
  /// shapes. An operand that node was computed without is undefined here, too. This is how a
  /// recorded graph is computed again, for derivations and their checks.
  virtual Tensor replay(const Node& node, std::span<const Tensor> inputs) const;
  /// The same as replay() in simpler operations, for an op that does in one pass what a formula
  /// shows as several; undefined for others.
  virtual Tensor written_out(const Node& node, std::span<const Tensor> inputs) const;
  /// Inputs for the tests of the op's value, rules, broadcasting and views.
  virtual std::vector<Sample> samples() const = 0;

 private:
  const char* name_;
  const char* notation_;
};

/// Every op there is, in the order of their names.
std::vector<const Op*> all_ops();

/// Is told of the operations of a thread while `Observing` lives, in their order. An operation that
/// is made of others inside is one.
class Observer {
 public:
  /// `application` is a node without edges that has the op, its parameters, the shape of the output
  /// and the line.
  virtual void applied(Ref<Node> application, std::span<const Tensor* const> inputs,
                       const Ref<Value>& out) = 0;

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

namespace detail {

/// Node's, for files that define many ops.
constexpr Node::SavedMask input(std::size_t i) noexcept { return Node::input(i); }
inline constexpr Node::SavedMask output = Node::output;

Tensor record_node(const Op& op, Ref<Value> out, std::span<const Tensor* const> inputs,
                   Node::SavedMask saved, std::span<const std::byte> parameters,
                   const Where& where);

void observe(const Op& op, const Ref<Value>& out, std::span<const Tensor* const> inputs,
             std::span<const std::byte> parameters, const Where& where);

template <class P>
std::span<const std::byte> bytes_of(const P& parameters) noexcept {
  static_assert(std::is_trivially_copyable_v<P>);
  return std::as_bytes(std::span(&parameters, 1));
}

}  // namespace detail

/// The last line of an operation: wraps its result, and leaves a node behind when recording is on
/// and an input requires gradients. `saved` says which of the inputs and the output the rules will
/// read.
inline Tensor record(const Op& op, Ref<Value> out, std::span<const Tensor* const> inputs,
                     Node::SavedMask saved, const Where& where,
                     std::span<const std::byte> parameters = {}) {
  if (detail::mode.observer) [[unlikely]]
    detail::observe(op, out, inputs, parameters, where);
  if (detail::mode.recording)
    for (const Tensor* input : inputs)
      if (input->requires_grad())
        return detail::record_node(op, std::move(out), inputs, saved, parameters, where);
  return Tensor(std::move(out));
}

inline Tensor record(const Op& op, Ref<Value> out, std::initializer_list<const Tensor*> inputs,
                     Node::SavedMask saved, const Where& where,
                     std::span<const std::byte> parameters = {}) {
  return record(op, std::move(out), std::span(inputs.begin(), inputs.size()), saved, where,
                parameters);
}

/// The same for an op whose logarithm has a stable form (softmax, sigmoid, exp): also without
/// gradients, a node remembers the inputs that `saved` names, so that log() finds them.
Tensor record_provenance(const Op& op, Ref<Value> out, std::initializer_list<const Tensor*> inputs,
                         Node::SavedMask saved, const Where& where,
                         std::span<const std::byte> parameters = {});

}  // namespace chainrule
