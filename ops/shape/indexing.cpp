#include <chainrule/ops/shape/indexing.hpp>

#include <fmt/format.h>

#include <cstddef>
#include <utility>

#include <chainrule/core/create.hpp>
#include <chainrule/ops/define.hpp>
#include <chainrule/ops/kernels/shape/assign.hpp>

namespace chainrule {

namespace {

// Which part of a tensor a view is, whatever the tensor's strides. Recorded without the unused axes
// at its end, so only ever read by reference.
struct Plan {
  struct Axis {
    std::int64_t start;
    std::int64_t step;
    std::int64_t extent;  // −1: one position, and the axis goes
  };
  std::int32_t rank = 0;       // axes of the whole
  std::uint32_t new_axes = 0;  // bit i: axis i of the part is new
  Axis axes[max_rank];

  std::span<const std::byte> bytes() const noexcept {
    return std::as_bytes(std::span(this, 1))
        .first(offsetof(Plan, axes) + static_cast<std::size_t>(rank) * sizeof(Axis));
  }
};

Ref<Value> part_of(const Ref<Value>& whole, const Plan& plan) {
  Shape shape, strides;
  std::int64_t offset = 0;
  bool empty = false;
  const auto add_new_axes = [&] {
    while (plan.new_axes >> shape.rank() & 1) {
      shape.push_back(1);
      strides.push_back(0);
    }
  };
  for (int axis = 0; axis < plan.rank; ++axis) {
    add_new_axes();
    const Plan::Axis& at = plan.axes[axis];
    const std::int64_t stride = whole->strides()[axis];
    offset += at.start * stride;
    if (at.extent < 0) continue;
    empty |= at.extent == 0;
    shape.push_back(at.extent);
    strides.push_back(at.step * stride);
  }
  add_new_axes();
  // Without elements there is no place where they begin.
  return Value::view(whole, shape, strides, empty ? 0 : offset);
}

// "[2, 0:3, 9::-3]": positions, and runs from a first one to before another.
std::string written_plan(const Plan& plan) {
  std::string text;
  for (int axis = 0; axis < plan.rank; ++axis) {
    const auto& [start, step, extent] = plan.axes[axis];
    text += axis == 0 ? "[" : ", ";
    if (extent < 0)
      text += fmt::format("{}", start);
    else if (step == 1)
      text += fmt::format("{}:{}", start, start + extent);
    else
      text += start + step * extent < 0
                  ? fmt::format("{}::{}", start, step)  // down to the first position
                  : fmt::format("{}:{}:{}", start, start + step * extent, step);
  }
  return text.empty() ? text : text + "]";
}

Tensor scatter(const Tensor& part, const Plan& plan, const Shape& shape, const Where& where);

struct SliceOp final : Op {
  SliceOp() : Op("slice", "{0}[…]") {}

  Tensor operator()(const Tensor& x, const Plan& plan, const Where& where) const {
    return record(*this, part_of(x.value_ref(), plan), {&x}, 0, where, plan.bytes());
  }
  void vjp(Vjp& r) const override {
    if (r.needs(0))
      r.give(0, scatter(r.g(), r.parameters<Plan>(), r.shape_of(0), r.node().where()));
  }
  Tensor jvp(Jvp& r) const override {
    return (*this)(r.tangent(0), r.parameters<Plan>(), r.node().where());
  }
  Tensor replay(const Node& node, std::span<const Tensor> inputs) const override {
    return (*this)(inputs[0], node.parameters<Plan>(), node.where());
  }
  std::string written(const Node& node) const override {
    return "{0}" + written_plan(node.parameters<Plan>());
  }
  std::vector<Sample> samples() const override;
};
const SliceOp slice_op;

// The part in zeros of the whole's shape: the transposed map of slice_op.
struct SliceScatter final : Op {
  SliceScatter() : Op("slice_scatter") {}

  Tensor operator()(const Tensor& part, const Plan& plan, const Shape& shape,
                    const Where& where) const {
    Ref<Value> out = make_result(name(), part.dtype(where), shape, where);
    kernels::set_zero(*out);
    kernels::assign(*part_of(out, plan), *part.value_ref());
    return record(*this, std::move(out), {&part}, 0, where, plan.bytes());
  }
  void vjp(Vjp& r) const override {
    if (r.needs(0)) r.give(0, slice_op(r.g(), r.parameters<Plan>(), r.node().where()));
  }
  Tensor jvp(Jvp& r) const override {
    return (*this)(r.tangent(0), r.parameters<Plan>(), r.node().shape(), r.node().where());
  }
  Tensor replay(const Node& node, std::span<const Tensor> inputs) const override {
    return (*this)(inputs[0], node.parameters<Plan>(), node.shape(), node.where());
  }
  std::string written(const Node& node) const override {
    return "slice_scatter" + written_plan(node.parameters<Plan>()) + "({0})";
  }
  std::vector<Sample> samples() const override;
};
const SliceScatter slice_scatter_op;

Tensor scatter(const Tensor& part, const Plan& plan, const Shape& shape, const Where& where) {
  return slice_scatter_op(part, plan, shape, where);
}

// What a message calls the axis of `x` that an index is about.
std::string axis_of(const Tensor& x, int axis) {
  return fmt::format("axis {} of {}", axis, describe(x));
}

Plan::Axis plan_number(const char* op, const Tensor& x, int axis, std::int64_t position,
                       const Where& where) {
  const std::int64_t extent = x.value_ref()->dims()[axis];
  const std::int64_t at = position < 0 ? position + extent : position;
  if (at < 0 || at >= extent)
    throw IndexError(fmt::format("{}: index {} is out of range for {}, whose extent is {}", op,
                                 position, axis_of(x, axis), extent),
                     where);
  return {at, 1, -1};
}

// As NumPy's start:stop:step.
Plan::Axis plan_slice(const char* op, const Tensor& x, int axis, const Slice& slice,
                      const Where& where) {
  const std::int64_t extent = x.value_ref()->dims()[axis];
  if (slice.step == 0)
    throw ValueError(fmt::format("{}: a step of 0 along {}", op, axis_of(x, axis)), where,
                     "a negative step goes backwards, a number takes one position");
  const bool back = slice.step < 0;
  const auto clipped = [&](Bound bound, std::int64_t open) {
    if (!bound.given()) return open;
    const std::int64_t at = bound.position() < 0 ? bound.position() + extent : bound.position();
    if (at < 0) return back ? std::int64_t{-1} : 0;
    if (at >= extent) return back ? extent - 1 : extent;
    return at;
  };
  const std::int64_t start = clipped(slice.start, back ? extent - 1 : 0);
  const std::int64_t stop = clipped(slice.stop, back ? -1 : extent);
  const std::int64_t distance = back ? start - stop : stop - start;
  if (distance <= 0) return {0, 1, 0};
  // The size of the smallest i64 has no i64.
  const std::int64_t size = !back ? slice.step
                            : slice.step == std::numeric_limits<std::int64_t>::min()
                                ? std::numeric_limits<std::int64_t>::max()
                                : -slice.step;
  const std::int64_t count = (distance - 1) / size + 1;
  return {start, count == 1 ? 1 : slice.step, count};
}

void plan_all(Plan& plan, const Tensor& x) {
  plan.axes[plan.rank] = {0, 1, x.value_ref()->dims()[plan.rank]};
  ++plan.rank;
}

Plan plan_axis(const char* op, const Tensor& x, int axis, const Where& where) {
  Plan plan;
  const int rank = x.rank(where), at = normalize_axis(op, axis, rank, x, where);
  while (plan.rank < rank) plan_all(plan, x);
  plan.rank = at;
  return plan;
}

Plan plan_indices(const Tensor& x, std::span<const Index> indices, const Where& where) {
  const int rank = x.rank(where);
  int used = 0, ellipses = 0;
  for (const Index& index : indices) {
    used += index.kind() == Index::Kind::number || index.kind() == Index::Kind::slice;
    ellipses += index.kind() == Index::Kind::ellipsis;
  }
  if (used > rank)
    throw IndexError(
        fmt::format("index: {} indices for {}, which has {} axes", used, describe(x), rank), where);
  if (ellipses > 1)
    throw IndexError(fmt::format("index: {} times ellipsis for {}", ellipses, describe(x)), where,
                     "only one can stand for all other axes");
  Plan plan;
  int kept = 0;  // axes of the part so far
  const auto take_all = [&](int until) {
    for (; plan.rank < until; ++kept) plan_all(plan, x);
  };
  for (const Index& index : indices) {
    switch (index.kind()) {
      case Index::Kind::number:
        plan.axes[plan.rank] = plan_number("index", x, plan.rank, index.position(), where);
        ++plan.rank;
        break;
      case Index::Kind::slice:
        plan.axes[plan.rank] = plan_slice("index", x, plan.rank, index.slice(), where);
        ++plan.rank;
        ++kept;
        break;
      case Index::Kind::newaxis:
        if (kept < max_rank) plan.new_axes |= std::uint32_t{1} << kept;
        ++kept;
        break;
      case Index::Kind::ellipsis:
        take_all(plan.rank + rank - used);
        break;
    }
  }
  take_all(rank);
  check_rank("index", kept, x, where);
  return plan;
}

}  // namespace

Tensor index(const Tensor& x, std::span<const Index> indices, Where where) {
  return slice_op(x, plan_indices(x, indices, where), where);
}
Tensor index(const Tensor& x, std::initializer_list<Index> indices, Where where) {
  return index(x, std::span(indices.begin(), indices.size()), where);
}

Tensor slice(const Tensor& x, int axis, Bound start, Bound stop, std::int64_t step, Where where) {
  Plan plan = plan_axis("slice", x, axis, where);
  plan.axes[plan.rank] = plan_slice("slice", x, plan.rank, {start, stop, step}, where);
  plan.rank = x.rank();
  return slice_op(x, plan, where);
}

Tensor select(const Tensor& x, int axis, std::int64_t position, Where where) {
  Plan plan = plan_axis("select", x, axis, where);
  plan.axes[plan.rank] = plan_number("select", x, plan.rank, position, where);
  plan.rank = x.rank();
  return slice_op(x, plan, where);
}

Tensor Tensor::operator[](const Index& i) const {
  return index(*this, std::span(&i, 1), i.where());
}
Tensor Tensor::operator()(const Index& i) const {
  return index(*this, std::span(&i, 1), i.where());
}
Tensor Tensor::operator()(const Index& i, const Index& j) const {
  return index(*this, {i, j}, i.where());
}
Tensor Tensor::operator()(const Index& i, const Index& j, const Index& k) const {
  return index(*this, {i, j, k}, i.where());
}
Tensor Tensor::operator()(const Index& i, const Index& j, const Index& k, const Index& l) const {
  return index(*this, {i, j, k, l}, i.where());
}

namespace {

using Inputs = std::span<const Tensor>;

Tensor matrix() {
  return tensor({{0.7, -1.3, 2.1, 0.4}, {-0.4, 1.9, 0.6, -2.2}, {1.1, 0.3, -0.8, 1.6}}, f64);
}

}  // namespace

std::vector<Sample> SliceOp::samples() const {
  const Tensor cube = tensor({{{0.5, -1.1}, {1.7, 0.2}}, {{-0.9, 2.4}, {0.1, -1.6}}}, f64);
  return {
      {"row", {matrix()}, [](Inputs in) { return in[0][1]; }},
      {"last column", {matrix()}, [](Inputs in) { return in[0](all, -1); }},
      {"element", {matrix()}, [](Inputs in) { return in[0](2, 1); }},
      {"rows from 1", {matrix()}, [](Inputs in) { return in[0][slice(1, {})]; }},
      {"columns 3 1", {matrix()}, [](Inputs in) { return in[0](all, slice({}, 0, -2)); }},
      {"new axes", {matrix()}, [](Inputs in) { return in[0](newaxis, 0, newaxis); }},
      {"ellipsis", {cube}, [](Inputs in) { return in[0](ellipsis, 1); }},
      {"slice axis 1", {cube}, [](Inputs in) { return slice(in[0], 1, 0, 1); }},
      {"select axis 1", {cube}, [](Inputs in) { return select(in[0], 1, -1); }},
      {"no rows", {matrix()}, [](Inputs in) { return in[0][slice(3, 3)]; }},
      {"empty", {zeros({0, 3}, f64)}, [](Inputs in) { return in[0](all, 1); }},
  };
}

std::vector<Sample> SliceScatter::samples() const {
  return {
      {"row 1 of 3",
       {tensor({0.7, -1.3}, f64)},
       [](Inputs in) {
         const Plan plan{2, 0, {{1, 1, -1}, {0, 1, 2}}};
         return slice_scatter_op(in[0], plan, {3, 2}, Where::current());
       }},
      {"columns 3 1 of 4",
       {tensor({{0.7, -1.3}, {2.1, 0.4}}, f64)},
       [](Inputs in) {
         const Plan plan{2, 0, {{0, 1, 2}, {3, -2, 2}}};
         return slice_scatter_op(in[0], plan, {2, 4}, Where::current());
       }},
      {"empty",
       {zeros({0, 2}, f64)},
       [](Inputs in) {
         const Plan plan{2, 0, {{0, 1, 0}, {0, 1, 2}}};
         return slice_scatter_op(in[0], plan, {3, 2}, Where::current());
       }},
  };
}

}  // namespace chainrule
