#include <chainrule/ops/elementwise/activations.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include <chainrule/core/create.hpp>
#include <chainrule/core/node.hpp>
#include <chainrule/core/op.hpp>
#include <chainrule/graph/functional.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/nn/linear.hpp>
#include <chainrule/ops/reduce/reduction.hpp>
#include <chainrule/ops/shape/manipulation.hpp>
#include <chainrule/tests/core/error_of.hpp>
#include <chainrule/tests/ops/elementwise/ulps.hpp>

using namespace chainrule;

TEST_SUITE_BEGIN("ops");

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
using Numbers = std::vector<double>;
using R = long double;

R sigmoid_of(R x) { return x >= 0 ? 1 / (1 + std::exp(-x)) : std::exp(x) / (1 + std::exp(x)); }
R softplus_of(R x) {
  return std::isnan(x) ? x : std::max(x, R{0}) + std::log1p(std::exp(-std::abs(x)));
}

template <class F>
Numbers slopes(F f, const Tensor& at) {
  Tensor x = at.detach().requires_grad_();
  return grad(sum(f(x)), x).template to_vector<double>();
}

}  // namespace

// The bounds are those that ops/kernels/vector_math.hpp states.
TEST_CASE("activations: values within units in the last place, at all sizes and extremes") {
  using ulps::check_all;
  check_all("sigmoid", [](const Tensor& x) { return sigmoid(x); }, sigmoid_of, 2.4);
  check_all("tanh", [](const Tensor& x) { return tanh(x); }, [](R x) { return std::tanh(x); }, 2.6);
  check_all("softplus", [](const Tensor& x) { return softplus(x); }, softplus_of, 1.6);
  check_all(
      "log_sigmoid", [](const Tensor& x) { return log_sigmoid(x); },
      [](R x) { return -softplus_of(-x); }, 1.6);
  check_all(
      "relu", [](const Tensor& x) { return relu(x); },
      [](R x) { return std::isnan(x) ? x
                       : x > 0       ? x
                                     : R{0}; }, 0);
}

TEST_CASE("activations: gradients are exact in the tails, and at the kink of relu") {
  CHECK(slopes([](const Tensor& x) { return relu(x); },
               tensor({-2.0, -0.0, 0.0, 1e-310, 3.0, infinity}, f64)) == Numbers{0, 0, 0, 1, 1, 1});
  const Tensor far = tensor({-1000.0, -700.0, 700.0, 1000.0}, f64);
  const double tiny = static_cast<double>(std::exp(R{-700}));
  const auto near = [](const Numbers& got, const Numbers& want) {
    for (std::size_t i = 0; i < want.size(); ++i)
      CHECK(got[i] == doctest::Approx(want[i]).epsilon(1e-14));
  };
  near(slopes([](const Tensor& x) { return sigmoid(x); }, far), {0, tiny, 0, 0});
  near(slopes([](const Tensor& x) { return tanh(x); }, far), {0, 0, 0, 0});
  near(slopes([](const Tensor& x) { return softplus(x); }, far), {0, tiny, 1, 1});
  const Numbers falling = slopes([](const Tensor& x) { return log_sigmoid(x); }, far);
  near(falling, {1, 1, tiny, 0});
  CHECK(falling[2] / tiny == doctest::Approx(1).epsilon(1e-14));
}

namespace {

// σ'(x) = σ(x) σ(−x) and tanh'(x) = sech² x, which long double has where f32 and f64 have 1 − y =
// 0.
R sigmoid_slope_of(R x) { return sigmoid_of(x) * sigmoid_of(-x); }
R tanh_slope_of(R x) { return std::isinf(x) ? 0 : 1 / (std::cosh(x) * std::cosh(x)); }

// The gradient of the elements' sum, as recorded by itself and as not.
template <class F>
Tensor slope_of(F f, const Tensor& at, bool recorded) {
  Tensor x = at.detach().requires_grad_();
  return grad(sum(f(x)), x, {.create_graph = recorded}).detach();
}

// linear() with this activation, of z as it is.
template <Activation activation>
Tensor fused(const Tensor& z) {
  return linear(unsqueeze(z, -1), ones({1, 1}, z.dtype()), zeros({1}, z.dtype()), activation);
}

}  // namespace

// The slopes have the errors of the values, doubled by the square, and of an exponential.
TEST_CASE("activations: slopes within units in the last place, also where the value is flat") {
  for (const bool recorded : {false, true}) {
    const auto check = [&](const char* name, auto f, R (*exact)(R), double most) {
      ulps::check_all(name, [&](const Tensor& x) { return slope_of(f, x, recorded); }, exact, most);
    };
    check("sigmoid", [](const Tensor& x) { return sigmoid(x); }, sigmoid_slope_of, 8);
    check("tanh", [](const Tensor& x) { return tanh(x); }, tanh_slope_of, 8);
    check("linear, sigmoid", fused<Activation::sigmoid>, sigmoid_slope_of, 8);
    check("linear, tanh", fused<Activation::tanh>, tanh_slope_of, 8);
  }
}

// σ'' = σ' σ''/σ', of which the last is −tanh(x/2). From |x| = ¼ on that is 1 − 2σ, of which there
// an eighth is left: the errors of σ count eightfold. Nearer to 0 that has no digits.
TEST_CASE("activations: second derivatives within units in the last place, also near 0") {
  const auto second = [](auto f) {
    return [f](const Tensor& at) {
      Tensor x = at.detach().requires_grad_();
      return grad(sum(grad(sum(f(x)), x, {.create_graph = true})), x).detach();
    };
  };
  const auto exact = [](R x) { return -sigmoid_slope_of(x) * std::tanh(x / 2); };
  ulps::check_all("sigmoid", second([](const Tensor& x) { return sigmoid(x); }), exact, 24);
  // Products of numbers below the normal ones may vanish, with their sign.
  const auto check_normal = [&](auto zero) {
    using T = decltype(zero);
    std::vector<T> x = ulps::arguments<T>(80);
    std::erase_if(x, [](T e) { return std::abs(e) < 16 * std::numeric_limits<T>::min(); });
    ulps::check<T>("linear, sigmoid", second(fused<Activation::sigmoid>), exact,
                   std::span<const T>(x), 24);
  };
  check_normal(float{});
  check_normal(double{});
}

TEST_CASE("activations: the slope of relu is 0 at NaN, as it is not above 0") {
  const Numbers nans = {std::numeric_limits<double>::quiet_NaN(), 1};
  CHECK(slopes([](const Tensor& x) { return relu(x); }, from_vector(nans)) == Numbers{0, 1});
  CHECK(slopes(fused<Activation::relu>, from_vector(nans)) == Numbers{0, 1});
}

TEST_CASE("activations: derivatives of relu are recorded, and its second one is 0") {
  Tensor x = tensor({-1.0, 2.0}, f64).requires_grad_();
  const Tensor first = grad(sum(relu(x) * relu(x)), x, {.create_graph = true});
  CHECK(first.to_vector<double>() == Numbers{0, 4});
  CHECK(grad(sum(first), x).to_vector<double>() == Numbers{0, 2});
  const Tensor slope = grad(sum(relu(x)), x, {.create_graph = true});
  CHECK(grad(sum(slope), x, {.allow_unused = true}).to_vector<double>() == Numbers{0, 0});
}

TEST_CASE("activations: a sigmoid keeps its argument for log, or does not") {
  const Tensor x = tensor({0.5, -0.5});
  REQUIRE(sigmoid(x).node() != nullptr);
  CHECK(sigmoid(x).node()->saved_input(0) == x.value_ref().get());
  CHECK_FALSE(sigmoid(x).requires_grad());
  Tensor w = x.detach().requires_grad_();
  const Tensor z = w * 2.0F;  // a parameter itself is kept in any case
  CHECK(sigmoid(z).node()->saved_input(0) == z.value_ref().get());
  CHECK(std::string(sigmoid(w).node()->op()->name()) == "sigmoid");
}

TEST_CASE("activations: views, and the result in f32") {
  const Tensor x = tensor({{-1.0f, 2.0f}, {3.0f, -4.0f}});
  CHECK(relu(transpose(x)).to_vector<float>() == std::vector<float>{0, 3, 2, 0});
  CHECK(tanh(x).dtype() == f32);
  CHECK(softplus(zeros({0, 2})).shape() == Shape{0, 2});
}

TEST_CASE("activations: errors name the op, the operand and the line") {
  const Tensor n = tensor({1, 2}).named("n");
  CHECK(error_of<DTypeError>([&] { sigmoid(n); }) ==
        "sigmoid: n (2,) holds i64, but f32 or f64 is needed\n  at HERE\n  hint: convert it: "
        "to(x, f32)");
  CHECK(error_of<DTypeError>([&] { relu(n); }) ==
        "relu: n (2,) holds i64, but f32 or f64 is needed\n  at HERE\n  hint: convert it: to(x, "
        "f32)");
  CHECK_THROWS_AS(tanh(Tensor()), ValueError);
}
