#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include <chainrule/core/node.hpp>
#include <chainrule/core/recording.hpp>
#include <chainrule/core/tensor.hpp>

/// What gradient rules are given.
namespace chainrule {

namespace detail {

/// What is referred to where there is no tensor.
extern const Tensor undefined;

}  // namespace detail

/// What a gradient rule can read of the application that it differentiates.
class Application {
 public:
  /// `with_nodes`: whether the operands that the rule reads have their nodes, as they need where it
  /// is recorded or observed.
  Application(const Node& node, bool with_nodes) noexcept : node_(node), with_nodes_(with_nodes) {}
  Application(const Application&) = delete;
  Application& operator=(const Application&) = delete;
  ~Application() {
    if (rare_) [[unlikely]]
      free_rare();
  }

  const Node& node() const noexcept { return node_; }
  std::size_t input_count() const noexcept { return node_.inputs().size(); }
  /// Input i, which the op saved; valid while the rule runs, a copy of the tensor for longer.
  /// Throws GradError when it was written to since.
  const Tensor& in(std::size_t i) const;
  /// Output k, which the op saved; the same holds. Throws GradError after Vjp::drop_out().
  const Tensor& out(std::size_t k = 0) const;
  /// What evaluate() computed on the way and the op saved; it has no gradient.
  const Tensor& saved(std::size_t k) const;
  /// False for an operand that the op was applied without.
  bool given(std::size_t i) const noexcept { return node_.given(i); }
  /// The shape of input i, saved or not. Throws GradError unless that has a node.
  Shape shape_of(std::size_t i) const { return recorded_input(i).shape(); }
  int rank_of(std::size_t i) const { return recorded_input(i).rank(); }
  const Where& where() const noexcept { return node_.where(); }
  template <class P>
  const P& parameters() const {
    return node_.parameters<P>();
  }

 private:
  const Node& recorded_input(std::size_t i) const {
    const Node* input = i < input_count() ? node_.inputs()[i] : nullptr;
    if (!input) throw_no_node(i);
    return *input;
  }
  [[noreturn]] void throw_no_node(std::size_t i) const;

 protected:
  bool with_nodes() const noexcept { return with_nodes_; }
  /// From now on out() throws, and what it gave is undefined.
  void forget_out() noexcept {
    out_forgotten_ = true;
    output_.take_back();
  }

 private:
  // Handles of what the node owns anyway: they share its references instead of counting their own.
  // The nodes of several outputs are not the node's, and are held.
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

  void free_rare() noexcept;
  Value* checked(Node::SavedMask which, const Node* named) const;
  const Tensor& lend(Node::SavedMask which, Node* node, Loan& loan) const;
  const Tensor& of_several(std::size_t k) const;
  Loan& rare_input(std::size_t i) const;
  void check_readable(Node::SavedMask which, const Node* named) const;
  [[noreturn]] void throw_unsaved(Node::SavedMask which) const;
  [[noreturn]] void throw_unsaved_input(std::size_t i) const;
  [[noreturn]] void throw_beyond(const char* what, std::size_t i, std::size_t most) const;
  [[noreturn]] void throw_not_there(const char* what, std::size_t i, std::size_t count) const;
  [[noreturn]] void throw_forgotten() const;
  const Node& node_;
  bool with_nodes_;
  bool out_forgotten_ = false;
  mutable Loan inputs_[quick_loans];
  mutable Loan output_;
  mutable Loan intermediate_;  // the first
  struct Rare;
  Rare& rare() const;
  mutable Rare* rare_ = nullptr;  // what few rules read
};

/// The reverse rule's view: the gradients of the outputs, and where the inputs' gradients go. What
/// rules read of a sweep for each node is here, and no call of a virtual function.
class Vjp : public Application {
 public:
  virtual ~Vjp() = default;
  /// The gradient of output k; its shape and dtype are the output's. Undefined where nothing
  /// depends on it, which happens to ops of several outputs alone.
  const Tensor& g(std::size_t k = 0) const noexcept {
    return k < g_.size() ? g_[k] : detail::undefined;
  }
  bool has_g(std::size_t k) const noexcept { return g(k).defined(); }
  /// g(0) handed over, for a rule that may write into its memory; g() is undefined afterwards.
  Tensor take_g() noexcept { return std::move(g_[0]); }
  /// Says that the output will not be read again: its memory is free for what follows, unless the
  /// graph is kept. In either case out() throws from now on, and the tensor that it gave is
  /// undefined; only a copy of that tensor stays, and keeps the memory.
  virtual void drop_out() noexcept = 0;
  /// True when somebody wants the gradient of input i.
  bool needs(std::size_t i) const noexcept {
    return i < sum_places_.size() && sum_places_[i] != not_wanted;
  }
  /// Adds to the gradient of input i. A gradient of the broadcast shape is summed to the input's.
  virtual void give(std::size_t i, Tensor gradient) = 0;
  /// What has come together for the gradient of input i so far, if an op may add to it in place
  /// instead of giving another contribution: row-major, of the input's shape and dtype. Else null.
  Value* sum_of(std::size_t i) const noexcept {
    if (with_nodes() || !needs(i)) return nullptr;
    const Ref<Value>& sum = sum_at(i).value_ref();
    return sum && sum->exclusive() ? sum.get() : nullptr;
  }
  /// The same where nothing has come together yet, zeros then: for an op whose gradient is zero but
  /// for a part, to which it adds. Null where that cannot be.
  virtual const Ref<Value>* sum_from_zeros(std::size_t i) = 0;
  /// True where a gradient of input i that is zero but for so many rows, positions of the first
  /// axis, is better given by give_rows() than added to sum_from_zeros().
  virtual bool takes_rows(std::size_t i, std::int64_t count) const = 0;
  /// Gives such a gradient, after takes_rows(): row index[k] of it is the sum of the rows[k], where
  /// index is i64 of any shape and rows has its axes instead of the input's first.
  virtual void give_rows(std::size_t i, const Tensor& index, const Tensor& rows) = 0;
  /// True when the gradient of this very node was asked for, so that no rule may step over it.
  virtual bool asked_for(const Node* node) const = 0;

 protected:
  static constexpr std::uint32_t not_wanted = ~std::uint32_t{0};
  /// `g`: the gradients of all outputs. The sum of the gradients of input i is
  /// sums[sum_places[i]], or not_wanted.
  Vjp(const Node& node, bool with_nodes, std::span<Tensor> g,
      std::span<const std::uint32_t> sum_places, Tensor* sums) noexcept
      : Application(node, with_nodes), g_(g), sum_places_(sum_places), sums_(sums) {}
  std::uint32_t sum_place(std::size_t i) const noexcept { return sum_places_[i]; }
  Tensor& sum_at(std::size_t i) const noexcept { return sums_[sum_places_[i]]; }

 private:
  std::span<Tensor> g_;
  std::span<const std::uint32_t> sum_places_;
  Tensor* sums_;
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
  /// The output whose tangent is wanted, of an op of several.
  virtual std::size_t output() const noexcept = 0;
};

}  // namespace chainrule
