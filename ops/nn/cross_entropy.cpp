#include <chainrule/ops/nn/cross_entropy.hpp>

#include <fmt/format.h>

#include <span>
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

struct CrossEntropyParameters {
  std::int32_t axis = 0;  // of the classes, counted from 0
  Reduction reduction = Reduction::mean;
  std::uint8_t fill[3] = {};

  // What the loss of a sample counts.
  double scale(std::int64_t samples) const noexcept {
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

std::int64_t samples_in(const Shape& logits, const CrossEntropyParameters& p) {
  return without(logits, p.axis).numel();
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
  return labels ? "there is one label for each sample" : "there is one probability for each logit";
}

// The axis counted from 0, for logits that are fit for it.
int checked_axis(const char* op, const Tensor& logits, int axis, const Where& where) {
  const int rank = logits.value(where, op, "tensor of logits").rank();
  check_dtype(op, logits, false, where);
  return normalize_axis(op, axis, rank, logits, where);
}

void check_target(const char* op, const Tensor& logits, const Tensor& target, int axis,
                  const Where& where) {
  const DType dtype = target.value(where, op, "target").dtype();
  if (dtype != i64 && dtype != logits.dtype()) {
    const bool of_labels = target.shape() == without(logits.shape(), axis);
    throw DTypeError(
        fmt::format("{}: target {} is {}, logits {} are {}", op, describe(target), name_of(dtype),
                    describe(logits), name_of(logits.dtype())),
        where,
        fmt::format("class labels are i64, probabilities of the logits' dtype: to(target, {})",
                    name_of(of_labels ? i64 : logits.dtype())));
  }
  const bool labels = dtype == i64;
  const Shape expected = labels ? without(logits.shape(), axis) : logits.shape();
  if (target.shape() != expected)
    throw ShapeError(
        fmt::format("{}: {} do not fit the logits: {} for {} with the classes along axis {}, "
                    "expected {}",
                    op, labels ? "labels" : "probabilities", describe(target), describe(logits),
                    axis, to_string(expected)),
        where, usual_mistake(logits.shape(), target.shape(), labels, axis));
}

void check_labels(const char* op, const Tensor& logits, const Value& labels, int axis,
                  const Where& where) {
  const std::int64_t n = labels.numel(), classes = logits.shape()[axis];
  const std::int64_t* label = labels.data<std::int64_t>();
  if (n == 0 || (kernels::min_run(label, n) >= 0 && kernels::max_run(label, n) < classes)) return;
  std::int64_t at = 0;
  while (label[at] >= 0 && label[at] < classes) ++at;
  throw IndexError(
      fmt::format("{}: label {} at {} is not one of the {} classes of logits {}", op, label[at],
                  to_string(position_of(at, labels.shape())), classes, describe(logits)),
      where,
      label[at] == classes && classes > 0 ? "labels count from 0"
      : label[at] < 0 ? "take out the samples without a label first: take(x, index)"
                      : "the last layer gives one logit for each class: more, if there are "
                        "more labels");
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

// softmax(z) Σq − q, as a formula shows it.
Tensor residual(const Tensor& z, const Tensor& target, int axis, const Where& where) {
  const Tensor p = softmax(z, axis, where);
  if (has_labels(target)) return p - one_hot_like(*p.value_ref(), *target.value_ref(), axis);
  return p * sum_along(target, axis, where) - target;
}

// The gradient of the result as a factor of the loss of each of so many samples; broadcasts to the
// logits.
Tensor per_line(const Tensor& g, const CrossEntropyParameters& p, std::int64_t samples) {
  if (p.reduction == Reduction::none) return unsqueeze(g, p.axis);
  return p.reduction == Reduction::mean ? g * p.scale(samples) : g;
}

// The other way round: numbers for every line, at extent 1 along the axis, as they enter the
// result.
Tensor reduce_lines(const Tensor& lines, const CrossEntropyParameters& p, const Where& where) {
  if (p.reduction == Reduction::none) return squeeze(lines, p.axis);
  const Tensor total = sum(lines, {}, false, where);
  return p.reduction == Reduction::mean ? total * p.scale(lines.numel()) : total;
}

Tensor make_logits() { return tensor({{0.7, -1.3, 2.1}, {-0.4, 1.9, 0.6}}, f64); }
Tensor make_probabilities() { return tensor({{0.2, 0.3, 0.5}, {0.6, 0.3, 0.2}}, f64); }

// The first operands of both ops are logits z and target. Both save the normalizers of the lines, m
// and log s, as one value (2, lines).
void check_lines(const Call& call) {
  const auto& p = call.parameters<CrossEntropyParameters>();
  const Tensor &z = call.tensor(0), &target = call.tensor(1);
  checked_axis(call.name(), z, p.axis, call.where());
  check_target(call.name(), z, target, p.axis, call.where());
}
void infer_normalizers(Inference& call) {
  const Value& z = call.in(0);
  const kernels::Lines lines =
      kernels::lines_along(z, call.parameters<CrossEntropyParameters>().axis);
  call.saves(z.dtype(), {2, lines.outer * lines.inner});
}

// These operands, row-major as long as this lives; computes the normalizers, unless they are known.
struct Prepared {
  const CrossEntropyParameters& p;
  Ref<Value> x, y;
  kernels::Lines lines;
  std::int64_t samples;

  // Whoever knows the normalizers has checked the labels.
  explicit Prepared(Evaluation& call)
      : p(call.parameters<CrossEntropyParameters>()), y(kernels::contiguous(call.in_ref(1))) {
    if (y->dtype() == i64 && !call.knows(0))
      check_labels(call.name(), call.tensor(0), *y, p.axis, call.where());
    x = kernels::contiguous(call.in_ref(0));
    lines = kernels::lines_along(*x, p.axis);
    samples = lines.outer * lines.inner;
    if (call.knows(0)) return;
    visit_floating(x->dtype(), [&](auto zero) {
      using T = decltype(zero);
      T* m = call.saved(0).template data<T>();
      kernels::normalizers(m, m + samples, x->template data<T>(), lines);
    });
  }
};

// (softmax(z) Σq − q) g · scale, the gradient for the logits in one pass, of logits z, target, and
// the gradient g of the result.
class CrossEntropySlope final : public Op {
 public:
  CrossEntropySlope() : Op("cross_entropy_slope", "(softmax({0}) − {1}) ⊗ {2}") {}

  // With the normalizers of the lines, where they are known.
  Tensor operator()(const Tensor& z, const Tensor& target, const Tensor& g,
                    const CrossEntropyParameters& p, const Where& where,
                    std::span<const Ref<Value>> normalizers = {}) const {
    return apply(*this, {&z, &target, &g}, p, where, normalizers);
  }

  void infer(Inference& call) const override {
    const auto& p = call.parameters<CrossEntropyParameters>();
    const Tensor &z = call.tensor(0), &g = call.tensor(2);
    call.in(2);
    check_lines(call);
    check_dtypes(name(), z, g, false, call.where());
    check_shape(name(), "gradient", g,
                p.reduction == Reduction::none ? without(z.shape(), p.axis) : Shape(),
                call.where());
    call.output_like(call.in(0).dtype(), call.in(0));
    infer_normalizers(call);
  }
  void evaluate(Evaluation& call) const override {
    const Prepared in(call);
    const Ref<Value> seed = kernels::contiguous(call.in_ref(2));
    visit_floating(in.x->dtype(), [&](auto zero) {
      using T = decltype(zero);
      const T* m = call.saved(0).template data<T>();
      kernels::cross_entropy_slope(call.out().template data<T>(), in.x->template data<T>(),
                                   target_of<T>(*in.y), m, m + in.samples, seed->template data<T>(),
                                   in.p.reduction == Reduction::none ? 1 : 0,
                                   static_cast<T>(in.p.scale(in.samples)), in.lines);
    });
  }
  Node::SavedMask reads(const Call&) const override { return input(0) | input(1) | input(2); }

  // With the cotangent h and k = per_line(g):
  // ⟨h, out⟩ = Σ over lines of k (Σq Σ p⊗h − Σ q⊗h).
  void vjp(Vjp& r) const override {
    const auto& a = r.parameters<CrossEntropyParameters>();
    const Where& where = r.where();
    const Tensor h = r.g(), target = r.in(1), k = per_line(r.in(2), a, samples_of(r));
    const Tensor p = softmax(r.in(0), a.axis, where);
    if (r.needs(0)) {
      const Tensor slope = detail::softmax_slope(h, p, a.axis, where) * k;
      r.give(0, has_labels(target) ? slope : slope * sum_along(target, a.axis, where));
    }
    if (r.needs(1)) r.give(1, (sum_along(h * p, a.axis, where) - h) * k);
    if (r.needs(2)) {
      const Tensor part = h * exact_residual(r, a.axis);
      r.give(2, reduce_lines(sum_along(part, a.axis, where), a, where));
    }
  }
  Tensor jvp(Jvp& r) const override {
    const auto& a = r.parameters<CrossEntropyParameters>();
    const Where& where = r.where();
    const Tensor target = r.in(1), k = per_line(r.in(2), a, samples_of(r));
    const Tensor p = softmax(r.in(0), a.axis, where);
    Tensor out;
    if (r.has(0)) {
      const Tensor slope = detail::softmax_slope(r.tangent(0), p, a.axis, where) * k;
      add_to(out, has_labels(target) ? slope : slope * sum_along(target, a.axis, where));
    }
    if (r.has(1)) add_to(out, (p * sum_along(r.tangent(1), a.axis, where) - r.tangent(1)) * k);
    if (r.has(2)) add_to(out, exact_residual(r, a.axis) * per_line(r.tangent(2), a, samples_of(r)));
    return out;
  }
  std::string written(const Node& node) const override {
    const auto& p = node.parameters<CrossEntropyParameters>();
    const std::string text =
        "(" + detail::softmax_text(node.shape(), p.axis) + "({0}) − {1}) ⊗ {2}";
    return p.reduction == Reduction::mean
               ? fmt::format("{} / {}", text, samples_in(node.shape(), p))
               : text;
  }
  Tensor written_out(const Node& node, std::span<const Tensor> inputs) const override {
    const auto& p = node.parameters<CrossEntropyParameters>();
    const Tensor slope = residual(inputs[0], inputs[1], p.axis, node.where());
    return slope * per_line(inputs[2], p, samples_in(inputs[0].shape(), p));
  }
  // softmax(z) Σq − q with all digits where that is nearly 0: the gradient with 1 for each line.
  Tensor unscaled(const Tensor& z, const Tensor& target, int axis, const Where& where) const {
    const Tensor seeds = ones(without(z.shape(), axis), z.dtype());
    return (*this)(z, target, seeds, {axis, Reduction::none}, where);
  }
  std::vector<Sample> samples() const override;

 private:
  Tensor exact_residual(const Application& r, int axis) const {
    return unscaled(r.in(0), r.in(1), axis, r.where());
  }
  static std::int64_t samples_of(const Application& r) {
    return samples_in(r.node().shape(), r.parameters<CrossEntropyParameters>());
  }
};
CHAINRULE_EARLY const CrossEntropySlope slope_op;

std::vector<Sample> CrossEntropySlope::samples() const {
  const Tensor z = make_logits(), q = make_probabilities();
  const Tensor labels = tensor({2, 0}), columns = tensor({1, 0, 1});
  return {{"labels, mean",
           {z, labels, tensor(0.8, f64)},
           [](std::span<const Tensor> in) {
             return slope_op(in[0], in[1], in[2], {1, Reduction::mean}, Where::current());
           }},
          {"labels along columns",
           {z, columns, tensor({0.8, -0.3, 1.2}, f64)},
           [](std::span<const Tensor> in) {
             return slope_op(in[0], in[1], in[2], {0, Reduction::none}, Where::current());
           }},
          {"probabilities", {z, q, tensor({0.8, -0.3}, f64)}, [](std::span<const Tensor> in) {
             return slope_op(in[0], in[1], in[2], {1, Reduction::none}, Where::current());
           }}};
}

class CrossEntropy final : public Op {
 public:
  CrossEntropy() : Op("cross_entropy", "cross_entropy({0}, {1})") {}

  void infer(Inference& call) const override {
    const auto& p = call.parameters<CrossEntropyParameters>();
    check_lines(call);
    const Value& z = call.in(0);
    const Shape samples = without(z.shape(), p.axis);
    if (p.reduction == Reduction::mean && samples.numel() == 0)
      throw ShapeError(
          fmt::format("{}: the mean over no samples: logits {}", name(), describe(call.tensor(0))),
          call.where(), "Reduction::sum of no samples is 0");
    call.output(z.dtype(), p.reduction == Reduction::none ? samples : Shape());
    infer_normalizers(call);
  }
  void evaluate(Evaluation& call) const override {
    const Prepared in(call);
    const Reduction reduction = in.p.reduction;
    const DType dtype = in.x->dtype();
    const Ref<Value> each = reduction == Reduction::none
                                ? call.out_ref()
                                : make_result(name(), dtype, {in.samples}, call.where());
    visit_floating(dtype, [&](auto zero) {
      using T = decltype(zero);
      const T* m = call.saved(0).template data<T>();
      T* losses = each->template data<T>();
      kernels::cross_entropy(losses, in.x->template data<T>(), target_of<T>(*in.y), m,
                             m + in.samples, in.lines);
      if (reduction == Reduction::none) return;
      const T total = kernels::sum_run(losses, in.samples);
      *call.out().template data<T>() =
          reduction == Reduction::mean ? total / static_cast<T>(in.samples) : total;
    });
  }
  // The normalizers only save the reverse rule their work.
  Node::SavedMask reads(const Call&) const override {
    return input(0) | input(1) | detail::intermediate(0);
  }

  void vjp(Vjp& r) const override {
    const auto& p = r.parameters<CrossEntropyParameters>();
    const Where& where = r.where();
    if (r.needs(0))
      r.give(0, slope_op(r.in(0), r.in(1), r.g(), p, where, std::span(&r.saved(0).value_ref(), 1)));
    if (!r.needs(1)) return;
    const Tensor z = r.in(0);
    r.give(1, -(log_softmax(z, p.axis, where) * per_line(r.g(), p, samples_in(z.shape(), p))));
  }
  Tensor jvp(Jvp& r) const override {
    const auto& p = r.parameters<CrossEntropyParameters>();
    const Where& where = r.where();
    const Tensor z = r.in(0), target = r.in(1);
    Tensor lines;
    if (r.has(0)) {
      const Tensor slope = slope_op.unscaled(z, target, p.axis, where);
      lines = sum_along(slope * r.tangent(0), p.axis, where);
    }
    if (r.has(1)) {
      const Tensor by_q = sum_along(log_softmax(z, p.axis, where) * r.tangent(1), p.axis, where);
      lines = r.has(0) ? lines - by_q : -by_q;
    }
    return reduce_lines(lines, p, where);
  }
  Tensor written_out(const Node& node, std::span<const Tensor> inputs) const override {
    const auto& p = node.parameters<CrossEntropyParameters>();
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
CHAINRULE_EARLY const CrossEntropy the_cross_entropy;

}  // namespace

Tensor cross_entropy(const Tensor& logits, const Tensor& target, Reduction reduction, int axis,
                     Where where) {
  const int classes = checked_axis(the_cross_entropy.name(), logits, axis, where);
  return apply(the_cross_entropy, {&logits, &target}, CrossEntropyParameters{classes, reduction},
               where);
}

}  // namespace chainrule
