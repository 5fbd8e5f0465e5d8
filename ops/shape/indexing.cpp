#include <chainrule/ops/shape/indexing.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstring>

#include <chainrule/core/create.hpp>
#include <chainrule/core/range_hint.hpp>
#include <chainrule/ops/define.hpp>
#include <chainrule/ops/kernels/shape/assign.hpp>

namespace chainrule {

namespace {

// Which part of a tensor a view is, whatever the tensor's strides. As parameters it is without the
// unused axes at its end.
struct Plan {
  static constexpr std::int64_t one = -1;  // an extent: one position, and the axis goes
  static constexpr std::int64_t all = -2;  // an extent: that of the whole
  static constexpr std::int64_t any = -1;  // of the whole: whichever has the positions
  struct Axis {
    std::int64_t start;
    std::int64_t step;
    std::int64_t extent;
    // The extent of the whole where positions were counted from its end or clipped: of another
    // whole they would be others.
    std::int64_t of;
  };
  std::int32_t rank = 0;       // axes of the whole
  std::uint32_t new_axes = 0;  // bit i: axis i of the part is new
  Axis axes[max_rank];

  Parameters parameters() const noexcept {
    return Parameters(
        std::as_bytes(std::span(this, 1))
            .first(offsetof(Plan, axes) + static_cast<std::size_t>(rank) * sizeof(Axis)));
  }
};

Plan plan_of(const Parameters& parameters) noexcept {
  Plan plan;
  std::memcpy(&plan, parameters.bytes().data(), parameters.size());
  return plan;
}

// Makes it a plan for a whole of this shape and no other: every axis says its extents.
void fix(Plan& plan, const Shape& whole) {
  for (int axis = 0; axis < plan.rank; ++axis) {
    Plan::Axis& at = plan.axes[axis];
    at.of = whole[axis];
    if (at.extent == Plan::all) at.extent = at.of;
  }
}

// The whole's shape in a plan for no other.
Shape whole_of(const Plan& plan) {
  Shape shape;
  for (int axis = 0; axis < plan.rank; ++axis) shape.push_back(plan.axes[axis].of);
  return shape;
}

bool has_positions(const Plan::Axis& at, std::int64_t extent) noexcept {
  if (at.of != Plan::any && at.of != extent) return false;
  if (at.extent == Plan::all || at.extent == 0) return true;
  const std::int64_t count = at.extent == Plan::one ? 1 : at.extent;
  const std::int64_t last = at.start + at.step * (count - 1);
  return std::min(at.start, last) >= 0 && std::max(at.start, last) < extent;
}

// The view of a part, in the whole's elements.
struct Part {
  Shape shape, strides;
  std::int64_t offset = 0;
};

Part part_of(const std::int64_t* dims, const std::int64_t* steps, const Plan& plan) {
  Part part;
  bool empty = false;
  const auto add_new_axes = [&] {
    while (plan.new_axes >> part.shape.rank() & 1) {
      part.shape.push_back(1);
      part.strides.push_back(0);
    }
  };
  for (int axis = 0; axis < plan.rank; ++axis) {
    add_new_axes();
    const Plan::Axis& at = plan.axes[axis];
    part.offset += at.start * steps[axis];
    if (at.extent == Plan::one) continue;
    const std::int64_t extent = at.extent == Plan::all ? dims[axis] : at.extent;
    empty |= extent == 0;
    part.shape.push_back(extent);
    part.strides.push_back(at.step * steps[axis]);
  }
  add_new_axes();
  if (empty) part.offset = 0;  // without elements there is no place where they begin
  return part;
}

// How many positions of the first axis the part is, where it is all that stands at them; else 0.
std::int64_t row_count(const Plan& plan) noexcept {
  if (plan.rank == 0 || plan.new_axes != 0 || plan.axes[0].extent == Plan::all) return 0;
  for (int axis = 1; axis < plan.rank; ++axis)
    if (plan.axes[axis].extent != Plan::all) return 0;
  return plan.axes[0].extent == Plan::one ? 1 : plan.axes[0].extent;
}

// These positions: a scalar for a single one, which has no axis in the part.
Tensor row_index(const Plan& plan) {
  const auto [start, step, extent, of] = plan.axes[0];
  Ref<Value> index = Value::make(DType::i64, &extent, extent == Plan::one ? 0 : 1);
  std::int64_t* to = index->data<std::int64_t>();
  for (std::int64_t k = 0; k < index->numel(); ++k) to[k] = start + k * step;
  return Tensor(std::move(index));
}

// "[2, 0:3, 9::-3, :]": positions, runs from a first one to before another, and all of an axis,
// which is left out at the end.
std::string written_plan(const Plan& plan) {
  const auto is_all = [&](int axis) {
    const auto& [start, step, extent, of] = plan.axes[axis];
    return extent == Plan::all || (start == 0 && step == 1 && extent > 0 && extent == of);
  };
  int shown = plan.rank;
  while (shown > 1 && is_all(shown - 1)) --shown;
  std::string text;
  for (int axis = 0; axis < shown; ++axis) {
    const auto& [start, step, extent, of] = plan.axes[axis];
    text += axis == 0 ? "[" : ", ";
    if (extent == Plan::one)
      text += fmt::format("{}", start);
    else if (is_all(axis))
      text += ":";
    else if (step == 1)
      text += fmt::format("{}:{}", start, start + extent);
    else
      text += start + step * extent < 0
                  ? fmt::format("{}::{}", start, step)  // down to the first position
                  : fmt::format("{}:{}:{}", start, start + step * extent, step);
  }
  return text.empty() ? text : text + "]";
}

Tensor scatter(const Tensor& part, const Plan& plan, const Where& where);

struct SliceOp final : LinearMap<SliceOp> {
  SliceOp() : LinearMap("slice", "{0}[…]") {}
  bool follows_names() const noexcept override { return true; }

  Tensor operator()(const Tensor& x, const Plan& plan, const Where& where) const {
    return apply(*this, {&x}, plan.parameters(), where);
  }

  void infer(Inference& call) const override {
    const Value& whole = call.in(0);
    const Plan plan = plan_of(call.parameters());
    bool fits = whole.rank() == plan.rank;
    for (int axis = 0; fits && axis < plan.rank; ++axis)
      fits = has_positions(plan.axes[axis], whole.dims()[axis]);
    if (!fits)
      throw ShapeError(fmt::format("slice: the positions {} do not fit {}",
                                   plan.rank == 0 ? "of a scalar" : written_plan(plan),
                                   describe(call.tensor(0))),
                       call.where(), "they were recorded for a tensor of another shape");
    const Part part = part_of(whole.dims(), whole.strides(), plan);
    call.view(0, part.shape, part.strides, part.offset);
  }
  Tensor adjoint(const Application& r, const Tensor& g) const {
    Plan plan = plan_of(r.node().parameters());
    fix(plan, r.shape_of(0));
    return scatter(g, plan, r.where());
  }
  bool give_part(Vjp& r) const {
    const Plan plan = plan_of(r.node().parameters());
    // Where a sum has begun, this is the quicker question.
    if (!r.sum_of(0)) {
      if (const std::int64_t rows = row_count(plan); rows != 0 && r.takes_rows(0, rows)) {
        r.give_rows(0, row_index(plan), r.g());
        return true;
      }
    }
    const Ref<Value>* sum = r.sum_from_zeros(0);
    if (!sum) return give_in_rows(r, plan);
    const Part part = part_of((*sum)->dims(), (*sum)->strides(), plan);
    kernels::add(*Value::view(*sum, part.shape, part.strides, part.offset), *r.g().value_ref());
    return true;
  }
  // A part of a few rows, as these rows, which are zero but for it.
  bool give_in_rows(Vjp& r, Plan plan) const {
    if (plan.rank == 0 || plan.axes[0].extent == Plan::all || plan.axes[0].extent == 0)
      return false;
    Plan::Axis& at = plan.axes[0];
    const std::int64_t rows = at.extent == Plan::one ? 1 : at.extent;
    if (!r.takes_rows(0, rows)) return false;
    const Tensor index = row_index(plan);
    Shape whole = r.shape_of(0);
    whole[0] = rows;
    at.start = 0;
    at.step = 1;
    fix(plan, whole);
    r.give_rows(0, index, scatter(r.g(), plan, r.where()));
    return true;
  }
  Role role(const Parameters&) const override { return Role::Kind::slice; }
  std::string written(const Node& node) const override {
    Plan plan = plan_of(node.parameters());
    const Shape part = node.shape();
    for (int axis = 0, kept = 0; axis < plan.rank; ++axis) {
      while (plan.new_axes >> kept & 1) ++kept;
      std::int64_t& extent = plan.axes[axis].extent;
      if (extent == Plan::one) continue;
      const std::int64_t kept_extent = part[kept++];
      if (extent != Plan::all) extent = kept_extent;
    }
    return "{0}" + written_plan(plan);
  }
  std::vector<Sample> samples() const override;
};
CHAINRULE_EARLY const SliceOp slice_op;

// The part in zeros of the whole's shape: the transposed map of slice_op, with a plan for no other
// shape.
struct SliceScatter final : LinearMap<SliceScatter> {
  SliceScatter() : LinearMap("slice_scatter") {}

  void infer(Inference& call) const override {
    const Value& part = call.in(0);
    const Plan plan = plan_of(call.parameters());
    const Shape whole = whole_of(plan);
    const Shape shape = part_of(whole.data(), whole.data(), plan).shape;
    if (part.shape() != shape)
      throw ShapeError(
          fmt::format("slice_scatter: {} does not have the shape {} of the positions {} of {}",
                      describe(call.tensor(0)), to_string(shape), written_plan(plan),
                      to_string(whole)),
          call.where(), "they were recorded for a tensor of another shape");
    call.output(part.dtype(), whole);
  }
  void evaluate(Evaluation& call) const override {
    Value& whole = call.out();
    kernels::set_zero(whole);
    const Part part = part_of(whole.dims(), whole.strides(), plan_of(call.parameters()));
    kernels::assign(*Value::view(call.out_ref(), part.shape, part.strides, part.offset),
                    call.in(0));
  }
  Tensor adjoint(const Application& r, const Tensor& g) const {
    return apply(slice_op, {&g}, r.node().parameters(), r.where());
  }
  Role role(const Parameters&) const override { return Role::Kind::scatter; }
  std::string written(const Node& node) const override {
    return "at" + written_plan(plan_of(node.parameters())) + "({0})";
  }
  std::vector<Sample> samples() const override;
};
CHAINRULE_EARLY const SliceScatter slice_scatter_op;

Tensor scatter(const Tensor& part, const Plan& plan, const Where& where) {
  return apply(slice_scatter_op, {&part}, plan.parameters(), where);
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
                     where, detail::range_hint("positions", extent));
  return {at, 1, Plan::one, position < 0 ? extent : Plan::any};
}

constexpr Plan::Axis whole_axis{0, 1, Plan::all, Plan::any};

// As NumPy's start:stop:step.
Plan::Axis plan_slice(const char* op, const Tensor& x, int axis, const Slice& slice,
                      const Where& where) {
  const std::int64_t extent = x.value_ref()->dims()[axis];
  if (slice.step == 0)
    throw ValueError(fmt::format("{}: a step of 0 along {}", op, axis_of(x, axis)), where,
                     "a negative step goes backwards, a number takes one position");
  if (!slice.start.given() && !slice.stop.given() && slice.step == 1) return whole_axis;
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
  const auto inside = [&](Bound bound) {
    return bound.position() >= 0 && bound.position() < extent + !back;
  };
  const bool from_first = (slice.start.given() ? inside(slice.start) : !back) &&
                          (slice.stop.given() ? inside(slice.stop) : back);
  const std::int64_t of = from_first ? Plan::any : extent;
  const std::int64_t distance = back ? start - stop : stop - start;
  if (distance <= 0) return {0, 1, 0, of};
  // The size of the smallest i64 has no i64.
  const std::int64_t size = !back ? slice.step
                            : slice.step == std::numeric_limits<std::int64_t>::min()
                                ? std::numeric_limits<std::int64_t>::max()
                                : -slice.step;
  const std::int64_t count = (distance - 1) / size + 1;
  return {start, count == 1 ? 1 : slice.step, count, of};
}

Plan plan_axis(const char* op, const Tensor& x, int axis, const Where& where) {
  Plan plan;
  const int rank = x.value(where, op, "operand x").rank(),
            at = normalize_axis(op, axis, rank, x, where);
  std::fill_n(plan.axes, rank, whole_axis);
  plan.rank = at;
  return plan;
}

Plan plan_indices(const Tensor& x, std::span<const Index> indices, const Where& where) {
  const int rank = x.value(where, "index", "operand x").rank();
  int used = 0, ellipses = 0;
  for (const Index& index : indices) {
    used += index.kind() == Index::Kind::number || index.kind() == Index::Kind::slice;
    ellipses += index.kind() == Index::Kind::rest;
  }
  if (used > rank)
    throw IndexError(
        fmt::format("index: {} {} for {}, which has {} {}", used, used == 1 ? "index" : "indices",
                    describe(x), rank, rank == 1 ? "axis" : "axes"),
        where,
        rank == 0 ? "item() reads the number of a scalar" : "give one for each axis at most");
  if (ellipses > 1)
    throw IndexError(fmt::format("index: {} times ellipsis for {}", ellipses, describe(x)), where,
                     "only one can stand for all other axes");
  Plan plan;
  int kept = 0;  // axes of the part so far
  const auto take_all = [&](int until) {
    for (; plan.rank < until; ++kept) plan.axes[plan.rank++] = whole_axis;
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
      case Index::Kind::new_axis:
        if (kept < max_rank) plan.new_axes |= std::uint32_t{1} << kept;
        ++kept;
        break;
      case Index::Kind::rest:
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
         const Plan plan{2, 0, {{1, 1, Plan::one, 3}, {0, 1, 2, 2}}};
         return scatter(in[0], plan, Where::current());
       }},
      {"columns 3 1 of 4",
       {tensor({{0.7, -1.3}, {2.1, 0.4}}, f64)},
       [](Inputs in) {
         const Plan plan{2, 0, {{0, 1, 2, 2}, {3, -2, 2, 4}}};
         return scatter(in[0], plan, Where::current());
       }},
      {"empty",
       {zeros({0, 2}, f64)},
       [](Inputs in) {
         const Plan plan{2, 0, {{0, 1, 0, 3}, {0, 1, 2, 2}}};
         return scatter(in[0], plan, Where::current());
       }},
  };
}

}  // namespace chainrule
