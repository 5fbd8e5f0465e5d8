#include <chainrule/graph/gradcheck.hpp>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include <chainrule/core/create.hpp>
#include <chainrule/core/op.hpp>
#include <chainrule/core/random.hpp>
#include <chainrule/core/recording.hpp>
#include <chainrule/graph/backward.hpp>
#include <chainrule/ops/elementwise/activations.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/elementwise/functions.hpp>
#include <chainrule/ops/elementwise/log.hpp>
#include <chainrule/ops/elementwise/select.hpp>
#include <chainrule/ops/linalg/matmul.hpp>
#include <chainrule/ops/nn/cross_entropy.hpp>
#include <chainrule/ops/nn/layer_norm.hpp>
#include <chainrule/ops/nn/softmax.hpp>
#include <chainrule/ops/reduce/reduction.hpp>
#include <chainrule/ops/shape/indexing.hpp>
#include <chainrule/ops/shape/join.hpp>

#include <chainrule/tests/core/error_of.hpp>

using namespace chainrule;

TEST_SUITE_BEGIN("graph");

namespace {

// x² with rules that are wrong on request.
struct Square final : Op {
  double vjp_factor, jvp_factor, second_factor;
  Square(double v, double j, double s)
      : Op("test_square"), vjp_factor(v), jvp_factor(j), second_factor(s) {}
  Tensor operator()(const Tensor& x) const {
    const Tensor value = no_grad([&] { return x * x; });
    return record(*this, value.value_ref(), {&x}, detail::input(0), Where::current());
  }
  void vjp(Vjp& r) const override {
    // A second_factor other than 1 detaches part of the rule: right slopes, wrong curvature.
    const Tensor x = second_factor == 1 ? r.in(0) : r.in(0).detach();
    r.give(0, r.g() * x * vjp_factor);
  }
  Tensor jvp(Jvp& r) const override { return r.tangent(0) * r.in(0) * jvp_factor; }
  std::vector<Sample> samples() const override { return {}; }
};

GradcheckReport check(const Square& op, int order) {
  return gradcheck([&](std::span<const Tensor> in) { return op(in[0]); },
                   {tensor({0.5, -1.5, 2.0}, f64).named("x")}, {.order = order});
}

}  // namespace

TEST_CASE("gradcheck passes right rules of first and second order") {
  const Square right(2, 2, 1);
  const GradcheckReport report = check(right, 2);
  CHECK_MESSAGE(report.ok(), report.to_string());
  CHECK(report.rows.size() == 6);
  const GradcheckReport network =
      gradcheck([](std::span<const Tensor> in) { return sigmoid(matmul(in[0], in[1]) + in[2]); },
                {tensor({{0.1, -0.4}, {0.7, 0.2}}, f64), tensor({{1.0}, {-2.0}}, f64),
                 tensor({{0.3}, {0.1}}, f64)},
                {.order = 2});
  CHECK_MESSAGE(network.ok(), network.to_string());
}

TEST_CASE("gradcheck: a gradient of 0 by theory is known but for the rounding of its summands") {
  Generator g{5};
  using In = std::span<const Tensor>;
  const auto passes = [](const Function& f, const Tensor& x) {
    const GradcheckReport report = gradcheck(f, {x});
    CHECK_MESSAGE(report.ok(), report.to_string());
  };
  for (int k = 0; k < 10; ++k) {
    const Tensor A = randn({5, 3}, g, f64), w = randn({3}, g, f64), c = randn({4}, g, f64);
    const Tensor y = matmul(A, w), rows = sum(A * w, 1);
    passes([&](In in) { return sum(square(matmul(A, in[0]) - y)); }, w);
    passes([&](In in) { return sum(square(matmul(A, in[0]) - rows)); }, w);
    passes([&](In in) { return sum(square(in[0] - c)); }, c * 3.0 / 3.0);
  }
  // A rule that is wrong there is found all the same.
  const Square wrong(3, 2, 1);
  const Tensor far = tensor({1.0, 2.0, 3.0, 4.0}, f64);
  CHECK_FALSE(gradcheck([&](In in) { return sum(wrong(in[0] - far)); }, {far + 1e-3}).ok());
}

TEST_CASE("gradcheck finds a wrong vjp, a wrong jvp and a wrong second derivative") {
  const GradcheckReport reverse = check(Square(3, 2, 1), 1);
  CHECK_FALSE(reverse.ok());
  CHECK_FALSE(reverse.rows[0].ok);
  CHECK(reverse.rows[0].what == "gradient, input 0 (x)");
  CHECK(reverse.to_string().find("WRONG") != std::string::npos);
  CHECK(reverse.rows[0].autograd == doctest::Approx(1.5 * reverse.rows[0].reference));

  const GradcheckReport forward = check(Square(2, 5, 1), 1);
  CHECK(forward.rows[0].ok);
  CHECK_FALSE(forward.ok());

  const GradcheckReport curvature = check(Square(2, 2, 0), 2);
  CHECK(curvature.rows[0].ok);
  CHECK_FALSE(curvature.ok());
}

TEST_CASE("gradcheck leaves integers alone and names what it cannot check") {
  const GradcheckReport report = gradcheck([](std::span<const Tensor> in) { return sum(in[0]); },
                                           {tensor({1.0, 2.0}, f64), tensor({1, 2})});
  CHECK(report.ok());
  const Function first = [](std::span<const Tensor> in) { return in[0]; };
  CHECK(error_of<DTypeError>([&] { gradcheck(first, {tensor({1.0})}); }).find("is f32") !=
        std::string::npos);
  CHECK_THROWS_AS(gradcheck(first, {tensor({1, 2})}), ValueError);
  CHECK_THROWS_AS(gradcheck(first, {tensor(1.0, f64)}, {.order = 3}), ValueError);
  for (const double step : {-1.0, 1e-315, static_cast<double>(INFINITY)})
    CHECK_THROWS_AS(gradcheck(first, {tensor(1.0, f64)}, {.step = step}), ValueError);
  // Steps as for an element of size 1 are infinite in units of this one's.
  CHECK_NOTHROW(gradcheck(first, {tensor(1e-313, f64)}));
}

TEST_CASE("gradcheck reports a gradient that is not a number") {
  const GradcheckReport report =
      gradcheck([](std::span<const Tensor> in) { return sqrt(in[0] * in[0]); }, {tensor(0.0, f64)});
  CHECK_FALSE(report.ok());
}

TEST_CASE("gradcheck: an error at a place to which it moved says so") {
  const Tensor x = tensor({0.5, 0.0}, f64).named("x");
  const auto defined = [](double least, double most) {
    return [=](std::span<const Tensor> in) {
      for (const double e : in[0].to_vector<double>())
        if (e < least || e > most) throw ValueError(fmt::format("root: {} is out", e));
      return sqrt(in[0] + 1.0);
    };
  };
  CHECK(gradcheck(defined(0, 1), {x + 1e-3}).ok());
  const std::string error = error_of<ValueError>([&] { gradcheck(defined(0, 0.5), {x}); });
  CHECK(error.starts_with("root: "));
  CHECK(error.find("in gradcheck, where it moves ") != std::string::npos);
  CHECK(error.find("hint: the function must be defined around its inputs: give others") !=
        std::string::npos);
  // Where one side is defined there is no difference, but no error.
  const GradcheckReport edge = gradcheck(defined(0, 1), {x}, {.order = 1, .forward = false});
  CHECK_MESSAGE(edge.ok(), edge.to_string());
  CHECK(edge.rows[0].note == "no finite differences at (1,)");
}

TEST_CASE("gradcheck: what f throws at the inputs is thrown on, however late") {
  for (int last = 1; last < 12; ++last) {
    int calls = 0;
    const Function f = [&](std::span<const Tensor> at) {
      if (at[0].item<double>() == 2 && ++calls > last) throw ValueError("no more");
      return square(at[0]);
    };
    try {
      gradcheck(f, {tensor(2.0, f64)}, {.order = 1});
    } catch (const ValueError& error) {
      CHECK(std::string(error.what()).find("no more") != std::string::npos);
    }
  }
}

TEST_CASE("gradcheck: the inputs themselves are not computed again for each element") {
  const auto calls_of = [](std::int64_t elements) {
    int calls = 0;
    const Function f = [&](std::span<const Tensor> at) {
      const std::vector<double> x = at[0].to_vector<double>();
      calls += std::ranges::all_of(x, [](double e) { return e == 2; }) ? 1 : 0;
      return square(at[0]);
    };
    CHECK(gradcheck(f, {full({elements}, 2.0, f64)}).ok());
    return calls;
  };
  CHECK(calls_of(20) == calls_of(2));
}

TEST_CASE("gradcheck: an output that is not finite hides no others") {
  const Square wrong(3, 2, 1);
  const auto f = [&](std::span<const Tensor> in) { return concat({wrong(in[0]), log(in[1])}, 0); };
  const GradcheckReport report =
      gradcheck(f, {tensor({0.5, 2.0}, f64), tensor({0.0}, f64)}, {.order = 1, .forward = false});
  CHECK_FALSE(report.rows[0].ok);
  CHECK(report.rows[0].note == "without the output that is not finite at (2,)");
  // One input of NaN leaves the others.
  const auto squared = [&](std::span<const Tensor> in) { return wrong(in[0]); };
  CHECK_FALSE(gradcheck(squared, {tensor({std::nan(""), 1.0}, f64)}, {.order = 1}).rows[0].ok);
  const auto right = [](std::span<const Tensor> in) { return square(in[0]); };
  CHECK(gradcheck(right, {tensor({std::nan(""), 1.0}, f64)}));
}

TEST_CASE("gradcheck: a report that was moved from is no good one") {
  // Half of the gradient is detached.
  const Function wrong = [](std::span<const Tensor> at) { return sum(at[0].detach() * at[0]); };
  GradcheckReport report = gradcheck(wrong, {tensor({1.0, 2.0}, f64)});
  CHECK_FALSE(report.ok());
  const GradcheckReport taken = std::move(report);
  CHECK_FALSE(report.ok());
  CHECK_FALSE(taken.ok());
}

TEST_CASE("gradcheck: its errors name it, and the line of the call") {
  const Tensor x = tensor({1.0, 2.0}, f64);
  const Function total = [](std::span<const Tensor> at) { return sum(at[0]); };
  CHECK(error_of<ValueError>([&] { gradcheck(total, {Tensor()}); }) ==
        "gradcheck: the input 0 is undefined\n  at HERE\n  hint: it was default-constructed, moved "
        "from, or is the grad() of a tensor that has none");
  const auto is_moved = [](std::span<const Tensor> at) {
    return at[0].to_vector<double>() != std::vector{1.0, 2.0};
  };
  const Function changes = [&](std::span<const Tensor> at) {
    return is_moved(at) ? at[0] : sum(at[0]);
  };
  CHECK(error_of<ShapeError>([&] {
          gradcheck(changes, {x});
        }).starts_with("gradcheck: the function gives (2,), and gave () before\n  at HERE"));
  const Function ends = [&](std::span<const Tensor> at) {
    return is_moved(at) ? Tensor() : sum(at[0]);
  };
  CHECK(
      error_of<ValueError>([&] { gradcheck(ends, {x}); })
          .starts_with("gradcheck: the function returned an undefined tensor\n  at HERE\n  hint: "
                       "return its result from all paths; a tensor without a value is undefined"));
}

namespace {

using Inputs = std::span<const Tensor>;

std::string notes(const GradcheckReport& report) {
  std::string all;
  for (const GradcheckRow& row : report.rows) all += row.note + "\n";
  return all;
}

}  // namespace

TEST_CASE("gradcheck: steps go with the size of each element, and rounding is known") {
  const Tensor sizes = tensor({1e-9, 1.0, 3e5}, f64);
  CHECK(gradcheck([](Inputs in) { return log(in[0]); }, {sizes}).ok());
  CHECK(gradcheck([](Inputs in) { return sum(square(in[0])); }, {tensor({1e8, 1e-3, 0.3}, f64)}));
  CHECK(gradcheck([](Inputs in) { return square((in[0] + 1e8) - 1e8); },
                  {tensor({0.5, 1e-3, 0.3}, f64)}));
  Generator generator(3);
  for (const double size : {1e-9, 1e-6, 1e-3, 1.0, 1e3, 1e6, 1e9}) {
    const Tensor x = randn({3, 4}, generator, f64) * size;
    const Tensor w = randn({4, 2}, generator, f64) / size;
    const Tensor b = randn({2}, generator, f64);
    const GradcheckReport network = gradcheck(
        [](Inputs in) { return softmax(relu(matmul(in[0], in[1]) + in[2]), 1); }, {x, w, b});
    CHECK_MESSAGE(network.ok(), "size ", size, "\n", network.to_string());
    const GradcheckReport normed = gradcheck([](Inputs in) { return layer_norm(in[0], {4}); }, {x});
    CHECK_MESSAGE(normed.ok(), "size ", size, "\n", normed.to_string());
  }
  // The small element's gradient is 1e-9 of the other one's, and of the wrong sign.
  const Function wrong = [](Inputs in) {
    const Tensor small = slice(in[0], 0, 1, 2);
    return concat({square(slice(in[0], 0, 0, 1)), 2.0 * small.detach() - small}, 0);
  };
  const GradcheckReport report = gradcheck(wrong, {tensor({3e5, 0.01}, f64)});
  CHECK_FALSE(report.rows[0].ok);
  CHECK(report.rows[0].worst_index == Shape{1});
}

TEST_CASE("gradcheck: gradients that are 0 by theory, saturated units and masks of -1e9") {
  Generator generator(5);
  const Tensor x = randn({6, 3}, generator, f64), b = randn({3}, generator, f64);
  const GradcheckReport bias = gradcheck(
      [](Inputs in) {
        const Tensor u = in[0] + in[1];
        const Tensor c = u - mean(u, 0, true);
        return c / sqrt(mean(square(c), 0, true) + 1e-5);
      },
      {x, b});
  CHECK_MESSAGE(bias.ok(), bias.to_string());
  CHECK(gradcheck([](Inputs in) { return sigmoid(in[0]); }, {tensor({30.0, -30.0, 500.0}, f64)}));
  CHECK(gradcheck([](Inputs in) { return cross_entropy(in[0], tensor({0, 1})); },
                  {tensor({{30.0, 0.0, -20.0}, {0.0, 50.0, 1.0}}, f64)}));
  const Tensor mask = tensor({0.0, -1e9, 0.0}, f64);
  CHECK(gradcheck([&](Inputs in) { return softmax(in[0] + mask, 0); },
                  {tensor({0.3, 0.4, -2.0}, f64)}));
}

TEST_CASE("gradcheck: at a kink what autograd gives beside it passes, and is said") {
  const Tensor x = tensor({0.0, 1.0, -1.0}, f64);
  const Function kinks[] = {
      [](Inputs in) { return relu(in[0]); }, [](Inputs in) { return abs(in[0]); },
      [](Inputs in) { return clamp(in[0], -1.0, 1.0); },
      [](Inputs in) { return max(in[0] * in[0]); }, [](Inputs in) { return maximum(in[0], 0.0); }};
  for (const Function& f : kinks) {
    const GradcheckReport report = gradcheck(f, {x});
    CHECK_MESSAGE(report.ok(), report.to_string());
    CHECK(report.rows[0].note.find("a kink at") != std::string::npos);
    CHECK(report.to_string().find(report.rows[0].note) != std::string::npos);
  }
  // Everything at a kink: the rule is looked at beside it.
  const Tensor zero = zeros({2, 2}, f64);
  CHECK(gradcheck(kinks[0], {zero}));
  const Function half = [](Inputs in) {
    const Tensor y = relu(in[0]);
    return 0.5 * y + (0.5 * y).detach();
  };
  const GradcheckReport wrong = gradcheck(half, {zero});
  CHECK_FALSE(wrong.ok());
  CHECK(wrong.rows[0].note.find("beside it autograd does not agree") != std::string::npos);
  // |x²| is smooth, and its second derivative at 0 is 2; sign(0) makes it 0 there alone.
  const GradcheckReport apart =
      gradcheck([](Inputs in) { return abs(square(in[0])); }, {tensor(0.0, f64)});
  CHECK(apart.rows[0].ok);
  CHECK_FALSE(apart.ok());
  CHECK(notes(apart).find("an operation treats this point apart") != std::string::npos);
}

namespace {

// relu with a slope at 0 of one's choice.
struct Ramp final : Op {
  double at_kink;
  explicit Ramp(double slope) : Op("test_ramp"), at_kink(slope) {}
  Tensor operator()(const Tensor& x) const {
    const Tensor value = no_grad([&] { return relu(x); });
    return record(*this, value.value_ref(), {&x}, detail::input(0), Where::current());
  }
  Tensor slope(const Tensor& x) const {
    return where(x == 0.0, at_kink, where(x > 0.0, 1.0, zeros(x.shape(), f64)));
  }
  void vjp(Vjp& r) const override { r.give(0, r.g() * slope(r.in(0))); }
  Tensor jvp(Jvp& r) const override { return r.tangent(0) * slope(r.in(0)); }
  std::vector<Sample> samples() const override { return {}; }
};

}  // namespace

TEST_CASE("gradcheck: at a kink what is not between the slopes on its sides is wrong") {
  const Tensor x = tensor({0.0, 1.0, -1.0}, f64);
  for (const double slope : {0.0, 0.3, 1.0}) {
    const Ramp ramp(slope);
    const GradcheckReport report = gradcheck([&](Inputs in) { return ramp(in[0]); }, {x});
    CHECK_MESSAGE(report.ok(), slope, "\n", report.to_string());
  }
  for (const double slope : {-2.0, -0.1, 1.1, 2.0, 3.0, 50.0}) {
    const Ramp ramp(slope);
    const GradcheckReport report =
        gradcheck([&](Inputs in) { return ramp(in[0]); }, {x}, {.order = 1});
    CHECK_MESSAGE(!report.rows[0].ok, slope);
    CHECK_MESSAGE(!report.rows[1].ok, slope);
    CHECK(report.rows[0].worst_index == Shape{0});
    CHECK(report.rows[0].note ==
          "autograd is not between the slopes on the sides of a kink at (0,)");
  }
  // Of a sum of both sides 0 is no slope, where each of the two alone may have it.
  const auto both = [](Inputs in) { return concat({relu(in[0]), relu(-in[0])}, 0); };
  const auto together = [](Inputs in) { return 2.0 * relu(in[0]) - relu(-in[0]); };
  for (std::uint64_t seed = 1; seed < 9; ++seed) {
    const GradcheckReport each = gradcheck(both, {x}, {.seed = seed});
    CHECK_MESSAGE(each.ok(), seed, "\n", each.to_string());
    CHECK_FALSE(gradcheck(together, {x}, {.seed = seed}).ok());
  }
}

TEST_CASE("gradcheck: units of a network that are all at their kinks are right") {
  for (std::uint64_t seed = 1; seed < 13; ++seed) {
    Generator generator(seed);
    const Tensor X = randn({5, 3}, generator, f64), W = zeros({3, 4}, f64), b = zeros({4}, f64);
    const Tensor V = randn({4, 2}, generator, f64), y = randn({5, 2}, generator, f64);
    const auto loss = [&](Inputs in) {
      return mean(square(matmul(relu(matmul(X, in[0]) + in[1]), V) - y));
    };
    const GradcheckReport report = gradcheck(loss, {W, b}, {.seed = seed});
    CHECK_MESSAGE(report.ok(), seed, "\n", report.to_string());
    const auto layer = [&](Inputs in) { return relu(matmul(in[0], in[1])); };
    const GradcheckReport of = gradcheck(layer, {zeros({2, 4}, f64), V}, {.seed = seed});
    CHECK_MESSAGE(of.ok(), seed, "\n", of.to_string());
  }
}

TEST_CASE("gradcheck: where differences say nothing the report says so") {
  const GradcheckReport edge =
      gradcheck([](Inputs in) { return sqrt(in[0]); }, {tensor({0.0, 4.0}, f64)});
  CHECK_MESSAGE(edge.ok(), edge.to_string());
  CHECK(edge.rows[0].note == "no finite differences at (0,)");
  const GradcheckReport hidden =
      gradcheck([](Inputs in) { return 1e9 + in[0] * 1e-9; }, {tensor(1.0, f64)});
  CHECK(hidden.ok());
  CHECK(hidden.rows[0].note == "rounding of the function hides the derivative at ()");
}

TEST_CASE("gradcheck: a function may take gradients itself") {
  const Tensor x = tensor({0.7, -1.3, 2.1}, f64), w = tensor({1.5, 0.2, -0.4}, f64);
  const auto penalty = [](std::span<const Tensor> in) {
    const Tensor g = grad(sum(square(in[0]) * in[0] * in[1]), in[0], {.create_graph = true});
    return sum(square(g));
  };
  const GradcheckReport right = gradcheck(penalty, {x, w});
  CAPTURE(right.to_string());
  CHECK(right.ok());
  // One that does not record its gradient is not differentiated.
  const auto cut = [](std::span<const Tensor> in) {
    return sum(in[0] * grad(sum(square(in[0])), in[0]));
  };
  CHECK_FALSE(gradcheck(cut, {x}).ok());
  const auto of_data = [&](std::span<const Tensor> in) { return grad(sum(w), in[0]); };
  CHECK_THROWS_AS(gradcheck(of_data, {x}), GradError);
}

TEST_CASE("gradcheck: a function that does not repeat is an error") {
  Generator generator(9);
  const Tensor x = tensor({1.0, 2.0}, f64);
  const Function noisy = [&](Inputs in) { return in[0] * uniform(0, 1, {2}, generator, f64); };
  const std::string error = error_of<ValueError>([&] { gradcheck(noisy, {x}); });
  CHECK(error.starts_with("gradcheck: the function does not repeat: it gave 0."));
  CHECK(
      error.ends_with("for the same inputs\n  at HERE\n  hint: draw what is random in it anew "
                      "from the same seed in each call"));
  const Function seeded = [](Inputs in) {
    Generator own(9);
    return in[0] * uniform(0, 1, {2}, own, f64);
  };
  CHECK(gradcheck(seeded, {x}));
}

TEST_CASE("gradcheck: an element does not repeat, however large another one is") {
  int calls = 0;
  const Function f = [&](std::span<const Tensor> at) {
    return at[0] * tensor({1e12, static_cast<double>(++calls)}, f64);
  };
  CHECK_THROWS_AS(gradcheck(f, {tensor({1.0, 1.0}, f64)}, {.order = 1, .forward = false}),
                  ValueError);
}

TEST_CASE("gradcheck looks at second derivatives without being asked") {
  const Square forgot(2, 2, 0);  // its rule reads what is not part of the graph
  const Function f = [&](Inputs in) { return forgot(in[0]); };
  const Tensor x = tensor({0.5, -1.5, 2.0}, f64);
  CHECK(gradcheck(f, {x}, {.order = 1}).ok());
  CHECK_FALSE(gradcheck(f, {x}).ok());
}

TEST_SUITE_END();
