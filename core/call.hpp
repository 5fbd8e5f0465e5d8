#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include <chainrule/core/allocator.hpp>
#include <chainrule/core/node.hpp>
#include <chainrule/core/parameters.hpp>
#include <chainrule/core/tensor.hpp>

namespace chainrule {

class Op;

namespace detail {

/// Turns an error about memory or extents that is being handled into one that names op and line.
[[noreturn]] void rethrow_result(const char* op, DType dtype, const Shape& shape,
                                 const Where& where);

}  // namespace detail

/// The operands of a call, in order; an undefined tensor where one was left out.
using Operands = std::span<const Tensor* const>;

/// One call of an op: operands, parameters, and the user's line.
class Call {
 public:
  Call(const Op& op, Operands inputs, Parameters parameters, const Where& where) noexcept
      : op_(op), inputs_(inputs), parameters_(parameters), where_(where) {}
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

  const Op& op() const noexcept { return op_; }
  const char* name() const noexcept;
  const Where& where() const noexcept { return where_; }
  std::size_t input_count() const noexcept { return inputs_.size(); }
  Operands inputs() const noexcept { return inputs_; }
  /// False for an operand that was left out.
  bool given(std::size_t i) const noexcept { return i < inputs_.size() && inputs_[i]->defined(); }
  /// Operand i, defined or not. Throws ValueError for one that the op was not applied to.
  const Tensor& tensor(std::size_t i) const {
    if (i >= inputs_.size()) [[unlikely]]
      throw_missing(i);
    return *inputs_[i];
  }
  /// The numbers of operand i. Throws ValueError that names op and operand when it is undefined.
  const Value& in(std::size_t i) const {
    if (!given(i)) throw_missing(i);
    return *inputs_[i]->value_ref();
  }
  const Ref<Value>& in_ref(std::size_t i) const {
    if (!given(i)) throw_missing(i);
    return inputs_[i]->value_ref();
  }
  /// True when operand i takes part in a graph, so that its gradient may be wanted.
  bool needs_grad(std::size_t i) const noexcept {
    return i < inputs_.size() && inputs_[i]->requires_grad();
  }
  const Parameters& parameters() const noexcept { return parameters_; }
  template <class P>
  const P& parameters() const {
    if (parameters_.size() != sizeof(P)) [[unlikely]]
      throw_parameters(sizeof(P));
    return parameters_.as<P>();
  }

 private:
  [[noreturn]] void throw_missing(std::size_t i) const;
  [[noreturn]] void throw_parameters(std::size_t asked) const;

  const Op& op_;
  Operands inputs_;
  Parameters parameters_;
  const Where& where_;
};

/// What Op::infer() says of a call: dtype and shape of each result, and which are views. No number
/// is touched, and nothing is allocated.
class Inference : public Call {
 public:
  using Call::Call;

  /// A result of its own memory, which evaluate() fills. Results are said in order.
  void output(DType dtype, const Shape& shape) { next_output().set(dtype, shape); }
  /// The same, of the shape of x.
  void output_like(DType dtype, const Value& x) { next_output().set_like(dtype, x); }
  /// A result that shows elements of operand `of`, strides and offset in elements of its memory;
  /// evaluate() is not called for it. What lies outside of that memory is a ShapeError.
  void view(std::size_t of, const Shape& shape, const Shape& strides, std::int64_t offset) {
    next_output().set_view(of, shape, strides, offset);
  }
  /// A result that is operand `of` itself.
  void same(std::size_t of) { next_output().set_same(of); }
  /// Something that evaluate() computes on the way and that the rules will read, as the statistics
  /// of a normalization: neither operand nor result. Said behind all results.
  void saves(DType dtype, const Shape& shape) { next().set(dtype, shape); }

  /// One result.
  class Result {
   public:
    void set(DType dtype, const Shape& shape) noexcept {
      kind_ = Kind::shape;
      dtype_ = dtype;
      shape_ = shape;
    }
    void set_like(DType dtype, const Value& like) noexcept {
      kind_ = Kind::like;
      dtype_ = dtype;
      like_ = &like;
    }
    void set_view(std::size_t of, const Shape& shape, const Shape& strides, std::int64_t offset) {
      kind_ = Kind::view;
      of_ = of;
      shape_ = shape;
      strides_ = strides;
      offset_ = offset;
    }
    void set_same(std::size_t of) noexcept {
      kind_ = Kind::same;
      of_ = of;
    }
    /// Whether evaluate() has nothing to do for it.
    bool is_view() const noexcept { return kind_ == Kind::view || kind_ == Kind::same; }
    DType dtype(const Call& call) const { return is_view() ? call.in(of_).dtype() : dtype_; }
    Shape shape(const Call& call) const {
      return kind_ == Kind::like   ? like_->shape()
             : kind_ == Kind::same ? call.in(of_).shape()
                                   : shape_;
    }
    /// Memory for it, or the view. Errors name op and line.
    Ref<Value> allocate(const Call& call) const {
      if (kind_ == Kind::like) return allocate_like(call);
      return allocate_other(call);
    }

   private:
    Ref<Value> allocate_like(const Call& call) const {
      try {
        return Value::make_like(dtype_, *like_);
      } catch (const Error&) {
        detail::rethrow_result(call.name(), dtype_, like_->shape(), call.where());
      }
    }
    Ref<Value> allocate_other(const Call& call) const;

    enum class Kind : std::uint8_t { none, shape, like, view, same };
    Kind kind_ = Kind::none;
    DType dtype_ = DType::f32;
    const Value* like_ = nullptr;
    std::size_t of_ = 0;
    std::int64_t offset_ = 0;
    Shape shape_, strides_;
  };

  std::size_t output_count() const noexcept { return outputs_; }
  std::size_t saved_count() const noexcept { return results_ - outputs_; }
  /// Results, and behind them what is saved.
  const Result& result(std::size_t k) const noexcept {
    return k < in_place ? first_[k] : more_[k - in_place];
  }

 private:
  Result& next_output() {
    if (results_ != outputs_) [[unlikely]]
      throw_out_of_order();
    ++outputs_;
    return next();
  }
  Result& next() {
    const std::size_t k = results_++;
    return k < in_place ? first_[k] : more_.emplace_back();
  }

  [[noreturn]] void throw_out_of_order() const;

  static constexpr std::size_t in_place = 2;
  std::size_t outputs_ = 0, results_ = 0;
  Result first_[in_place];
  std::vector<Result, memory::Pool<Result>> more_;
};

/// What Op::evaluate() is given: the operands' numbers, and memory for the results.
class Evaluation {
 public:
  /// Memory for what the op inferred; `known` are saved values that somebody has computed before.
  Evaluation(const Inference& call, std::span<const Ref<Value>> known = {}) : call_(call) {
    const std::size_t all = call.output_count() + call.saved_count();
    if (all > in_place) make_room(all);
    results_[0] = call.result(0).allocate(call);
    views_ = call.result(0).is_view();
    if (all > 1) allocate_more(1, known);
  }
  /// The same in memory that is handed in for the results, where that fits.
  Evaluation(const Inference& call, std::span<Ref<Value>> memory,
             std::span<const Ref<Value>> known);
  Evaluation(const Evaluation&) = delete;
  Evaluation& operator=(const Evaluation&) = delete;

  const char* name() const noexcept { return call_.name(); }
  const Where& where() const noexcept { return call_.where(); }
  std::size_t input_count() const noexcept { return call_.input_count(); }
  bool given(std::size_t i) const noexcept { return call_.given(i); }
  const Tensor& tensor(std::size_t i) const { return call_.tensor(i); }
  const Value& in(std::size_t i) const { return *in_ref(i); }
  const Ref<Value>& in_ref(std::size_t i) const {
    const Operands inputs = call_.inputs();
    if (i < inputs.size()) [[likely]]
      if (const Ref<Value>& value = inputs[i]->value_ref()) [[likely]]
        return value;
    return call_.in_ref(i);  // which throws
  }
  template <class P>
  const P& parameters() const {
    return call_.parameters<P>();
  }
  const Parameters& parameters() const noexcept { return call_.parameters(); }

  /// The memory of result k: row-major, uninitialised.
  Value& out(std::size_t k = 0) const { return *out_ref(k); }
  const Ref<Value>& out_ref(std::size_t k = 0) const {
    if (k >= call_.output_count()) [[unlikely]]
      throw_none(None::result, k, call_.output_count());
    return results_[k];
  }
  /// The memory of the saved value k.
  Value& saved(std::size_t k) const { return *saved_ref(k); }
  const Ref<Value>& saved_ref(std::size_t k) const {
    if (k >= call_.saved_count()) [[unlikely]]
      throw_none(None::saved_value, k, call_.saved_count());
    return results_[call_.output_count() + k];
  }
  /// True when saved value k holds its numbers already.
  bool knows(std::size_t k) const noexcept { return k < 32 && (known_ >> k & 1) != 0; }

  /// All saved values.
  std::span<const Ref<Value>> saved_values() const noexcept {
    return {results_ + call_.output_count(), call_.saved_count()};
  }
  /// True when all results are views: there is nothing to compute.
  bool only_views() const noexcept { return views_; }
  Ref<Value> take_out() noexcept { return std::move(results_[0]); }

 private:
  enum class None : std::uint8_t { result, saved_value };
  [[noreturn]] void throw_none(None what, std::size_t k, std::size_t count) const;
  void make_room(std::size_t results);
  void allocate_more(std::size_t first, std::span<const Ref<Value>> known);

  static constexpr std::size_t in_place = 3;
  const Inference& call_;
  Ref<Value> few_[in_place];
  std::vector<Ref<Value>, memory::Pool<Ref<Value>>> many_;  // all of them, instead
  Ref<Value>* results_ = few_;
  std::uint32_t known_ = 0;
  bool views_ = false;
};

}  // namespace chainrule
