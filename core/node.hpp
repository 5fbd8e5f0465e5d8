#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

#include <chainrule/core/allocator.hpp>
#include <chainrule/core/dtype.hpp>
#include <chainrule/core/error.hpp>
#include <chainrule/core/parameters.hpp>
#include <chainrule/core/ref.hpp>
#include <chainrule/core/row_gradient.hpp>
#include <chainrule/core/shape.hpp>
#include <chainrule/core/value.hpp>

namespace chainrule {

class Op;
class Tensor;

namespace detail {

extern thread_local constinit std::uint64_t next_sequence
    __attribute__((tls_model("initial-exec")));

}  // namespace detail

/// One application of an op in the dynamic graph, or a leaf (a parameter, or a named constant). It
/// owns its inputs' nodes and the values that its gradient rule needs, and nothing above it: the
/// graph has no cycles, and is gone when the last handle of its outputs is.
///
/// An op of several outputs has one node for the application and, above it, one for each output
/// with a gradient: what a handle of that output refers to. So every node but the application
/// stands for one tensor, with a name and a gradient of its own.
///
/// Inputs, saved values and their versions, the output's shape and parameters follow the header in
/// one pooled block.
class Node {
 public:
  /// What is saved of one application, as bits: inputs, outputs, and what was computed on the way.
  using SavedMask = std::uint64_t;
  static constexpr std::size_t most_saved_inputs = 48, most_outputs = 8, most_intermediates = 8;
  /// Only the first operands may be left out.
  static constexpr std::size_t most_optional = 8;
  /// What is beyond the most: everything, which no application has, so that it cannot be saved.
  static constexpr SavedMask beyond = ~SavedMask{0};
  static constexpr SavedMask input(std::size_t i) noexcept {
    return i < most_saved_inputs ? SavedMask{1} << i : beyond;
  }
  static constexpr SavedMask output_at(std::size_t k) noexcept {
    return k < most_outputs ? SavedMask{1} << (most_saved_inputs + k) : beyond;
  }
  static constexpr SavedMask intermediate(std::size_t k) noexcept {
    return k < most_intermediates ? SavedMask{1} << (most_saved_inputs + most_outputs + k) : beyond;
  }
  static constexpr SavedMask output = SavedMask{1} << most_saved_inputs;

  /// A node of `op` with room for `input_count` inputs; fill() fills it. `out` is
  /// the first of its outputs.
  static Ref<Node> make(const Op& op, std::uint32_t input_count, SavedMask saved,
                        const Parameters& parameters, const Value& out, const Where& where,
                        std::uint32_t output_count = 1);
  /// A leaf that stands for `value`: a parameter (requires_grad) or a named constant.
  static Ref<Node> make_leaf(const Value& value, bool requires_grad, const Where& where);
  /// The node of output k, of the given value, of an application of several outputs: the one that
  /// lives already, or a new one.
  static Ref<Node> output_of(const Ref<Node>& application, std::size_t k, const Value& value);

  /// The op that was applied; null for a leaf.
  const Op* op() const noexcept { return op_; }
  bool is_leaf() const noexcept { return op_ == nullptr; }
  /// How many results the application has; more than one: they have nodes of their own.
  std::size_t output_count() const noexcept { return is_output() ? 1 : output_count_; }
  /// True for the node of one of several outputs; its only input is the application.
  bool is_output() const noexcept { return output_count_ == 0; }
  /// Which of them; 0 for every other node.
  std::size_t output_index() const noexcept { return is_output() ? index_or_left_out_ : 0; }
  bool requires_grad() const noexcept { return requires_grad_; }
  /// Larger than that of each of its inputs, and of every node that its thread made before.
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
  /// The names of its axes, "" for those without one; empty when none has one. Setting the node's
  /// name forgets them.
  std::vector<std::string_view> axes() const;
  void set_axes(const std::vector<std::string_view>& axes);

  /// Input nodes in the order of the op's operands; null for an unnamed constant.
  std::span<Node* const> inputs() const noexcept { return {input_array(), input_count_}; }

  /// False for an operand that the op was applied without.
  bool given(std::size_t i) const noexcept {
    return i < input_count_ &&
           (i >= most_optional || is_output() || !(index_or_left_out_ >> i & 1));
  }

  /// The parameters that the op was applied with; and as the type that it recorded. Throws
  /// GradError for a type of another size.
  Parameters parameters() const noexcept {
    return Parameters(std::span<const std::byte>(parameter_bytes(), parameter_size()));
  }
  template <class P>
  const P& parameters() const {
    if (parameter_size() != sizeof(P)) [[unlikely]]
      throw_parameters(sizeof(P));
    return parameters().as<P>();
  }
  std::size_t parameter_size() const noexcept {
    return has_parameters_ ? *reinterpret_cast<const std::size_t*>(parameter_bytes() - 8) : 0;
  }

  /// A saved value, and whether it was written to since. What is not for rules is kept only so that
  /// the graph can be computed again.
  struct SavedValue {
    Value* value = nullptr;
    std::uint32_t version = 0;  // when it was saved; see version_bits
    bool for_rules() const noexcept { return (version & not_for_rules) == 0; }
    bool by_content() const noexcept { return (version & content_saved) != 0; }
    bool unchanged() const noexcept {
      return (by_content() ? value->content() : value->version() & version_bits) ==
             (version & version_bits);
    }
    /// As a rule may read it; false also where unchanged() has to look at the elements.
    bool readable() const noexcept { return value && (value->version() & version_bits) == version; }
  };
  static constexpr std::uint32_t not_for_rules = std::uint32_t{1} << 31;
  // What was open for writing is saved with its content() in the place of its version.
  static constexpr std::uint32_t content_saved = std::uint32_t{1} << 30;
  static constexpr std::uint32_t version_bits = content_saved - 1;
  /// What one bit of a mask names; a null value when it was not saved or is released.
  SavedValue saved_as(SavedMask which) const noexcept {
    if (!(saved_mask_ & which)) return {};
    const std::size_t at = slot(which);
    return {saved_array()[at], version_array()[at]};
  }
  Value* saved(SavedMask which) const noexcept { return saved_as(which).value; }
  std::uint32_t saved_version(SavedMask which) const noexcept {
    return saved_as(which).version & version_bits;
  }
  Value* saved_input(std::size_t i) const noexcept {
    return i < most_saved_inputs ? saved(input(i)) : nullptr;
  }
  Value* saved_output(std::size_t k = 0) const noexcept {
    return k < most_outputs ? saved(output_at(k)) : nullptr;
  }
  Value* saved_intermediate(std::size_t k) const noexcept {
    return k < most_intermediates ? saved(intermediate(k)) : nullptr;
  }
  bool saves_input(std::size_t i) const noexcept {
    return i < most_saved_inputs && (saved_mask_ >> i & 1);
  }
  SavedMask saved_mask() const noexcept { return saved_mask_; }

  /// Drops the saved values; the gradient rule cannot run any more.
  void release_saved() noexcept;
  /// Drops the saved outputs alone, for a rule that has read it for the last time.
  void release_saved_output() noexcept;
  bool released() const noexcept { return saved_ != Saved::all; }

  /// The gradient that backward() left at a leaf. Where it is rows alone, grad_rows() has them, and
  /// grad_value() is null until make_grad_dense(). A leaf never has both.
  const Ref<Value>& grad_value() const noexcept;
  const Ref<Node>& grad_node() const noexcept;
  /// Makes room for a gradient, so that set_grad() cannot fail for want of memory.
  void reserve_grad() { extra(); }
  void set_grad(Ref<Value> value, Ref<Node> node);
  const RowGradientParts& grad_rows() const noexcept;
  /// Makes room for more rows of the gradient, after which add_grad_rows() cannot fail.
  void reserve_grad_rows(const RowGradientParts& rows);
  /// Adds rows to a gradient that is none yet, or rows alone.
  void add_grad_rows(RowGradientParts&& rows) noexcept;
  /// Turns rows into a gradient of the leaf's shape. Several threads may do it at once. Throws
  /// MemoryError.
  void make_grad_dense();

  static void destroy(Node* node) noexcept;
  /// Says that the node is read soon.
  void prefetch() const noexcept {
    __builtin_prefetch(this);
    __builtin_prefetch(reinterpret_cast<const char*>(this) + 64);
  }

  /// Links the inputs and keeps the values that the mask given to make() names; while the node
  /// is not yet shared. `input_node(i)` and `input_value(i)` give the operands,
  /// `result(k)` the outputs and behind them the intermediates. The inputs of `not_read` are not
  /// for rules.
  template <class InputNode, class InputValue, class Result>
  void fill(InputNode&& input_node, InputValue&& input_value, Result&& result,
            SavedMask not_read = 0) noexcept {
    Node** inputs = input_array();
    Value** saved = saved_array();
    std::uint32_t* versions = version_array();
    bool requires_grad = false;
    std::uint64_t sequence = sequence_;
    const std::uint32_t count = input_count_;
    SavedMask operands = saved_mask_ & (output - 1);
    SavedMask results = saved_mask_ >> most_saved_inputs;
    for (std::uint32_t i = 0; i < count; ++i, operands >>= 1, not_read >>= 1) {
      Node* input = input_node(i);
      if (input) {
        input->refs.retain();
        requires_grad |= input->requires_grad_;
        sequence = std::max(sequence, input->sequence_ + 1);
      }
      inputs[i] = input;
      if (operands & 1) {
        keep(input_value(i), saved++, versions);
        *versions++ |= static_cast<std::uint32_t>(not_read) << 31;
      }
    }
    requires_grad_ = requires_grad;
    if (sequence != sequence_) [[unlikely]] {  // an input was made by a thread that is ahead
      sequence_ = sequence;
      detail::next_sequence = sequence + 1;
    }
    for (std::size_t k = 0; results != 0; ++k, results >>= 1)
      if (results & 1)
        keep(result(k < most_outputs ? k : output_count_ + (k - most_outputs)), saved++,
             versions++);
  }
  /// Says that operand i was left out.
  void leave_out(std::size_t i) noexcept {
    if (i < most_optional)
      index_or_left_out_ = static_cast<std::uint8_t>(index_or_left_out_ | 1U << i);
  }

  RefCount refs;
  /// Scratch of a traversal, which holds the lock of traversals while it reads and writes it.
  std::uint32_t mark = 0;

 private:
  struct Extra;
  static std::uint32_t content_of(const Value* value) noexcept;
  static void keep(Value* value, Value** saved, std::uint32_t* version) noexcept {
    value->refs.retain();
    *saved = value;
    *version = value->is_open() ? content_of(value) : value->version() & version_bits;
  }
  Node(const Op* op, std::uint32_t input_count, SavedMask saved, const Parameters& parameters,
       const Value& out, const Where& where, std::uint32_t output_count,
       std::uint64_t sequence) noexcept
      : op_(op),
        where_(where),
        sequence_(sequence),
        saved_mask_(saved),
        input_count_(input_count),
        output_count_(output_count & most_counted),
        has_parameters_(parameters.size() != 0),
        rank_(static_cast<std::uint8_t>(out.rank()) & 31),
        dtype_(out.dtype()),
        requires_grad_(false) {}
  static Node* allocate(const Op* op, std::uint32_t input_count, SavedMask saved,
                        const Parameters& parameters, const Value& out, const Where& where,
                        std::uint32_t output_count);
  [[noreturn]] void throw_parameters(std::size_t asked) const;
  [[noreturn]] static void throw_too_many(const Op& op, std::uint32_t output_count,
                                          const Where& where);
  Extra& extra();
  static void free_block(Node* node) noexcept;
  bool leaves_application() noexcept;

  std::size_t saved_count() const noexcept {
    return static_cast<std::size_t>(__builtin_popcountll(saved_mask_));
  }
  std::size_t slot(SavedMask which) const noexcept {
    return static_cast<std::size_t>(__builtin_popcountll(saved_mask_ & (which - 1)));
  }
  char* tail() const noexcept { return reinterpret_cast<char*>(const_cast<Node*>(this) + 1); }
  Node** input_array() const noexcept { return reinterpret_cast<Node**>(tail()); }
  Value** saved_array() const noexcept {
    return reinterpret_cast<Value**>(input_array() + input_count_);
  }
  std::uint32_t* version_array() const noexcept {
    return reinterpret_cast<std::uint32_t*>(saved_array() + saved_count());
  }
  std::int64_t* dims() const noexcept {
    return reinterpret_cast<std::int64_t*>(version_array() + (saved_count() + 1) / 2 * 2);
  }
  // The nodes of several outputs that live; not references. Behind them, if there are parameters,
  // their size, and then their bytes.
  Node** output_array() const noexcept { return reinterpret_cast<Node**>(dims() + rank_); }
  std::size_t output_nodes() const noexcept { return output_count_ > 1 ? output_count_ : 0; }
  std::byte* parameter_bytes() const noexcept {
    return reinterpret_cast<std::byte*>(output_array() + output_nodes()) + 8;
  }
  static std::size_t block_bytes(std::size_t inputs, std::size_t saved, std::size_t rank,
                                 std::size_t outputs, std::size_t parameters) noexcept;

  const Op* op_;
  Where where_;
  union {
    std::uint64_t sequence_;
    Node* next_;  // once dead: the next to be freed
  };
  Extra* extra_ = nullptr;
  SavedMask saved_mask_;
  std::uint32_t input_count_;
  // In one word, so that the header of a node without parameters is no larger than 56 bytes.
  std::uint8_t index_or_left_out_ =
      0;                           // of an output, which; else bit i: applied without operand i
  std::uint8_t output_count_ : 7;  // 0 in the node of an output
  bool has_parameters_ : 1;
  std::uint8_t rank_ : 5;
  DType dtype_ : 2;
  bool requires_grad_ : 1;
  enum class Saved : std::uint8_t { all, some, none };
  Saved saved_ = Saved::all;  // in a byte of its own: written while other threads read the others
  static constexpr std::uint32_t most_counted = 127;
  static_assert(max_rank < 32 && DType::boolean <= DType{3});  // what the bits above can say
};

// Here, so that record() is one function: nodes are made by the million.

inline std::size_t Node::block_bytes(std::size_t inputs, std::size_t saved, std::size_t rank,
                                     std::size_t outputs, std::size_t parameters) noexcept {
  return sizeof(Node) + (inputs + saved + (saved + 1) / 2 + rank + outputs) * 8 +
         (parameters != 0 ? 8 + parameters : 0);
}

inline Node* Node::allocate(const Op* op, std::uint32_t input_count, SavedMask saved,
                            const Parameters& parameters, const Value& out, const Where& where,
                            std::uint32_t output_count) {
  const auto saved_count = static_cast<std::size_t>(__builtin_popcountll(saved));
  const int rank = out.rank();
  void* block =
      memory::allocate(block_bytes(input_count, saved_count, static_cast<std::size_t>(rank),
                                   output_count > 1 ? output_count : 0, parameters.size()));
  Node* node = new (block)
      Node(op, input_count, saved, parameters, out, where, output_count, detail::next_sequence++);
  std::int64_t* dims = reinterpret_cast<std::int64_t*>(node->input_array() + input_count) +
                       saved_count + (saved_count + 1) / 2;
  const std::int64_t* from = out.dims();
  if (rank == 2) {
    dims[0] = from[0];
    dims[1] = from[1];
  } else {
    for (int i = 0; i < rank; ++i) dims[i] = from[i];
  }
  if (output_count > 1) [[unlikely]]
    for (std::uint32_t k = 0; k < output_count; ++k) node->output_array()[k] = nullptr;
  if (parameters.size() != 0) {
    std::byte* to = node->parameter_bytes();
    *reinterpret_cast<std::size_t*>(to - 8) = parameters.size();
    if (parameters.size() == 8)
      std::memcpy(to, parameters.bytes().data(), 8);
    else
      std::memcpy(to, parameters.bytes().data(), parameters.size());
  }
  memory::count_node(1);
  return node;
}

inline Ref<Node> Node::make(const Op& op, std::uint32_t input_count, SavedMask saved,
                            const Parameters& parameters, const Value& out, const Where& where,
                            std::uint32_t output_count) {
  if (output_count > most_counted) [[unlikely]]
    throw_too_many(op, output_count, where);
  return Ref<Node>::adopt(allocate(&op, input_count, saved, parameters, out, where, output_count));
}

/// How many nodes there are, over all threads.
std::int64_t live_nodes();

}  // namespace chainrule
