#pragma once

#include <cstddef>
#include <initializer_list>
#include <span>
#include <string>
#include <vector>

#include <chainrule/core/application.hpp>
#include <chainrule/core/call.hpp>
#include <chainrule/core/eigen_form.hpp>
#include <chainrule/core/node.hpp>
#include <chainrule/core/out_of_memory.hpp>
#include <chainrule/core/recording.hpp>
#include <chainrule/core/role.hpp>
#include <chainrule/core/tensor.hpp>

/// In front of the object of an op: it is made before the globals of programs, whose initialisers
/// may use it, and ends after them. (An op of a program itself needs it only where that is so,
/// too.) A global of a program with this very number may be made before the ops are and
/// destroyed after them, and can use none then: programs take 102 and above.
#define CHAINRULE_EARLY [[gnu::init_priority(101)]]

namespace chainrule {

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
  /// operands, or empty for name(operands). Both must outlive the op. Throws ValueError for an
  /// empty name, and for one that there is.
  Op(const char* name, const char* notation = "");
  Op(const Op&) = delete;
  Op& operator=(const Op&) = delete;
  virtual ~Op();

  const char* name() const noexcept { return name_; }
  const char* notation() const noexcept { return notation_; }
  /// True when element i of the result depends on element i of the operands, broadcast, alone, and
  /// in the same way for every i.
  virtual bool elementwise() const noexcept { return false; }
  /// How a formula shows one application of the op: the notation, with what its parameters say.
  virtual std::string written(const Node& node) const;
  /// The same for result k of an op of several; "name(operands)[k]" unless overridden.
  virtual std::string written_output(const Node& node, std::size_t k) const;
  /// False for ops whose results have no gradient (comparisons, argmax …); they are not recorded.
  virtual bool differentiable() const noexcept { return true; }

  // --- what it computes ---

  /// Checks the operands and says dtype and shape of each result, from dtypes and shapes alone.
  /// Throws errors that name the op, the operands by describe(), the line and a remedy.
  virtual void infer(Inference& call) const;
  /// Writes the numbers of the results into the memory that it is given. Keeps nothing, and
  /// allocates nothing that outlives it. Throws where an operand's numbers are not valid.
  virtual void evaluate(Evaluation& call) const;
  /// What the rules will read, when the gradients of the operands that call.needs_grad(i) are
  /// wanted.
  virtual Node::SavedMask reads(const Call& call) const {
    static_cast<void>(call);
    return 0;
  }
  /// For an op whose logarithm has a stable form (softmax, sigmoid, exp): the tensor that
  /// logarithm() wants to find, which a node keeps also without recording. Undefined for others.
  virtual Tensor remembered(const Call& call) const {
    static_cast<void>(call);
    return {};
  }
  /// For the same ops: what computes log(x) for a result x of this op, and of which tensor z, which
  /// is undefined where x is not known any more to be made of it. `op` is applied to z and x with
  /// the parameters of x; see StableLog.
  struct Logarithm {
    const Op* op = nullptr;
    Tensor z{};
  };
  virtual Logarithm logarithm(const Tensor& x) const {
    static_cast<void>(x);
    return {};
  }
  /// True when the result of data with names, of which several operands are not large, or numbers,
  /// has a place in the graph though it needs no gradient: formulas show yᵀ, 1 − λ, X − μ as such.
  virtual bool follows_names() const noexcept { return false; }

  // --- its derivatives ---

  /// Vector-Jacobian product: for every input i that r.needs(i), gives the gradient of
  /// ⟨g, op(inputs)⟩ with respect to it. Written in tensor operations, so that it can be recorded.
  virtual void vjp(Vjp& r) const;
  /// Jacobian-vector product: the tangent of the output, of the output's shape or one that
  /// broadcasts to it. At least one input has a tangent.
  virtual Tensor jvp(Jvp& r) const;

  // --- what it is to formulas ---

  /// What the op is in algebra, applied with these parameters.
  virtual Role role(const Parameters& parameters) const;
  /// How emit_cpp() writes it, where the role does not say that.
  virtual EigenForm eigen(const Parameters& parameters) const;
  /// The functions that emitted code calls for it and Eigen does not have, as C++: of the op's own
  /// name, perhaps with "_rows" and "_columns" behind it; or "".
  virtual const char* eigen_definition() const noexcept { return ""; }
  /// The same as apply() in simpler operations, for an op that does in one pass what a formula
  /// shows as several; undefined for others.
  virtual Tensor written_out(const Node& node, std::span<const Tensor> inputs) const;
  /// The same for result k of an op of several.
  virtual Tensor output_written_out(const Node& node, std::span<const Tensor> inputs,
                                    std::size_t k) const;

  /// Inputs for the tests of the op's value, rules, broadcasting and views.
  virtual std::vector<Sample> samples() const = 0;

 protected:
  /// For what is no operation of a user: it is in no list.
  struct Unlisted {};
  Op(Unlisted, const char* name) noexcept : name_(name), notation_("") {}

 private:
  const char* name_;
  const char* notation_;
};

inline const char* Call::name() const noexcept { return op_.name(); }

/// Every op there is, in the order of their names.
std::vector<const Op*> all_ops();

namespace detail {

/// Bits of a saved mask, in few letters.
constexpr Node::SavedMask input(std::size_t i) noexcept { return Node::input(i); }
inline constexpr Node::SavedMask output = Node::output;
constexpr Node::SavedMask intermediate(std::size_t k) noexcept { return Node::intermediate(k); }

/// What stands between an application of several outputs and one of these; see Node.
const Op& output_op() noexcept;

using Results = std::span<const Ref<Value>>;

/// A node for a call with these outputs, whose evaluation saved these values.
Ref<Node> make_node(const Call& call, Results outputs, Results saved, Node::SavedMask reads);
Tensor record_node(const Call& call, Ref<Value> out, Results saved, Node::SavedMask reads);
Tensor remember(const Call& call, const Tensor& what, Ref<Value> out);
void observe(const Call& call, Results outputs);
/// Where the result is a mask: whether it compares numbers.
void mark_mask(const Call& call, Value& out) noexcept;
[[noreturn]] void throw_several(const Inference& call);

/// Calls f() for the op: where memory runs out, and where an error does not name the user's line,
/// it names op and line.
template <class F>
decltype(auto) naming_op(const char* op, const Where& where, F&& f) {
  try {
    return std::forward<F>(f)();
  } catch (const std::bad_alloc&) {
    throw_no_memory(op, where);
  } catch (const MemoryError& error) {
    if (error.has_place()) throw;
    throw_no_memory(op, where);
  } catch (Error& error) {
    name_operation(error, "", op, where);
    throw;
  }
}

inline bool any_requires_grad(Operands inputs) noexcept {
  for (const Tensor* input : inputs)
    if (input->requires_grad()) return true;
  return false;
}
inline bool any_in_graph(Operands inputs) noexcept {
  for (const Tensor* input : inputs)
    if (input->node()) return true;
  return false;
}
/// Whether a result of these, of which one is in the graph, follows their names.
bool follow_names(Operands inputs) noexcept;

}  // namespace detail

/// The end of every operation of one result: tells observers, and records when recording is on, an
/// operand requires gradients and the result is floating. `saved` are the values that evaluate()
/// computed on the way.
///
/// A template, so that the compiler sees through the virtual functions of a final op.
template <class O>
Tensor finish(const O& op, const Call& call, Ref<Value> out, detail::Results saved = {}) {
  if (detail::mode.observer) [[unlikely]]
    detail::observe(call, std::span(&out, 1));
  if (op.differentiable()) {
    if (detail::mode.recording &&
        ((is_floating(out->dtype()) && detail::any_requires_grad(call.inputs())) ||
         (op.follows_names() && detail::any_in_graph(call.inputs()) &&
          detail::follow_names(call.inputs()))))
      return detail::record_node(call, std::move(out), saved, op.reads(call));
    if (detail::mode.provenance)
      // Nobody knows that what was borrowed for an operand is still in use.
      if (const Tensor what = op.remembered(call); what.defined() && !what.value_ref()->borrowed())
        return detail::remember(call, what, std::move(out));
  }
  if (!is_floating(out->dtype())) detail::mark_mask(call, *out);
  return Tensor(std::move(out));
}

/// The common way of every operation of one result: infers, allocates, evaluates, and ends with
/// finish(). `known` are the saved values of the call where somebody has computed them before.
/// Throws GradError where infer() says several results.
template <class O>
Tensor apply(const O& op, Operands inputs, const Parameters& parameters, const Where& where,
             detail::Results known = {}) {
  return detail::naming_op(op.name(), where, [&] {
    Inference inference(op, inputs, parameters, where);
    op.infer(inference);
    if (inference.output_count() > 1) [[unlikely]]
      detail::throw_several(inference);
    Evaluation evaluation(inference, known);
    if (!evaluation.only_views()) op.evaluate(evaluation);
    return finish(op, inference, evaluation.take_out(), evaluation.saved_values());
  });
}

template <class O>
Tensor apply(const O& op, std::initializer_list<const Tensor*> inputs, const Parameters& parameters,
             const Where& where, std::span<const Ref<Value>> known = {}) {
  return apply(op, Operands(inputs.begin(), inputs.size()), parameters, where, known);
}

/// The same for an op of several results, or of a number of results that its parameters say. One
/// that is not floating has no gradient, and no node.
std::vector<Tensor> apply_several(const Op& op, Operands inputs, const Parameters& parameters,
                                  const Where& where);

/// The op of a node once more, as it was applied there, to other operands, of which those that it
/// was applied without are undefined: result k. Shapes are inferred anew. This is how a recorded
/// graph is computed again.
Tensor apply_again(const Node& node, std::span<const Tensor> inputs, std::size_t k = 0);

/// What evaluate() saves on the way, instead of a result: value k, without recording.
Tensor saved_again(const Node& node, std::span<const Tensor> inputs, std::size_t k);

/// The same without recording, all results in memory that is handed in, one for each result: used
/// where it has the inferred dtype and shape, is row-major and nobody else's, and else replaced by
/// new memory or by the view that the result is.
void apply_again_into(std::span<Ref<Value>> results, const Node& node,
                      std::span<const Tensor> inputs);

/// The last line of an operation that computes by itself instead of in evaluate(), and so cannot be
/// computed again: wraps its result, and leaves a node behind when recording is on and an input
/// requires gradients. `saved` says which of the inputs and the output the rules will read.
inline Tensor record(const Op& op, Ref<Value> out, Operands inputs, Node::SavedMask saved,
                     const Where& where, const Parameters& parameters = {}) {
  const Call call(op, inputs, parameters, where);
  if (detail::mode.observer) [[unlikely]]
    detail::observe(call, std::span(&out, 1));
  if (detail::mode.recording && detail::any_requires_grad(inputs))
    return detail::record_node(call, std::move(out), {}, saved);
  return Tensor(std::move(out));
}
inline Tensor record(const Op& op, Ref<Value> out, std::initializer_list<const Tensor*> inputs,
                     Node::SavedMask saved, const Where& where, const Parameters& parameters = {}) {
  return record(op, std::move(out), Operands(inputs.begin(), inputs.size()), saved, where,
                parameters);
}

}  // namespace chainrule
