#include <chainrule/ops/nn/cross_entropy.hpp>

#include <fmt/format.h>

#include <string>

#include <chainrule/core/create.hpp>
#include <chainrule/ops/define.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/kernels/nn/cross_entropy.hpp>
#include <chainrule/ops/kernels/nn/softmax.hpp>
#include <chainrule/ops/kernels/reduce/reduce.hpp>
#include <chainrule/ops/nn/softmax.hpp>
#include <chainrule/ops/reduce/reduction.hpp>
#include <chainrule/ops/shape/manipulation.hpp>

namespace chainrule {

namespace {

using detail::input;

struct Parameters {
  std::int64_t samples;
  int axis;
  Reduction reduction;

  double scale() const noexcept {
    return reduction == Reduction::mean ? 1.0 / static_cast<double>(samples) : 1.0;
  }
};

bool has_labels(const Tensor& target) { return target.value_ref()->dtype() == i64; }

template <class T>
kernels::Target<T> target_of(const Value& target) {
  if (target.dtype() == i64) return {target.data<std::int64_t>(), nullptr};
  return {nullptr, target.data<T>()};
}

Shape without(const Shape& shape, int axis) {
  Shape rest = shape;
  rest.erase(axis);
  return rest;
}

// --- what may be wrong ---

std::string usual_mistake(const Shape& logits, const Shape& target, bool labels, int axis) {
  const Shape expected = labels ? without(logits, axis) : logits;
  if (labels && target == logits)
    return "one-hot targets are probabilities: convert them with to(target, f32)";
  if (!labels && target == without(logits, axis))
    return "class labels are i64: convert them with to(target, i64)";
  for (int other = 0; labels && other < logits.rank(); ++other)
    if (other != axis && target == without(logits, other))
      return fmt::format("if the classes stand along axis {}, pass axis {}", other, other);
  if (target.rank() == expected.rank() + 1)
    for (int extra = 0; extra < target.rank(); ++extra)
      if (target[extra] == 1 && without(target, extra) == expected)
        return fmt::format("drop the axis of extent 1: squeeze(target, {})", extra);
  return {};
}

void check_target(const Tensor& logits, const Tensor& target, int axis, const Where& where) {
  if (!target.defined()) detail::throw_undefined("cross_entropy", "target", where);
  const DType dtype = target.dtype();
  if (dtype != i64 && dtype != logits.dtype())
    throw DTypeError(
        fmt::format("cross_entropy: target {} is {}, logits {} are {}", describe(target),
                    name_of(dtype), describe(logits), name_of(logits.dtype())),
        where,
        fmt::format("class labels are i64, probabilities of the logits' dtype: to(target, {})",
                    name_of(logits.dtype())));
  const bool labels = dtype == i64;
  const Shape expected = labels ? without(logits.shape(), axis) : logits.shape();
  if (target.shape() != expected)
    throw ShapeError(
        fmt::format(
            "cross_entropy: {} do not fit the logits: {} for {} with the classes along axis "
            "{}, expected {}",
            labels ? "labels" : "probabilities", describe(target), describe(logits), axis,
            to_string(expected)),
        where, usual_mistake(logits.shape(), target.shape(), labels, axis));
}

void check_labels(const Tensor& logits, const Value& labels, int axis, const Where& where) {
  const std::int64_t n = labels.numel(), classes = logits.shape()[axis];
  const std::int64_t* label = labels.data<std::int64_t>();
  if (n == 0 || (kernels::min_run(label, n) >= 0 && kernels::max_run(label, n) < classes)) return;
  std::int64_t at = 0;
  while (label[at] >= 0 && label[at] < classes) ++at;
  Shape position = labels.shape();
  std::int64_t rest = at;
  for (int i = position.rank() - 1; i >= 0; --i) {
    const std::int64_t extent = position[i];
    position[i] = rest % extent;
    rest /= extent;
  }
  throw IndexError(
      fmt::format("cross_entropy: label {} at {} is not one of the {} classes of logits {}",
                  label[at], to_string(position), classes, describe(logits)),
      where, label[at] == classes && classes > 0 ? "labels count from 0" : "");
}

// --- the rules' parts, in tensor operations ---

Tensor one_hot_like(const Value& logits, const Value& target, int axis) {
  const Ref<Value> labels = Value::make_like(i64, target);
  kernels::copy(*labels, target);
  Ref<Value> out = Value::make_like(logits.dtype(), logits);
  const auto [outer, n, inner] = kernels::lines_along(logits, axis);
  const std::int64_t* label = labels->data<std::int64_t>();
  visit_floating(out->dtype(), [&, outer = outer, n = n, inner = inner](auto zero) {
    auto* to = out->template data<decltype(zero)>();
    std::fill_n(to, out->numel(), zero);
    for (std::int64_t i = 0; i < outer; ++i)
      for (std::int64_t j = 0; j < inner; ++j) to[(i * n + label[i * inner + j]) * inner + j] = 1;
  });
  return Tensor(std::move(out));
}

Tensor sum_along(const Tensor& x, int axis, const Where& where) {
  return detail::sum_mask(x, std::uint32_t{1} << axis, true, where);
}

// softmax(z) Σq − q, where p is softmax(z).
Tensor residual(const Tensor& p, const Tensor& target, int axis, const Where& where) {
  if (has_labels(target)) return p - one_hot_like(*p.value_ref(), *target.value_ref(), axis);
  return p * sum_along(target, axis, where) - target;
}

// The gradient of the result as a factor of every sample's loss; broadcasts to the logits.
Tensor per_line(const Tensor& g, const Parameters& p) {
  if (p.reduction == Reduction::none) return unsqueeze(g, p.axis);
  return p.reduction == Reduction::mean ? g * p.scale() : g;
}

// The other way round: numbers for every line, at extent 1 along the axis, as they enter the
// result.
Tensor reduce_lines(const Tensor& lines, const Parameters& p, const Where& where) {
  if (p.reduction == Reduction::none) return squeeze(lines, p.axis);
  const Tensor total = sum(lines, {}, false, where);
  return p.reduction == Reduction::mean ? total * p.scale() : total;
}

Tensor make_logits() { return tensor({{0.7, -1.3, 2.1}, {-0.4, 1.9, 0.6}}, f64); }
Tensor make_probabilities() { return tensor({{0.2, 0.3, 0.5}, {0.6, 0.3, 0.2}}, f64); }

Ref<Value> make_normalizers(const Value& x, int axis) {
  const kernels::Lines lines = kernels::lines_along(x, axis);
  const std::int64_t dims[] = {2, lines.outer * lines.inner};
  Ref<Value> out = Value::make(x.dtype(), dims, 2);
  visit_floating(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    T* m = out->template data<T>();
    kernels::normalizers(m, m + dims[1], x.data<T>(), lines);
  });
  return out;
}

// (softmax(z) Σq − q) g · scale, the gradient for the logits in one pass. Inputs: logits z, target,
// the lines' normalizers, and the gradient g of the result.
class CrossEntropySlope final : public Op {
 public:
  CrossEntropySlope() : Op("cross_entropy_slope", "(softmax({0}) − {1}) ⊗ {3}") {}

  Tensor operator()(const Tensor& z, const Tensor& target, const Tensor& normalizers,
                    const Tensor& g, const Parameters& p, const Where& where) const {
    const Ref<Value> x = kernels::contiguous(z.value_ref());
    const Ref<Value> y = kernels::contiguous(target.value_ref());
    const Ref<Value> seed = kernels::contiguous(g.value_ref());
    Ref<Value> out = Value::make_like(x->dtype(), *x);
    visit_floating(x->dtype(), [&](auto zero) {
      using T = decltype(zero);
      const T* m = normalizers.value_ref()->template data<T>();
      kernels::cross_entropy_slope(out->template data<T>(), x->template data<T>(), target_of<T>(*y),
                                   m, m + p.samples, seed->template data<T>(),
                                   p.reduction == Reduction::none ? 1 : 0,
                                   static_cast<T>(p.scale()), kernels::lines_along(*x, p.axis));
    });
    const Node::SavedMask all = input(0) | input(1) | input(3);
    return record(*this, std::move(out), {&z, &target, &normalizers, &g}, all, where,
                  detail::bytes_of(p));
  }

  // With the cotangent h and k = per_line(g):
  // ⟨h, out⟩ = Σ over lines of k (Σq Σ p⊗h − Σ q⊗h).
  void vjp(Vjp& r) const override {
    const auto& a = r.parameters<Parameters>();
    const Where& where = r.node().where();
    const Tensor h = r.g(), target = r.in(1), k = per_line(r.in(3), a);
    const Tensor p = softmax(r.in(0), a.axis, where);
    if (r.needs(0)) {
      const Tensor slope = detail::softmax_slope(h, p, a.axis, where) * k;
      r.give(0, has_labels(target) ? slope : slope * sum_along(target, a.axis, where));
    }
    if (r.needs(1)) r.give(1, (sum_along(h * p, a.axis, where) - h) * k);
    if (r.needs(3)) {
      const Tensor part = h * residual(p, target, a.axis, where);
      r.give(3, reduce_lines(sum_along(part, a.axis, where), a, where));
    }
  }
  Tensor jvp(Jvp& r) const override {
    const auto& a = r.parameters<Parameters>();
    const Where& where = r.node().where();
    const Tensor target = r.in(1), k = per_line(r.in(3), a);
    const Tensor p = softmax(r.in(0), a.axis, where);
    Tensor out;
    if (r.has(0)) {
      const Tensor slope = detail::softmax_slope(r.tangent(0), p, a.axis, where) * k;
      add_to(out, has_labels(target) ? slope : slope * sum_along(target, a.axis, where));
    }
    if (r.has(1)) add_to(out, (p * sum_along(r.tangent(1), a.axis, where) - r.tangent(1)) * k);
    if (r.has(3)) add_to(out, residual(p, target, a.axis, where) * per_line(r.tangent(3), a));
    return out;
  }
  Tensor replay(const Node& node, std::span<const Tensor> inputs) const override {
    const auto& p = node.parameters<Parameters>();
    const Tensor normalizers(make_normalizers(*kernels::contiguous(inputs[0].value_ref()), p.axis));
    return (*this)(inputs[0], inputs[1], normalizers, inputs[3], p, node.where());
  }
  std::string written(const Node& node) const override {
    const auto& p = node.parameters<Parameters>();
    return p.reduction == Reduction::mean ? fmt::format("{} / {}", notation(), p.samples)
                                          : notation();
  }
  Tensor written_out(const Node& node, std::span<const Tensor> inputs) const override {
    const auto& p = node.parameters<Parameters>();
    const Tensor slope =
        residual(softmax(inputs[0], p.axis, node.where()), inputs[1], p.axis, node.where());
    return slope * (per_line(inputs[3], p));
  }
  std::vector<Sample> samples() const override;
};
const CrossEntropySlope slope_op;

std::vector<Sample> CrossEntropySlope::samples() const {
  const Tensor z = make_logits(), q = make_probabilities();
  const Tensor labels = tensor({2, 0}), columns = tensor({1, 0, 1});
  return {{"labels, mean",
           {z, labels, tensor(0.8, f64)},
           [](std::span<const Tensor> in) {
             const Tensor norms(make_normalizers(*kernels::contiguous(in[0].value_ref()), 1));
             return slope_op(in[0], in[1], norms, in[2], {2, 1, Reduction::mean}, Where::current());
           }},
          {"labels along columns",
           {z, columns, tensor({0.8, -0.3, 1.2}, f64)},
           [](std::span<const Tensor> in) {
             const Tensor norms(make_normalizers(*kernels::contiguous(in[0].value_ref()), 0));
             return slope_op(in[0], in[1], norms, in[2], {3, 0, Reduction::none}, Where::current());
           }},
          {"probabilities", {z, q, tensor({0.8, -0.3}, f64)}, [](std::span<const Tensor> in) {
             const Tensor norms(make_normalizers(*kernels::contiguous(in[0].value_ref()), 1));
             return slope_op(in[0], in[1], norms, in[2], {2, 1, Reduction::none}, Where::current());
           }}};
}

// Inputs: logits z, target, and the lines' normalizers, which only save the reverse rule their
// work.
class CrossEntropy final : public Op {
 public:
  CrossEntropy() : Op("cross_entropy", "cross_entropy({0}, {1})") {}

  Tensor operator()(const Tensor& z, const Tensor& target, Reduction reduction, int axis,
                    const Where& where) const {
    if (!z.defined()) detail::throw_undefined(name(), "tensor of logits", where);
    const Value& in = *z.value_ref();
    check_dtype(name(), z, false, where);
    Parameters p{0, normalize_axis(name(), axis, in.rank(), z, where), reduction};
    check_target(z, target, p.axis, where);
    const Ref<Value> y = kernels::contiguous(target.value_ref());
    if (y->dtype() == i64) check_labels(z, *y, p.axis, where);
    const kernels::Lines lines = kernels::lines_along(in, p.axis);
    p.samples = lines.outer * lines.inner;
    if (p.samples == 0 && reduction == Reduction::mean)
      throw ShapeError(fmt::format("{}: the mean over no samples: logits {}", name(), describe(z)),
                       where, "Reduction::sum of no samples is 0");
    const Ref<Value> x = kernels::contiguous(z.value_ref());
    const Tensor normalizers(make_normalizers(*x, p.axis));
    Ref<Value> out = Value::make(in.dtype(), without(in.shape(), p.axis));
    visit_floating(in.dtype(), [&](auto zero) {
      using T = decltype(zero);
      const T* m = normalizers.value_ref()->template data<T>();
      T* losses = out->template data<T>();
      kernels::cross_entropy(losses, x->template data<T>(), target_of<T>(*y), m, m + p.samples,
                             lines);
      if (reduction == Reduction::none) return;
      const T total = kernels::sum_run(losses, p.samples);
      out = Value::make(out->dtype(), nullptr, 0);
      *out->template data<T>() =
          reduction == Reduction::mean ? total / static_cast<T>(p.samples) : total;
    });
    const Node::SavedMask saved = input(0) | input(1) | input(2);
    return record(*this, std::move(out), {&z, &target, &normalizers}, saved, where,
                  detail::bytes_of(p));
  }

  void vjp(Vjp& r) const override {
    const auto& p = r.parameters<Parameters>();
    const Where& where = r.node().where();
    if (r.needs(0)) r.give(0, slope_op(r.in(0), r.in(1), r.in(2), r.g(), p, where));
    if (r.needs(1)) r.give(1, -(log_softmax(r.in(0), p.axis, where) * per_line(r.g(), p)));
  }
  Tensor jvp(Jvp& r) const override {
    const auto& p = r.parameters<Parameters>();
    const Where& where = r.node().where();
    const Tensor z = r.in(0), target = r.in(1);
    Tensor lines;
    if (r.has(0)) {
      const Tensor slope = residual(softmax(z, p.axis, where), target, p.axis, where);
      lines = sum_along(slope * r.tangent(0), p.axis, where);
    }
    if (r.has(1)) {
      const Tensor by_q = sum_along(log_softmax(z, p.axis, where) * r.tangent(1), p.axis, where);
      lines = r.has(0) ? lines - by_q : -by_q;
    }
    return reduce_lines(lines, p, where);
  }
  Tensor replay(const Node& node, std::span<const Tensor> inputs) const override {
    const auto& p = node.parameters<Parameters>();
    return (*this)(inputs[0], inputs[1], p.reduction, p.axis, node.where());
  }
  Tensor written_out(const Node& node, std::span<const Tensor> inputs) const override {
    const auto& p = node.parameters<Parameters>();
    const Tensor &z = inputs[0], &target = inputs[1];
    const Tensor q =
        has_labels(target) ? one_hot_like(*z.value_ref(), *target.value_ref(), p.axis) : target;
    const Tensor by_q = q * log_softmax(z, p.axis, node.where());
    return reduce_lines(-sum_along(by_q, p.axis, node.where()), p, node.where());
  }
  std::vector<Sample> samples() const override {
    const Tensor z = make_logits(), q = make_probabilities();
    const Tensor deep = tensor({{{0.3, -0.9}, {1.4, 0.2}, {-0.6, 0.8}}}, f64);
    const Tensor none = zeros({0, 3}, f64), no_labels = zeros({0}, i64);
    const auto rows = [](std::span<const Tensor> in) { return cross_entropy(in[0], in[1]); };
    const auto columns = [](std::span<const Tensor> in) {
      return cross_entropy(in[0], in[1], Reduction::mean, 0);
    };
    const auto each = [](std::span<const Tensor> in) {
      return cross_entropy(in[0], in[1], Reduction::none);
    };
    const auto total = [](std::span<const Tensor> in) {
      return cross_entropy(in[0], in[1], Reduction::sum);
    };
    return {{"labels", {z, tensor({2, 0})}, rows},
            {"labels, columns", {z, tensor({1, 0, 1})}, columns},
            {"labels, each", {z, tensor({2, 0})}, each},
            {"labels, sum", {z, tensor({2, 0})}, total},
            {"labels, middle axis",
             {deep, tensor({{2, 0}})},
             [](std::span<const Tensor> in) {
               return cross_entropy(in[0], in[1], Reduction::none, 1);
             }},
            {"one sample", {tensor({0.4, -1.1, 0.9}, f64), tensor(1)}, rows},
            {"probabilities", {z, q}, rows},
            {"probabilities, columns", {z, q}, columns},
            {"probabilities, each", {z, q}, each},
            {"no samples", {none, no_labels}, total},
            {"no samples, each", {none, none}, each}};
  }
};
const CrossEntropy the_cross_entropy;

}  // namespace

Tensor cross_entropy(const Tensor& logits, const Tensor& target, Reduction reduction, int axis,
                     Where where) {
  return the_cross_entropy(logits, target, reduction, axis, where);
}

}  // namespace chainrule
