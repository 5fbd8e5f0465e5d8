#include <chainrule/core/create.hpp>
#include <chainrule/graph/backward.hpp>
#include <chainrule/graph/derivation/derive.hpp>
#include <chainrule/graph/derivation/derive_forward.hpp>
#include <chainrule/ops/reduce/reduction.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>
#include <vector>

#include <chainrule/core/random.hpp>
#include <chainrule/ops/define.hpp>
#include <chainrule/ops/elementwise/activations.hpp>
#include <chainrule/ops/elementwise/convert.hpp>
#include <chainrule/ops/elementwise/functions.hpp>
#include <chainrule/ops/elementwise/select.hpp>
#include <chainrule/ops/nn/cross_entropy.hpp>
#include <chainrule/ops/nn/layer_norm.hpp>
#include <chainrule/ops/nn/linear.hpp>
#include <chainrule/ops/nn/mse.hpp>
#include <chainrule/ops/shape/gather.hpp>
#include <chainrule/ops/shape/indexing.hpp>
#include <chainrule/ops/shape/join.hpp>
#include <chainrule/tests/graph/derivation/index_reader.hpp>
#include <chainrule/tests/graph/derivation/textbook_network.hpp>

using namespace chainrule;
using index_reader::Array;
using index_reader::Arrays;

TEST_SUITE_BEGIN("graph");

namespace {

std::string by_element(const Derivation& derivation, DerivationView view = {}) {
  view.indices = true;
  view.limits = false;
  return derivation.text(view);
}

Array array_of(const Tensor& x) {
  Array array;
  for (const std::int64_t extent : x.shape())
    if (extent != 1) array.shape.push_back(extent);
  array.elements = to(x.detach(), f64).to_vector<double>();
  return array;
}

// The abbreviations of a derivation as its definitions have them, by what is known already.
void add_definitions(Arrays& arrays, const Derivation& derivation) {
  for (bool any = true; any;) {
    any = false;
    for (const Derivation::Definition& definition : derivation.definitions()) {
      const auto& [left, right] = definition.by_element;
      const std::string name = index_reader::name_in(left.text);
      if (arrays.contains(name)) continue;
      try {
        Array array = index_reader::computed(left.text, right.text, arrays);
        arrays[name] = std::move(array);
        any = true;
      } catch (const std::runtime_error&) {  // needs another one
      }
    }
  }
}

// Reads every form of every formula, and computes its elements.
void check_read(const Derivation& derivation, const Arrays& arrays) {
  REQUIRE(!derivation.steps().empty());
  INFO(by_element(derivation, {.steps = true}));
  for (const Derivation::Step& step : derivation.steps())
    for (const Derivation::Form& form : step.forms) {
      const std::string& left = form.by_element.left.text;
      const std::string& right = form.by_element.right.text;
      INFO(left, " = ", right);
      Array read;
      REQUIRE_NOTHROW(read = index_reader::computed(left, right, arrays));
      const Array& right_one = arrays.at(step.gradient.text);
      REQUIRE(read.shape == right_one.shape);
      double largest = 1e-300;
      for (const double x : right_one.elements) largest = std::max(largest, std::abs(x));
      // Rounding of sums of some hundred products.
      for (std::size_t i = 0; i < read.elements.size(); ++i)
        CHECK(std::abs(read.elements[i] - right_one.elements[i]) <= 1e-10 * largest);
    }
}

// Every formula of the gradients, with the gradients that backward gives. `named`: all tensors of
// the program that have a name.
Derivation check_gradients(const Tensor& loss, const std::vector<Tensor>& named) {
  const Derivation derivation = derive(loss);
  Arrays arrays;
  for (const Derivation::Step& step : derivation.steps())
    arrays[step.gradient.text] = array_of(step.value);
  for (const Tensor& tensor : named) {
    arrays[std::string(tensor.name())] = array_of(tensor);
    if (tensor.requires_grad() && is_floating(tensor.dtype()))
      arrays["d" + std::string(tensor.name())] =
          array_of(grad(loss, tensor, {.retain_graph = true}));
  }
  add_definitions(arrays, derivation);
  check_read(derivation, arrays);
  return derivation;
}

struct Program {
  Generator generator{11};
  std::vector<Tensor> named;

  Tensor data(const char* name, const Shape& shape) {
    return keep(randn(shape, generator, f64).named(name));
  }
  Tensor parameter(const char* name, const Shape& shape) {
    return keep(randn(shape, generator, f64).named(name).requires_grad_());
  }
  Tensor keep(Tensor tensor) {
    named.push_back(tensor);
    return tensor;
  }
  Tensor keep(const char* name, const Tensor& tensor) { return keep(tensor.named(name)); }
};

}  // namespace

TEST_CASE("index notation: a perceptron, with one sample and with a batch") {
  const TextbookNetwork one({4, 3, 2}, 1);
  CHECK(by_element(check_gradients(one.loss, {one.x, one.y, one.p, one.W[1], one.W[2], one.b[1],
                                              one.b[2], one.h[1], one.z[1], one.z[2]})) ==
        "dz2ᵢ  = pᵢ − yᵢ\n"
        "dW2ᵢⱼ = dz2ᵢ h1ⱼ\n"
        "db2ᵢ  = dz2ᵢ\n"
        "dh1ᵢ  = Σₙ W2ₙᵢ dz2ₙ\n"
        "dz1ᵢ  = dh1ᵢ σ'(z1ᵢ)\n"
        "dW1ᵢⱼ = dz1ᵢ xⱼ\n"
        "db1ᵢ  = dz1ᵢ\n");
  const TextbookNetwork net({4, 3, 3, 2}, 5);
  const Derivation derivation = check_gradients(
      net.loss, {net.x, net.y, net.p, net.W[1], net.W[2], net.W[3], net.b[1], net.b[2], net.b[3],
                 net.h[1], net.h[2], net.z[1], net.z[2], net.z[3]});
  CHECK(by_element(derivation, {.layers_once = true}) ==
        "dz3ᵢⱼ   = (pᵢⱼ − yᵢⱼ) / 5\n"
        "(dWₖ)ᵢⱼ = Σₙ (dzₖ)ᵢₙ (hₖ₋₁)ⱼₙ      for k = 3, 2\n"
        "(dbₖ)ᵢ  = Σₙ (dzₖ)ᵢₙ               for k = 3 … 1\n"
        "(dhₖ)ᵢⱼ = Σₙ (Wₖ₊₁)ₙᵢ (dzₖ₊₁)ₙⱼ    for k = 2, 1\n"
        "(dzₖ)ᵢⱼ = (dhₖ)ᵢⱼ σ'((zₖ)ᵢⱼ)       for k = 2, 1\n"
        "dW1ᵢⱼ   = Σₙ dz1ᵢₙ xⱼₙ\n");
  CHECK(by_element(derivation, {.steps = true}).find("dz3ᵢⱼ = pᵢⱼ (dpᵢⱼ − Σₙ pₙⱼ dpₙⱼ)\n") !=
        std::string::npos);
}

TEST_CASE("index notation: in LaTeX and MathML") {
  const TextbookNetwork net({4, 3, 2}, 5);
  const Derivation derivation = derive(net.loss);
  CHECK(derivation.latex({.indices = true})
            .find("  \\mathrm{d}W_{2,ij} &= \\sum_{n} \\mathrm{d}z_{2,in} h_{1,jn} \\\\\n") !=
        std::string::npos);
  CHECK(derivation.markdown({.indices = true}).find("$x_{jn}$") == std::string::npos);
  CHECK(derivation.markdown({.indices = true}).find("h_{1,jn}$ |") != std::string::npos);
  CHECK(
      derivation.html({.indices = true})
          .find("<msub><mrow><mo>Σ</mo></mrow><mrow><mi>n</mi></mrow></msub>"
                "<mrow><mi mathvariant=\"normal\">d</mi><msub><mi>z</mi><mrow><mn>1</mn><mo>,</mo>"
                "<mi>i</mi><mi>n</mi></mrow></msub></mrow>"
                "<msub><mi>x</mi><mrow><mi>j</mi><mi>n</mi></mrow></msub>") != std::string::npos);
}

TEST_CASE("index notation: extents by their names, and fractions below what they divide") {
  const Tensor X = randn({7, 3}, f64).named("X", {"N", "d"});
  const Tensor w = randn({3}, f64).named("w").requires_grad_(), y = randn({7}, f64).named("y");
  const Tensor r = (matmul(X, w) - y).named("r");
  CHECK(by_element(derive(mean(square(r)))) ==
        "drᵢ = 2 rᵢ / N\n"
        "dwᵢ = Σₙ Xₙᵢ drₙ\n");
  CHECK(derive(mean(square(r))).latex({.indices = true}).find("2 r_{i} / N") != std::string::npos);
  const Tensor p = softmax(w, 0).named("p");
  CHECK(by_element(derive(-sum(X * log(p)) / 7.0, {p})) == "dpᵢ = −Σₙ Xₙᵢ / (N pᵢ)\n");
  const Tensor v = randn({3}, f64).named("v").requires_grad_();
  CHECK(by_element(derive(sum(square(v)) / 7.0)) == "dvᵢ = 2 vᵢ / 7\n");
}

TEST_CASE("index notation: attention with heads, tensors of four axes") {
  Program p;
  const int B = 2, T = 3, H = 2, D = 4, E = 8;
  const Tensor x = p.data("x", {B, T, E}), mask = p.data("m", {T, T});
  const Tensor Wq = p.parameter("U", {E, E}), Wk = p.parameter("W", {E, E});
  const Tensor Wv = p.parameter("R", {E, E}), Wo = p.parameter("M", {E, E});
  const auto heads = [&](const Tensor& a) {
    return permute(reshape(a, {B, T, H, D}), {0, 2, 1, 3});
  };
  const Tensor Q = p.keep("Q", heads(matmul(x, Wq))), K = p.keep("K", heads(matmul(x, Wk)));
  const Tensor V = p.keep("V", heads(matmul(x, Wv)));
  const Tensor S = p.keep("S", matmul(Q, transpose(K, 2, 3)) * 0.5 + mask);
  const Tensor A = p.keep("A", softmax(S, 3)), O = p.keep("O", matmul(A, V));
  const Tensor Y = p.keep("Y", matmul(reshape(permute(O, {0, 2, 1, 3}), {B, T, E}), Wo));
  const std::string text = by_element(check_gradients(sum(square(Y)) / 2.0, p.named));
  CHECK(text.find("dOᵢⱼₖₗ   = Σₙ dYᵢₖₙ M₄ⱼ₊ₗ,ₙ\n") != std::string::npos);
  CHECK(text.find("dSᵢⱼₖₗ   = Aᵢⱼₖₗ (dAᵢⱼₖₗ − Σₙ Aᵢⱼₖₙ dAᵢⱼₖₙ)\n") != std::string::npos);
  CHECK(text.find("dUᵢ,₄ⱼ₊ₖ = Σₙₘ xₙₘᵢ dQₙⱼₘₖ\n") != std::string::npos);
}

TEST_CASE("index notation: layer norm, written out and as an operation") {
  Program p;
  const Tensor x = p.data("x", {4, 3}), W = p.parameter("W", {5, 3}), t = p.data("t", {4, 5});
  const Tensor g = p.parameter("g", {5}), b = p.parameter("b", {5});
  const Tensor a = p.keep("a", matmul(x, W.T()));
  const Tensor c = p.keep("c", a - mean(a, 1, true));
  const Tensor s = p.keep("s", sqrt(mean(square(c), 1, true) + 0.25));
  const Tensor u = p.keep("u", c / s), y = p.keep("y", u * g + b);
  const std::string text = by_element(check_gradients(mse_loss(y, t), p.named));
  CHECK(text.find("dgᵢ  = Σₙ dyₙᵢ uₙᵢ\n") != std::string::npos);

  Program q;
  const Tensor z = q.parameter("z", {4, 5}), w = q.parameter("w", {5}), v = q.data("v", {4, 5});
  const Tensor n = q.keep("n", layer_norm(z, {5}, w));
  check_gradients(sum(n * v), q.named);
}

TEST_CASE("index notation: a recurrence, whose steps are slices") {
  Program p;
  const Tensor x = p.parameter("x", {4, 2, 3}), U = p.parameter("U", {5, 3});
  const Tensor W = p.parameter("W", {5, 5}), y = p.data("y", {4, 2, 5});
  Tensor h = p.data("h", {2, 5});
  std::vector<Tensor> states;
  for (int t = 0; t < 4; ++t) {
    const Tensor z = matmul(select(x, 0, t), U.T()) + matmul(h, W.T());
    h = p.keep(("h" + std::to_string(t)).c_str(), tanh(z));
    states.push_back(h);
  }
  const Tensor all = p.keep("H", stack(states, 0));
  const std::string text = by_element(check_gradients(sum(square(all - y)) / 2.0, p.named));
  CHECK(text.find("dxᵢⱼₖ = [i = 3] Σₙ da3ⱼₙ Uₙₖ + ") != std::string::npos);
}

TEST_CASE("index notation: bilinear forms and contractions of tensors") {
  Program p;
  const Tensor x = p.data("x", {6, 1, 3}), y = p.data("y", {6, 1, 4});
  const Tensor A = p.parameter("A", {2, 3, 4});
  // s[b, o] = Σ x[b, i] A[o, i, j] y[b, j]
  const Tensor xa = p.keep("P", matmul(x, reshape(permute(A, {1, 0, 2}), {1, 3, 8})));
  const Tensor s = p.keep("s", sum(reshape(xa, {6, 2, 4}) * y, 2));
  check_gradients(sum(square(s)) / 2.0, p.named);

  Program q;
  const Tensor a = q.parameter("a", {3}), b = q.parameter("b", {4}), M = q.parameter("M", {3, 4});
  const Tensor d = q.keep("d", dot(a, matmul(M, b)));
  const Tensor O = q.keep("O", outer(a, b) * M);
  const std::string text = by_element(check_gradients(square(d) + sum(O), q.named));
  CHECK(text.find("dd") != std::string::npos);
}

TEST_CASE("index notation: slices, joins, look-ups, comparisons and selections") {
  Program p;
  const Tensor E = p.parameter("E", {7, 3}), w = p.parameter("w", {5});
  const Tensor index = p.keep(tensor({4, 0, 4, 6}).named("c"));
  const Tensor e = p.keep("X", take(E, index));
  const Tensor next = p.keep("a", w(slice(1, {}))), own = p.keep("b", w(slice({}, -1)));
  const Tensor shifted = p.keep("v", next * own);
  const Tensor back = p.keep("r", w(slice({}, {}, -2)));
  const Tensor q = p.keep("q", concat({shifted, back}, 0));
  const Tensor mask = p.keep("m", e > 0.0);
  const Tensor k = p.keep("K", where(mask, e, 0.5 * e));
  const std::string text = by_element(
      check_gradients(sum(square(q)) + sum(square(k)) + sum(abs(w)) + sum(max(e, 1)), p.named));
  CHECK(text.find("dEᵢⱼ") != std::string::npos);
  CHECK(text.find("[i = cₙ]") != std::string::npos);
  Program o;
  const Tensor z = o.parameter("z", {4, 3});
  const Tensor label = o.keep(tensor({{2}, {0}, {1}, {2}}).named("c"));
  const Tensor l = o.keep("l", log_softmax(z, 1));
  check_gradients(-mean(gather(l, 1, label)), o.named);
}

TEST_CASE("index notation: letters that no axis gives a range have it written, or are counted") {
  Program p;
  const Tensor x = p.parameter("x", {6});
  const Tensor k = p.keep(tensor(3.0, f64).named("k")), l = p.keep(tensor(1.1, f64).named("l"));
  const Tensor d = x(slice(1, {})) - x(slice({}, -1)) - l;
  p.keep((d.detach() + 0.0).named("t1"));  // as the formulas call it
  const std::string text = by_element(check_gradients(0.5 * k * sum(square(d)), p.named));
  CHECK(text.find("Σₙ₌₀⁴ [i = n] k (xₙ + l − xₙ₊₁)") != std::string::npos);
  Program q;
  const Tensor a = q.parameter("a", {5});
  const Tensor b = q.keep("b", concat({a(slice({}, {}, -1)), a(slice(0, {}, 2))}, 0));
  check_gradients(sum(b * b * b), q.named);
  Program r;
  const Tensor X = r.parameter("X", {3, 4});
  CHECK(by_element(check_gradients(sum(square(matmul(X, ones({4, 5}, f64)))), r.named)) ==
        "dXᵢⱼ = 10 Σₙ Xᵢₙ\n");
  check_gradients(sum(matmul(X.T(), X)), r.named);
}

TEST_CASE("index notation: an axis made of two is split, also on the left") {
  Program p;
  const Tensor x = p.parameter("x", {3, 2, 4}), W = p.parameter("W", {5, 8});
  const Tensor z = p.keep("z", matmul(W, flatten(x, 1, 2).T()));
  CHECK(by_element(check_gradients(sum(square(z)) / 2.0, p.named)) ==
        "dzᵢⱼ     = zᵢⱼ\n"
        "dWᵢ,₄ⱼ₊ₖ = Σₙ dzᵢₙ xₙⱼₖ\n"
        "dxᵢⱼₖ    = Σₙ dzₙᵢ Wₙ,₄ⱼ₊ₖ\n");
}

TEST_CASE("index notation: letters are not the names of tensors, nor of the layer") {
  Program p;
  const Tensor i = p.data("i", {3, 2}), n = p.parameter("n", {4, 3});
  const Tensor j = p.keep("j", matmul(n, i));
  CHECK(by_element(check_gradients(sum(square(j)) / 2.0, p.named)) ==
        "djᵢₖ = jᵢₖ\n"
        "dnₖₗ = Σₘ djₖₘ iₗₘ\n");
}

TEST_CASE("index notation: where all letters are names, they are letters all the same") {
  Program p;
  const Tensor W = p.parameter("W", {3});
  Tensor product = W;
  for (const char* name :
       {"i", "j", "k", "l", "m", "n", "p", "r", "s", "t", "u", "v", "a", "o", "h"})
    product = product * p.data(name, {1});
  CHECK(by_element(derive(sum(product))) == "dWᵢ = h o a v u t s r p n m l k j i\n");
  // The program's eight axes, and as many that are summed, are more than there are letters.
  Program q;
  const Shape eight(std::vector<std::int64_t>(8, 2));
  const Tensor x = q.parameter("x", eight), y = q.data("y", eight);
  const Tensor z = q.keep("z", x * sum(x * y));
  CHECK(by_element(derive(sum(z * y * y)))
            .find("dxᵢⱼₖₗₘₙₚᵣ = (dz ⊗ Σ(x ⊗ y) + Σ(dz ⊗ x) ⊗ y)ᵢⱼₖₗₘₙₚᵣ\n") != std::string::npos);
}

TEST_CASE("index notation: what letters do not say stands there as a whole") {
  Program p;
  const Tensor x = p.parameter("x", {2, 3});
  // Of an axis of 6 that is neither 2 · 3 nor a part of it: the letters would have to be cut.
  const Tensor y = p.keep("y", reshape(x, {3, 2}));
  const Tensor v = p.data("v", {3, 2});
  CHECK(by_element(derive(sum(y * v * v))) ==
        "dyᵢⱼ = vᵢⱼ²\n"
        "dxᵢⱼ = (reshape[2, 3](dy))ᵢⱼ\n");
}

namespace {

struct Cube final : UnaryOp<Cube> {
  Cube() : UnaryOp("cube") {}
  static constexpr bool integers = false;
  static constexpr Node::SavedMask saved = Node::input(0);
  template <class T>
  static T value(T x) {
    return x * x * x;
  }
  static Tensor slope(const Application& r, const Tensor& g) { return 3 * g * square(r.in(0)); }
  std::vector<Sample> samples() const override { return {}; }
};

// Every other column, from the last one on.
struct Columns final : LinearMap<Columns> {
  Columns() : LinearMap("columns") {}
  void infer(Inference& call) const override {
    const Value& x = call.in(0);
    Shape strides = x.strides_shape();
    strides[1] *= -2;
    call.view(0, {x.dims()[0], (x.dims()[1] + 1) / 2}, strides, (x.dims()[1] - 1) * x.strides()[1]);
  }
  Tensor adjoint(const Application& r, const Tensor& g) const {
    return zeros(r.shape_of(0), g.dtype()) + sum(g);  // nobody asks for it
  }
  Role role(const Parameters&) const override { return Role::Kind::slice; }
  std::vector<Sample> samples() const override { return {}; }
};

}  // namespace

TEST_CASE("index notation: ops of a program's own, by what they do") {
  const Cube cube;
  Program p;
  const Tensor x = p.parameter("x", {2, 3}), y = p.keep("y", cube(x, Where::current()));
  CHECK(by_element(derive(sum(square(y)))) ==
        "dyᵢⱼ = 2 yᵢⱼ\n"
        "dxᵢⱼ = 3 dyᵢⱼ xᵢⱼ²\n");
  CHECK(by_element(derive(sum(square(cube(x, Where::current()))))).find("cube(xᵢⱼ)") !=
        std::string::npos);
  const Columns columns;
  Program q;
  const Tensor a = q.parameter("a", {2, 5}), w = q.parameter("w", {2, 3});
  const Tensor part = apply(columns, {&a}, {}, Where::current());
  CHECK(by_element(derive(sum(part * w), {w})) == "dwᵢⱼ = aᵢ,₄₋₂ⱼ\n");
}

TEST_CASE("index notation: tangents") {
  Program p;
  const Tensor x = p.data("x", {4, 3}), W = p.parameter("W", {5, 3}), b = p.parameter("b", {5});
  const Tensor z = p.keep("z", linear(x, W, b)), P = p.keep("P", softmax(z, 1));
  const Tensor l = p.keep("L", mean(logsumexp(z, 1) * max(P, 1)));
  const std::vector<Tensor> inputs{W, b};
  const std::vector<Tensor> tangents{randn({5, 3}, p.generator, f64), randn({5}, p.generator, f64)};
  const Derivation derivation = derive_forward(l, inputs, tangents);
  Arrays arrays;
  for (const Tensor& tensor : p.named) arrays[std::string(tensor.name())] = array_of(tensor);
  arrays["Ẇ"] = array_of(tangents[0]);
  arrays["ḃ"] = array_of(tangents[1]);
  for (const Derivation::Step& step : derivation.steps())
    arrays[step.gradient.text] = array_of(step.value);
  add_definitions(arrays, derivation);
  check_read(derivation, arrays);
  CHECK(by_element(derivation) ==
        "żᵢⱼ = Σₙ xᵢₙ Ẇⱼₙ + ḃⱼ\n"
        "Ṗᵢⱼ = Pᵢⱼ (żᵢⱼ − Σₙ Pᵢₙ żᵢₙ)\n"
        "L̇   = Σₙ maxₘ(Pₙₘ) Σₘ żₙₘ softmaxₘ(zₙₘ) / 4 + Σₙ logsumexpₘ(zₙₘ) Σₘ Ṗₙₘ [Pₙₘ = maxₚ(Pₙₚ)] "
        "/ (Σₚ [Pₙₚ = maxᵣ(Pₙᵣ)]) / 4\n");
}

TEST_CASE("index notation: what an op is written out with is defined, too") {
  struct DiagonalOf final : LinearMap<DiagonalOf> {
    DiagonalOf() : LinearMap("diagonal_of", "diag({0})") {}
    void infer(Inference& call) const override { call.output(f64, {call.in(0).dims()[0]}); }
    void evaluate(Evaluation& call) const override {
      const NoGrad guard;
      kernels::copy(call.out(), *sum(call.tensor(0) * eye(call.out().numel(), f64), 1).value_ref());
    }
    Tensor adjoint(const Application& r, const Tensor& g) const {
      return g * eye(r.shape_of(0)[0], f64);
    }
    Tensor written_out(const Node& node, std::span<const Tensor> in) const override {
      return sum(in[0] * eye(node.shape()[0], f64), 1);
    }
    std::vector<Sample> samples() const override { return {}; }
  };
  const DiagonalOf diagonal;
  const Tensor B = randn({3, 3}, f64).named("B").requires_grad_();
  const Derivation derivation = derive(sum(square(apply(diagonal, {&B}, {}, Where::current()))));
  CHECK(by_element(derivation) ==
        "dBᵢⱼ = 2 c1ᵢⱼ Σₙ Bⱼₙ c2ⱼₙ\n"
        "where c1 = data (3, 3)\n"
        "      c2 = data (3, 3)\n");
  CHECK(derivation.text({.limits = false}).find("c2") == std::string::npos);
}

TEST_CASE("index notation: the reader finds what is wrong") {
  Arrays arrays{{"a", {{2, 3}, {1, 2, 3, 4, 5, 6}}}, {"b", {{3}, {1, 0, 2}}}, {"s", {{}, {7}}}};
  const auto read = [&](const char* left, const char* right) {
    return index_reader::computed(left, right, arrays).elements;
  };
  using Elements = std::vector<double>;
  CHECK(read("zᵢ", "Σₙ aᵢₙ bₙ") == Elements{7, 16});
  CHECK(read("zᵢ", "Σₙ aₙᵢ / 2") == Elements{2.5, 3.5, 4.5});
  CHECK(read("zᵢ", "−2 bᵢ (s − bᵢ²)") == Elements{-12, 0, -12});
  CHECK(read("z₃ᵢ₊ⱼ", "aᵢⱼ") == Elements{1, 2, 3, 4, 5, 6});
  CHECK(read("zᵢ", "Σₙ [i = n+1] bₙ + bᵢ") == Elements{1, 1, 2});
  CHECK(read("zᵢ", "Σₙ bᵢ [i = 2] aₙᵢ") == Elements{0, 0, 18});
  CHECK(read("zᵢⱼ", "a[i, bⱼ]") == Elements{2, 1, 3, 5, 4, 6});
  CHECK(read("z", "maxₙₘ(aₙₘ) − Σₙ bₙ Σₘ aₘₙ") == Elements{-17});
  CHECK_THROWS_AS(read("zᵢ", "aᵢ"), std::runtime_error);
  CHECK_THROWS_AS(read("zᵢ", "aᵢₙ"), std::runtime_error);
  CHECK_THROWS_AS(read("zᵢ", "Σₙ aᵢₙ unknown"), std::runtime_error);
  CHECK_THROWS_AS(read("zᵢ", "s"), std::runtime_error);
  CHECK_THROWS_AS(read("zᵢ", "(Wᵀ·b)ᵢ"), std::runtime_error);
}

TEST_SUITE_END();
