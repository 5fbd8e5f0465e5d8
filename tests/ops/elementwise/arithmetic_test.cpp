#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include <chainrule/core/create.hpp>
#include <chainrule/graph/functional.hpp>
#include <chainrule/ops/elementwise/activations.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/elementwise/convert.hpp>
#include <chainrule/ops/elementwise/functions.hpp>
#include <chainrule/ops/elementwise/select.hpp>
#include <chainrule/ops/reduce/reduction.hpp>
#include <chainrule/ops/shape/indexing.hpp>
#include <chainrule/ops/shape/manipulation.hpp>
#include <chainrule/tests/core/error_of.hpp>
#include <chainrule/tests/ops/samples/samples.hpp>

using namespace chainrule;

TEST_SUITE_BEGIN("ops");

namespace {

using Doubles = std::vector<double>;
using Numbers = std::vector<std::int64_t>;
constexpr std::int64_t low = std::numeric_limits<std::int64_t>::min();
constexpr std::int64_t high = std::numeric_limits<std::int64_t>::max();
constexpr double infinity = std::numeric_limits<double>::infinity();

}  // namespace

TEST_CASE("arithmetic: operators and functions do the same") {
  const Tensor a = tensor({6.0, -2.0}, f64), b = tensor({3.0, 4.0}, f64);
  CHECK((a + b).to_vector<double>() == Doubles{9, 2});
  CHECK((a - b).to_vector<double>() == Doubles{3, -6});
  CHECK((a * b).to_vector<double>() == Doubles{18, -8});
  CHECK((a / b).to_vector<double>() == Doubles{2, -0.5});
  CHECK((-a).to_vector<double>() == Doubles{-6, 2});
  CHECK(add(a, b).to_vector<double>() == Doubles{9, 2});
  CHECK(sub(a, b).to_vector<double>() == Doubles{3, -6});
  CHECK(mul(a, b).to_vector<double>() == Doubles{18, -8});
  CHECK(div(a, b).to_vector<double>() == Doubles{2, -0.5});
  CHECK(neg(a).to_vector<double>() == Doubles{-6, 2});
}

TEST_CASE("arithmetic: numbers on either side adapt to the dtype of the tensor") {
  const Tensor x = tensor({1.0, 2.0}), y = tensor({1.0, 2.0}, f64), n = tensor({1, 2});
  CHECK((1 - x).dtype() == f32);
  CHECK((1 - x).to_vector<float>() == std::vector<float>{0, -1});
  CHECK((x / 2).to_vector<float>() == std::vector<float>{0.5f, 1});
  CHECK((2 / y).to_vector<double>() == Doubles{2, 1});
  CHECK((0.1 * y).to_vector<double>() == Doubles{0.1 * 1, 0.1 * 2});
  CHECK((y + 0.1f).at({0}) == 1 + static_cast<double>(0.1f));
  CHECK((n * 3).to_vector<std::int64_t>() == Numbers{3, 6});
  CHECK((10 - n).to_vector<std::int64_t>() == Numbers{9, 8});
  CHECK((n + 2.0).to_vector<std::int64_t>() == Numbers{3, 4});
  CHECK((n + std::int64_t{9007199254740993}).at<std::int64_t>({0}) == 9007199254740994);
  CHECK(error_of<DTypeError>([&] { n * 0.5; }) ==
        "mul: the number 0.5 with (2,), which holds i64\n  at HERE\n  hint: convert the tensor "
        "first: "
        "to(x, "
        "f32)");
  // Integers beyond i64 are real numbers, and no i64.
  const std::uint64_t beyond = std::uint64_t{1} << 63;
  CHECK((y * beyond).to_vector<double>() == Doubles{0x1p63, 0x1p64});
  CHECK(error_of<DTypeError>([&] {
          n + beyond;
        }).starts_with("add: the number 9.223372036854776e+18 with "));
}

TEST_CASE("arithmetic: shapes broadcast as NumPy's") {
  const auto shape = [](const Shape& a, const Shape& b) { return (ones(a) + ones(b)).shape(); };
  CHECK(shape({2, 3}, {3}) == Shape{2, 3});
  CHECK(shape({3}, {2, 1}) == Shape{2, 3});
  CHECK(shape({2, 1, 4}, {3, 1}) == Shape{2, 3, 4});
  CHECK(shape({}, {2, 3}) == Shape{2, 3});
  CHECK(shape({1}, {}) == Shape{1});
  CHECK(shape({1, 1, 1}, {2}) == Shape{1, 1, 2});
  CHECK(shape({0, 3}, {1}) == Shape{0, 3});
  CHECK(shape({1, 0}, {4, 1}) == Shape{4, 0});
  const Tensor column = tensor({{1.0}, {2.0}}, f64), row = tensor({10.0, 20.0, 30.0}, f64);
  CHECK((column + row).to_vector<double>() == Doubles{11, 21, 31, 12, 22, 32});
  CHECK((row - column).to_vector<double>() == Doubles{9, 19, 29, 8, 18, 28});
}

TEST_CASE("arithmetic: every pair of shapes, in every layout") {
  const Shape shapes[] = {{},     {1},       {3},       {1, 3},    {2, 1},
                          {2, 3}, {4, 2, 3}, {4, 1, 3}, {1, 2, 1}, {4, 1, 1}};
  const reference::Function product = reference::of("mul");
  for (const Shape& p : shapes)
    for (const Shape& q : shapes) {
      const samples::Arrays both = {samples::direction(p, 1), samples::direction(q, 2)};
      const reference::Array want = product(both, "");
      const Tensor a = samples::tensor_of(both[0], f64), b = samples::tensor_of(both[1], f64);
      CHECK(samples::compare("a ⊗ b", a * b, want, 1e-16L) == "");
      for (const samples::Layout& left : samples::layouts())
        for (const samples::Layout& right : samples::layouts())
          CHECK(samples::compare("a ⊗ b", left.apply(a) * right.apply(b), want, 1e-16L) == "");
    }
}

TEST_CASE("arithmetic: rows of few elements, of more than one block") {
  const std::pair<Shape, Shape> shapes[] = {
      {{700, 3}, {700, 1}}, {{1, 5}, {300, 1}},        {{300, 1, 4}, {3, 4}},
      {{90, 4, 3}, {4, 1}}, {{90, 4, 3}, {90, 1, 1}},  {{11, 10, 9, 2}, {10, 1, 2}},
      {{40, 31}, {40, 1}},  {{6, 6, 6, 6}, {6, 1, 6}}, {{2000, 2}, {1}}};
  const reference::Function product = reference::of("mul");
  for (const auto& [p, q] : shapes) {
    const samples::Arrays both = {samples::direction(p, 1), samples::direction(q, 2)};
    const reference::Array want = product(both, "");
    for (const DType dtype : {f32, f64}) {
      const Tensor a = samples::tensor_of(both[0], dtype), b = samples::tensor_of(both[1], dtype);
      for (const samples::Layout& left : samples::layouts())
        for (const samples::Layout& right : samples::layouts()) {
          const Tensor x = left.apply(a), y = right.apply(b);
          CHECK(samples::compare("a ⊗ b", x * y, want, dtype == f32 ? 1e-7L : 1e-16L) == "");
          // Three operands: the slope is linear in the first of them.
          const Tensor s = sigmoid(y), once = detail::sigmoid_slope(ones_like(y), s, y);
          const Tensor apart = abs(detail::sigmoid_slope(x, s, y) - x * once);
          CHECK(max(apart).item() <= (dtype == f32 ? 1e-6 : 1e-15));
        }
    }
  }
}

TEST_CASE("arithmetic: gradients have the shapes of the operands") {
  Tensor column = tensor({{1.0}, {2.0}}, f64).requires_grad_();
  Tensor row = tensor({10.0, 20.0, 30.0}, f64).requires_grad_();
  Tensor number = tensor(2.0, f64).requires_grad_();
  const std::vector<Tensor> g =
      grad(sum(column * row / number), std::vector<Tensor>{column, row, number});
  CHECK(g[0].shape() == Shape{2, 1});
  CHECK(g[0].to_vector<double>() == Doubles{30, 30});
  CHECK(g[1].to_vector<double>() == Doubles{1.5, 1.5, 1.5});
  CHECK(g[2].shape() == Shape{});
  CHECK(g[2].item() == -45);  // −Σ c·r / n²
}

TEST_CASE("arithmetic: gradients of quotients as far as these are numbers") {
  const auto slopes = [](double above, double below, double g) {
    Tensor x = tensor(above).requires_grad_(), y = tensor(below).requires_grad_();
    const std::vector<Tensor> both = grad(x / y * g, {x, y});
    return Doubles{both[0].item(), both[1].item()};
  };
  // −g x / y² is −0 though g / y overflows.
  for (const double below : {1e-37, 1e-38, 2e-39, 1e-40, 1e-44}) {
    const double slope = slopes(0, below, 1)[1];
    CHECK(slope == 0);
    CHECK(std::signbit(slope));
  }
  // Here y² underflows or overflows, and the result does not.
  for (const double size : {1e-30, 1e-20, 1e-3, 1.0, 1e15, 1e30})
    for (const double g : {1e-6, 1.0, 3.0}) {
      // The numbers as f32 has them.
      const long double y = static_cast<float>(size), x = static_cast<float>(size * size);
      const long double seed = static_cast<float>(g);
      if (!(x >= std::numeric_limits<float>::min() && x <= std::numeric_limits<float>::max()))
        continue;
      const Doubles got = slopes(static_cast<double>(x), size, g);
      CHECK(std::abs(got[0] / static_cast<double>(seed / y) - 1) < 4e-7);
      CHECK(std::abs(got[1] / static_cast<double>(-seed * x / (y * y)) - 1) < 4e-7);
    }
  Tensor far = tensor(1e25).requires_grad_();
  CHECK(grad(reciprocal(far) * 1e25, far).item() == doctest::Approx(-1e-25).epsilon(1e-6));
}

TEST_CASE("arithmetic: i64 wraps around, floating numbers overflow to infinity") {
  const Tensor edge = tensor({high, low});
  CHECK((edge + 1).to_vector<std::int64_t>() == Numbers{low, low + 1});
  CHECK((edge - 1).to_vector<std::int64_t>() == Numbers{high - 1, high});
  CHECK((edge * 2).to_vector<std::int64_t>() == Numbers{-2, 0});
  CHECK((edge * edge).to_vector<std::int64_t>() == Numbers{1, 0});
  CHECK((-edge).to_vector<std::int64_t>() == Numbers{-high, low});
  const Tensor x = tensor({1e308, -1e308, 0.0, infinity}, f64);
  CHECK((x * 10).at({0}) == infinity);
  CHECK((x / 0).at({1}) == -infinity);
  CHECK(std::isnan((x / 0).at({2})));
  CHECK(std::isnan((x - x).at({3})));
  CHECK(std::isnan((x * 0).at({3})));
  CHECK(std::signbit((-x).at({2})));
  CHECK((tensor(1.0, f64) / (-tensor(0.0, f64))).item() == -infinity);
}

TEST_CASE("arithmetic: what does not fit is named, and the line of the operator") {
  const Tensor a = zeros({2, 3}).named("a"), b = zeros({4}).named("b");
  CHECK(error_of<ShapeError>([&] { a + b; }) ==
        "add: shapes do not broadcast: a (2, 3) and b (4,) differ in axis -1\n  at HERE\n  hint: "
        "shapes are aligned at the last axis; extents must be equal or 1");
  CHECK(
      error_of<ShapeError>([&] { mul(a, zeros({3, 3})); })
          .starts_with("mul: shapes do not broadcast: a (2, 3) and (3, 3) differ in axis -2\n  at "
                       "HERE"));
  CHECK(
      error_of<DTypeError>([&] { a - zeros({2, 3}, f64); }) ==
      "sub: dtypes differ: a (2, 3) is f32, (2, 3) is f64\n  at HERE\n  hint: convert one of them: "
      "to(x, f32)");
  CHECK(error_of<DTypeError>([&] { tensor({1, 2}) / tensor({1, 2}); }) ==
        "div: (2,) holds i64, but f32 or f64 is needed\n  at HERE\n  hint: convert it: to(x, f32)");
  CHECK(error_of<DTypeError>([&] {
          -tensor({true});
        }).starts_with("neg: (1,) holds boolean, but f32, f64 or i64 is needed\n  at HERE"));
  CHECK_THROWS_AS(tensor({true}) + tensor({true}), DTypeError);
  CHECK_THROWS_AS(zeros({0}) + zeros({3}), ShapeError);
  CHECK(error_of<ValueError>([&] {
          a + Tensor();
        }).starts_with("add: operand 1 is an undefined tensor\n  at HERE"));

  const int line = __LINE__ + 2;
  try {
    a* b;
    FAIL("nothing was thrown");
  } catch (const ShapeError& error) {
    const std::string text = error.what();
    CHECK(text.find("arithmetic_test.cpp:" + std::to_string(line)) != std::string::npos);
  }
}
