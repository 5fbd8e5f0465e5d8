#include <chainrule/ops/shape/gather.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <vector>

#include <chainrule/core/create.hpp>
#include <chainrule/ops/axis_text.hpp>
#include <chainrule/ops/define.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/kernels/shape/assign.hpp>
#include <chainrule/ops/kernels/shape/gather.hpp>

namespace chainrule {

namespace {

using Inputs = std::span<const Tensor>;

// --- checks ---

// What is taken from, or added to; the tensor itself where there is one.
struct Whole {
  Shape shape;
  const Tensor* tensor = nullptr;
  explicit Whole(const Shape& of) : shape(of) {}
  explicit Whole(const Tensor& of) : shape(of.shape()), tensor(&of) {}
  std::string text() const { return tensor ? describe(*tensor) : to_string(shape); }
};

constexpr const char* no_mask =
    "a mask is no index: where(mask, x, 0) keeps the shape, and positions are i64, 0 … n − 1";

void check_index_dtype(const char* op, const Tensor& index, const Where& where,
                       const char* for_mask = no_mask) {
  if (index.value(where, op, "index").dtype() != i64)
    throw DTypeError(fmt::format("{}: the index {} holds {}, but i64 is needed", op,
                                 describe(index), name_of(index.dtype())),
                     where, index.dtype() == boolean ? for_mask : "convert it: to(index, i64)");
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
  const std::vector<std::int64_t> all = index.to_vector<std::int64_t>(where);
  std::size_t first = 0;
  while (static_cast<std::uint64_t>(all[first]) < limit) ++first;
  const Shape at = position_of(static_cast<std::int64_t>(first), index.shape());
  throw IndexError(fmt::format("{}: index {} at {} of {} is out of range for {}", op, all[first],
                               to_string(at), describe(index), bound()),
                   where,
                   all[first] < 0 ? "negative indices in a tensor do not count from the end"
                   : extent == 0  ? "there are no positions"
                                  : fmt::format("positions go from 0 to {}", extent - 1));
}

// For positions along an axis of the whole, of an op whose operand 1 is the index.
void check_positions(const Evaluation& call, const Whole& whole, int axis) {
  const std::int64_t extent = whole.shape[axis];
  check_positions(
      call.name(), call.tensor(1), extent,
      [&] { return fmt::format("axis {} of {}, whose extent is {}", axis, whole.text(), extent); },
      call.where());
}

// How gather and scatter_add find a part of a whole: one element for each of the index.
struct ByElement {
  static constexpr bool whole_rows = false;
  static Shape part_shape(const char* op, const Whole& whole, int axis, const Tensor& index,
                          const Where& where) {
    check_index_dtype(op, index, where);
    const Shape at = index.shape();
    bool fits = at.rank() == whole.shape.rank();
    for (int i = 0; fits && i < at.rank(); ++i) fits = i == axis || at[i] <= whole.shape[i];
    if (!fits)
      throw ShapeError(fmt::format("{}: the index {} does not fit {} along axis {}", op,
                                   describe(index), whole.text(), axis),
                       where,
                       "it needs as many axes, and no more positions than that along the other "
                       "axes; take(x, index, axis) takes an index of any shape");
    return at;
  }
  static kernels::Walk walk(const Ref<Value>& whole, int axis, const Ref<Value>& index,
                            const Value&) {
    return kernels::walk_gather(whole, axis, index);
  }
};

// How take and index_add do: all that is at a position of the axis for each element of the index.
struct ByPosition {
  static constexpr bool whole_rows = true;  // along axis 0
  static Shape part_shape(const char* op, const Whole& whole, int axis, const Tensor& index,
                          const Where& where) {
    check_index_dtype(op, index, where);
    check_rank(op, whole.shape.rank() - 1 + index.rank(), whole.tensor ? *whole.tensor : index,
               where);
    return kernels::take_shape(whole.shape, axis, index.shape());
  }
  static kernels::Walk walk(const Ref<Value>& whole, int axis, const Ref<Value>& index,
                            const Value& part) {
    return kernels::walk_take(whole, axis, index, part);
  }
};

void check_source(const char* op, const Whole& whole, const Tensor& source, const Shape& shape,
                  const Where& where) {
  check_dtype(op, source, true, where);
  if (source.shape() != shape)
    throw ShapeError(fmt::format("{}: the source {} does not have the shape {} of what is taken "
                                 "from {}",
                                 op, describe(source), to_string(shape), whole.text()),
                     where, "there is one element of the source for each that is added to");
}

// --- the ops ---

// The part of operand 0 that operand 1, the index, takes along an axis, which is the parameter.
template <class Self, class By>
struct Taking : LinearMap<Self, 1> {
  using LinearMap<Self, 1>::LinearMap;

  Tensor operator()(const Tensor& x, int axis, const Tensor& index, const Where& where) const {
    return apply(static_cast<const Self&>(*this), {&x, &index}, axis, where);
  }

  void infer(Inference& call) const final {
    const Value& x = call.in(0);
    call.in(1);
    const int axis =
        normalize_axis(call.name(), call.parameters<int>(), x.rank(), call.tensor(0), call.where());
    call.output(x.dtype(), By::part_shape(call.name(), Whole(call.tensor(0)), axis, call.tensor(1),
                                          call.where()));
  }
  void evaluate(Evaluation& call) const final {
    const int axis = call.parameters<int>();
    check_positions(call, Whole(call.tensor(0)), axis);
    kernels::collect(call.out(), By::walk(call.in_ref(0), axis, call.in_ref(1), call.out()));
  }
  std::string written(const Node& node) const final {
    return along_axis(Op::written(node), node.parameters<int>());
  }
  // The rows that it is a part of, where that is less than the whole.
  bool give_in_rows(Vjp&, int) const { return false; }
  bool give_part(Vjp& r) const {
    const int axis = r.parameters<int>();
    if (By::whole_rows && axis == 0 && r.takes_rows(0, r.in(1).numel())) {
      r.give_rows(0, r.in(1), r.g());
      return true;
    }
    const Ref<Value>* sum = r.sum_from_zeros(0);
    if (!sum) return static_cast<const Self&>(*this).give_in_rows(r, axis);
    const Value& part = *r.g().value_ref();
    kernels::distribute(part, By::walk(*sum, axis, r.in(1).value_ref(), part));
    return true;
  }
};

// Parameters of what fills a whole: the axis, and behind it the whole's extents.
class Into {
 public:
  Into(int axis, const Shape& whole) noexcept : size_(1 + whole.size()) {
    numbers_[0] = axis;
    std::ranges::copy(whole, numbers_ + 1);
  }
  explicit Into(const Parameters& parameters) noexcept
      : size_(parameters.list<std::int64_t>().size()) {
    std::ranges::copy(parameters.list<std::int64_t>(), numbers_);
  }
  int axis() const noexcept { return static_cast<int>(numbers_[0]); }
  Whole whole() const { return Whole(Shape(std::span(numbers_, size_).subspan(1))); }
  Parameters parameters() const noexcept {
    return Parameters(std::as_bytes(std::span(numbers_, size_)));
  }

 private:
  std::int64_t numbers_[1 + max_rank];
  std::size_t size_;
};

// The transposed map: operand 0 is the part, and is added to zeros of the whole's shape.
template <class Self, class By>
struct Adding : LinearMap<Self, 1> {
  using LinearMap<Self, 1>::LinearMap;

  Tensor operator()(const Tensor& source, const Into& into, const Tensor& index,
                    const Where& where) const {
    return apply(static_cast<const Self&>(*this), {&source, &index}, into.parameters(), where);
  }

  void infer(Inference& call) const final {
    const DType dtype = call.in(0).dtype();
    call.in(1);
    const Into into(call.parameters());
    const Whole whole = into.whole();
    check_source(call.name(), whole, call.tensor(0),
                 By::part_shape(call.name(), whole, into.axis(), call.tensor(1), call.where()),
                 call.where());
    call.output(dtype, whole.shape);
  }
  void evaluate(Evaluation& call) const final {
    const Into into(call.parameters());
    check_positions(call, into.whole(), into.axis());
    kernels::set_zero(call.out());
    kernels::distribute(call.in(0),
                        By::walk(call.out_ref(), into.axis(), call.in_ref(1), call.in(0)));
  }
  std::string written(const Node& node) const final {
    return along_axis(Op::written(node), Into(node.parameters()).axis());
  }
};

// What the two are to each other.
template <class Add>
Tensor added(const Add& op, const Application& r, const Tensor& g) {
  return op(g, Into(r.parameters<int>(), r.shape_of(0)), r.in(1), r.where());
}
template <class Take>
Tensor taken(const Take& op, const Application& r, const Tensor& g) {
  return op(g, Into(r.node().parameters()).axis(), r.in(1), r.where());
}

Tensor matrix() { return tensor({{0.7, -1.3, 2.1}, {-0.4, 1.9, 0.6}, {1.1, 0.3, -0.8}}, f64); }

struct ScatterAdd final : Adding<ScatterAdd, ByElement> {
  ScatterAdd() : Adding("scatter_add") {}
  Tensor adjoint(const Application& r, const Tensor& g) const;
  std::vector<Sample> samples() const override {
    const auto apply = [](Inputs in) { return scatter_add(in[0], 0, in[1], in[2]); };
    const auto apply1 = [](Inputs in) { return scatter_add(in[0], 1, in[1], in[2]); };
    const Tensor source = tensor({{0.5, -0.2}, {1.4, 0.9}}, f64);
    return {{"axis 0", {matrix(), tensor({{2, 0}, {2, 1}}), source}, apply},
            {"axis 1", {matrix(), tensor({{2, 0}, {1, 1}}), source}, apply1},
            {"empty axis 1", {matrix(), zeros({0, 3}, i64), zeros({0, 3}, f64)}, apply1}};
  }
};
CHAINRULE_EARLY const ScatterAdd scatter_add_op;

struct Gather final : Taking<Gather, ByElement> {
  Gather() : Taking("gather") {}
  Tensor adjoint(const Application& r, const Tensor& g) const {
    return added(scatter_add_op, r, g);
  }
  // Elements of a few rows, as these rows, each once, which are zero but for them.
  bool give_in_rows(Vjp& r, int axis) const {
    const Tensor& index = r.in(1);
    if (index.numel() == 0 || !r.takes_rows(0, 1)) return false;
    std::vector<std::int64_t> at, rows;
    if (axis != 0) {
      rows.resize(static_cast<std::size_t>(index.shape()[0]));
      std::iota(rows.begin(), rows.end(), 0);
    } else {
      at = rows = index.to_vector<std::int64_t>(r.where());
      std::ranges::sort(rows);
      const auto repeated = std::ranges::unique(rows);
      rows.erase(repeated.begin(), repeated.end());
      for (std::int64_t& row : at) row = std::ranges::lower_bound(rows, row) - rows.begin();
    }
    const auto count = static_cast<std::int64_t>(rows.size());
    if (!r.takes_rows(0, count)) return false;
    Shape whole = r.shape_of(0);
    whole[0] = count;
    r.give_rows(
        0, from_span(std::span(rows), {count}, r.where()),
        scatter_add_op(r.g(), Into(axis, whole),
                       axis == 0 ? from_span(std::span(at), index.shape(), r.where()) : index,
                       r.where()));
    return true;
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
CHAINRULE_EARLY const Gather gather_op;

Tensor ScatterAdd::adjoint(const Application& r, const Tensor& g) const {
  return taken(gather_op, r, g);
}

struct IndexAdd final : Adding<IndexAdd, ByPosition> {
  IndexAdd() : Adding("index_add") {}
  Tensor adjoint(const Application& r, const Tensor& g) const;
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
CHAINRULE_EARLY const IndexAdd index_add_op;

struct Take final : Taking<Take, ByPosition> {
  Take() : Taking("take") {}
  Tensor adjoint(const Application& r, const Tensor& g) const { return added(index_add_op, r, g); }
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
CHAINRULE_EARLY const Take take_op;

Tensor IndexAdd::adjoint(const Application& r, const Tensor& g) const {
  return taken(take_op, r, g);
}

// x plus the source, added at places of x. What the ops check is checked here before, since they do
// not know x, which messages name.
template <class By, class Add>
Tensor plus_added(const Add& op, const Tensor& x, int axis, const Tensor& index,
                  const Tensor& source, const Where& where) {
  const int at =
      normalize_axis(op.name(), axis, x.value(where, op.name(), "operand x").rank(), x, where);
  source.value(where, op.name(), "source");
  check_dtypes(op.name(), x, source, true, where);
  const Whole whole(x);
  check_source(op.name(), whole, source, By::part_shape(op.name(), whole, at, index, where), where);
  return add(x, op(source, Into(at, whole.shape), index, where), where);
}

struct OneHotParameters {
  std::int64_t classes = 0;
  DType dtype = f32;
  std::uint8_t unused[7] = {};
};

struct OneHot final : Op {
  OneHot() : Op("one_hot") {}
  bool differentiable() const noexcept override { return false; }

  void infer(Inference& call) const override {
    const Value& index = call.in(0);
    const auto& p = call.parameters<OneHotParameters>();
    check_index_dtype(name(), call.tensor(0), call.where(),
                      "classes 0 and 1 are what to(mask, i64) makes of it");
    if (p.classes < 0)
      throw ValueError(fmt::format("one_hot: {} classes", p.classes), call.where(),
                       "the largest label and 1, or leave it out");
    check_rank(name(), index.rank() + 1, call.tensor(0), call.where());
    Shape shape = index.shape();
    shape.push_back(p.classes);
    call.output(p.dtype, shape);
  }
  void evaluate(Evaluation& call) const override {
    const std::int64_t classes = call.parameters<OneHotParameters>().classes;
    check_positions(
        name(), call.tensor(0), classes, [&] { return fmt::format("{} classes", classes); },
        call.where());
    Value& out = call.out();
    kernels::set_zero(out);
    const Ref<Value> positions = kernels::contiguous(call.in_ref(0));
    visit(out.dtype(), [&](auto zero) {
      using T = decltype(zero);
      T* to = out.data<T>();
      const std::int64_t* k = positions->data<std::int64_t>();
      for (std::int64_t i = 0; i < positions->numel(); ++i) to[i * classes + k[i]] = T{1};
    });
  }
  std::vector<Sample> samples() const override {
    const auto apply = [](Inputs in) { return one_hot(in[0], 3, f64); };
    return {{"vector 3 classes", {tensor({2, 0, 1, 2})}, apply},
            {"matrix 3 classes", {tensor({{2, 0}, {1, 2}})}, apply},
            {"scalar 3 classes", {tensor(1)}, apply},
            {"empty 3 classes", {zeros({0}, i64)}, apply}};
  }
};
CHAINRULE_EARLY const OneHot one_hot_op;

}  // namespace

Tensor take(const Tensor& x, const Tensor& index, int axis, Where where) {
  return take_op(x,
                 normalize_axis("take", axis, x.value(where, "take", "operand x").rank(), x, where),
                 index, where);
}

Tensor gather(const Tensor& x, int axis, const Tensor& index, Where where) {
  return gather_op(
      x, normalize_axis("gather", axis, x.value(where, "gather", "operand x").rank(), x, where),
      index, where);
}

Tensor detail::rows_in_zeros(const Tensor& rows, const Tensor& index, const Shape& shape,
                             const Where& where) {
  return index_add_op(rows, Into(0, shape), index, where);
}

Tensor scatter_add(const Tensor& x, int axis, const Tensor& index, const Tensor& source,
                   Where where) {
  return plus_added<ByElement>(scatter_add_op, x, axis, index, source, where);
}

Tensor index_add(const Tensor& x, int axis, const Tensor& index, const Tensor& source,
                 Where where) {
  return plus_added<ByPosition>(index_add_op, x, axis, index, source, where);
}

Tensor one_hot(const Tensor& index, std::int64_t classes, DType dtype, Where where) {
  return apply(one_hot_op, {&index}, OneHotParameters{classes, dtype}, where);
}

}  // namespace chainrule
