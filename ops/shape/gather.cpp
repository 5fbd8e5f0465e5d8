#include <chainrule/ops/shape/gather.hpp>

#include <fmt/format.h>

#include <chainrule/core/create.hpp>
#include <chainrule/ops/define.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/kernels/shape/assign.hpp>
#include <chainrule/ops/kernels/shape/gather.hpp>

namespace chainrule {

namespace {

using detail::input;
using Inputs = std::span<const Tensor>;

// --- checks ---

void check_index_dtype(const char* op, const Tensor& index, const Where& where) {
  if (index.dtype(where) != i64)
    throw DTypeError(fmt::format("{}: the index {} holds {}, but i64 is needed", op,
                                 describe(index), name_of(index.dtype())),
                     where, "convert it: to(index, i64)");
}

// Throws for the first element of the index that is not in 0 … extent − 1; bound() says of what.
template <class F>
void check_positions(const char* op, const Tensor& index, std::int64_t extent, F bound,
                     const Where& where) {
  const Value& value = *index.value_ref();
  const std::int64_t* data = value.data<std::int64_t>();
  const auto limit = static_cast<std::uint64_t>(extent);
  bool bad = false;
  const kernels::Space<1> space(value, {&value});
  const std::int64_t step = space.inner_stride(0);
  space.for_each_row([&](std::int64_t count, std::int64_t, const auto& offset) {
    const std::int64_t* row = data + offset[0];
    for (std::int64_t i = 0; i < count; ++i)
      bad |= static_cast<std::uint64_t>(row[i * step]) >= limit;
  });
  if (!bad) return;
  const std::vector<std::int64_t> all = index.to_vector<std::int64_t>();
  std::size_t first = 0;
  while (static_cast<std::uint64_t>(all[first]) < limit) ++first;
  Shape at = index.shape();
  auto rest = static_cast<std::int64_t>(first);
  for (int axis = at.rank() - 1; axis >= 0; --axis) {
    const std::int64_t size = at[axis];
    at[axis] = rest % size;
    rest /= size;
  }
  throw IndexError(fmt::format("{}: index {} at {} of {} is out of range for {}", op, all[first],
                               to_string(at), describe(index), bound()),
                   where,
                   all[first] < 0 ? "negative indices in a tensor do not count from the end" : "");
}

// For positions along an axis of x.
void check_positions(const char* op, const Tensor& index, const Tensor& x, int axis,
                     const Where& where) {
  const std::int64_t extent = x.value_ref()->dims()[axis];
  check_positions(
      op, index, extent,
      [&] { return fmt::format("axis {} of {}, whose extent is {}", axis, describe(x), extent); },
      where);
}

// Checks of gather and scatter_add; returns the axis counted from 0.
int check_gather(const char* op, const Tensor& x, int axis, const Tensor& index,
                 const Where& where) {
  check_index_dtype(op, index, where);
  const Value &in = x.value(where), &at = *index.value_ref();
  const int from_0 = normalize_axis(op, axis, in.rank(), x, where);
  bool fits = at.rank() == in.rank();
  for (int i = 0; fits && i < at.rank(); ++i) fits = i == from_0 || at.dims()[i] <= in.dims()[i];
  if (!fits)
    throw ShapeError(fmt::format("{}: the index {} does not fit {} along axis {}", op,
                                 describe(index), describe(x), from_0),
                     where,
                     "it needs as many axes, and no more positions than that along the other axes; "
                     "take(x, index, axis) takes an index of any shape");
  check_positions(op, index, x, from_0, where);
  return from_0;
}

// Checks of take and index_add; returns the axis counted from 0.
int check_take(const char* op, const Tensor& x, int axis, const Tensor& index, const Where& where) {
  check_index_dtype(op, index, where);
  const int from_0 = normalize_axis(op, axis, x.rank(where), x, where);
  check_rank(op, x.rank() - 1 + index.rank(), x, where);
  check_positions(op, index, x, from_0, where);
  return from_0;
}

void check_source(const char* op, const Tensor& x, const Tensor& source, const Shape& shape,
                  const Where& where) {
  source.value(where);
  check_dtypes(op, x, source, true, where);
  if (source.shape() != shape)
    throw ShapeError(fmt::format("{}: the source {} does not have the shape {} of what is taken "
                                 "from {}",
                                 op, describe(source), to_string(shape), describe(x)),
                     where);
}

// --- the ops ---

// What moves elements between a whole and a part of it. `Self` gives
//
//     static void evaluate(const Ref<Value>& out, const Ref<Value>& x, int axis, const Ref<Value>&
//     index); static Tensor transposed(const Tensor& g, int axis, const Tensor& index, const Shape&
//     shape,
//                              const Where& where);  // of this linear map of x
template <class Self>
struct Moving : Op {
  using Op::Op;

  Tensor operator()(const Tensor& x, int axis, const Tensor& index, const Shape& shape,
                    const Where& where) const {
    Ref<Value> out = make_result(name(), x.dtype(), shape, where);
    Self::evaluate(out, x.value_ref(), axis, index.value_ref());
    return record(*this, std::move(out), {&x, &index}, input(1), where, detail::bytes_of(axis));
  }
  void vjp(Vjp& r) const final {
    if (r.needs(0))
      r.give(0, Self::transposed(r.g(), r.parameters<int>(), r.in(1), r.shape_of(0),
                                 r.node().where()));
  }
  Tensor jvp(Jvp& r) const final {
    return (*this)(r.tangent(0), r.parameters<int>(), r.in(1), r.node().shape(), r.node().where());
  }
  Tensor replay(const Node& node, std::span<const Tensor> inputs) const final {
    return (*this)(inputs[0], node.parameters<int>(), inputs[1], node.shape(), node.where());
  }
};

Tensor matrix() { return tensor({{0.7, -1.3, 2.1}, {-0.4, 1.9, 0.6}, {1.1, 0.3, -0.8}}, f64); }

struct ScatterAdd final : Moving<ScatterAdd> {
  ScatterAdd() : Moving("scatter_add") {}
  static void evaluate(const Ref<Value>& out, const Ref<Value>& source, int axis,
                       const Ref<Value>& index) {
    kernels::set_zero(*out);
    kernels::distribute(*source, kernels::walk_gather(out, axis, index));
  }
  static Tensor transposed(const Tensor& g, int axis, const Tensor& index, const Shape& shape,
                           const Where& where);
  std::vector<Sample> samples() const override {
    const auto apply = [](Inputs in) { return scatter_add(in[0], 0, in[1], in[2]); };
    const auto apply1 = [](Inputs in) { return scatter_add(in[0], 1, in[1], in[2]); };
    const Tensor source = tensor({{0.5, -0.2}, {1.4, 0.9}}, f64);
    return {{"axis 0", {matrix(), tensor({{2, 0}, {2, 1}}), source}, apply},
            {"axis 1", {matrix(), tensor({{2, 0}, {1, 1}}), source}, apply1},
            {"empty axis 1", {matrix(), zeros({0, 3}, i64), zeros({0, 3}, f64)}, apply1}};
  }
};
const ScatterAdd scatter_add_op;

struct Gather final : Moving<Gather> {
  Gather() : Moving("gather") {}
  static void evaluate(const Ref<Value>& out, const Ref<Value>& x, int axis,
                       const Ref<Value>& index) {
    kernels::collect(*out, kernels::walk_gather(x, axis, index));
  }
  static Tensor transposed(const Tensor& g, int axis, const Tensor& index, const Shape& shape,
                           const Where& where) {
    return scatter_add_op(g, axis, index, shape, where);
  }
  std::vector<Sample> samples() const override {
    const auto apply = [](Inputs in) { return gather(in[0], 0, in[1]); };
    const auto apply1 = [](Inputs in) { return gather(in[0], -1, in[1]); };
    return {{"axis 0", {matrix(), tensor({{2, 0, 1}, {2, 1, 1}})}, apply},
            {"axis 0 of fewer columns", {matrix(), tensor({{2}, {2}, {0}, {1}})}, apply},
            {"axis 1", {matrix(), tensor({{1, 1}, {0, 2}, {2, 2}})}, apply1},
            {"vector axis 0", {tensor({0.3, -0.8}, f64), tensor({1, 0, 1})}, apply},
            {"empty axis 0", {matrix(), zeros({0, 2}, i64)}, apply}};
  }
};
const Gather gather_op;

Tensor ScatterAdd::transposed(const Tensor& g, int axis, const Tensor& index, const Shape& shape,
                              const Where& where) {
  return gather_op(g, axis, index, shape, where);
}

struct IndexAdd final : Moving<IndexAdd> {
  IndexAdd() : Moving("index_add") {}
  static void evaluate(const Ref<Value>& out, const Ref<Value>& source, int axis,
                       const Ref<Value>& index) {
    kernels::set_zero(*out);
    kernels::distribute(*source, kernels::walk_take(out, axis, index, *source));
  }
  static Tensor transposed(const Tensor& g, int axis, const Tensor& index, const Shape& shape,
                           const Where& where);
  std::vector<Sample> samples() const override {
    const auto apply = [](Inputs in) { return index_add(in[0], 0, in[1], in[2]); };
    const auto apply1 = [](Inputs in) { return index_add(in[0], 1, in[1], in[2]); };
    const Tensor source = tensor({{0.5, -0.2, 1.7}, {1.4, 0.9, -0.6}}, f64);
    const Tensor columns = tensor(
        {{{0.5, -0.2}, {1.7, 0.1}}, {{1.4, 0.9}, {0.8, 1.2}}, {{0.6, 1.3}, {-1.5, 0.2}}}, f64);
    return {{"axis 0", {matrix(), tensor({2, 2}), source}, apply},
            {"axis 1", {matrix(), tensor({{2, 0}, {2, 1}}), columns}, apply1},
            {"empty axis 0", {matrix(), zeros({0}, i64), zeros({0, 3}, f64)}, apply}};
  }
};
const IndexAdd index_add_op;

struct Take final : Moving<Take> {
  Take() : Moving("take") {}
  static void evaluate(const Ref<Value>& out, const Ref<Value>& x, int axis,
                       const Ref<Value>& index) {
    kernels::collect(*out, kernels::walk_take(x, axis, index, *out));
  }
  static Tensor transposed(const Tensor& g, int axis, const Tensor& index, const Shape& shape,
                           const Where& where) {
    return index_add_op(g, axis, index, shape, where);
  }
  std::vector<Sample> samples() const override {
    const auto apply = [](Inputs in) { return take(in[0], in[1]); };
    const auto apply1 = [](Inputs in) { return take(in[0], in[1], 1); };
    return {{"axis 0", {matrix(), tensor({2, 0, 2, 1})}, apply},
            {"matrix of indices axis 0", {matrix(), tensor({{2, 0, 2}, {1, 1, 0}})}, apply},
            {"axis 1", {matrix(), tensor({1, 1})}, apply1},
            {"matrix of indices axis 1", {matrix(), tensor({{2, 0}, {0, 1}})}, apply1},
            {"scalar index axis 1", {matrix(), tensor(2)}, apply1},
            {"empty axis 0", {matrix(), zeros({0}, i64)}, apply}};
  }
};
const Take take_op;

Tensor IndexAdd::transposed(const Tensor& g, int axis, const Tensor& index, const Shape& shape,
                            const Where& where) {
  return take_op(g, axis, index, shape, where);
}

struct OneHot final : Op {
  OneHot() : Op("one_hot") {}
  bool differentiable() const noexcept override { return false; }
  std::vector<Sample> samples() const override {
    const auto apply = [](Inputs in) { return one_hot(in[0], 3, f64); };
    return {{"vector 3 classes", {tensor({2, 0, 1, 2})}, apply},
            {"matrix 3 classes", {tensor({{2, 0}, {1, 2}})}, apply},
            {"scalar 3 classes", {tensor(1)}, apply},
            {"empty 3 classes", {zeros({0}, i64)}, apply}};
  }
};
const OneHot one_hot_op;

}  // namespace

Tensor take(const Tensor& x, const Tensor& index, int axis, Where where) {
  const int at = check_take("take", x, axis, index, where);
  return take_op(x, at, index, kernels::take_shape(*x.value_ref(), at, *index.value_ref()), where);
}

Tensor gather(const Tensor& x, int axis, const Tensor& index, Where where) {
  const int at = check_gather("gather", x, axis, index, where);
  return gather_op(x, at, index, index.shape(), where);
}

Tensor scatter_add(const Tensor& x, int axis, const Tensor& index, const Tensor& source,
                   Where where) {
  const int at = check_gather("scatter_add", x, axis, index, where);
  check_source("scatter_add", x, source, index.shape(), where);
  return add(x, scatter_add_op(source, at, index, x.shape(), where), where);
}

Tensor index_add(const Tensor& x, int axis, const Tensor& index, const Tensor& source,
                 Where where) {
  const int at = check_take("index_add", x, axis, index, where);
  check_source("index_add", x, source, kernels::take_shape(*x.value_ref(), at, *index.value_ref()),
               where);
  return add(x, index_add_op(source, at, index, x.shape(), where), where);
}

Tensor one_hot(const Tensor& index, std::int64_t classes, DType dtype, Where where) {
  const char* op = one_hot_op.name();
  check_index_dtype(op, index, where);
  if (classes < 0) throw ValueError(fmt::format("{}: {} classes", op, classes), where);
  check_rank(op, index.rank() + 1, index, where);
  check_positions(op, index, classes, [&] { return fmt::format("{} classes", classes); }, where);
  Shape shape = index.shape();
  shape.push_back(classes);
  Ref<Value> out = make_result(op, dtype, shape, where);
  kernels::set_zero(*out);
  const Ref<Value> positions = kernels::contiguous(index.value_ref());
  visit(dtype, [&](auto zero) {
    using T = decltype(zero);
    T* to = out->data<T>();
    const std::int64_t* k = positions->data<std::int64_t>();
    for (std::int64_t i = 0; i < positions->numel(); ++i) to[i * classes + k[i]] = T{1};
  });
  return Tensor(std::move(out));
}

}  // namespace chainrule
