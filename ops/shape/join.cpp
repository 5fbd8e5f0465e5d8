#include <chainrule/ops/shape/join.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>

#include <chainrule/core/create.hpp>
#include <chainrule/ops/define.hpp>
#include <chainrule/ops/kernels/elementwise/loops.hpp>
#include <chainrule/ops/shape/indexing.hpp>
#include <chainrule/ops/shape/manipulation.hpp>

namespace chainrule {

namespace {

using Inputs = std::span<const Tensor>;

// Parameters of one application have at most 64 KiB; what has more operands is joined in parts.
constexpr std::size_t most_operands = 4096;

// `count` elements that live in place when they are few.
template <class T>
class Few {
 public:
  explicit Few(std::size_t count) : size_(count) {
    if (count > in_place_.size()) more_.resize(count);
  }
  T& operator[](std::size_t i) noexcept { return data()[i]; }
  T* data() noexcept { return more_.empty() ? in_place_.data() : more_.data(); }
  operator std::span<const T>() noexcept { return {data(), size_}; }

 private:
  std::size_t size_;
  std::array<T, 16> in_place_;
  std::vector<T> more_;
};

void check_operands(const char* op, Inputs tensors, const Where& where) {
  if (tensors.empty()) throw ValueError(fmt::format("{}: no tensors", op), where);
  for (std::size_t i = 0; i < tensors.size(); ++i)
    if (!tensors[i].defined())
      throw ValueError(fmt::format("{}: operand {} is an undefined tensor", op, i), where);
  const DType dtype = tensors[0].dtype();
  for (std::size_t i = 1; i < tensors.size(); ++i)
    if (tensors[i].dtype() != dtype)
      throw DTypeError(fmt::format("{}: dtypes of operands {} and 0 differ: {} is {}, {} is {}", op,
                                   i, describe(tensors[i]), name_of(tensors[i].dtype()),
                                   describe(tensors[0]), name_of(dtype)),
                       where, fmt::format("convert one of them: to(x, {})", name_of(dtype)));
}

// Writes the operands one after the other along an axis of `out`, of which operand i has
// extents[i] positions (a stack: one position, and no such axis of its own).
void join(Value& out, int axis, Inputs tensors, std::span<const std::int64_t> extents) {
  const std::int64_t* dims = out.dims();
  std::int64_t outer = 1, inner = static_cast<std::int64_t>(size_of(out.dtype()));
  for (int i = 0; i < axis; ++i) outer *= dims[i];
  for (int i = axis + 1; i < out.rank(); ++i) inner *= dims[i];
  if (outer * inner == 0) return;
  auto* to = static_cast<char*>(out.bytes());
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const std::int64_t bytes = extents[i] * inner;
    if (bytes != 0) {
      const Ref<Value> in = kernels::contiguous(tensors[i].value_ref());
      const auto* from = static_cast<const char*>(in->bytes());
      for (std::int64_t k = 0; k < outer; ++k)
        std::memcpy(to + k * dims[axis] * inner, from + k * bytes, static_cast<std::size_t>(bytes));
    }
    to += bytes;
  }
}

Tensor record_all(const Op& op, Ref<Value> out, Inputs tensors,
                  std::span<const std::int64_t> parameters, const Where& where) {
  Few<const Tensor*> pointers(tensors.size());
  for (std::size_t i = 0; i < tensors.size(); ++i) pointers[i] = &tensors[i];
  return record(op, std::move(out), pointers, 0, where, std::as_bytes(parameters));
}

struct Concat final : Op {
  Concat() : Op("concat") {}

  // `tensors` fit together; the axis counts from 0.
  Tensor operator()(Inputs tensors, int axis, const Where& where) const {
    if (tensors.size() > most_operands) {
      std::vector<Tensor> parts;
      for (std::size_t i = 0; i < tensors.size(); i += most_operands)
        parts.push_back(
            (*this)(tensors.subspan(i, std::min(most_operands, tensors.size() - i)), axis, where));
      return (*this)(parts, axis, where);
    }
    Few<std::int64_t> parameters(tensors.size() + 1);  // the axis, the operands' extents
    std::int64_t* extents = parameters.data() + 1;
    parameters[0] = axis;
    Shape shape = tensors[0].shape();
    std::int64_t total = 0;
    bool overflow = false;
    for (std::size_t i = 0; i < tensors.size(); ++i) {
      extents[i] = tensors[i].value_ref()->dims()[axis];
      overflow |= __builtin_add_overflow(total, extents[i], &total);
    }
    shape[axis] = overflow ? std::numeric_limits<std::int64_t>::max() : total;
    Ref<Value> out = make_result(name(), tensors[0].dtype(), shape, where);
    join(*out, axis, tensors, {extents, tensors.size()});
    return record_all(*this, std::move(out), tensors, parameters, where);
  }
  void vjp(Vjp& r) const override {
    const std::int64_t* parameters = &r.parameters<std::int64_t>();
    const int axis = static_cast<int>(parameters[0]);
    std::int64_t start = 0;
    for (std::size_t i = 0; i < r.input_count(); ++i) {
      const std::int64_t stop = start + parameters[i + 1];
      if (r.needs(i)) r.give(i, slice(r.g(), axis, start, stop, 1, r.node().where()));
      start = stop;
    }
  }
  Tensor jvp(Jvp& r) const override {
    const std::int64_t* parameters = &r.parameters<std::int64_t>();
    const int axis = static_cast<int>(parameters[0]);
    Shape shape = r.node().shape();
    std::vector<Tensor> tangents;
    for (std::size_t i = 0; i < r.input_count(); ++i) {
      shape[axis] = parameters[i + 1];
      tangents.push_back(r.has(i) ? r.tangent(i) : zeros(shape, r.node().dtype()));
    }
    return (*this)(tangents, axis, r.node().where());
  }
  Tensor replay(const Node& node, std::span<const Tensor> inputs) const override {
    return (*this)(inputs, static_cast<int>(node.parameters<std::int64_t>()), node.where());
  }
  std::vector<Sample> samples() const override {
    const Tensor a = tensor({{0.7, -1.3, 2.1}, {-0.4, 1.9, 0.6}}, f64);
    const Tensor b = tensor({{1.2, 0.8, -1.7}}, f64);
    const Tensor c = tensor({{1.5}, {-0.8}}, f64);
    const Tensor v = tensor({0.3, -0.2}, f64);
    return {{"axis 0", {a, b, a}, [](Inputs in) { return concat(in, 0); }},
            {"axis 1", {c, a}, [](Inputs in) { return concat(in, -1); }},
            {"vectors axis 0", {v, v, v}, [](Inputs in) { return concat(in); }},
            {"one axis 0", {a}, [](Inputs in) { return concat(in); }},
            {"an empty one axis 0", {zeros({0, 3}, f64), b}, [](Inputs in) { return concat(in); }},
            {"empty axis 1", {zeros({0, 3}, f64), zeros({0, 1}, f64)}, [](Inputs in) {
               return concat(in, 1);
             }}};
  }
};
const Concat concat_op;

struct Stack final : Op {
  Stack() : Op("stack") {}

  Tensor operator()(Inputs tensors, int axis, const Where& where) const {
    Shape shape = tensors[0].shape();
    shape.insert(axis, static_cast<std::int64_t>(tensors.size()));
    Ref<Value> out = make_result(name(), tensors[0].dtype(), shape, where);
    Few<std::int64_t> extents(tensors.size());
    std::fill_n(extents.data(), tensors.size(), 1);
    join(*out, axis, tensors, extents);
    const std::int64_t parameters[] = {axis};
    return record_all(*this, std::move(out), tensors, parameters, where);
  }
  void vjp(Vjp& r) const override {
    const int axis = static_cast<int>(r.parameters<std::int64_t>());
    for (std::size_t i = 0; i < r.input_count(); ++i)
      if (r.needs(i))
        r.give(i, select(r.g(), axis, static_cast<std::int64_t>(i), r.node().where()));
  }
  Tensor jvp(Jvp& r) const override {
    const int axis = static_cast<int>(r.parameters<std::int64_t>());
    Shape shape = r.node().shape();
    shape.erase(axis);
    std::vector<Tensor> tangents;
    for (std::size_t i = 0; i < r.input_count(); ++i)
      tangents.push_back(r.has(i) ? r.tangent(i) : zeros(shape, r.node().dtype()));
    return (*this)(tangents, axis, r.node().where());
  }
  Tensor replay(const Node& node, std::span<const Tensor> inputs) const override {
    return (*this)(inputs, static_cast<int>(node.parameters<std::int64_t>()), node.where());
  }
  Tensor written_out(const Node& node, std::span<const Tensor> inputs) const override {
    const int axis = static_cast<int>(node.parameters<std::int64_t>());
    std::vector<Tensor> parts;
    for (const Tensor& input : inputs) parts.push_back(unsqueeze(input, axis, node.where()));
    return concat(parts, axis, node.where());
  }
  std::vector<Sample> samples() const override {
    const Tensor a = tensor({{0.7, -1.3, 2.1}, {-0.4, 1.9, 0.6}}, f64);
    const Tensor b = tensor({{1.2, 0.8, -1.7}, {2.3, -0.9, 1.1}}, f64);
    const Tensor s = tensor(0.3, f64);
    return {{"axis 0", {a, b, a}, [](Inputs in) { return stack(in); }},
            {"axis 1", {a, b}, [](Inputs in) { return stack(in, 1); }},
            {"axis 2", {a, b}, [](Inputs in) { return stack(in, -1); }},
            {"scalars axis 0", {s, s}, [](Inputs in) { return stack(in); }},
            {"empty axis 1", {zeros({2, 0}, f64), zeros({2, 0}, f64)}, [](Inputs in) {
               return stack(in, 1);
             }}};
  }
};
const Stack stack_op;

}  // namespace

Tensor concat(Inputs tensors, int axis, Where where) {
  check_operands("concat", tensors, where);
  const Value& first = *tensors[0].value_ref();
  if (first.rank() == 0)
    throw ShapeError(fmt::format("concat: operand 0 has no axes: {}", describe(tensors[0])), where,
                     "stack() joins scalars");
  const int at = normalize_axis("concat", axis, first.rank(), tensors[0], where);
  for (std::size_t i = 1; i < tensors.size(); ++i) {
    const Value& x = *tensors[i].value_ref();
    bool fits = x.rank() == first.rank();
    for (int k = 0; fits && k < x.rank(); ++k) fits = k == at || x.dims()[k] == first.dims()[k];
    if (!fits)
      throw ShapeError(
          fmt::format("concat: operand {} does not fit operand 0 along axis {}: {} and {}", i, at,
                      describe(tensors[i]), describe(tensors[0])),
          where, "all extents but that of the axis must be equal");
  }
  return concat_op(tensors, at, where);
}
Tensor concat(std::initializer_list<Tensor> tensors, int axis, Where where) {
  return concat(Inputs(tensors.begin(), tensors.size()), axis, where);
}

Tensor stack(Inputs tensors, int axis, Where where) {
  check_operands("stack", tensors, where);
  const Value& first = *tensors[0].value_ref();
  for (std::size_t i = 1; i < tensors.size(); ++i)
    if (!tensors[i].value_ref()->same_shape(first))
      throw ShapeError(fmt::format("stack: operand {} has another shape than operand 0: {} and {}",
                                   i, describe(tensors[i]), describe(tensors[0])),
                       where, "concat() joins along an axis that the tensors have");
  const int rank = first.rank() + 1, at = axis < 0 ? axis + rank : axis;
  if (at < 0 || at >= rank)
    throw IndexError(fmt::format("stack: axis {} of a result with {} axes", axis, rank), where);
  if (rank > max_rank)
    throw ShapeError(fmt::format("stack: {} has {} axes, and there can be no more",
                                 describe(tensors[0]), max_rank),
                     where);
  return stack_op(tensors, at, where);
}
Tensor stack(std::initializer_list<Tensor> tensors, int axis, Where where) {
  return stack(Inputs(tensors.begin(), tensors.size()), axis, where);
}

std::vector<Tensor> split(const Tensor& x, std::int64_t size, int axis, Where where) {
  if (size <= 0)
    throw ValueError(fmt::format("split: parts of {} positions, but 1 or more are needed", size),
                     where);
  const int at = normalize_axis("split", axis, x.rank(where), x, where);
  const std::int64_t extent = x.size(at);
  std::vector<Tensor> parts;
  std::int64_t start = 0;
  do {
    const std::int64_t count = std::min(size, extent - start);
    parts.push_back(slice(x, at, start, start + count, 1, where));
    start += count;
  } while (start < extent);
  return parts;
}

std::vector<Tensor> split(const Tensor& x, std::span<const std::int64_t> sizes, int axis,
                          Where where) {
  const int at = normalize_axis("split", axis, x.rank(where), x, where);
  const std::int64_t extent = x.size(at);
  std::int64_t left = extent;
  bool fits = true;
  for (const std::int64_t size : sizes) {
    fits = fits && size >= 0 && size <= left;
    if (fits) left -= size;
  }
  if (!fits || left != 0)
    throw ShapeError(fmt::format("split: parts of {} positions do not make up axis {} of {}",
                                 fmt::join(sizes, " + "), at, describe(x)),
                     where);
  std::vector<Tensor> parts;
  std::int64_t start = 0;
  for (const std::int64_t size : sizes) {
    parts.push_back(slice(x, at, start, start + size, 1, where));
    start += size;
  }
  return parts;
}
std::vector<Tensor> split(const Tensor& x, std::initializer_list<std::int64_t> sizes, int axis,
                          Where where) {
  return split(x, std::span(sizes.begin(), sizes.size()), axis, where);
}

}  // namespace chainrule
