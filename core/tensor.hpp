#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <chainrule/core/dtype.hpp>
#include <chainrule/core/error.hpp>
#include <chainrule/core/node.hpp>
#include <chainrule/core/ref.hpp>
#include <chainrule/core/shape.hpp>
#include <chainrule/core/value.hpp>
#include <chainrule/core/writable.hpp>

namespace chainrule {

class Index;

/// Options of Tensor::backward() and backward().
struct BackwardOptions {
  bool retain_graph = false;  ///< keep saved values, so that a second backward can follow
  /// Record the backward itself, for higher derivatives. The gradients then own a graph that owns
  /// the parameters that own them: zero_grad() breaks this circle; grad() does not make one.
  bool create_graph = false;
};

/// A handle of a value and, if recorded, of its place in the graph. Copying a handle is cheap and
/// shares both. Values that a graph may have saved are immutable; see mutable_data(). Functions
/// give new tensors and change none, so that compilers warn where a result is dropped, as in
/// x[0].requires_grad_() or clamp(x, 0, 1) for x = clamp(x, 0, 1).
class [[nodiscard]] Tensor {
 public:
  /// No tensor at all; defined() is false, and every other use is an error.
  Tensor() noexcept = default;
  explicit Tensor(Ref<Value> value, Ref<Node> node = {}) noexcept
      : value_(std::move(value)), node_(std::move(node)) {}

  Tensor(const Tensor&) noexcept = default;
  Tensor(Tensor&&) noexcept = default;
  ~Tensor() = default;
  Tensor& operator=(const Tensor&) & noexcept = default;
  Tensor& operator=(Tensor&&) & noexcept = default;
  /// A temporary, as x[0], is a handle of its own, and what is assigned to it would be lost. That
  /// is so of an element of a vector that a function has just returned, too, but split(x, 2)[0] = y
  /// compiles, and does nothing: elements of a std::vector can be assigned to, and a const one
  /// could not be moved into what keeps it.
  // clang-format off
  void operator=(const Tensor& mutable_data_writes_elements_and_where_or_concat_make_a_new_tensor) && = delete;
  // clang-format on

  bool defined() const noexcept { return static_cast<bool>(value_); }

  // --- what it holds ---

  DType dtype(Where where = Where::current()) const { return value(where, "dtype").dtype(); }
  Shape shape(Where where = Where::current()) const { return value(where, "shape").shape(); }
  /// Strides in elements.
  Shape strides(Where where = Where::current()) const {
    return value(where, "strides").strides_shape();
  }
  /// The number of axes.
  int rank(Where where = Where::current()) const { return value(where, "rank").rank(); }
  /// The extent of an axis; negative axes count from the end. Throws IndexError.
  std::int64_t size(int axis, Where where = Where::current()) const;
  std::int64_t numel(Where where = Where::current()) const { return value(where, "numel").numel(); }
  bool is_contiguous(Where where = Where::current()) const {
    return value(where, "is_contiguous").contiguous();
  }
  /// Counts the writes into the elements.
  std::uint32_t version(Where where = Where::current()) const {
    return value(where, "version").version();
  }

  /// The only element, converted to T, any type of numbers. Throws ShapeError unless there is
  /// exactly one.
  template <class T = double>
  T item(Where where = Where::current()) const {
    check_one_element(where);
    return read<T>(0);
  }
  /// The element at a full index, converted to T; negative indices count from the end. Throws
  /// IndexError.
  template <class T = double>
  T at(const Shape& index, Where where = Where::current()) const {
    return read<T>(offset_of(index, where));
  }
  // The second parameter of those below refuses, when it is compiled, a T that no tensor holds.
  /// All elements in row-major order, whatever the strides. Throws DTypeError unless T is the
  /// element type.
  template <class T, DType = dtype_of<T>>
  std::vector<T> to_vector(Where where = Where::current()) const;
  /// The elements of a row-major tensor, without a copy. Throws DTypeError unless T is the element
  /// type, ShapeError for other strides. Valid as long as a handle lives.
  template <class T, DType = dtype_of<T>>
  std::span<const T> data(Where where = Where::current()) const;
  /// The same for writing: moves the version, so that a backward through a graph that saved the old
  /// elements reports it. Throws GradError for the result of a recorded operation, ValueError for
  /// memory that was borrowed as const. What it gives is a std::span that keeps the memory; as long
  /// as it lives, writes between an operation and its backward are reported, too. Through a copy
  /// that is a plain std::span, or a pointer, they are not.
  template <class T, DType = dtype_of<T>>
  WritableSpan<T> mutable_data(Where where = Where::current());

  // --- its place in the graph ---

  /// True for parameters, and for results recorded from tensors that require gradients.
  bool requires_grad() const noexcept { return node_ && node_->requires_grad(); }
  /// Makes this handle (and its later copies) a parameter: backward() fills its grad(). Throws
  /// DTypeError unless floating, GradError for `false` on the result of a recorded operation.
  Tensor& requires_grad_(bool on = true, Where where = Where::current()) &;
  Tensor requires_grad_(bool on = true, Where where = Where::current()) &&;
  /// True unless it is the result of a recorded operation.
  bool is_leaf() const noexcept { return !node_ || node_->is_leaf() || !node_->requires_grad(); }
  /// The same tensor under a name, for errors, derivations and pictures. The name goes with the
  /// tensor's place in the graph, so that other handles of a recorded tensor see it, too.
  Tensor named(std::string_view name, Where where = Where::current()) const;
  /// The same with names of its axes, "" for none: X.named("X", {"N", "d"}). Derivations then show
  /// 1 / N for the mean over them, and √d, unless a tensor is called that. Throws ShapeError unless
  /// there are as many as axes, and where one name is of axes of different extents.
  Tensor named(std::string_view name, std::initializer_list<std::string_view> axes,
               Where where = Where::current()) const;
  /// The name, or "".
  std::string_view name() const noexcept { return node_ ? node_->name() : std::string_view(); }
  /// The same value without a graph.
  Tensor detach(Where where = Where::current()) const;
  /// The gradient that backward() left here; undefined when there is none. Where a few rows of a
  /// large table were read, by take() along its first axis or as w[i] and w[slice(i, j)],
  /// backward() keeps these rows alone, which the optimizers know; asking for it here makes it as
  /// large as the table. What reads a view of the table (a reshape, its transpose) or parts of rows
  /// (gather(), w(i, j)) costs all of it, and so does every such view, of a parameter or of a
  /// result, that is made anew for each row: x.T()(all, i) in a loop. Make the view once, before
  /// the loop, and read the rows of that. Rows that add up over many calls are kept until all of
  /// them costs less.
  Tensor grad(Where where = Where::current()) const;
  /// Puts the numbers of a gradient there, without its graph, as clipping does. Throws GradError
  /// unless this is a parameter, DTypeError and ShapeError unless dtype and shape agree; an
  /// undefined tensor removes the gradient. Its memory is shared, as that of every handle: what is
  /// written into `grad` afterwards is written into the gradient; set_grad(g + 0) keeps them apart.
  void set_grad(const Tensor& grad, Where where = Where::current());
  /// Removes the gradient.
  void zero_grad() noexcept {
    if (node_) node_->set_grad({}, {});
  }
  /// Gradients of this scalar for all parameters that it depends on, added to their grad(). See
  /// backward() in graph/backward.hpp.
  void backward(BackwardOptions options = {}, Where where = Where::current()) const;

  // --- the operations that read best as members; defined in ops ---

  /// The transpose: all axes reversed. A view.
  Tensor T(Where where = Where::current()) const;
  /// The part of this tensor that `index` names along the first axis: x[2], x[slice(0, 10)]. A
  /// view.
  Tensor operator[](const Index& index) const;
  /// Positions in a tensor are what take() takes; what a mask leaves out, where() replaces.
  Tensor operator[](const Tensor& use_take_for_an_index_and_where_for_a_mask) const = delete;
  Tensor operator()(const Tensor& use_take_for_an_index_and_where_for_a_mask) const = delete;
  Tensor operator()(const Index&, const Tensor& use_take_or_where) const = delete;
  Tensor operator()(const Tensor& use_take_or_where, const Index&) const = delete;
  /// One index for each leading axis: numbers, slice(…), all, newaxis, ellipsis. A view. index() in
  /// ops/shape/indexing.hpp takes more of them.
  Tensor operator()(const Index& i) const;
  Tensor operator()(const Index& i, const Index& j) const;
  Tensor operator()(const Index& i, const Index& j, const Index& k) const;
  Tensor operator()(const Index& i, const Index& j, const Index& k, const Index& l) const;

  // --- for operations and the engine ---

  const Ref<Value>& value_ref() const noexcept { return value_; }
  const Ref<Node>& node_ref() const noexcept { return node_; }
  Node* node() const noexcept { return node_.get(); }
  /// The value; throws ValueError for an undefined tensor.
  const Value& value(const Where& where, const char* op = "",
                     const char* operand = "tensor") const {
    if (!value_) throw_undefined(where, op, operand);
    return *value_;
  }
  /// Throws the ValueError of an operand that is no tensor at all.
  [[noreturn]] static void throw_undefined(const Where& where, const char* op, const char* operand);

 private:
  friend class Application;
  void check_one_element(const Where& where) const;
  std::int64_t offset_of(const Shape& index, const Where& where) const;
  // The element at an offset in elements, which is there.
  template <class T>
  T read(std::int64_t offset) const {
    return visit(value_->dtype(),
                 [&](auto zero) { return static_cast<T>(value_->data<decltype(zero)>()[offset]); });
  }
  // Gives up both references without dropping them, when they were not this handle's own.
  void forget() noexcept {
    value_.release();
    node_.release();
  }
  Ref<Value> value_;
  Ref<Node> node_;
};

/// "W1 (32, 64)", or the shape alone without a name; for messages.
std::string describe(const Tensor& tensor);

namespace detail {

/// "the input", or "input 1" where there are several; for messages.
std::string one_of(const char* what, std::size_t i, std::size_t count);
/// Throws the ValueError of an operand where one of `tensors` is no tensor at all, and says which:
/// "grad: input 1 is undefined".
void check_defined(const char* op, const char* what, std::span<const Tensor> tensors,
                   const Where& where);

/// Tensor::mutable_data() for another function that errors are to name.
template <class T, DType = dtype_of<T>>
WritableSpan<T> mutable_data(const Tensor& tensor, const char* function, const Where& where);

}  // namespace detail

}  // namespace chainrule
