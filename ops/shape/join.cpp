#include <chainrule/ops/shape/join.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>

#include <chainrule/core/create.hpp>
#include <chainrule/core/out_of_memory.hpp>
#include <chainrule/core/range_hint.hpp>
#include <chainrule/ops/axis_text.hpp>
#include <chainrule/ops/define.hpp>
#include <chainrule/ops/kernels/shape/assign.hpp>
#include <chainrule/ops/shape/indexing.hpp>
#include <chainrule/ops/shape/manipulation.hpp>

namespace chainrule {

namespace {

using Inputs = std::span<const Tensor>;

// Pointers to the operands, in place when they are few.
class Pointers {
 public:
  explicit Pointers(Inputs tensors) : size_(tensors.size()) {
    if (size_ > in_place_.size()) more_.resize(size_);
    const Tensor** to = data();
    for (const Tensor& tensor : tensors) *to++ = &tensor;
  }
  operator Operands() noexcept { return {data(), size_}; }

 private:
  const Tensor** data() noexcept { return more_.empty() ? in_place_.data() : more_.data(); }

  std::size_t size_;
  std::array<const Tensor*, 16> in_place_;
  std::vector<const Tensor*> more_;
};

void check_operands(const Call& call) {
  for (std::size_t i = 0; i < call.input_count(); ++i) call.in(i);  // which names one without
  const DType dtype = call.in(0).dtype();
  for (std::size_t i = 1; i < call.input_count(); ++i)
    if (call.in(i).dtype() != dtype)
      throw DTypeError(
          fmt::format("{}: dtypes of operands {} and 0 differ: {} is {}, {} is {}", call.name(), i,
                      describe(call.tensor(i)), name_of(call.in(i).dtype()),
                      describe(call.tensor(0)), name_of(dtype)),
          call.where(), fmt::format("convert one of them: to(x, {})", name_of(dtype)));
}

// Whether a node of all these operands keeps what it takes to compute it again: it saves the first
// of them only, and behind those there may be none but results of other nodes.
bool all_are_kept(Inputs tensors) {
  if (tensors.size() <= Node::most_saved_inputs || !detail::mode.recording ||
      std::ranges::none_of(tensors, needs_grad))
    return true;
  return std::ranges::all_of(tensors.subspan(Node::most_saved_inputs), [](const Tensor& x) {
    return x.requires_grad() && !x.node()->is_leaf();
  });
}

Tensor concatenated(Inputs tensors, int axis, const Where& where);

// The operands one after the other along an axis, which is the parameter: one that they have, or a
// new one. `Self` gives infer(), vjp(), and part_shape(r, i), the shape of operand i.
template <class Self>
class Joining : public Op {
 public:
  using Op::Op;

  // There are operands, and the axis counts from 0.
  Tensor operator()(Inputs tensors, int axis, const Where& where) const {
    const auto& self = static_cast<const Self&>(*this);
    Pointers operands(tensors);
    if (all_are_kept(tensors)) return apply(self, operands, axis, where);
    Inference all(self, operands, axis, where);
    self.infer(all);  // messages count the operands through all parts
    std::vector<Tensor> parts;
    for (std::size_t i = 0; i < tensors.size(); i += Node::most_saved_inputs)
      parts.push_back((*this)(
          tensors.subspan(i, std::min(Node::most_saved_inputs, tensors.size() - i)), axis, where));
    return concatenated(parts, axis, where);
  }

  void evaluate(Evaluation& call) const final {
    Value& out = call.out();
    if (out.numel() == 0) return;
    const int axis = call.parameters<int>();
    std::size_t runs = 1;  // positions of the axes before
    for (int i = 0; i < axis; ++i) runs *= static_cast<std::size_t>(out.dims()[i]);
    const std::size_t stride = out.byte_count() / runs;
    // All operands for some runs, so that these stay in the cache.
    const std::size_t block = std::clamp<std::size_t>((std::size_t{1} << 14) / stride, 1, runs);
    std::vector<Ref<Value>, memory::Pool<Ref<Value>>> copies(call.input_count());
    for (std::size_t begin = 0; begin < runs; begin += block) {
      const std::size_t count = std::min(block, runs - begin);
      auto* to = static_cast<char*>(out.bytes()) + begin * stride;
      for (std::size_t i = 0; i < call.input_count(); ++i) {
        const std::size_t bytes = call.in(i).byte_count() / runs;
        if (bytes == 0) continue;
        Ref<Value>& in = copies[i];
        if (!in) in = kernels::contiguous(call.in_ref(i));
        kernels::copy_pieces(to, stride, static_cast<const char*>(in->bytes()) + begin * bytes,
                             bytes, count);
        to += bytes;
      }
    }
  }
  std::string written(const Node& node) const final {
    return along_axis(Op::written(node), node.parameters<int>());
  }
  Tensor jvp(Jvp& r) const final {
    const auto& self = static_cast<const Self&>(*this);
    std::vector<Tensor> tangents;
    for (std::size_t i = 0; i < r.input_count(); ++i)
      tangents.push_back(r.has(i) ? r.tangent(i) : zeros(self.part_shape(r, i), r.node().dtype()));
    return self(tangents, r.parameters<int>(), r.where());
  }
};

struct Concat final : Joining<Concat> {
  Concat() : Joining("concat") {}

  void infer(Inference& call) const override {
    check_operands(call);
    const Value& first = call.in(0);
    const int axis =
        normalize_axis(name(), call.parameters<int>(), first.rank(), call.tensor(0), call.where());
    Shape shape = first.shape();
    bool overflow = false;
    for (std::size_t i = 1; i < call.input_count(); ++i) {
      const Value& x = call.in(i);
      bool fits = x.rank() == first.rank();
      for (int k = 0; fits && k < x.rank(); ++k) fits = k == axis || x.dims()[k] == first.dims()[k];
      if (!fits)
        throw ShapeError(
            fmt::format("concat: operand {} does not fit operand 0 along axis {}: {} and {}", i,
                        axis, describe(call.tensor(i)), describe(call.tensor(0))),
            call.where(), "all extents but that of the axis must be equal");
      overflow |= __builtin_add_overflow(shape[axis], x.dims()[axis], &shape[axis]);
    }
    if (overflow) shape[axis] = std::numeric_limits<std::int64_t>::max();
    call.output(first.dtype(), shape);
  }
  // The shapes of constants, which no node says.
  Node::SavedMask reads(const Call& call) const override {
    Node::SavedMask mask = 0;
    for (std::size_t i = 0; i < std::min(call.input_count(), Node::most_saved_inputs); ++i)
      if (!call.tensor(i).node()) mask |= Node::input(i);
    return mask;
  }
  void vjp(Vjp& r) const override {
    const int axis = r.parameters<int>();
    std::int64_t start = 0;
    for (std::size_t i = 0; i < r.input_count(); ++i) {
      const std::int64_t stop = start + part_shape(r, i)[axis];
      if (r.needs(i)) r.give(i, slice(r.g(), axis, start, stop, 1, r.where()));
      start = stop;
    }
  }
  static Shape part_shape(const Application& r, std::size_t i) {
    if (const Node* input = r.node().inputs()[i]) return input->shape();
    if (const Value* constant = r.node().saved_input(i)) return constant->shape();
    throw GradError(
        fmt::format("concat: the shape of operand {}, a constant, is not kept", i), r.where(),
        fmt::format("of more than {} operands, put the constants first", Node::most_saved_inputs));
  }
  Role role(const Parameters&) const override { return Role::Kind::join; }
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
CHAINRULE_EARLY const Concat concat_op;

Tensor concatenated(Inputs tensors, int axis, const Where& where) {
  return concat_op(tensors, axis, where);
}

struct Stack final : Joining<Stack> {
  Stack() : Joining("stack") {}

  void infer(Inference& call) const override {
    check_operands(call);
    const Value& first = call.in(0);
    for (std::size_t i = 1; i < call.input_count(); ++i)
      if (!call.in(i).same_shape(first))
        throw ShapeError(
            fmt::format("stack: operand {} has another shape than operand 0: {} and {}", i,
                        describe(call.tensor(i)), describe(call.tensor(0))),
            call.where(), "concat() joins along an axis that the tensors have");
    const int rank = first.rank() + 1, axis = call.parameters<int>();
    if (axis < 0 || axis >= rank)
      throw IndexError(fmt::format("stack: axis {} of a result with {} axes", axis, rank),
                       call.where(), detail::range_hint("axes", rank));
    if (rank > max_rank)
      throw ShapeError(fmt::format("stack: {} has {} axes, and there can be no more",
                                   describe(call.tensor(0)), max_rank),
                       call.where(), "concat() joins along an axis that the tensors have");
    Shape shape = first.shape();
    shape.insert(axis, static_cast<std::int64_t>(call.input_count()));
    call.output(first.dtype(), shape);
  }
  void vjp(Vjp& r) const override {
    for (std::size_t i = 0; i < r.input_count(); ++i)
      if (r.needs(i))
        r.give(i, select(r.g(), r.parameters<int>(), static_cast<std::int64_t>(i), r.where()));
  }
  static Shape part_shape(const Application& r, std::size_t) {
    Shape shape = r.node().shape();
    shape.erase(r.parameters<int>());
    return shape;
  }
  Tensor written_out(const Node& node, std::span<const Tensor> inputs) const override {
    const int axis = node.parameters<int>();
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
CHAINRULE_EARLY const Stack stack_op;

const Tensor& first_of(const char* op, Inputs tensors, const Where& where) {
  if (tensors.empty())
    throw ValueError(fmt::format("{}: no tensors", op), where, "the shape would be unknown");
  tensors[0].value(where, op, "operand 0");
  return tensors[0];
}

}  // namespace

Tensor concat(Inputs tensors, int axis, Where where) {
  const Tensor& first = first_of("concat", tensors, where);
  if (first.rank() == 0)
    throw ShapeError(fmt::format("concat: operand 0 has no axes: {}", describe(first)), where,
                     "stack() joins scalars");
  return concat_op(tensors, normalize_axis("concat", axis, first.rank(), first, where), where);
}
Tensor concat(std::initializer_list<Tensor> tensors, int axis, Where where) {
  return concat(Inputs(tensors.begin(), tensors.size()), axis, where);
}

Tensor stack(Inputs tensors, int axis, Where where) {
  const int rank = first_of("stack", tensors, where).rank() + 1;
  // Out of range it stays as it is, for the message.
  return stack_op(tensors, axis < 0 && axis >= -rank ? axis + rank : axis, where);
}
Tensor stack(std::initializer_list<Tensor> tensors, int axis, Where where) {
  return stack(Inputs(tensors.begin(), tensors.size()), axis, where);
}

namespace {

int axis_to_split(const Tensor& x, int axis, const Where& where) {
  const int rank = x.value(where, "split", "operand x").rank();
  if (rank == 0)
    throw ShapeError(fmt::format("split: {} has no axes", describe(x)), where,
                     "unsqueeze(x, 0) gives it one");
  return normalize_axis("split", axis, rank, x, where);
}

}  // namespace

std::vector<Tensor> split(const Tensor& x, std::int64_t size, int axis, Where where) {
  if (size <= 0)
    throw ValueError(fmt::format("split: parts of {} positions, but 1 or more are needed", size),
                     where, "the size is that of a part, not how many parts there are");
  const int at = axis_to_split(x, axis, where);
  const std::int64_t extent = x.size(at);
  return detail::naming_memory("split", where, [&] {
    std::vector<Tensor> parts;
    std::int64_t start = 0;
    do {
      const std::int64_t count = std::min(size, extent - start);
      parts.push_back(slice(x, at, start, start + count, 1, where));
      start += count;
    } while (start < extent);
    return parts;
  });
}

std::vector<Tensor> split(const Tensor& x, std::span<const std::int64_t> sizes, int axis,
                          Where where) {
  const int at = axis_to_split(x, axis, where);
  const std::int64_t extent = x.size(at);
  if (sizes.empty() && extent != 0)
    throw ShapeError(fmt::format("split: no parts of axis {} of {}", at, describe(x)), where,
                     fmt::format("give the extents of the parts; their sum is {}", extent));
  for (const std::int64_t size : sizes)
    if (size < 0)
      throw ShapeError(fmt::format("split: parts of {} positions, of which one is negative",
                                   fmt::join(sizes, " + ")),
                       where, "a part has 0 positions or more; none stands for the rest");
  std::int64_t left = extent;
  bool fits = true;
  for (const std::int64_t size : sizes) {
    fits = fits && size <= left;
    if (fits) left -= size;
  }
  if (!fits || left != 0)
    throw ShapeError(fmt::format("split: parts of {} positions do not make up axis {} of {}",
                                 fmt::join(sizes, " + "), at, describe(x)),
                     where, fmt::format("their sum is its extent, {}", extent));
  return detail::naming_memory("split", where, [&] {
    std::vector<Tensor> parts;
    std::int64_t start = 0;
    for (const std::int64_t size : sizes) {
      parts.push_back(slice(x, at, start, start + size, 1, where));
      start += size;
    }
    return parts;
  });
}
std::vector<Tensor> split(const Tensor& x, std::initializer_list<std::int64_t> sizes, int axis,
                          Where where) {
  return split(x, std::span(sizes.begin(), sizes.size()), axis, where);
}

}  // namespace chainrule
