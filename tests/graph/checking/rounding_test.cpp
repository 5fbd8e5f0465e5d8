// What rounding may do to a right formula, and what it may not.
#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <chainrule/core/create.hpp>
#include <chainrule/core/random.hpp>
#include <chainrule/graph/checking/check_derivation.hpp>
#include <chainrule/ops/define.hpp>
#include <chainrule/ops/elementwise/activations.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/elementwise/convert.hpp>
#include <chainrule/ops/elementwise/functions.hpp>
#include <chainrule/ops/elementwise/log.hpp>
#include <chainrule/ops/elementwise/select.hpp>
#include <chainrule/ops/linalg/matmul.hpp>
#include <chainrule/ops/nn/softmax.hpp>
#include <chainrule/ops/reduce/reduction.hpp>
#include <chainrule/ops/shape/indexing.hpp>
#include <chainrule/ops/shape/join.hpp>
#include <chainrule/ops/shape/manipulation.hpp>

using namespace chainrule;

TEST_SUITE_BEGIN("graph");

TEST_CASE("check_derivation: of bare numbers each element is held to its own size") {
  for (const DType dt : {f32, f64}) {
    CAPTURE(name_of(dt));
    const double small = dt == f32 ? 1e-2 : 1e-8;
    const Tensor x = to(tensor({{3e5, 0.011, 0.4}, {-2e5, 0.02, 1.0}, {1e5, -0.013, -0.7}}, f64) *
                            tensor({1.0, small / 1e-2, 1.0}, f64),
                        dt)
                         .named("X");
    const Tensor w = to(tensor({1e-6, 0.5, -0.3}, f64), dt).named("w").requires_grad_();
    const Tensor t = to(tensor({1.0, 0.0, 1.0}, f64), dt).named("t");
    const Tensor z = matmul(x, w).named("z");
    const Tensor loss = mean(softplus(z) - t * z);
    const Tensor dz = (sigmoid(z) - t) / 3.0, dw = matmul(x.T(), dz);
    const auto ok = [&](const Tensor& by_hand) {
      return check_derivation(loss, {{"dw", w, by_hand.detach()}}).ok();
    };
    CHECK(ok(dw));
    CHECK_FALSE(ok(stack({dw[0], -dw[1], dw[2]})));
    CHECK_FALSE(ok(stack({dw[0], 0.0 * dw[1], dw[2]})));
    CHECK_FALSE(ok(stack({dw[0], dw[1] + 0.01, dw[2]})));
    CHECK_FALSE(ok(stack({dw[0], 1.001 * dw[1], dw[2]})));
  }
}

TEST_CASE("check_derivation: one element of many bare numbers in f32 that is off by 1e-4") {
  Generator generator(3);
  const Tensor x = randn({40, 30}, generator), y = randn({40, 8}, generator);
  const Tensor w = randn({30, 8}, generator).named("W").requires_grad_();
  const Tensor r = matmul(x, w) - y;
  const Tensor loss = sum(square(r)) / 80.0;
  const Tensor right = (matmul(x.T(), r) / 40.0).detach();
  CHECK(check_derivation(loss, {{"dW", w, right}}).ok());
  for (const double part : {1e-2, 1e-3, 1e-4}) {
    CAPTURE(part);
    std::vector<float> numbers = right.to_vector<float>();
    numbers[59] *= static_cast<float>(1 + part);
    CHECK_FALSE(check_derivation(loss, {{"dW", w, from_vector(numbers, right.shape())}}).ok());
  }
}

TEST_CASE("check_derivation: a formula in f32 that gives autograd's own numbers is not wrong") {
  // In f64 the first ones are 1e-218 and 5e-131.
  const Tensor x = tensor({1000.0F, 2000.0F}).named("x");
  const Tensor w = tensor(0.5F).named("w").requires_grad_();
  const Tensor z = (x * w).named("z");
  const Tensor dz = -sigmoid(-z) / 2.0;
  CHECK(
      check_derivation(mean(softplus(-z)), {{"dz", z, dz.detach()}, {"dw", w, dot(dz, x).detach()}})
          .ok());
  const Tensor logits = tensor({300.0F, 0.0F}).named("z").requires_grad_();
  const Tensor y = tensor({1.0F, 0.0F}).named("y");
  const Tensor loss = -sum(y * log_softmax(logits, 0));
  CHECK(check_derivation(loss, {{"dz", logits, (softmax(logits, 0) - y).detach()}}).ok());
  // The formula itself is asked in f64.
  CHECK_FALSE(check_derivation(loss, {{"dz", logits, 2.0 * (softmax(logits, 0) - y)}}).ok());

  // It overflows in f32 alone.
  const Tensor v = tensor({60.0F, 0.5F}).named("v").requires_grad_();
  const Tensor large = sum(exp(2.0 * v));
  const DerivationReport report =
      check_derivation(large, {{"dv", v, (2.0 * exp(2.0 * v)).detach()}});
  CHECK(report.ok());
  CHECK(report.verdicts()[0].note.find("overflow") != std::string::npos);
  CHECK_FALSE(check_derivation(large, {{"dv", v, (exp(2.0 * v)).detach()}}).ok());
  CHECK_FALSE(check_derivation(large, {{"dv", v, tensor({0.0F, 5.4365637F})}}).ok());
}

TEST_CASE("check_derivation: a hinge that is on another side in f32 than in f64") {
  // The squares are of 1e12, and what f32 knows of their difference is its size to some 1e5.
  int sides = 0;
  for (int k = 0; k < 24; ++k) {
    const float by = 0.03F * static_cast<float>(k) - 0.3F;
    const Tensor a = tensor({9e5F, -4e5F}).named("a").requires_grad_();
    const Tensor p = tensor({0.5F, 0.25F}).named("p").requires_grad_();
    const Tensor n = tensor({0.5F + by, 0.25F + 2.25F * by}).named("n").requires_grad_();
    const Tensor near = sum(square(a - p)).named("d₊"), far = sum(square(a - n)).named("d₋");
    const Tensor g = (near - far + 1.0).named("g");
    const Tensor loss = relu(g);
    const double x[] = {9e5, -4e5};
    const std::vector<float> u = p.to_vector<float>(), v = n.to_vector<float>();
    double exact = 1;
    for (int i = 0; i < 2; ++i)
      exact += (x[i] - u[i]) * (x[i] - u[i]) - (x[i] - v[i]) * (x[i] - v[i]);
    sides += (exact > 0) != (g.item() > 0);
    const Tensor m = to(g > 0.0, f32);
    const DerivationReport report = check_derivation(loss, {{"dg", g, m},
                                                            {"da", a, 2.0 * m * (n - p)},
                                                            {"dp", p, 2.0 * m * (p - a)},
                                                            {"dn", n, 2.0 * m * (a - n)}});
    CAPTURE(k);
    CAPTURE(report.text());
    CHECK(report.ok());
    const DerivationReport wrong =
        check_derivation(loss, {{"dp", p, 2.0 * m * (a - p)}, {"dn", n, 2.0 * m * (a - n)}});
    if (g.item() > 0) CHECK_FALSE(wrong.ok());
  }
  CHECK(sides > 0);
}

TEST_CASE("check_derivation: autograd is what grad() gives, not the rules through each name") {
  for (const DType dt : {f64, f32})
    for (const double logit : {20.0, 120.0, 300.0, 700.0, 900.0})
      for (const bool other : {true, false}) {
        const Tensor z = to(tensor({logit, -logit, 0.5}, f64), dt).named("z").requires_grad_();
        const Tensor y =
            to(tensor({other ? 0.0 : 1.0, other ? 1.0 : 0.0, 0.0}, f64), dt).named("y");
        const Tensor p = softmax(z, 0).named("p");
        const Tensor loss = -sum(y * log(p));
        const DerivationReport report = check_derivation(loss, {{"dz", z, p - y}});
        CAPTURE(logit);
        CAPTURE(report.text());
        CHECK(report.ok());
        CHECK(report.text().find("not finite") == std::string::npos);
        CHECK_FALSE(check_derivation(loss, {{"dz", z, y - p + 1e-3}}).ok());
      }
}

TEST_CASE("check_derivation: below the smallest normal number a formula may give 0") {
  for (const double at : {700.0, 720.0, 735.0}) {
    CAPTURE(at);
    const Tensor z = tensor({-at, 0.5}, f64).named("z").requires_grad_();
    const Tensor u = tensor({0.3, 0.4}, f64).named("u");
    const Tensor loss = sum(u * sigmoid(z).named("H"));
    CHECK(check_derivation(loss, {{"dz", z, u / (2.0 + exp(z) + exp(-z))}}).ok());
    CHECK_FALSE(check_derivation(loss, {{"dz", z, u / (2.0 + exp(z) - exp(-z))}}).ok());
  }
}

TEST_CASE("check_derivation: what 1 − h² loses where tanh is flat, as bare numbers") {
  for (const double at : {6.0, 20.0})
    for (const DType dt : {f64, f32}) {
      CAPTURE(at);
      CAPTURE(name_of(dt));
      const Tensor x = to(tensor({1.0, 0.9, 0.01}, f64), dt).named("x");
      const Tensor w = tensor(at, dt).named("w").requires_grad_();
      const Tensor a = (x * w).named("a"), h = tanh(a).named("h");
      const Tensor v = to(tensor({1.0, 0.9, 0.0}, f64), dt).named("v");
      const Tensor slope = 1.0 - square(h);
      const Tensor whole = sum(h), part = dot(v, h);
      CHECK(check_derivation(whole, {{"dw", w, dot(slope, x).detach()}}).ok());
      CHECK(check_derivation(part, {{"dw", w, dot(v * slope, x).detach()}}).ok());
      CHECK_FALSE(check_derivation(whole, {{"dw", w, dot(1.0 - h, x).detach()}}).ok());
      CHECK_FALSE(check_derivation(whole, {{"dw", w, -dot(slope, x).detach()}}).ok());
    }
}

TEST_CASE("check_derivation: 1 − σ(z) for σ(−z) as bare numbers") {
  for (const DType dt : {f64, f32}) {
    CAPTURE(name_of(dt));
    const Tensor z = to(tensor({0.3, -1.0, 2.0, 17.0, 36.0}, f64), dt).named("z").requires_grad_();
    const Tensor u = to(tensor({1.0, -0.5, 2.0, 0.7, -1.1}, f64), dt).named("u");
    const Tensor loss = sum(u * log(sigmoid(z)));
    CHECK(check_derivation(loss, {{"dz", z, (u * (1.0 - sigmoid(z))).detach()}}).ok());
    CHECK_FALSE(check_derivation(loss, {{"dz", z, (u * sigmoid(z)).detach()}}).ok());
    CHECK_FALSE(check_derivation(loss, {{"dz", z, (u * (sigmoid(z) - 1.0)).detach()}}).ok());
  }
}

TEST_CASE("check_derivation: a result that vanished has a kink where it is 0") {
  const Tensor z = tensor({-800.0, 0.5}, f64).named("z").requires_grad_();
  const Tensor h = sigmoid(z).named("H");
  const Tensor v = tensor({2.0, 3.0}, f64).named("v");
  const Tensor loss = sum(h * v) + 0.01 * sum(abs(h));
  for (const Tensor& right : {v + 0.01, v + 0.01 * sign(h)})
    for (const bool bare : {false, true}) {
      const DerivationReport report =
          check_derivation(loss, {{"dH", h, bare ? right.detach() : right}});
      CAPTURE(report.text());
      CHECK(report.ok());
    }
  CHECK_FALSE(check_derivation(loss, {{"dH", h, v}}).ok());
  CHECK_FALSE(check_derivation(loss, {{"dH", h, v - 0.01}}).ok());
  CHECK_FALSE(check_derivation(loss, {{"dH", h, v + tensor({0.1, 0.01}, f64)}}).ok());
}

TEST_CASE(
    "check_derivation: bare numbers with the digits that a difference of two results leaves") {
  for (const DType dt : {f32, f64})
    for (std::uint64_t seed = 1; seed <= 6; ++seed) {
      CAPTURE(name_of(dt));
      CAPTURE(seed);
      Generator generator(seed);
      const auto drawn = [&](const Shape& shape, double scale) {
        return to(randn(shape, generator, f64) * scale, dt);
      };
      const Tensor x = drawn({4, 1}, 1e3).named("x");
      const Tensor y = drawn({4, 1}, 1).named("y").requires_grad_();
      const Tensor s = tanh(drawn({}, 1).requires_grad_() * x).named("s");
      const Tensor t = (drawn({}, 1).requires_grad_() * x).named("t");
      const Tensor z = (y * exp(s) + t).named("z");
      const Tensor loss = sum(square(z)) / 2.0 - sum(s);
      // y ⊗ eˢ as z − t.
      CHECK(check_derivation(loss, {{"ds", s, (z * (z - t) - 1.0).detach()}}).ok());
      CHECK_FALSE(check_derivation(loss, {{"ds", s, (z * (z - t)).detach() * 1.5}}).ok());
    }
}

TEST_CASE("check_derivation: bare numbers from another form of a gradient than the one given") {
  for (const DType dt : {f32, f64})
    for (std::uint64_t seed = 1; seed <= 6; ++seed) {
      CAPTURE(name_of(dt));
      CAPTURE(seed);
      Generator generator(seed);
      const Tensor a = to(randn({4, 3}, generator, f64) * 40.0, dt).named("A").requires_grad_();
      const Tensor b = to(randn({4, 3}, generator, f64), dt).named("B").requires_grad_();
      const Tensor z = (matmul(a, b.T()) / 0.5).named("S");
      const Tensor one = eye(4, dt), p = softmax(z, 1);
      const Tensor loss = -sum(log_softmax(z, 1) * one) / 4.0;
      const Tensor dz = exp(z - logsumexp(z, 1, true)) / 4.0 - one / 4.0;
      CHECK(check_derivation(loss, {{"dS", z, dz.detach()},
                                    {"dA", a, (2.0 * (matmul(p, b) - b) / 4.0).detach()}})
                .ok());
      CHECK_FALSE(check_derivation(loss, {{"dS", z, dz.detach()},
                                          {"dA", a, (2.0 * matmul(p, b) / 4.0).detach()}})
                      .ok());
    }
}

TEST_CASE("check_derivation: a small path beside a large one hides no wrong bare numbers") {
  for (const double scale : {10.0, 1e3, 1e4}) {
    CAPTURE(scale);
    const Tensor m = tensor(0.3, f32).named("μ").requires_grad_();
    const Tensor o = tensor(1.1, f32).named("ω").requires_grad_();
    const Tensor e = tensor(scale, f32).named("y") - m;
    for (const Tensor& loss :
         {square(e) + 1e-4 * o * e, 0.5 * (square(e) / o + log(o + 0.5 * square(e)))}) {
      const double right = grad(loss, m, {.retain_graph = true}).item();
      for (const double factor : {-1.0, 0.0, 0.5, 0.9, 1.0, 1.1, 2.0}) {
        CAPTURE(factor);
        const Tensor by_hand = tensor(factor * right, f32);
        CHECK(check_derivation(loss, {{"dμ", m, by_hand}}).ok() == (factor == 1));
      }
    }
  }
}

TEST_CASE("check_derivation: a number of f32 that was read from a tensor is asked for elsewhere") {
  for (std::uint64_t seed = 1; seed < 40; ++seed)
    for (const double scale : {1e-3, 1.0, 30.0}) {
      CAPTURE(seed);
      CAPTURE(scale);
      Generator generator(seed);
      const Tensor x = (randn({4, 3}, generator) * scale).named("X"),
                   w = randn({3}, generator).named("w").requires_grad_();
      const Tensor q = matmul(x, w).named("q"), n = sqrt(sum(square(q))).named("n");
      const DerivationReport report = check_derivation(n, {{"dq", q, q / n.item()}});
      CHECK_MESSAGE(report.ok(), report.text());
      CHECK(report.verdicts()[0].here_alone);
    }
}

TEST_CASE("check_derivation: numbers of f32 in a function beside ties of a maximum") {
  for (std::uint64_t seed = 1; seed < 20; ++seed) {
    CAPTURE(seed);
    Generator generator(seed);
    const Tensor x = randn({6, 3}, generator).named("X"),
                 k = zeros({3}, f32).named("k").requires_grad_();
    const Tensor z = matmul(x, k).named("z"), p = max(reshape(z, {3, 2}), 1).named("p"),
                 loss = logsumexp(p, 0) - 0.7 * p[1];
    const double number = static_cast<double>(0.7F);  // as the program has it
    const auto dk = [&](std::span<const Tensor> at) {
      const Tensor in = to(x, f64), pairs = reshape(matmul(in, at[0]), {3, 2}), top = max(pairs, 1),
                   dp = softmax(top, 0) - number * tensor({0.0, 1.0, 0.0}, f64),
                   is_top = to(pairs == unsqueeze(top, 1), f64);
      return matmul(in.T(), reshape(is_top / sum(is_top, 1, true) * unsqueeze(dp, 1), {6}));
    };
    const DerivationReport report = check_derivation(loss, {{"dk", k, {}, {k}, dk}});
    CHECK_MESSAGE(report.ok(), report.text());
  }
}

namespace {

// A function whose rule finds by `passes` where the gradient goes through.
struct Masked final : UnaryOp<Masked> {
  using Rule = Tensor (*)(const Tensor& x, const Tensor& out);
  Rule passes;
  Masked(const char* name, Rule rule) : UnaryOp(name), passes(rule) {}
  static constexpr bool integers = false;
  static constexpr Node::SavedMask saved = Node::input(0) | Node::output;
  template <class T>
  static T value(T x) {
    return std::clamp(x, T(-1), T(1));
  }
  static Tensor slope(const Application& r, Tensor g) {
    const auto& op = static_cast<const Masked&>(*r.node().op());
    return where(op.passes(r.in(0), r.out()), g, 0.0);
  }
  std::vector<Sample> samples() const override { return {}; }
};

}  // namespace

TEST_CASE("check_derivation: what is equal though it was computed stays so under rounding") {
  using In = const Tensor&;
  const Masked::Rule rules[] = {
      [](In x, In out) { return eq(out, x); },
      [](In x, In) { return eq(clamp(x, -1, 1), x); },
      [](In x, In) { return logical_not(ne(clamp(x, -1, 1), x)); },
      [](In x, In) {
        return logical_and(ge(minimum(maximum(x, -1.0), 1.0), maximum(x, -1.0)), x > -1.0);
      },
      [](In x, In) { return eq(x - clamp(x, -1, 1), 0.0); },
      [](In x, In) { return logical_and(eq((x + 0.0) * 2.0 / 2.0, x), abs(x) < 1.0); },
  };
  for (const DType dt : {f32, f64})
    for (std::size_t k = 0; k < std::size(rules); ++k) {
      CAPTURE(k);
      CAPTURE(name_of(dt));
      const Masked clip("clip_by_mask", rules[k]);
      const Tensor x = tensor({1.25, 0.375, -2.0, 0.5}, dt).named("x").requires_grad_();
      const Tensor h = clip(x, Where::current());
      const Tensor right = 2.0 * h * to(abs(x) < 1.0, dt);
      for (const double times : {1.0, 1.25, -1.0})
        CHECK(check_derivation(sum(square(h)), {{"dx", x, times * right}}).ok() == (times == 1));
    }
}

TEST_SUITE_END();
