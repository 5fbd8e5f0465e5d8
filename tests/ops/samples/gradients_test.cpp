#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cmath>
#include <string>

#include <chainrule/core/create.hpp>
#include <chainrule/graph/functional.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/tests/ops/samples/differences.hpp>
#include <chainrule/tests/ops/samples/samples.hpp>

// The derivatives of all ops on their own samples. What they are compared with are differences of
// the references, taken in long double, so that neither the ops nor the traversal have a part in
// it.

using namespace chainrule;
using namespace samples;

TEST_SUITE_BEGIN("ops");

namespace {

// With the steps below the differences of first order are good to 1e-12, those of second order to
// 1e-9; the gradients themselves to some 1e-14. Sizes are relative to max(1, |derivative|).
constexpr Real first_tolerance = 1e-10L, second_tolerance = 1e-7L;
// f32 has 6e-8, and inputs that are f32 give derivatives in f32.
constexpr Real f32_tolerance = 1e-4L;

// The same sample as a function of arrays.
struct Subject {
  const Op& op;
  const Sample& sample;
  Array operator()(const Arrays& in) const { return value_of(op, sample, in); }
};

// One application of an op, and all that its tests need.
struct Case {
  Subject f;
  Arrays x;
  Tensors leaves;
  std::vector<std::size_t> which;  // the inputs that have gradients
  Tensor out;
  Array v;   // a cotangent
  Arrays u;  // tangents, relative to the size of x; zeros for the other inputs
  bool single = false;

  Case(const Op& op, const Sample& sample)
      : f{op, sample},
        x(arrays_of(sample.inputs)),
        leaves(leaves_of(sample.inputs)),
        which(floating(sample.inputs)),
        out(sample.apply(leaves)),
        v(direction(out.shape(), 1)) {
    single = out.dtype() == f32;
    for (const Array& a : x) u.emplace_back(a.shape);
    for (const std::size_t i : which) {
      single |= leaves[i].dtype() == f32;
      u[i] = direction(x[i].shape, 2 + static_cast<unsigned>(i));
      for (std::size_t k = 0; k < u[i].v.size(); ++k) u[i].v[k] *= scale(x[i].v[k]);
    }
  }
  Real tolerance(Real otherwise) const { return single ? f32_tolerance : otherwise; }
  Tensors differentiable() const { return pick(leaves, which); }
  Tensor cotangent() const { return tensor_of(v, out.dtype()); }
  Tensors tangents() const {
    Tensors all;
    for (const std::size_t i : which) all.push_back(tensor_of(u[i], leaves[i].dtype()));
    return all;
  }
};

Tensors gradients(const Tensor& out, const Tensor& seed, const Tensors& inputs,
                  GradOptions options = {}) {
  options.allow_unused = true;
  return grad(std::span(&out, 1), std::span(&seed, 1), inputs, options);
}

// The sample as a function of the inputs `which`; the others are constants.
Function function_of(const Case& c, const std::vector<std::size_t>& which) {
  return [&c, which](std::span<const Tensor> in) {
    Tensors all;
    for (const Tensor& x : c.leaves) all.push_back(x.detach());
    for (std::size_t k = 0; k < which.size(); ++k) all[which[k]] = in[k];
    return c.f.sample.apply(all);
  };
}

std::string vjp_problem(const Op& op, const Sample& sample) {
  const Case c(op, sample);
  const Tensors g = gradients(c.out, c.cotangent(), c.differentiable());
  for (std::size_t k = 0; k < c.which.size(); ++k) {
    const std::size_t i = c.which[k];
    if (g[k].dtype() != c.leaves[i].dtype()) return "a gradient of another dtype";
    std::string problem =
        compare(fmt::format("the gradient of input {}", i), g[k],
                projected(c.f, c.x, i, c.v, 0x1p-11L), c.tolerance(first_tolerance));
    if (!problem.empty()) return problem;

    // The rule is told that the others need none.
    Tensors alone;
    for (const Tensor& x : c.leaves) alone.push_back(x.detach());
    alone[i].requires_grad_();
    const Tensor out = sample.apply(alone);
    problem = compare(fmt::format("the gradient of input {} alone", i),
                      gradients(out, c.cotangent(), {alone[i]})[0], g[k], c.tolerance(1e-13L));
    if (!problem.empty()) return problem;
  }
  return "";
}

std::string jvp_problem(const Op& op, const Sample& sample) {
  const Case c(op, sample);
  const auto [out, tangent] = jvp(function_of(c, c.which), c.differentiable(), c.tangents());
  if (tangent.dtype() != c.out.dtype()) return "a tangent of another dtype";
  std::string problem =
      compare("the tangent", tangent, along(c.f, c.x, c.u, 0x1p-11L), c.tolerance(first_tolerance));
  if (!problem.empty()) return problem;
  for (std::size_t k = 0; k < c.which.size(); ++k) {
    const std::size_t i = c.which[k];
    const Tensor input = c.leaves[i], t = c.tangents()[k];
    const Tensor alone = jvp(function_of(c, {i}), std::span(&input, 1), std::span(&t, 1)).second;
    Arrays u;
    for (const Array& a : c.x) u.emplace_back(a.shape);
    u[i] = c.u[i];
    problem = compare(fmt::format("the tangent for input {} alone", i), alone,
                      along(c.f, c.x, u, 0x1p-11L), c.tolerance(first_tolerance));
    if (!problem.empty()) return problem;
  }
  return "";
}

std::string adjoint_problem(const Op& op, const Sample& sample) {
  const Case c(op, sample);
  const Tensor tangent = jvp(function_of(c, c.which), c.differentiable(), c.tangents()).second;
  const Tensors g = gradients(c.out, c.cotangent(), c.differentiable());
  const Real forward = dot(c.v, array_of(tangent));
  Real reverse = 0, size = std::max<Real>(1, std::abs(forward));
  for (std::size_t k = 0; k < g.size(); ++k) {
    const Array gradient = array_of(g[k]);
    reverse += dot(gradient, c.u[c.which[k]]);
    for (std::size_t n = 0; n < gradient.v.size(); ++n)
      size = std::max(size, std::abs(gradient.v[n] * c.u[c.which[k]].v[n]));
  }
  if (std::abs(forward - reverse) <= c.tolerance(1e-12L) * size) return "";
  return fmt::format("⟨v, J·u⟩ is {:.17g}, but ⟨Jᵀ·v, u⟩ {:.17g}", forward, reverse);
}

std::string second_problem(const Op& op, const Sample& sample) {
  const Case c(op, sample);
  const Tensor seed = c.cotangent().requires_grad_();
  const Tensors g = gradients(c.out, seed, c.differentiable(), {.create_graph = true});
  // S = ⟨u, ∇⟨v, f⟩⟩ and its gradients for the inputs and for v.
  Tensors outputs, seeds, inputs = c.differentiable();
  inputs.push_back(seed);
  for (std::size_t k = 0; k < g.size(); ++k) {
    if (!g[k].requires_grad()) continue;
    outputs.push_back(g[k]);
    seeds.push_back(c.tangents()[k]);
  }
  Tensors second;
  if (outputs.empty())
    for (const Tensor& x : inputs) second.push_back(tensor_of(Array(x.shape()), x.dtype()));
  else
    second = grad(outputs, seeds, inputs, {.allow_unused = true});

  const auto slope = [&](const Arrays& x) { return along(c.f, x, c.u, 0x1p-11L); };
  std::string problem = compare("the gradient for the cotangent", second.back(), slope(c.x),
                                c.tolerance(first_tolerance));
  for (std::size_t k = 0; k < c.which.size() && problem.empty(); ++k)
    problem =
        compare(fmt::format("the second gradient of input {}", c.which[k]), second[k],
                projected(slope, c.x, c.which[k], c.v, 0x1p-11L), c.tolerance(second_tolerance));
  return problem;
}

std::string forward_over_reverse_problem(const Op& op, const Sample& sample) {
  const Case c(op, sample);
  const auto slope = [&](const Arrays& x) { return along(c.f, x, c.u, 0x1p-11L); };
  for (std::size_t k = 0; k < c.which.size(); ++k) {
    const Function gradient = [&](std::span<const Tensor> in) {
      const Tensors inputs(in.begin(), in.end());
      return gradients(function_of(c, c.which)(in), c.cotangent(), inputs,
                       {.create_graph = true})[k];
    };
    const Tensor tangent = jvp(gradient, c.differentiable(), c.tangents()).second;
    std::string problem =
        compare(fmt::format("the tangent of the gradient of input {}", c.which[k]), tangent,
                projected(slope, c.x, c.which[k], c.v, 0x1p-11L), c.tolerance(second_tolerance));
    if (!problem.empty()) return problem;
  }
  return "";
}

std::string view_problem(const Op& op, const Sample& sample) {
  const Case c(op, sample);
  const Tensors want = gradients(c.out, c.cotangent(), c.differentiable());
  const Tensor tangent = jvp(function_of(c, c.which), c.differentiable(), c.tangents()).second;
  for (const Layout& layout : layouts()) {
    Sample other = sample;
    for (Tensor& x : other.inputs) x = layout.apply(x);
    const Case views(op, other);
    const Tensors got =
        gradients(views.out, layout.apply(views.cotangent()), views.differentiable());
    std::string problem;
    for (std::size_t k = 0; k < got.size() && problem.empty(); ++k)
      problem = compare(fmt::format("{}: the gradient of input {}", layout.name, c.which[k]),
                        got[k], want[k], c.tolerance(1e-12L));
    Tensors tangents = views.tangents();
    for (Tensor& t : tangents) t = layout.apply(t);
    if (problem.empty())
      problem = compare(fmt::format("{}: the tangent", layout.name),
                        jvp(function_of(views, c.which), views.differentiable(), tangents).second,
                        tangent, c.tolerance(1e-12L));
    if (!problem.empty()) return problem;
  }
  return "";
}

std::string expanded_problem(const Op& op, const Sample& sample) {
  Sample expanded = sample, copied = sample;
  for (std::size_t i = 0; i < sample.inputs.size(); ++i) {
    const Tensor& x = sample.inputs[i];
    if (x.rank() == 0 || x.size(0) < 2 || !is_floating(x.dtype())) continue;
    Shape strides = x.strides();
    strides[0] = 0;  // the first of the tensors along axis 0, again and again
    expanded.inputs[i] = Tensor(Value::view(x.value_ref(), x.shape(), strides, 0));
    copied.inputs[i] = tensor_of(array_of(expanded.inputs[i]), x.dtype());
  }
  const Case a(op, expanded), b(op, copied);
  std::string problem = compare("the value", a.out, b.out, a.tolerance(1e-12L));
  Shape still = a.out.shape();
  for (std::int64_t& stride : still) stride = 0;
  const Tensor zero_strides(
      Value::view(tensor_of(direction({}, 7), a.out.dtype()).value_ref(), a.out.shape(), still, 0));
  const Tensors got = gradients(a.out, zero_strides, a.differentiable());
  const Tensors want =
      gradients(b.out, tensor_of(array_of(zero_strides), b.out.dtype()), b.differentiable());
  for (std::size_t k = 0; k < got.size() && problem.empty(); ++k)
    problem = compare(fmt::format("the gradient of input {}", a.which[k]), got[k], want[k],
                      a.tolerance(1e-12L));
  return problem;
}

std::string single_problem(const Op& op, const Sample& sample) {
  Sample single = sample, twice = sample;
  for (std::size_t i = 0; i < sample.inputs.size(); ++i) {
    if (sample.inputs[i].dtype() == f32) return "";
    if (sample.inputs[i].dtype() != f64) continue;
    single.inputs[i] = tensor_of(array_of(sample.inputs[i]), f32);
    twice.inputs[i] = tensor_of(array_of(single.inputs[i]), f64);
  }
  if (sample.apply(single.inputs).dtype() != f32 || sample.apply(twice.inputs).dtype() != f64)
    return "";
  const Case a(op, single), b(op, twice);
  const Tensors got = gradients(a.out, a.cotangent(), a.differentiable());
  const Tensors want = gradients(b.out, b.cotangent(), b.differentiable());
  std::string problem;
  for (std::size_t k = 0; k < got.size() && problem.empty(); ++k)
    problem = compare(fmt::format("the gradient of input {}", a.which[k]), got[k], want[k], 2e-5L);
  return problem;
}

}  // namespace

TEST_CASE("samples: vjp against differences, for all inputs together and each alone") {
  for_each_differentiable(vjp_problem);
}

TEST_CASE("samples: jvp against differences, for all inputs together and each alone") {
  for_each_differentiable(jvp_problem);
}

TEST_CASE("samples: ⟨v, J·u⟩ = ⟨Jᵀ·v, u⟩") { for_each_differentiable(adjoint_problem); }

TEST_CASE("samples: gradients of gradients against differences") {
  for_each_differentiable(second_problem);
}

TEST_CASE("samples: tangents of gradients against differences") {
  for_each_differentiable(forward_over_reverse_problem);
}

TEST_CASE("samples: views as inputs and cotangents give the same gradients and tangents") {
  for_each_differentiable(view_problem);
}

TEST_CASE("samples: expanded inputs and cotangents give the gradients of their copies") {
  for_each_differentiable(expanded_problem);
}

TEST_CASE("samples: gradients in f32 are those in f64, rounded") {
  for_each_differentiable(single_problem);
}

namespace {

// x ⊗ y with rules of which one is wrong.
struct WrongOp : Op {
  WrongOp() : Op("wrong_mul") {}
  mutable bool wrong_vjp = false, wrong_jvp = false, unrecorded = false;

  Tensor operator()(const Tensor& a, const Tensor& b) const {
    const Array product = map(array_of(a), array_of(b), [](Real x, Real y) { return x * y; });
    return record(*this, tensor_of(product, a.dtype()).value_ref(), {&a, &b},
                  detail::input(0) | detail::input(1), Where::current());
  }
  void vjp(Vjp& r) const override {
    const Tensor other = unrecorded ? r.in(1).detach() : r.in(1);
    if (r.needs(0)) r.give(0, wrong_vjp ? r.g() * other * 1.0001 : r.g() * other);
    if (r.needs(1)) r.give(1, r.g() * r.in(0));
  }
  Tensor jvp(Jvp& r) const override {
    if (!r.has(0)) return r.in(0) * r.tangent(1);
    const Tensor first = r.tangent(0) * r.in(1);
    return r.has(1) && !wrong_jvp ? first + r.in(0) * r.tangent(1) : first;
  }
  std::vector<Sample> samples() const override { return {}; }
};

WrongOp* wrong_op = nullptr;

}  // namespace

TEST_CASE("samples: wrong rules are found") {
  WrongOp op;
  wrong_op = &op;
  const Sample sample{"",
                      {tensor({{0.7, -1.3}, {2.1, 0.4}}, f64), tensor({0.6, -1.1}, f64)},
                      [](std::span<const Tensor> in) { return (*wrong_op)(in[0], in[1]); }};
  const auto problems = [&] {
    std::string found;
    const auto add = [&](const char* name, std::string (*check)(const Op&, const Sample&)) {
      if (!check(op, sample).empty()) found += std::string(name) + " ";
    };
    add("vjp", vjp_problem);
    add("jvp", jvp_problem);
    add("adjoint", adjoint_problem);
    add("second", second_problem);
    add("forward over reverse", forward_over_reverse_problem);
    return found;
  };
  CHECK(problems() == "");
  op.wrong_vjp = true;
  CHECK(problems() == "vjp adjoint second forward over reverse ");
  op.wrong_vjp = false;
  op.wrong_jvp = true;
  CHECK(problems() == "jvp adjoint ");
  op.wrong_jvp = false;
  op.unrecorded = true;
  CHECK(problems() == "second forward over reverse ");
}
