#include <chainrule/ops/shape/manipulation.hpp>

#include <fmt/format.h>

#include <optional>

#include <chainrule/core/create.hpp>
#include <chainrule/ops/define.hpp>

namespace chainrule {

namespace {

Tensor sample_cube() {
  return tensor({{{0.5, -1.5}, {2.0, 0.25}, {-0.75, 1.25}}, {{1.5, 0.1}, {-2.5, 0.9}, {0.3, -0.6}}},
                f64);
}

struct AxisPair {
  int first, second;
};

Ref<Value> transposed(const Ref<Value>& x, AxisPair axes) {
  Shape shape = x->shape(), strides = x->strides_shape();
  std::swap(shape[axes.first], shape[axes.second]);
  std::swap(strides[axes.first], strides[axes.second]);
  return Value::view(x, shape, strides, 0);
}

struct Transpose final : Op {
  Transpose() : Op("transpose", "{0}ᵀ") {}

  Tensor operator()(const Tensor& x, int axis0, int axis1, const Where& where) const {
    const int rank = x.value(where).rank();
    const AxisPair axes{normalize_axis(name(), axis0, rank, x, where),
                        normalize_axis(name(), axis1, rank, x, where)};
    Ref<Value> out = transposed(x.value_ref(), axes);
    // The transpose of named data has a place in the graph, too: formulas show it as yᵀ.
    const Tensor* inputs[] = {&x};
    if (detail::mode.recording && x.node() && !x.requires_grad())
      return detail::record_node(*this, std::move(out), inputs, 0, detail::bytes_of(axes), where);
    return record(*this, std::move(out), {&x}, 0, where, detail::bytes_of(axes));
  }
  void vjp(Vjp& r) const override {
    if (r.needs(0)) r.give(0, back(r, r.g()));
  }
  Tensor jvp(Jvp& r) const override { return back(r, r.tangent(0)); }
  Tensor replay(const Node& node, std::span<const Tensor> inputs) const override {
    const auto& axes = node.parameters<AxisPair>();
    return (*this)(inputs[0], axes.first, axes.second, node.where());
  }
  std::vector<Sample> samples() const override {
    return {{"matrix",
             {tensor({{0.5, -1.0, 2.0}, {1.5, 0.1, -0.7}}, f64)},
             [](std::span<const Tensor> in) { return transpose(in[0]); }},
            {"cube, axes 0 and 2",
             {sample_cube()},
             [](std::span<const Tensor> in) { return transpose(in[0], 0, 2); }},
            {"empty", {zeros({0, 2}, f64)}, [](std::span<const Tensor> in) {
               return transpose(in[0]);
             }}};
  }

 private:
  // Its own inverse.
  static Tensor back(const Application& r, const Tensor& t) {
    const auto& axes = r.parameters<AxisPair>();
    return transpose(t, axes.first, axes.second);
  }
};
const Transpose transpose_op;

struct Permute final : Op {
  Permute() : Op("permute") {}

  Tensor operator()(const Tensor& x, const Shape& axes, const Where& where) const {
    const Value& in = x.value(where);
    Shape order = axes, shape, strides;
    std::uint32_t seen = 0;
    for (std::int64_t& axis : order) {
      axis = normalize_axis(name(), axis, in.rank(), x, where);
      seen |= 1U << axis;
      shape.push_back(in.dims()[axis]);
      strides.push_back(in.strides()[axis]);
    }
    if (order.rank() != in.rank() || seen != (1U << in.rank()) - 1)
      throw ShapeError(fmt::format("permute: axes {} are not a permutation of the {} axes of {}",
                                   to_string(axes), in.rank(), describe(x)),
                       where);
    return record(*this, Value::view(x.value_ref(), shape, strides, 0), {&x}, 0, where,
                  std::as_bytes(std::span(order.data(), order.size())));
  }
  void vjp(Vjp& r) const override {
    if (!r.needs(0)) return;
    const Shape axes = order_of(r.node());
    Shape inverse = axes;
    for (int i = 0; i < axes.rank(); ++i) inverse[static_cast<int>(axes[i])] = i;
    r.give(0, permute(r.g(), inverse));
  }
  Tensor jvp(Jvp& r) const override { return permute(r.tangent(0), order_of(r.node())); }
  Tensor replay(const Node& node, std::span<const Tensor> inputs) const override {
    return (*this)(inputs[0], order_of(node), node.where());
  }
  std::vector<Sample> samples() const override {
    return {{"cube, axes 1 2 0",
             {sample_cube()},
             [](std::span<const Tensor> in) { return permute(in[0], {1, 2, 0}); }},
            {"cube, negative axes",
             {sample_cube()},
             [](std::span<const Tensor> in) { return permute(in[0], {-1, 0, -2}); }},
            {"scalar", {tensor(0.7, f64)}, [](std::span<const Tensor> in) {
               return permute(in[0], {});
             }}};
  }

 private:
  static Shape order_of(const Node& node) {
    const auto rank = node.parameter_size() / sizeof(std::int64_t);
    return Shape(std::span(&node.parameters<std::int64_t>(), rank));
  }
};
const Permute permute_op;

// The strides under which `in` has another shape without moving an element, if there are any.
std::optional<Shape> reshaped_strides(const Value& in, const Shape& shape) {
  if (in.contiguous()) return contiguous_strides(shape);
  if (in.numel() == 0) return contiguous_strides(shape);
  Shape strides = shape;
  int to = shape.rank() - 1;
  int from = in.rank() - 1;
  while (from >= 0) {
    // A run of axes of `in` that lie one behind the other in memory …
    const std::int64_t step = in.strides()[from];
    std::int64_t run = in.dims()[from];
    while (--from >= 0 && (in.dims()[from] == 1 || in.strides()[from] == step * run))
      run *= in.dims()[from];
    // … must be cut into whole axes of `shape`.
    std::int64_t done = 1;
    while (to >= 0 && (done < run || shape[to] == 1)) {
      strides[to] = step * done;
      done *= shape[to--];
    }
    if (done != run) return std::nullopt;
  }
  for (; to >= 0; --to) strides[to] = 1;
  return strides;
}

struct Reshape final : Op {
  Reshape() : Op("reshape") {}

  Tensor operator()(const Tensor& x, const Shape& to, const Where& where) const {
    const Value& in = x.value(where);
    const Shape shape = completed(x, to, where);
    const auto strides = reshaped_strides(in, shape);
    Ref<Value> out;
    if (strides) {
      out = Value::view(x.value_ref(), shape, *strides, 0);
    } else {
      out = make_result(name(), in.dtype(), shape, where);
      const Ref<Value> same_elements =
          Value::view(out, in.shape(), contiguous_strides(in.shape()), 0);
      kernels::copy(*same_elements, in);
    }
    return record(*this, std::move(out), {&x}, 0, where);
  }
  void vjp(Vjp& r) const override {
    if (r.needs(0)) r.give(0, reshape(r.g(), r.shape_of(0)));
  }
  Tensor jvp(Jvp& r) const override { return reshape(r.tangent(0), r.node().shape()); }
  Tensor replay(const Node& node, std::span<const Tensor> inputs) const override {
    return (*this)(inputs[0], node.shape(), node.where());
  }
  std::vector<Sample> samples() const override {
    return {{"cube to (4, 3)",
             {sample_cube()},
             [](std::span<const Tensor> in) { return reshape(in[0], {4, 3}); }},
            {"cube to (-1,)",
             {sample_cube()},
             [](std::span<const Tensor> in) { return reshape(in[0], {-1}); }},
            {"transposed cube to (6, 2)",
             {sample_cube()},
             [](std::span<const Tensor> in) { return reshape(transpose(in[0], 0, 2), {6, 2}); }},
            {"empty", {zeros({0, 3}, f64)}, [](std::span<const Tensor> in) {
               return reshape(in[0], {3, 0, 2});
             }}};
  }

 private:
  static Shape completed(const Tensor& x, const Shape& to, const Where& where) {
    Shape shape = to;
    int open = -1;
    std::int64_t known = 1;
    bool valid = true, overflow = false;
    for (int i = 0; i < to.rank(); ++i) {
      if (to[i] == -1 && open < 0) {
        open = i;
      } else {
        valid &= to[i] >= 0;
        overflow |= __builtin_mul_overflow(known, to[i], &known);
      }
    }
    const std::int64_t numel = x.numel();
    if (valid && !overflow && open >= 0 && known > 0 && numel % known == 0)
      shape[open] = known = numel / known;
    else if (open >= 0 || !valid || overflow || known != numel)
      throw ShapeError(fmt::format("reshape: {} has {} elements and cannot become {}", describe(x),
                                   numel, to_string(to)),
                       where,
                       open >= 0 && known == 0
                           ? "with an extent of 0 the extent −1 could be anything"
                           : "the products of the extents must be equal; one may be −1");
    return shape;
  }
};
const Reshape reshape_op;

struct Expand final : Op {
  Expand() : Op("expand") {}

  Tensor operator()(const Tensor& x, const Shape& to, const Where& where) const {
    const Value& in = x.value(where);
    Shape shape = to, strides = to;
    const int added = to.rank() - in.rank();
    for (int i = 0; i < to.rank(); ++i) {
      const int from = i - added;
      if (from >= 0 && shape[i] == -1) shape[i] = in.dims()[from];
      const bool keeps = from >= 0 && shape[i] == in.dims()[from];
      if (added < 0 || shape[i] < 0 || (from >= 0 && !keeps && in.dims()[from] != 1))
        fail(x, to, where);
      strides[i] = keeps ? in.strides()[from] : 0;
    }
    if (added < 0) fail(x, to, where);
    check_count(x, shape, where);
    return record(*this, Value::view(x.value_ref(), shape, strides, 0), {&x}, 0, where);
  }
  // The traversal sums over broadcast axes, here as everywhere.
  void vjp(Vjp& r) const override {
    if (r.needs(0)) r.give(0, r.g());
  }
  Tensor jvp(Jvp& r) const override { return r.tangent(0); }
  Tensor replay(const Node& node, std::span<const Tensor> inputs) const override {
    return (*this)(inputs[0], node.shape(), node.where());
  }
  std::vector<Sample> samples() const override {
    return {{"row to (2, 3)",
             {tensor({0.5, -1.0, 2.0}, f64)},
             [](std::span<const Tensor> in) { return expand(in[0], {2, 3}); }},
            {"column to (2, 2, 3)",
             {tensor({{0.5}, {-1.0}}, f64)},
             [](std::span<const Tensor> in) { return expand(in[0], {2, -1, 3}); }},
            {"scalar to (0, 2)", {tensor(0.5, f64)}, [](std::span<const Tensor> in) {
               return expand(in[0], {0, 2});
             }}};
  }

 private:
  // A view takes no memory, so that nothing else would notice.
  static void check_count(const Tensor& x, const Shape& shape, const Where& where) {
    std::int64_t count = 1;
    bool overflow = false;
    for (std::int64_t extent : shape)
      if (extent != 0) overflow |= __builtin_mul_overflow(count, extent, &count);
    if (overflow || count > (std::int64_t{1} << 59))
      throw ShapeError(fmt::format("expand: {} to {} gives more elements than can be counted",
                                   describe(x), to_string(shape)),
                       where);
  }
  [[noreturn]] static void fail(const Tensor& x, const Shape& to, const Where& where) {
    throw ShapeError(fmt::format("expand: {} does not broadcast to {}", describe(x), to_string(to)),
                     where, "shapes are aligned at the last axis; only extents of 1 can grow");
  }
};
const Expand expand_op;

struct Contiguous final : Op {
  Contiguous() : Op("contiguous", "{0}") {}

  Tensor operator()(const Tensor& x, const Where& where) const {
    if (x.value(where).contiguous()) return x;
    return record(*this, kernels::contiguous(x.value_ref()), {&x}, 0, where);
  }
  void vjp(Vjp& r) const override {
    if (r.needs(0)) r.give(0, r.g());
  }
  Tensor jvp(Jvp& r) const override { return r.tangent(0); }
  Tensor replay(const Node& node, std::span<const Tensor> inputs) const override {
    return (*this)(inputs[0], node.where());
  }
  std::vector<Sample> samples() const override {
    return {{"transposed cube",
             {sample_cube()},
             [](std::span<const Tensor> in) { return contiguous(transpose(in[0], 0, 1)); }},
            {"row-major cube", {sample_cube()}, [](std::span<const Tensor> in) {
               return contiguous(in[0]);
             }}};
  }
};
const Contiguous contiguous_op;

struct Alias final : Op {
  Alias() : Op("alias", "{0}") {}

  Tensor operator()(const Tensor& x, const Where& where) const {
    x.value(where);
    return record(*this, x.value_ref(), {&x}, 0, where);
  }
  void vjp(Vjp& r) const override {
    if (r.needs(0)) r.give(0, r.g());
  }
  Tensor jvp(Jvp& r) const override { return r.tangent(0); }
  Tensor replay(const Node& node, std::span<const Tensor> inputs) const override {
    return (*this)(inputs[0], node.where());
  }
  std::vector<Sample> samples() const override {
    return {{"cube", {sample_cube()}, [](std::span<const Tensor> in) {
               return detail::alias(in[0], Where::current());
             }}};
  }
};
const Alias alias_op;

}  // namespace

Tensor detail::alias(const Tensor& x, const Where& where) { return alias_op(x, where); }

bool detail::is_transpose(const Node& node) noexcept { return node.op() == &transpose_op; }

Tensor transpose(const Tensor& x, int axis0, int axis1, Where where) {
  return transpose_op(x, axis0, axis1, where);
}

Tensor Tensor::T(Where where) const {
  const int axes = rank(where);
  if (axes < 2) return *this;
  if (axes == 2) return transpose_op(*this, 0, 1, where);
  Shape reversed;
  for (int axis = axes - 1; axis >= 0; --axis) reversed.push_back(axis);
  return permute_op(*this, reversed, where);
}

Tensor permute(const Tensor& x, const Shape& axes, Where where) {
  return permute_op(x, axes, where);
}

Tensor reshape(const Tensor& x, const Shape& shape, Where where) {
  return reshape_op(x, shape, where);
}

Tensor flatten(const Tensor& x, int start, int end, Where where) {
  const Shape shape = x.shape(where);
  if (shape.empty()) return reshape_op(x, {1}, where);
  const int first = normalize_axis("flatten", start, shape.rank(), x, where);
  const int last = normalize_axis("flatten", end, shape.rank(), x, where);
  if (first > last)
    throw IndexError(
        fmt::format("flatten: axis {} lies behind axis {} of {}", start, end, describe(x)), where);
  Shape flat;
  for (int i = 0; i < shape.rank(); ++i) {
    if (i > first && i <= last)
      flat[first] *= shape[i];
    else
      flat.push_back(shape[i]);
  }
  return reshape_op(x, flat, where);
}

Tensor squeeze(const Tensor& x, Where where) {
  Shape shape;
  for (std::int64_t extent : x.shape(where))
    if (extent != 1) shape.push_back(extent);
  return reshape_op(x, shape, where);
}

Tensor squeeze(const Tensor& x, int axis, Where where) {
  Shape shape = x.shape(where);
  const int at = normalize_axis("squeeze", axis, shape.rank(), x, where);
  if (shape[at] != 1)
    throw ShapeError(
        fmt::format("squeeze: axis {} of {} has extent {}, not 1", axis, describe(x), shape[at]),
        where);
  shape.erase(at);
  return reshape_op(x, shape, where);
}

Tensor unsqueeze(const Tensor& x, int axis, Where where) {
  Shape shape = x.shape(where);
  check_rank("unsqueeze", shape.rank() + 1, x, where);
  shape.insert(normalize_axis("unsqueeze", axis, shape.rank() + 1, x, where), 1);
  return reshape_op(x, shape, where);
}

Tensor expand(const Tensor& x, const Shape& shape, Where where) {
  return expand_op(x, shape, where);
}

Tensor contiguous(const Tensor& x, Where where) { return contiguous_op(x, where); }

}  // namespace chainrule
