#include <chainrule/graph/gradcheck.hpp>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <chainrule/core/create.hpp>
#include <chainrule/core/op.hpp>
#include <chainrule/core/recording.hpp>
#include <chainrule/ops/elementwise/activations.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/elementwise/functions.hpp>
#include <chainrule/ops/linalg/matmul.hpp>
#include <chainrule/ops/reduce/reduction.hpp>

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
  CHECK_THROWS_AS(gradcheck(first, {tensor(1.0, f64)}, {.step = -1}), ValueError);
}

TEST_CASE("gradcheck reports a gradient that is not a number") {
  const GradcheckReport report =
      gradcheck([](std::span<const Tensor> in) { return sqrt(in[0] * in[0]); }, {tensor(0.0, f64)});
  CHECK_FALSE(report.ok());
}

TEST_CASE("gradcheck: an error at a place to which it moved says so") {
  const Tensor x = tensor({0.5, 0.0}, f64).named("x");
  const auto root = [](std::span<const Tensor> in) {
    for (const double e : in[0].to_vector<double>())
      if (e < 0) throw ValueError(fmt::format("root: {} is negative", e), Where(), "clamp it");
    return sqrt(in[0] + 1.0);
  };
  CHECK(gradcheck(root, {x + 1e-3}).ok());
  CHECK(error_of<ValueError>([&] { gradcheck(root, {x}); }) ==
        "root: -1e-06 is negative\n  in gradcheck, where it moves element (1,) of input 0 (x) by "
        "-1e-06\n  hint: the function must be defined a step of 1e-06 around its inputs: give "
        "others, or a smaller .step");
}

TEST_CASE("gradcheck: its errors name it, and the line of the call") {
  const Tensor x = tensor({1.0, 2.0}, f64);
  const Function total = [](std::span<const Tensor> at) { return sum(at[0]); };
  CHECK(error_of<ValueError>([&] { gradcheck(total, {Tensor()}); }) ==
        "gradcheck: the input 0 is undefined\n  at HERE\n  hint: it was default-constructed, or is "
        "the grad() of a tensor that has none");
  int call = 0;
  const Function changes = [&](std::span<const Tensor> at) {
    return ++call > 3 ? at[0] : sum(at[0]);
  };
  CHECK(error_of<ShapeError>([&] {
          gradcheck(changes, {x});
        }).starts_with("gradcheck: the function gives (2,), and gave () before\n  at HERE"));
  call = 0;
  const Function ends = [&](std::span<const Tensor> at) {
    return ++call > 3 ? Tensor() : sum(at[0]);
  };
  CHECK(
      error_of<ValueError>([&] { gradcheck(ends, {x}); })
          .starts_with("gradcheck: the function returned an undefined tensor\n  at HERE\n  hint: "
                       "return its result from all paths; a tensor without a value is undefined"));
}

TEST_SUITE_END();
