#include <chainrule/graph/detect_anomaly.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <string>
#include <thread>
#include <vector>

#include <chainrule/core/create.hpp>
#include <chainrule/core/op.hpp>
#include <chainrule/graph/backward.hpp>
#include <chainrule/graph/functional.hpp>
#include <chainrule/ops/define.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/elementwise/functions.hpp>
#include <chainrule/ops/elementwise/log.hpp>
#include <chainrule/ops/elementwise/select.hpp>
#include <chainrule/ops/linalg/matmul.hpp>
#include <chainrule/ops/nn/softmax.hpp>
#include <chainrule/ops/reduce/reduction.hpp>
#include <chainrule/tests/core/error_of.hpp>
#include <chainrule/tests/ops/samples/samples.hpp>

using namespace chainrule;

TEST_SUITE_BEGIN("graph");

namespace {

constexpr double inf = std::numeric_limits<double>::infinity();
constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("detect_anomaly: the first NaN of a forward, with operands, place and remedy") {
  const Tensor x = tensor({2.0, -1.0, 0.5}).named("x").requires_grad_();
  const auto program = [&] { return sum(log(x) * 2.0); };
  CHECK(std::isnan(program().item()));  // without it nothing happens
  const DetectAnomaly guard;
  CHECK(error_of<AnomalyError>([&] { sum(log(x) * 2.0); }) ==
        "detect_anomaly: log makes NaN\n"
        "  result: (3,) f32, -0.693147 to 0.693147, 1 NaN, the first at (1,)\n"
        "  operand 0: x (3,) f32, -1 to 2, there -1\n"
        "  at HERE\n"
        "  hint: an operand is outside of where the operation is defined: clamp() it, or choose a "
        "safe one first, f(where(valid, x, 1)); a where() behind it does not keep NaN out of the "
        "gradient");
}

TEST_CASE("detect_anomaly: infinities of a pole, and of an overflow") {
  const DetectAnomaly guard;
  const Tensor d = tensor({{1.0, 0.0}}, f64).named("d"), x = tensor({{3.0}, {4.0}}, f64);
  const std::string pole = error_of<AnomalyError>([&] { x / d; });
  CHECK(has(pole, "div makes infinity\n  result: (2, 2) f64, 3 to 4, 2 inf, the first at (0, 1)"));
  CHECK(has(pole, "operand 0: (2, 1) f64, 3 to 4, there 3"));
  CHECK(has(pole, "operand 1: d (1, 2) f64, 0 to 1, there 0"));
  CHECK(has(pole, "pole at 0: choose a divisor that is never 0"));
  const Tensor zero = tensor({0.0, 1.0}, f64), minus_one = tensor({-1.0, 1.0}, f64);
  CHECK(has(error_of<AnomalyError>([&] { reciprocal(zero); }),
            "pole at 0: add a small number first, "
            "reciprocal(x + 1e-12)"));
  CHECK(has(error_of<AnomalyError>([&] { log1p(minus_one); }),
            "pole at -1: clamp() the operand away from it, or choose a safe one, "
            "log1p(where(x == -1, 1, x))"));
  CHECK(has(error_of<AnomalyError>([&] { exp(tensor({1.0, 89.0})); }), "larger than f32 holds"));
  CHECK(
      has(error_of<AnomalyError>([&] { exp(tensor({1.0, 710.0}, f64)); }), "f64 holds (1.8e308)"));
  const Tensor large = full({2, 2}, 1e38);
  CHECK(has(error_of<AnomalyError>([&] { matmul(large, large); }), "matmul makes infinity"));
  CHECK(has(error_of<AnomalyError>([&] { tensor(0.0) / tensor(0.0); }), "0 / 0"));
}

TEST_CASE("detect_anomaly: the first NaN and infinity of a backward name the user's operation") {
  Tensor x = tensor({4.0, 0.0}, f64).named("x").requires_grad_();
  const Tensor r = sqrt(x).named("r"), loss = sum(r);
  loss.backward({.retain_graph = true});
  CHECK(x.grad().at({1}) == inf);
  x.zero_grad();
  const std::string text = error_of<AnomalyError>(
      [&] {
        const Tensor root = sqrt(x).named("root");
        DetectAnomaly guard;
        backward(sum(root));
      },
      2);  // the line of sqrt, not of backward
  CHECK(has(text, "detect_anomaly: in the gradient rule of sqrt (root): "));
  CHECK(has(text, "makes infinity\n  result: (2,) f64, 0.25, 1 inf, the first at (1,)"));
  CHECK(has(text, "\n  sqrt of operand 0: x (2,) f64, 0 to 4\n  at HERE"));
  CHECK(has(text, "the slope is infinite at 0"));
  CHECK_FALSE(x.grad().defined());

  // 0 · ∞ behind a where() that hides the infinity from the forward.
  const Tensor hidden = where(x > 0.0, sqrt(x), 0.0);
  const Tensor z = sum(hidden * 1.0);
  const std::string behind =
      error_of<AnomalyError>([&] { detect_anomaly([&] { return grad(z, x); }); });
  CHECK(has(behind, "in the gradient rule of sqrt: "));
  CHECK(has(behind, "a gradient of 0 meets an infinite slope"));
}

TEST_CASE("detect_anomaly: gradients of second order, and forward mode") {
  // x^1.5 has the slope 1.5 √x, whose own is infinite at 0.
  const Tensor x = tensor({1.0, 0.0}, f64).named("x").requires_grad_();
  const DetectAnomaly guard;
  const Tensor slope = grad(sum(pow(x, 1.5)), x, {.create_graph = true});
  CHECK(slope.at({0}) == 1.5);
  const std::string text = error_of<AnomalyError>([&] { grad(sum(slope), x); }, 3);
  CHECK(has(text, "in the gradient rule of pow"));
  CHECK(has(text, "makes infinity"));
  CHECK(has(error_of<AnomalyError>(
                [&] { jvp([](const Tensor& t) { return sqrt(t); }, x.detach(), ones({2}, f64)); }),
            "in the gradient rule of sqrt"));
}

TEST_CASE("detect_anomaly: sums of gradients count, of one backward and of several") {
  Tensor x = tensor(1.0).requires_grad_();
  const Tensor both = x * 2e38 + x * 2e38;
  CHECK(has(error_of<AnomalyError>(
                [&] {
                  detect_anomaly([&] {
                    both.backward();
                    return 0;
                  });
                },
                9),
            "add makes infinity"));
  x.zero_grad();
  const Tensor one = x * 2e38;
  one.backward({.retain_graph = true});
  CHECK(x.grad().item() == doctest::Approx(2e38));
  const Tensor kept = x.grad();  // a gradient that somebody holds cannot be added to in place
  CHECK_THROWS_AS(detect_anomaly([&] {
                    one.backward({.retain_graph = true});
                    return 0;
                  }),
                  AnomalyError);
  CHECK(kept.item() == doctest::Approx(2e38));
}

TEST_CASE("detect_anomaly: what comes in, and infinities that a program hands in") {
  const Tensor bad = tensor({{1.0, not_a_number}, {inf, 2.0}}, f64).named("W");
  const Tensor mask = tensor({{0.0, -inf}, {0.0, 0.0}}, f64);
  Tensor z = ones({2, 2}, f64);
  const DetectAnomaly guard;
  const std::string text = error_of<AnomalyError>([&] { matmul(z, bad); });
  CHECK(has(text, "matmul reads NaN from operand 1, W (2, 2), which no operation made meanwhile"));
  CHECK(has(text, "operand 1: W (2, 2) f64, 1 to 2, 1 NaN, 1 inf"));
  CHECK(has(text, "look where its numbers come from"));
  const Tensor y = z.requires_grad_();
  CHECK(softmax(y + mask, 1).at({0, 0}) == 1);
  sum(square(softmax(y + mask, 1))).backward();
  CHECK(sum(y.grad()).item() == 0);
  // ∞ may pass, and what another element makes may not.
  CHECK(has(error_of<AnomalyError>([&] { mask + mask / tensor({{1.0, 1.0}, {1.0, 0.0}}, f64); }),
            "div makes NaN"));
  CHECK(has(error_of<AnomalyError>([&] { exp(mask * -1e3 + 1e3); }),
            "result: (2, 2) f64, 4 inf, the first at (0, 0)"));
  CHECK(has(error_of<AnomalyError>([&] { sum(mask) - sum(mask); }), "inf - inf"));
}

TEST_CASE("detect_anomaly: NaN alone, where a program computes with infinities") {
  const Tensor x = tensor({0.0, 1.0}, f64);
  {
    const DetectAnomaly guard({.infinity = false});
    CHECK(log(x).at({0}) == -inf);
    CHECK(has(error_of<AnomalyError>([&] { log(x) * 0.0; }), "mul makes NaN"));
  }
  const auto [at_zero, at_one] = detect_anomaly(
      [&] { return std::pair(exp(log(x)).at({0}), exp(log(x)).at({1})); }, {.infinity = false});
  CHECK(at_zero == 0);
  CHECK(at_one == 1);
}

namespace {

// Of a program itself: NaN where x is above 1, forward, and 1 / x backward.
struct Picky final : UnaryOp<Picky> {
  Picky() : UnaryOp("picky") {}
  template <class T>
  static T value(T x) {
    return x > 1 ? std::numeric_limits<T>::quiet_NaN() : x;
  }
  static constexpr bool integers = false;
  static constexpr Node::SavedMask saved = Node::input(0);
  static Tensor slope(const Application& r, const Tensor& g) { return g / r.in(0); }
  std::vector<Sample> samples() const override { return {}; }
};

}  // namespace

TEST_CASE("detect_anomaly: a program's own op, and one of several results") {
  const Picky picky;
  const Tensor x = tensor({0.0, 2.0}, f64).named("x").requires_grad_();
  const DetectAnomaly guard;
  CHECK(has(error_of<AnomalyError>([&] { picky(x, Where::current()); }), "picky makes NaN"));
  const Tensor y = picky(x * 0.5, Where::current());
  CHECK(has(error_of<AnomalyError>([&] { grad(sum(y), x); }, 0),
            "in the gradient rule of picky: div"));
  const Tensor nothing = zeros({0, 3}, f64).requires_grad_();
  sum(nothing * 2.0).backward();
  CHECK_THROWS_AS(var_mean(tensor({1.0}, f64), 0), AnomalyError);
}

TEST_CASE("detect_anomaly: watches its own thread, and an error leaves nothing behind") {
  const std::int64_t before = live_nodes();
  {
    const Tensor x = tensor(-1.0, f64).requires_grad_();
    const DetectAnomaly guard;
    bool quiet = false, caught = false;
    std::thread([&] {
      quiet = std::isnan(sqrt(x).item());
      try {
        detect_anomaly([&] { return sqrt(x); });
      } catch (const AnomalyError&) {
        caught = true;
      }
    }).join();
    CHECK(quiet);
    CHECK(caught);
    CHECK_THROWS_AS(sqrt(x), AnomalyError);
    CHECK(square(x).item() == 1);
    grad(square(x), x);
  }
  CHECK(live_nodes() == before);
  CHECK(std::isnan(sqrt(tensor(-1.0)).item()));
}

TEST_CASE("detect_anomaly: an observer outside of it is told, too") {
  struct Counter final : Observer {
    int applications = 0;
    void applied(Ref<Node>, Operands, std::span<const Ref<Value>>) override { ++applications; }
  } counter;
  const Observing observing(counter);
  const DetectAnomaly guard;
  exp(tensor(1.0));
  CHECK(counter.applications == 1);
}

TEST_CASE("samples: detect_anomaly is silent where all is finite, and changes no gradient") {
  samples::for_each_differentiable([](const Op& op, const Sample& sample) -> std::string {
    // The variance of a single element is NaN, though the sample reads the mean alone.
    if (op.name() == std::string("var_mean") &&
        (sample.label == "mean, scalar" || sample.label == "mean, no axis"))
      return "";
    const auto gradients = [&] {
      const samples::Tensors leaves = samples::leaves_of(sample.inputs);
      const Tensor out = sample.apply(leaves);
      samples::Tensors wanted = samples::pick(leaves, samples::floating(leaves));
      const Tensor seed = samples::tensor_of(samples::direction(out.shape(), 1), out.dtype());
      return grad(std::span(&out, 1), std::span(&seed, 1), wanted, {.allow_unused = true});
    };
    const samples::Tensors plain = gradients();
    const samples::Tensors watched = detect_anomaly(gradients);
    for (std::size_t i = 0; i < plain.size(); ++i)
      // Rules that are watched sum in another order.
      if (const std::string wrong = samples::compare(op.name(), watched[i], plain[i],
                                                     plain[i].dtype() == f32 ? 1e-5L : 1e-13L);
          !wrong.empty())
        return wrong;
    return "";
  });
}

TEST_CASE("samples: NaN that comes into a rule is told, of every op that reads its gradient") {
  samples::for_each_differentiable([](const Op&, const Sample& sample) -> std::string {
    const samples::Tensors leaves = samples::leaves_of(sample.inputs);
    const Tensor out = sample.apply(leaves) * 1.0;
    if (out.numel() == 0 || !out.requires_grad()) return "";
    const Tensor seed = full(out.shape(), not_a_number, out.dtype());
    try {
      const DetectAnomaly guard;
      backward(out, seed);
    } catch (const AnomalyError&) {
      return "";
    }
    return "a NaN in the gradient was not seen";
  });
}

TEST_SUITE_END();
