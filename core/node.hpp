#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <type_traits>

#include <chainrule/core/dtype.hpp>
#include <chainrule/core/error.hpp>
#include <chainrule/core/ref.hpp>
#include <chainrule/core/shape.hpp>
#include <chainrule/core/value.hpp>

namespace chainrule {

class Op;
class Tensor;

/// One application of an op in the dynamic graph, or a leaf (a parameter, or a named constant). It
/// owns its inputs' nodes and the values that its gradient rule needs, and nothing above it: the
/// graph has no cycles, and is gone when the last handle of its outputs is.
///
/// Inputs, saved values, parameters and the output's shape follow the header in one pooled block.
class Node {
 public:
  /// What is saved of one application, as bits: bit i for input i (i < 31), `output` for the
  /// output.
  using SavedMask = std::uint32_t;
  static constexpr SavedMask output = SavedMask{1} << 31;
  static constexpr std::size_t most_saved_inputs = 31;
  static constexpr SavedMask input(std::size_t i) noexcept { return SavedMask{1} << i; }

  /// A node of `op` with room for `input_count` inputs; `record()` in op.hpp fills it.
  static Ref<Node> make(const Op& op, std::uint32_t input_count, SavedMask saved,
                        std::span<const std::byte> parameters, const Value& out,
                        const Where& where);
  /// A leaf that stands for `value`: a parameter (requires_grad) or a named constant.
  static Ref<Node> make_leaf(const Value& value, bool requires_grad, const Where& where);

  /// The op that was applied; null for a leaf.
  const Op* op() const noexcept { return op_; }
  bool is_leaf() const noexcept { return op_ == nullptr; }
  bool requires_grad() const noexcept { return requires_grad_; }
  /// The order of creation on the thread that made it.
  std::uint64_t sequence() const noexcept { return sequence_; }
  const Where& where() const noexcept { return where_; }
  DType dtype() const noexcept { return dtype_; }
  int rank() const noexcept { return rank_; }
  Shape shape() const { return Shape(std::span(dims(), rank_)); }
  bool same_shape(const Value& value) const noexcept {
    if (value.rank() != rank_) return false;
    for (int i = 0; i < rank_; ++i)
      if (dims()[i] != value.dims()[i]) return false;
    return true;
  }

  std::string_view name() const noexcept;
  void set_name(std::string_view name);

  /// Input nodes in the order of the op's operands; null for an unnamed constant.
  std::span<Node* const> inputs() const noexcept { return {input_array(), input_count_}; }

  /// The parameters that the op was applied with, as the type that it recorded.
  template <class P>
  const P& parameters() const noexcept {
    static_assert(std::is_trivially_copyable_v<P>);
    return *reinterpret_cast<const P*>(parameter_bytes());
  }
  std::size_t parameter_size() const noexcept { return parameter_bytes_; }

  /// The saved value of input i or of the output; null when it was not saved or is released.
  Value* saved_input(std::size_t i) const noexcept {
    return i < 31 && (saved_mask_ >> i & 1) ? saved_array()[slot(SavedMask{1} << i)] : nullptr;
  }
  Value* saved_output() const noexcept {
    return saved_mask_ & output ? saved_array()[slot(output)] : nullptr;
  }
  bool saves_input(std::size_t i) const noexcept { return i < 31 && (saved_mask_ >> i & 1); }
  bool saves_output() const noexcept { return saved_mask_ & output; }
  std::uint32_t saved_version(SavedMask which) const noexcept {
    return version_array()[slot(which)];
  }
  SavedMask saved_mask() const noexcept { return saved_mask_; }

  /// Drops the saved values; the gradient rule cannot run any more.
  void release_saved() noexcept;
  /// Drops the saved output alone, for a rule that has read it for the last time.
  void release_saved_output() noexcept;
  bool released() const noexcept { return saved_ != Saved::all; }

  /// The gradient that backward() left at a leaf.
  const Ref<Value>& grad_value() const noexcept;
  const Ref<Node>& grad_node() const noexcept;
  void set_grad(Ref<Value> value, Ref<Node> node);

  static void destroy(Node* node) noexcept;

  /// Links the inputs and keeps the values that the mask given to make() names; for record(), while
  /// the node is not yet shared. `input_node(i)` and `input_value(i)` give the operands.
  template <class InputNode, class InputValue>
  void fill(InputNode&& input_node, InputValue&& input_value, Value* output_value) noexcept {
    Node** inputs = input_array();
    Value** saved = saved_array();
    std::uint32_t* versions = version_array();
    bool requires_grad = false;
    for (std::uint32_t i = 0; i < input_count_; ++i) {
      Node* input = input_node(i);
      if (input) {
        input->refs.retain();
        requires_grad |= input->requires_grad_;
      }
      inputs[i] = input;
      if (saves_input(i)) keep(input_value(i), saved++, versions++);
    }
    if (saved_mask_ & output) keep(output_value, saved, versions);
    requires_grad_ = requires_grad;
  }

  RefCount refs;
  /// Scratch of a traversal, which holds the lock of traversals while it reads and writes it.
  std::uint32_t mark = 0;

 private:
  struct Extra;
  static void keep(Value* value, Value** saved, std::uint32_t* version) noexcept {
    value->refs.retain();
    *saved = value;
    *version = value->version();
  }
  Node(const Op* op, const Where& where) noexcept : op_(op), where_(where) {}
  static Node* allocate(const Op* op, std::uint32_t input_count, SavedMask saved,
                        std::span<const std::byte> parameters, const Value& out,
                        const Where& where);
  Extra& extra();
  static void free_block(Node* node) noexcept;

  std::size_t saved_count() const noexcept {
    return static_cast<std::size_t>(__builtin_popcount(saved_mask_));
  }
  std::size_t slot(SavedMask which) const noexcept {
    return static_cast<std::size_t>(__builtin_popcount(saved_mask_ & (which - 1)));
  }
  char* tail() const noexcept { return reinterpret_cast<char*>(const_cast<Node*>(this) + 1); }
  Node** input_array() const noexcept { return reinterpret_cast<Node**>(tail()); }
  Value** saved_array() const noexcept {
    return reinterpret_cast<Value**>(input_array() + input_count_);
  }
  std::int64_t* dims() const noexcept {
    return reinterpret_cast<std::int64_t*>(saved_array() + saved_count());
  }
  const char* parameter_bytes() const noexcept {
    return reinterpret_cast<const char*>(dims() + rank_);
  }
  std::uint32_t* version_array() const noexcept {
    return reinterpret_cast<std::uint32_t*>(const_cast<char*>(parameter_bytes()) +
                                            parameter_bytes_);
  }
  static std::size_t block_bytes(std::size_t inputs, std::size_t saved, std::size_t rank,
                                 std::size_t parameters) noexcept;

  const Op* op_;
  Where where_;
  union {
    std::uint64_t sequence_;
    Node* next_;  // once dead: the next to be freed
  };
  Extra* extra_ = nullptr;
  std::uint32_t input_count_ = 0;
  SavedMask saved_mask_ = 0;
  std::uint16_t parameter_bytes_ = 0;
  std::uint8_t rank_ = 0;
  DType dtype_ = DType::f32;
  bool requires_grad_ = false;
  enum class Saved : std::uint8_t { all, some, none };
  Saved saved_ = Saved::all;
};

/// How many nodes there are, over all threads.
std::int64_t live_nodes();

}  // namespace chainrule
