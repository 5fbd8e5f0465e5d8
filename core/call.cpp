#include <chainrule/core/call.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <string>

#include <chainrule/core/op.hpp>
#include <chainrule/core/out_of_memory.hpp>

namespace chainrule {

void detail::throw_parameter_size(std::size_t asked, std::size_t recorded, const char* op,
                                  const Where& where) {
  throw GradError(
      recorded == 0
          ? fmt::format("{}: asks for parameters of {} bytes, but was applied without any", op,
                        asked)
          : fmt::format("{}: asks for parameters of {} bytes, but was applied with {} bytes", op,
                        asked, recorded),
      where, "hand them to apply(), and ask for them as the type that they have there");
}

void Call::throw_parameters(std::size_t asked) const {
  detail::throw_parameter_size(asked, parameters_.size(), name(), where_);
}

void Call::throw_missing(std::size_t i) const {
  if (i >= input_count())
    throw ValueError(
        fmt::format("{}: asks for operand {}, but was applied to {}", name(), i, input_count()),
        where_, "operands are counted from 0; given(i) says whether there is one");
  throw ValueError(
      fmt::format("{}: operand {} is an undefined tensor", name(), i), where_,
      detail::mode.rule_of
          ? "a gradient rule asks has_g(k) before it reads g(k) of several results, has(i) before "
            "tangent(i), and given(i) before in(i)"
          : "it was default-constructed, moved from, or is the grad() of a tensor that has none");
}

Ref<Value> Inference::Result::allocate_other(const Call& call) const {
  if (kind_ == Kind::same) return call.in_ref(of_);
  if (kind_ == Kind::view) {
    if (!call.in(of_).has_room_for(shape_, strides_, offset_))
      throw ShapeError(
          fmt::format("{}: infer() says a view {} with strides {} from element {} on, which is not "
                      "within operand {}, {}, or has more elements than can be counted",
                      call.name(), to_string(shape_), to_string(strides_), offset_, of_,
                      to_string(call.in(of_).shape())),
          call.where(), "count strides and offset in elements of the operand's memory");
    return Value::view(call.in_ref(of_), shape_, strides_, offset_);
  }
  if (kind_ == Kind::none)
    throw GradError(fmt::format("{}: infer() says no result", call.name()), call.where(),
                    "call output() for each result");
  try {
    return Value::make(dtype_, shape_);
  } catch (const Error&) {
    detail::rethrow_result(call.name(), dtype_, shape_, call.where());
  }
}

void detail::rethrow_result(const char* op, DType dtype, const Shape& shape, const Where& where) {
  try {
    throw;
  } catch (const MemoryError&) {
    throw_no_memory_for(op, shape, dtype, where);
  } catch (const ShapeError&) {
    const bool negative =
        std::ranges::any_of(shape, [](std::int64_t extent) { return extent < 0; });
    throw ShapeError(
        fmt::format("{}: the result {} has {}", op, to_string(shape),
                    negative ? "a negative extent" : "more elements than can be counted"),
        where, negative ? "infer() counts extents from 0" : "a tensor has at most 2^59");
  }
}

namespace {

// The memory itself where a result may be written into it, else what the result needs.
Ref<Value> reused(Ref<Value>&& memory, const Inference& call, std::size_t k) {
  const Inference::Result& result = call.result(k);
  const bool fits = memory && !result.is_view() && memory->exclusive() &&
                    memory->dtype() == result.dtype(call) && memory->shape() == result.shape(call);
  return fits ? std::move(memory) : result.allocate(call);
}

}  // namespace

void Inference::throw_out_of_order() const {
  throw GradError(fmt::format("{}: infer() says a result behind a saved value", name()), where(),
                  "call output() for all results first, and then saves()");
}

void Evaluation::throw_none(None what, std::size_t k, std::size_t count) const {
  const bool result = what == None::result;
  throw GradError(
      fmt::format("{}: evaluate() asks for {}({}), but infer() says {} {}, counted from 0", name(),
                  result ? "out" : "saved", k, count == 0 ? "no" : std::to_string(count),
                  result       ? (count == 1 ? "result" : "results")
                  : count == 1 ? "saved value"
                               : "saved values"),
      where(), "call output() in infer() for each result, and saves() for each saved value");
}

void Evaluation::make_room(std::size_t results) {
  many_.resize(results);
  results_ = many_.data();
}

void Evaluation::allocate_more(std::size_t first, std::span<const Ref<Value>> known) {
  const std::size_t outputs = call_.output_count(), all = outputs + call_.saved_count();
  for (std::size_t k = first; k < all; ++k) {
    if (k >= outputs && k - outputs < known.size()) {
      const Ref<Value>& value = known[k - outputs];
      const Inference::Result& result = call_.result(k);
      if (!value || value->dtype() != result.dtype(call_) || value->shape() != result.shape(call_))
        throw GradError(
            fmt::format("{}: known value {} is not what infer() says: {} of {}", name(),
                        k - outputs, to_string(result.shape(call_)), name_of(result.dtype(call_))),
            where(), "hand over what an application with the same operands has saved");
      results_[k] = value;
      known_ |= std::uint32_t{1} << (k - outputs);
    } else {
      results_[k] = call_.result(k).allocate(call_);
    }
    if (k < outputs) views_ = views_ && call_.result(k).is_view();
  }
}

Evaluation::Evaluation(const Inference& call, std::span<Ref<Value>> memory,
                       std::span<const Ref<Value>> known)
    : call_(call), views_(true) {
  const std::size_t all = call.output_count() + call.saved_count();
  const std::size_t handed = std::min(call.output_count(), memory.size());
  if (all > in_place) make_room(all);
  for (std::size_t k = 0; k < handed; ++k) {
    results_[k] = reused(std::move(memory[k]), call, k);
    views_ = views_ && call.result(k).is_view();
  }
  allocate_more(handed, known);
}

}  // namespace chainrule
