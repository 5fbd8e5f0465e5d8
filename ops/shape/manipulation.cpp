#include <chainrule/ops/shape/manipulation.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include <chainrule/core/create.hpp>
#include <chainrule/core/range_hint.hpp>
#include <chainrule/ops/axis_text.hpp>
#include <chainrule/ops/define.hpp>

namespace chainrule {

namespace {

Tensor sample_cube() {
  return tensor({{{0.5, -1.5}, {2.0, 0.25}, {-0.75, 1.25}}, {{1.5, 0.1}, {-2.5, 0.9}, {0.3, -0.6}}},
                f64);
}

// Counted from the end and in order, so that the axes of a matrix are −2 and −1 whatever stands
// before them.
struct AxisPair {
  int first = 0, second = 0;
};

struct Transpose final : LinearMap<Transpose> {
  Transpose() : LinearMap("transpose", "{0}ᵀ") {}

  Tensor operator()(const Tensor& x, int axis0, int axis1, const Where& where) const {
    const int rank = x.value(where, name(), "operand x").rank();
    const int a = normalize_axis(name(), axis0, rank, x, where) - rank;
    const int b = normalize_axis(name(), axis1, rank, x, where) - rank;
    return apply(*this, {&x}, AxisPair{std::min(a, b), std::max(a, b)}, where);
  }

  void infer(Inference& call) const override {
    const Value& in = call.in(0);
    const auto [first, second] = call.parameters<AxisPair>();
    const int a = normalize_axis(name(), first, in.rank(), call.tensor(0), call.where());
    const int b = normalize_axis(name(), second, in.rank(), call.tensor(0), call.where());
    Shape shape = in.shape(), strides = in.strides_shape();
    std::swap(shape[a], shape[b]);
    std::swap(strides[a], strides[b]);
    call.view(0, shape, strides, 0);
  }
  // The transpose of named data has a place in the graph, too: formulas show it as yᵀ.
  bool follows_names() const noexcept override { return true; }
  std::string written(const Node& node) const override {
    const auto [first, second] = node.parameters<AxisPair>();
    if (first == -2 && second == -1) return notation();
    const int rank = node.rank();
    return "transpose" + axis_subscript(rank + first) + axis_subscript(rank + second) + "({0})";
  }
  // Its own inverse.
  Tensor adjoint(const Application& r, const Tensor& g) const {
    return apply(*this, {&g}, r.node().parameters(), r.where());
  }
  Role role(const Parameters& parameters) const override {
    const auto [first, second] = parameters.as<AxisPair>();
    Role role = Role::Kind::permutation;
    role.swaps_axes = first == -2 && second == -1;
    return role;
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
};
CHAINRULE_EARLY const Transpose transpose_op;

struct Permute final : LinearMap<Permute> {
  Permute() : LinearMap("permute") {}

  Tensor operator()(const Tensor& x, const Shape& axes, const Where& where) const {
    const int rank = x.value(where, name(), "operand x").rank();
    Shape order = axes;
    for (std::int64_t& axis : order) axis = normalize_axis(name(), axis, rank, x, where);
    if (!is_permutation(order, rank)) fail(axes, x, where);
    return apply(*this, {&x}, order, where);
  }

  void infer(Inference& call) const override {
    const Value& in = call.in(0);
    const Shape order = call.parameters().shape();
    if (!is_permutation(order, in.rank())) fail(order, call.tensor(0), call.where());
    Shape shape = order, strides = order;
    for (int i = 0; i < order.rank(); ++i) {
      shape[i] = in.dims()[order[i]];
      strides[i] = in.strides()[order[i]];
    }
    call.view(0, shape, strides, 0);
  }
  Tensor adjoint(const Application& r, const Tensor& g) const {
    const Shape order = r.node().parameters().shape();
    Shape inverse = order;
    for (int i = 0; i < order.rank(); ++i) inverse[static_cast<int>(order[i])] = i;
    return apply(*this, {&g}, inverse, r.where());
  }
  Role role(const Parameters&) const override { return Role::Kind::permutation; }
  std::string written(const Node& node) const override {
    const Shape order = node.parameters().shape();
    return fmt::format("permute[{}]({{0}})", fmt::join(order.begin(), order.end(), ", "));
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
  static bool is_permutation(const Shape& order, int rank) noexcept {
    std::uint32_t seen = 0;
    for (const std::int64_t axis : order) {
      if (axis < 0 || axis >= rank) return false;
      seen |= std::uint32_t{1} << axis;
    }
    return order.rank() == rank && seen == (std::uint32_t{1} << rank) - 1;
  }
  [[noreturn]] static void fail(const Shape& axes, const Tensor& x, const Where& where) {
    throw ShapeError(fmt::format("permute: axes {} are not a permutation of the {} axes of {}",
                                 to_string(axes), x.rank(), describe(x)),
                     where, "name each axis once, in the order of the result");
  }
};
CHAINRULE_EARLY const Permute permute_op;

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

// "reshape[3, 2]({0})": without the shape nobody could compute it.
std::string to_shape(const char* name, const Node& node) {
  const Shape shape = node.shape();
  return fmt::format("{}[{}]({{0}})", name, fmt::join(shape.begin(), shape.end(), ", "));
}

// Its parameter is the shape as it was asked for, with −1 for an extent that follows from others.
struct Reshape final : LinearMap<Reshape> {
  Reshape() : LinearMap("reshape") {}
  std::string written(const Node& node) const override { return to_shape(name(), node); }

  Tensor operator()(const Tensor& x, const Shape& to, const Where& where) const {
    return apply(*this, {&x}, to, where);
  }

  void infer(Inference& call) const override {
    const Value& in = call.in(0);
    const Shape shape = completed(call.tensor(0), call.parameters().shape(), call.where());
    if (const auto strides = reshaped_strides(in, shape))
      call.view(0, shape, *strides, 0);
    else
      call.output(in.dtype(), shape);
  }
  void evaluate(Evaluation& call) const override {
    const Value& in = call.in(0);
    const Ref<Value> same_elements =
        Value::view(call.out_ref(), in.shape(), contiguous_strides(in.shape()), 0);
    kernels::copy(*same_elements, in);
  }
  Tensor adjoint(const Application& r, const Tensor& g) const {
    return (*this)(g, r.shape_of(0), r.where());
  }
  Role role(const Parameters&) const override { return Role::Kind::reshape; }
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
      throw ShapeError(
          fmt::format("reshape: {} has {} elements and cannot become {}", describe(x), numel,
                      to_string(to)),
          where,
          !valid ? "no extent is negative, but for one that is −1 and stands for the rest"
          : open >= 0 && known == 0 ? "with an extent of 0 the extent −1 could be anything"
                                    : "the products of the extents must be equal; one may be −1");
    return shape;
  }
};
CHAINRULE_EARLY const Reshape reshape_op;

// An op that changes no number, at most how often it stands there: gradients and tangents are
// handed on as they are. The traversal sums over broadcast axes, here as everywhere.
template <class Self>
struct Unchanged : LinearMap<Self> {
  using LinearMap<Self>::LinearMap;

  static Tensor adjoint(const Application&, const Tensor& g) { return g; }
  Tensor jvp(Jvp& r) const final { return r.tangent(0); }
  Role role(const Parameters&) const final { return Role::Kind::copy; }
};

// Its parameter is the shape as it was asked for, with −1 for an extent that stays.
struct Expand final : Unchanged<Expand> {
  Expand() : Unchanged("expand") {}
  std::string written(const Node& node) const override { return to_shape(name(), node); }

  void infer(Inference& call) const override {
    const Value& in = call.in(0);
    const Shape to = call.parameters().shape();
    const auto fail = [&] {
      throw ShapeError(fmt::format("expand: {} does not broadcast to {}", describe(call.tensor(0)),
                                   to_string(to)),
                       call.where(),
                       "shapes are aligned at the last axis; only extents of 1 can grow");
    };
    Shape shape = to, strides = to;
    const int added = to.rank() - in.rank();
    if (added < 0) fail();
    for (int i = 0; i < to.rank(); ++i) {
      const int from = i - added;
      if (from >= 0 && shape[i] == -1) shape[i] = in.dims()[from];
      const bool keeps = from >= 0 && shape[i] == in.dims()[from];
      if (shape[i] < 0 || (from >= 0 && !keeps && in.dims()[from] != 1)) fail();
      strides[i] = keeps ? in.strides()[from] : 0;
    }
    check_count(call.tensor(0), shape, call.where());
    call.view(0, shape, strides, 0);
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
                       where, "a tensor has at most 2^59");
  }
};
CHAINRULE_EARLY const Expand expand_op;

struct Contiguous final : Unchanged<Contiguous> {
  Contiguous() : Unchanged("contiguous", "{0}") {}

  void infer(Inference& call) const override {
    const Value& in = call.in(0);
    if (in.contiguous())
      call.same(0);
    else
      call.output_like(in.dtype(), in);
  }
  void evaluate(Evaluation& call) const override { kernels::copy(call.out(), call.in(0)); }
  std::vector<Sample> samples() const override {
    return {{"transposed cube",
             {sample_cube()},
             [](std::span<const Tensor> in) { return contiguous(transpose(in[0], 0, 1)); }},
            {"row-major cube", {sample_cube()}, [](std::span<const Tensor> in) {
               return contiguous(in[0]);
             }}};
  }
};
CHAINRULE_EARLY const Contiguous contiguous_op;

struct Alias final : Unchanged<Alias> {
  Alias() : Unchanged("alias", "{0}") {}

  void infer(Inference& call) const override { call.same(0); }
  std::vector<Sample> samples() const override {
    return {{"cube", {sample_cube()}, [](std::span<const Tensor> in) {
               return detail::alias(in[0], Where::current());
             }}};
  }
};
CHAINRULE_EARLY const Alias alias_op;

struct Copy final : Unchanged<Copy> {
  Copy() : Unchanged("copy", "{0}") {}

  void infer(Inference& call) const override { call.output_like(call.in(0).dtype(), call.in(0)); }
  void evaluate(Evaluation& call) const override { kernels::copy(call.out(), call.in(0)); }
  std::vector<Sample> samples() const override {
    return {{"cube", {sample_cube()}, [](std::span<const Tensor> in) {
               return detail::copy(in[0], Where::current());
             }}};
  }
};
CHAINRULE_EARLY const Copy copy_op;

}  // namespace

Tensor detail::alias(const Tensor& x, const Where& where) {
  return apply(alias_op, {&x}, {}, where);
}

Tensor detail::copy(const Tensor& x, const Where& where) { return apply(copy_op, {&x}, {}, where); }

bool detail::is_transpose(const Node& node) noexcept { return node.op() == &transpose_op; }

Tensor transpose(const Tensor& x, int axis0, int axis1, Where where) {
  return transpose_op(x, axis0, axis1, where);
}

Tensor Tensor::T(Where where) const {
  const int axes = value(where, "T").rank();
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
  const Shape shape = x.value(where, "flatten", "operand x").shape();
  if (shape.empty()) return reshape_op(x, {1}, where);
  const int first = normalize_axis("flatten", start, shape.rank(), x, where);
  const int last = normalize_axis("flatten", end, shape.rank(), x, where);
  if (first > last)
    throw IndexError(
        fmt::format("flatten: axis {} lies behind axis {} of {}", start, end, describe(x)), where,
        "name the first of the axes that are joined, and then the last");
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
  for (const std::int64_t extent : x.value(where, "squeeze", "operand x").shape())
    if (extent != 1) shape.push_back(extent);
  return reshape_op(x, shape, where);
}

Tensor squeeze(const Tensor& x, int axis, Where where) {
  Shape shape = x.value(where, "squeeze", "operand x").shape();
  const int at = normalize_axis("squeeze", axis, shape.rank(), x, where);
  if (shape[at] != 1)
    throw ShapeError(
        fmt::format("squeeze: axis {} of {} has extent {}, not 1", axis, describe(x), shape[at]),
        where, "select(x, axis, i) takes one of its positions, sum(x, axis) adds them up");
  shape.erase(at);
  return reshape_op(x, shape, where);
}

Tensor unsqueeze(const Tensor& x, int axis, Where where) {
  Shape shape = x.value(where, "unsqueeze", "operand x").shape();
  check_rank("unsqueeze", shape.rank() + 1, x, where);
  const int rank = shape.rank() + 1, at = axis < 0 ? axis + rank : axis;
  if (at < 0 || at >= rank)
    throw IndexError(
        fmt::format("unsqueeze: axis {} of a result with {} axes, of {}", axis, rank, describe(x)),
        where, detail::range_hint("axes", rank));
  shape.insert(at, 1);
  return reshape_op(x, shape, where);
}

Tensor expand(const Tensor& x, const Shape& shape, Where where) {
  return apply(expand_op, {&x}, shape, where);
}

Tensor contiguous(const Tensor& x, Where where) {
  if (x.value(where, "contiguous", "operand x").contiguous()) return x;
  return apply(contiguous_op, {&x}, {}, where);
}

}  // namespace chainrule
