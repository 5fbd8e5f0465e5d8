#include <chainrule/ops/nn/linear.hpp>

#include <fmt/format.h>

#include <chainrule/core/create.hpp>
#include <chainrule/ops/define.hpp>
#include <chainrule/ops/elementwise/activations.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/kernels/linalg/affine.hpp>
#include <chainrule/ops/kernels/linalg/gemm.hpp>
#include <chainrule/ops/linalg/matmul.hpp>
#include <chainrule/ops/shape/indexing.hpp>
#include <chainrule/ops/shape/manipulation.hpp>

namespace chainrule {

namespace {

using detail::input;
using detail::output;

[[noreturn]] void bad_shapes(const Tensor& x, const Tensor& weight, const Where& where) {
  const Shape in = x.shape(), w = weight.shape();
  std::string hint = "samples stand in rows, (batch, in), and weights are (out, in)";
  if (w.rank() == 2 && !in.empty() && in.back() == w[0])
    hint = "weights are (out, in): pass the transposed ones";
  else if (w.rank() == 2 && in.rank() == 2 && in[0] == w[1])
    hint = "samples stand in rows: pass the transposed x";
  throw ShapeError(fmt::format("linear: {} · {}ᵀ does not fit", describe(x), describe(weight)),
                   where, hint);
}

// Whether a call is to keep what |y| lacks to 1, as its rules read it: y = φ(z) itself has lost
// these digits where φ is flat.
bool keeps_rest(const Call& call) noexcept {
  const Activation activation = call.parameters<Activation>();
  return (activation == Activation::sigmoid || activation == Activation::tanh) &&
         detail::mode.recording && detail::any_requires_grad(call.inputs());
}

// g ⊗ φ'(z) from this rest: σ' = r (1 − r), tanh' = r (2 − r).
Tensor slope_of_rest(Activation activation, Tensor g, const Tensor& rest, const Where& where) {
  const bool reuse = detail::fits_into(g, rest);
  Ref<Value> out =
      reuse ? g.value_ref()
            : make_result_like("linear", g.value_ref()->dtype(), *rest.value_ref(), where);
  visit_floating(out->dtype(), [&](auto zero) {
    using T = decltype(zero);
    const auto slope = [limit = static_cast<T>(activation == Activation::sigmoid ? 1 : 2)](
                           T seed, T r) { return seed * (r * (limit - r)); };
    if (reuse)
      kernels::map_in_place<T>(*out, *rest.value_ref(), slope);
    else
      kernels::map<T, T, T>(*out, *g.value_ref(), *rest.value_ref(), slope);
  });
  return Tensor(std::move(out));
}

// The number of samples in x (…, features).
std::int64_t sample_count(const Value& x) {
  std::int64_t count = 1;
  for (int axis = 0; axis + 1 < x.rank(); ++axis) count *= x.dims()[axis];
  return count;
}

// Samples in rows, whatever axes they had.
Tensor rows(const Tensor& x) {
  const Value& value = *x.value_ref();
  if (value.rank() == 2) return x;
  return reshape(x, {sample_count(value), value.dims()[value.rank() - 1]});
}

// The bias may be left out.
class Linear final : public Op {
 public:
  Linear() : Op("linear", "{0}·{1}ᵀ + {2}") {}

  // The same as apply(), for samples in rows without a detour.
  Tensor operator()(const Tensor& x, const Tensor& weight, const Tensor& bias,
                    Activation activation, const Where& where) const {
    const Tensor* const inputs[] = {&x, &weight, &bias};
    if (!x.defined() || x.value_ref()->rank() != 2) return apply(*this, inputs, activation, where);
    check(x, weight, bias, where);
    const Call call(*this, inputs, activation, where);
    const Value& w = *weight.value_ref();
    const std::int64_t dims[] = {x.value_ref()->dims()[0], w.dims()[0]};
    Ref<Value> out = make_result(name(), w.dtype(), dims, 2, where);
    Ref<Value> rest;
    if (keeps_rest(call)) rest = make_result_like(name(), w.dtype(), *out, where);
    detail::naming_memory(name(), where, [&] {
      compute(*out, rest.get(), x.value_ref(), w, bias.value_ref(), activation);
    });
    return finish(*this, call, std::move(out), std::span(&rest, rest ? 1 : 0));
  }

  void infer(Inference& call) const override {
    check(call.tensor(0), call.tensor(1), call.tensor(2), call.where());
    const Value &x = call.in(0), &w = call.in(1);
    const std::int64_t units = w.dims()[0];
    Shape shape = x.shape();
    shape[shape.rank() - 1] = units;
    call.output(w.dtype(), shape);
    if (keeps_rest(call)) call.saves(w.dtype(), shape);
  }
  void evaluate(Evaluation& call) const override {
    Value* rest = call.saved_values().empty() ? nullptr : &call.saved(0);
    compute(call.out(), rest, call.in_ref(0), call.in(1), call.tensor(2).value_ref(),
            call.parameters<Activation>());
  }
  Node::SavedMask reads(const Call& call) const override {
    if (keeps_rest(call)) return input(0) | input(1) | input(2) | output | detail::intermediate(0);
    return (call.needs_grad(0) ? input(1) : 0) | (call.needs_grad(1) ? input(0) : 0) |
           (call.parameters<Activation>() == Activation::relu ? output : 0);
  }

  void vjp(Vjp& r) const override {
    Tensor dz = slope(r, r.take_g());
    r.drop_out();
    if (r.needs(0)) r.give(0, matmul(dz, r.in(1), r.where()));
    if (r.needs(1)) detail::give_product(r, 1, rows(dz), true, rows(r.in(0)), false);
    if (r.needs(2)) r.give(2, dz);
  }
  Tensor jvp(Jvp& r) const override {
    const Where& where = r.where();
    Tensor t;
    if (r.has(0)) add_to(t, linear(r.tangent(0), r.in(1), {}, Activation::none, where));
    if (r.has(1)) add_to(t, linear(r.in(0), r.tangent(1), {}, Activation::none, where));
    if (r.has(2)) add_to(t, r.tangent(2));
    if (r.parameters<Activation>() == Activation::none) return t;
    if (t.shape() != r.node().shape()) t = expand(t, r.node().shape());
    return slope(r, std::move(t));
  }

  Tensor written_out(const Node& node, std::span<const Tensor> inputs) const override {
    Tensor z = matmul(inputs[0], transpose(inputs[1]), node.where());
    if (inputs[2].defined()) z = z + inputs[2];
    switch (node.parameters<Activation>()) {
      case Activation::sigmoid:
        return sigmoid(z, node.where());
      case Activation::tanh:
        return tanh(z, node.where());
      case Activation::relu:
        return relu(z, node.where());
      default:
        return z;
    }
  }
  std::string written(const Node& node) const override {
    const char* inside = node.given(2) ? "{0}·{1}ᵀ + {2}" : "{0}·{1}ᵀ";
    switch (node.parameters<Activation>()) {
      case Activation::sigmoid:
        return fmt::format("σ({})", inside);
      case Activation::tanh:
        return fmt::format("tanh({})", inside);
      case Activation::relu:
        return fmt::format("relu({})", inside);
      default:
        return inside;
    }
  }
  std::vector<Sample> samples() const override {
    const Tensor x = tensor({{0.7, -1.3, 2.1}, {-0.4, 1.9, 0.6}}, f64);
    const Tensor w =
        tensor({{1.2, -0.8, 0.3}, {0.4, 1.7, -1.1}, {-0.5, 0.2, 0.9}, {1.0, 2.0, -1.0}}, f64);
    const Tensor b = tensor({0.3, -0.6, 0.2, 0.8}, f64);
    const Tensor cube =
        tensor({{{0.7, -1.3, 2.1}, {-0.4, 1.9, 0.6}}, {{1.2, 0.8, -1.7}, {2.3, -0.9, 1.1}}}, f64);
    using Inputs = std::span<const Tensor>;
    const auto plain = [](Inputs in) { return linear(in[0], in[1], in[2]); };
    return {{"plain", {x, w, b}, plain},
            {"no bias", {x, w}, [](Inputs in) { return linear(in[0], in[1]); }},
            {"one sample", {x[0], w, b}, plain},
            {"more axes", {cube, w, b}, plain},
            {"no samples", {zeros({0, 3}, f64), w, b}, plain},
            {"no features", {zeros({2, 0}, f64), zeros({4, 0}, f64), b}, plain},
            {"no features, more axes", {zeros({2, 3, 0}, f64), zeros({4, 0}, f64), b}, plain},
            {"no units, more axes",
             {cube, zeros({0, 3}, f64)},
             [](Inputs in) { return linear(in[0], in[1]); }},
            {"sigmoid",
             {x, w, b},
             [](Inputs in) { return linear(in[0], in[1], in[2], Activation::sigmoid); }},
            {"tanh",
             {cube, w, b},
             [](Inputs in) { return linear(in[0], in[1], in[2], Activation::tanh); }},
            {"relu",
             {x, w, b},
             [](Inputs in) { return linear(in[0], in[1], in[2], Activation::relu); }},
            {"relu, no bias", {x, w}, [](Inputs in) {
               return linear(in[0], in[1], {}, Activation::relu);
             }}};
  }

 private:
  // g ⊗ φ'(z); in the memory of g where nobody else sees it.
  static Tensor slope(const Application& r, Tensor g) {
    const Activation activation = r.parameters<Activation>();
    if (activation == Activation::none) return g;
    if (activation == Activation::relu) return detail::relu_slope(std::move(g), r.out(), r.where());
    if (!detail::mode.recording && !detail::mode.observer)
      return slope_of_rest(activation, std::move(g), r.saved(0), r.where());
    // The rest is a number without a graph.
    const Tensor z = linear(r.in(0), r.in(1), r.node().given(2) ? r.in(2) : Tensor(),
                            Activation::none, r.where());
    return activation == Activation::sigmoid
               ? detail::sigmoid_slope(std::move(g), r.out(), z, r.where())
               : detail::tanh_slope(std::move(g), r.out(), z, r.where());
  }

  // The rest is filled unless it is null; no bias if that is null.
  static void compute(Value& out, Value* rest, const Ref<Value>& samples, const Value& w,
                      const Ref<Value>& bias, Activation activation) {
    const std::int64_t in = w.dims()[1], units = w.dims()[0];
    // Matrices of any strides, or the rows of more axes.
    const bool matrix = samples->rank() == 2;
    const Ref<Value> x = matrix ? samples : kernels::contiguous(samples);
    const std::int64_t count = sample_count(*x);
    const std::int64_t row = matrix ? x->strides()[0] : in;
    const std::int64_t column = matrix ? x->strides()[1] : 1;
    const Ref<Value> b = bias ? kernels::contiguous(bias) : bias;
    visit_floating(w.dtype(), [&](auto zero) {
      using T = decltype(zero);
      T* y = out.data<T>();
      kernels::gemm<T>(count, units, in, {x->template data<T>(), row, column},
                       {w.data<T>(), w.strides()[1], w.strides()[0]}, y);
      kernels::finish_affine(y, rest ? rest->data<T>() : nullptr, count, units,
                             b ? b->template data<T>() : nullptr, activation);
    });
  }
  void check(const Tensor& x, const Tensor& weight, const Tensor& bias, const Where& where) const {
    check_operands(name(), "input", x, "weight", weight, where);
    const Value &in = *x.value_ref(), &w = *weight.value_ref();
    if (w.rank() != 2 || in.rank() == 0 || in.dims()[in.rank() - 1] != w.dims()[1])
      bad_shapes(x, weight, where);
    if (!bias.defined()) return;
    check_operands(name(), "weight", weight, "bias", bias, where);
    const Value& b = *bias.value_ref();
    if (b.rank() != 1 || b.dims()[0] != w.dims()[0])
      throw ShapeError(fmt::format("linear: the bias {} has not one element for each unit of the "
                                   "weights {}",
                                   describe(bias), describe(weight)),
                       where, "weights are (out, in), the bias is (out)");
  }
};
CHAINRULE_EARLY const Linear linear_op;

}  // namespace

Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias, Activation activation,
              Where where) {
  return linear_op(x, weight, bias, activation, where);
}

}  // namespace chainrule
