#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include <chainrule/core/create.hpp>
#include <chainrule/core/node.hpp>
#include <chainrule/core/recording.hpp>
#include <chainrule/graph/backward.hpp>
#include <chainrule/graph/functional.hpp>
#include <chainrule/graph/gradcheck.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/elementwise/convert.hpp>
#include <chainrule/ops/elementwise/functions.hpp>
#include <chainrule/ops/elementwise/select.hpp>
#include <chainrule/ops/reduce/reduction.hpp>
#include <chainrule/ops/shape/manipulation.hpp>
#include <chainrule/tests/core/error_of.hpp>

using namespace chainrule;

TEST_SUITE_BEGIN("ops");

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();
using Numbers = std::vector<double>;

Numbers numbers(const Tensor& x) { return x.to_vector<double>(); }

// Of 1, 2, 4, 9 the mean is 4 and the deviations are −3, −2, 0, 5: squares of 38 in all.
Tensor four() { return tensor({1.0, 2.0, 4.0, 9.0}, f64); }

// Results are quotients of small integers: some units in the last place of numbers below 100.
void check_near(const Tensor& got, const Numbers& want, double tolerance = 1e-13) {
  const Numbers values = numbers(got);
  REQUIRE(values.size() == want.size());
  for (std::size_t i = 0; i < want.size(); ++i) {
    CAPTURE(i);
    CHECK(values[i] == doctest::Approx(want[i]).epsilon(tolerance));
  }
}

}  // namespace

TEST_CASE("var_mean: values, corrections and axes") {
  const auto [var, mean] = var_mean(four());
  CHECK(mean.item() == 4);
  CHECK(var.item() == doctest::Approx(38.0 / 3).epsilon(1e-15));
  CHECK(var_mean(four(), {}, 0).var.item() == 9.5);
  CHECK(var_mean(four(), {}, 2).var.item() == 19);
  CHECK(var_mean(four(), {}, 1.5).var.item() == doctest::Approx(15.2).epsilon(1e-15));
  CHECK(var_mean(four(), {}, -1).var.item() == doctest::Approx(7.6).epsilon(1e-15));

  const Tensor x = tensor({{1.0, 2.0, 3.0}, {5.0, 2.0, -1.0}}, f64);
  check_near(var_mean(x, 0).var, {8, 0, 8});
  check_near(var_mean(x, 0).mean, {3, 2, 1});
  check_near(var_mean(x, -1).var, {1, 9});
  check_near(var_mean(x, {0, 1}, 0).var, {10.0 / 3});
  const std::vector<std::int64_t> no_axes;
  CHECK(numbers(var_mean(x, Axes(no_axes), 0).mean) == numbers(x));
  CHECK(numbers(var_mean(x, Axes(no_axes), 0).var) == Numbers(6, 0));
}

TEST_CASE("var_mean: the mean is that of mean(), for views too") {
  const Tensor x = reshape(exp(linspace(-2.0, 3.0, 60, f64)), {3, 4, 5});
  for (const Tensor& view : {x, transpose(x), permute(x, {1, 2, 0})})
    for (const Axes& axes : {Axes(), Axes(0), Axes(1), Axes(-1), Axes({0, 2}), Axes({1, 2})}) {
      const auto [var, average] = var_mean(view, axes, 0);
      CHECK(numbers(average) == numbers(mean(view, axes)));
      // Σ x² / n − mean², which loses a digit or two.
      check_near(var, numbers(mean(square(view), axes) - square(average)), 1e-12);
    }
  const Tensor repeated = expand(four(), {5, 4});
  CHECK(numbers(var_mean(repeated, 0).var) == Numbers(4, 0));
  check_near(var_mean(repeated, 1).var, Numbers(5, 38.0 / 3));
}

TEST_CASE("var_mean: shapes, with and without keepdim") {
  const Tensor x = zeros({2, 3, 4});
  const auto shapes = [](const VarMean& both) {
    CHECK(both.var.shape() == both.mean.shape());
    return both.var.shape();
  };
  CHECK(shapes(var_mean(x)) == Shape{});
  CHECK(shapes(var_mean(x, {}, 1, true)) == Shape{1, 1, 1});
  CHECK(shapes(var_mean(x, 1)) == Shape{2, 4});
  CHECK(shapes(var_mean(x, 1, 1, true)) == Shape{2, 1, 4});
  CHECK(shapes(var_mean(x, {0, -1}, 0, true)) == Shape{1, 3, 1});
  CHECK(var_mean(x).var.dtype() == f32);
  CHECK(var_mean(x).mean.dtype() == f32);
}

TEST_CASE("var_mean: digits stay where the mean is large") {
  // In f32 numbers about 10⁴ are multiples of 2⁻¹⁰, as these are; squares of them have no digit
  // left for a variance of 10⁻⁶.
  constexpr std::int64_t n = 4096;
  std::vector<float> x;
  double sum = 0, squares = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    const double off = static_cast<double>(i * 7919 % 5 - 2) / 1024;
    x.push_back(static_cast<float>(10000 + off));
    sum += off;
    squares += off * off;
  }
  const double want = (squares - sum * sum / n) / n;
  const Tensor rows = from_vector(x, {n});
  // Terms and their sums are rounded to f32: 6e-8 each, log₂ n times.
  CHECK(var_mean(rows, {}, 0).var.item() / want == doctest::Approx(1).epsilon(1e-6));
  CHECK(var_mean(expand(unsqueeze(rows, 1), {n, 3}), 0, 0).var.at({1}) / want ==
        doctest::Approx(1).epsilon(1e-6));
  // Never below 0.
  for (const float constant : {0.1F, 3e7F, -1e-30F}) {
    const double var = var_mean(full({1000}, constant)).var.item();
    CHECK(var >= 0);
    CHECK(var <= 1e-13 * constant * constant);
  }
}

TEST_CASE("var_mean: no degrees of freedom, NaN and infinities") {
  const auto one = var_mean(tensor(3.0, f64));
  CHECK(one.mean.item() == 3);
  CHECK(std::isnan(one.var.item()));
  CHECK(var_mean(tensor(3.0, f64), {}, 0).var.item() == 0);
  CHECK(std::isnan(var_mean(four(), {}, 4).var.item()));
  CHECK(std::isnan(var_mean(four(), {}, 5).var.item()));
  Tensor x = tensor({3.0}, f64).requires_grad_();
  CHECK(std::isnan(grad(var_mean(x).var, x).item()));
  CHECK(grad(var_mean(x).mean, x).item() == 1);

  const Tensor bad =
      tensor({{1.0, not_a_number}, {infinity, 1.0}, {infinity, -infinity}, {1.0, 3.0}}, f64);
  const Numbers var = numbers(var_mean(bad, 1).var), mean = numbers(var_mean(bad, 1).mean);
  for (const std::size_t i : {0, 1, 2}) CHECK(std::isnan(var[i]));
  CHECK(var[3] == 2);
  CHECK(std::isnan(mean[0]));
  CHECK(mean[1] == infinity);
  CHECK(std::isnan(mean[2]));
  CHECK(mean[3] == 2);
}

TEST_CASE("var_mean: gradients of each result, and of both") {
  Tensor x = four().requires_grad_();
  const auto fresh = [&] { return var_mean(x); };
  // 2 (x − mean) / (n − 1), and 1 / n.
  check_near(grad(fresh().var, x), {-2, -4.0 / 3, 0, 10.0 / 3});
  check_near(grad(fresh().mean, x), Numbers(4, 0.25));
  {
    const auto [var, mean] = fresh();
    check_near(grad(var * 3 + mean * 2, x), {-5.5, -3.5, 0.5, 10.5});
  }
  {
    // The two as outputs of their own.
    const auto [var, mean] = fresh();
    const Tensor outputs[] = {var, mean}, seeds[] = {tensor(3.0, f64), tensor(2.0, f64)};
    check_near(grad(outputs, seeds, std::span(&x, 1))[0], {-5.5, -3.5, 0.5, 10.5});
  }
  {
    // var / mean²: both depend on x, and the mean is there twice.
    const auto [var, mean] = fresh();
    const double v = 38.0 / 3, m = 4;
    Numbers want;
    for (const double e : {1.0, 2.0, 4.0, 9.0})
      want.push_back(2 * (e - m) / 3 / (m * m) - 2 * v / (m * m * m) / 4);
    check_near(grad(var / (mean * mean), x), want);
  }
  // Along axes, with weights for each result.
  Tensor rows = tensor({{1.0, 2.0, 3.0}, {5.0, 2.0, -1.0}}, f64).requires_grad_();
  const Tensor w = tensor({2.0, -1.0}, f64);
  for (const bool keepdim : {false, true}) {
    const auto [var, mean] = var_mean(rows, 1, 0, keepdim);
    const Tensor weights = keepdim ? unsqueeze(w, 1) : w;
    check_near(grad(sum(var * weights), rows, {.retain_graph = true}),
               {-4.0 / 3, 0, 4.0 / 3, -2, 0, 2});
    check_near(grad(sum(mean * weights), rows),
               {2.0 / 3, 2.0 / 3, 2.0 / 3, -1.0 / 3, -1.0 / 3, -1.0 / 3});
  }
}

TEST_CASE("var_mean: a result that nothing depends on has no part in the gradient") {
  // The variance of these is infinite, and would make a gradient of NaN of any weight but none.
  Tensor x = tensor({1e200, -1e200}, f64).requires_grad_();
  const auto [var, mean] = var_mean(x);
  CHECK(var.item() == infinity);
  const Tensor g = grad(mean, x);
  CHECK(numbers(g) == Numbers{0.5, 0.5});
  // It is the view that the gradient of mean() is: nothing was added to it.
  CHECK(g.strides() == Shape{0});
}

TEST_CASE("var_mean: results are in the graph as tensors of their own") {
  Tensor x = four().requires_grad_();
  const auto [var, mean] = var_mean(x);
  CHECK(var.requires_grad());
  CHECK(mean.requires_grad());
  CHECK(var.node() != mean.node());
  const auto grads = grad(var * mean, {var, mean}, {.retain_graph = true});
  CHECK(grads[0].item() == 4);
  CHECK(grads[1].item() == doctest::Approx(38.0 / 3).epsilon(1e-15));
  CHECK_FALSE(var_mean(x.detach()).var.requires_grad());
  const auto quiet = no_grad([&] { return var_mean(x); });
  CHECK_FALSE(quiet.var.requires_grad());
  CHECK_FALSE(quiet.mean.requires_grad());
}

TEST_CASE("var_mean: derivatives of second order, and forward mode") {
  const Tensor x = tensor({{0.7, -1.3, 2.1}, {-0.4, 1.9, 0.6}}, f64);
  using In = std::span<const Tensor>;
  const auto check = [&](const Function& f) {
    const auto report = gradcheck(f, {x}, {.order = 2, .step = 1e-6, .tolerance = 1e-6});
    CHECK_MESSAGE(report.ok(), report.to_string());
  };
  check([](In in) { return square(var_mean(in[0], 1).var); });
  check([](In in) { return square(var_mean(in[0], 0, 0).mean); });
  check([](In in) {
    const auto [var, mean] = var_mean(in[0], 1, 0, true);
    return (in[0] - mean) / sqrt(var + 0.1);
  });
  // ∂²var/∂x² is 2 / (n − 1) times the identity without its mean.
  const UnaryFunction variance = [](const Tensor& t) { return var_mean(t).var; };
  const Tensor t = tensor({1.0, 0.0, 0.0, 0.0}, f64);
  check_near(jvp(variance, four(), t).second, {-2});
  check_near(jvp([](const Tensor& at) { return var_mean(at).mean; }, four(), t).second, {0.25});
  Tensor at = four().requires_grad_();
  const Tensor slope = grad(var_mean(at).var, at, {.create_graph = true});
  check_near(grad(sum(slope * t), at), {0.5, -1.0 / 6, -1.0 / 6, -1.0 / 6});
}

TEST_CASE("var_mean: no elements") {
  const Tensor x = zeros({0, 3}, f64).named("x");
  CHECK(var_mean(x, 1).var.shape() == Shape{0});
  CHECK(var_mean(x, 1, 1, true).mean.shape() == Shape{0, 1});
  Tensor none = zeros({0, 3}, f64).requires_grad_();
  const auto [var, mean] = var_mean(none, 1);
  CHECK(grad(sum(var) + sum(mean), none).shape() == Shape{0, 3});
  const std::string hint =
      "\n  at HERE\n  hint: only sum, all, any and logsumexp have a value without elements";
  CHECK(error_of<ShapeError>([&] { var_mean(x); }) ==
        "var_mean: nothing to reduce: x (0, 3) has no elements" + hint);
  CHECK(error_of<ShapeError>([&] { var_mean(x, 0); }) ==
        "var_mean: nothing to reduce: x (0, 3) has no elements" + hint);
}

TEST_CASE("var_mean: errors name the op, the operand and the line") {
  const Tensor x = zeros({2, 3}).named("x");
  CHECK(error_of<IndexError>([&] { var_mean(x, 2); }) ==
        "var_mean: axis 2 of x (2, 3), which has 2 axes\n  at HERE\n  hint: axes go from -2 to 1");
  CHECK(error_of<ValueError>([&] { var_mean(x, {1, -1}); }) ==
        "var_mean: axis 1 of x (2, 3) is named twice\n  at HERE\n  hint: negative axes count from "
        "the end: -1 is the last one");
  CHECK(error_of<DTypeError>([&] { var_mean(tensor({1, 2}).named("n")); }) ==
        "var_mean: n (2,) holds i64, but f32 or f64 is needed\n  at HERE\n  hint: convert it: "
        "to(x, f32)");
  CHECK(
      error_of<ValueError>([&] { var_mean(x, {}, NAN); }) ==
      "var_mean: a correction of nan\n  at HERE\n  hint: 1 is for an estimate from a sample, 0 for "
      "the numbers themselves");
  CHECK_THROWS_AS(var_mean(x, {}, INFINITY), ValueError);
  CHECK_THROWS_AS(var_mean(x > 0), DTypeError);
  CHECK_THROWS_AS(var_mean(Tensor()), ValueError);
}

TEST_CASE("var_mean: nothing lives on") {
  const std::int64_t before = live_nodes();
  {
    Tensor x = four().requires_grad_();
    {
      const auto [var, mean] = var_mean(x);
      (var + mean).backward();
    }
    // One result alone, the other one alone, none.
    Tensor var = var_mean(x).var, mean = var_mean(x).mean;
    var_mean(x);
    grad(var, x, {.create_graph = true});
    x.zero_grad();
  }
  CHECK(live_nodes() == before);
}

TEST_SUITE_END();
