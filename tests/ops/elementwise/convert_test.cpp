#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include <chainrule/core/create.hpp>
#include <chainrule/graph/functional.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/elementwise/convert.hpp>
#include <chainrule/ops/reduce/reduction.hpp>
#include <chainrule/ops/shape/indexing.hpp>
#include <chainrule/tests/core/error_of.hpp>

using namespace chainrule;

TEST_SUITE_BEGIN("ops");

namespace {

using Numbers = std::vector<std::int64_t>;
using Bits = std::vector<bool>;
constexpr double infinity = std::numeric_limits<double>::infinity();

}  // namespace

TEST_CASE("to: between all dtypes") {
  const Tensor x = tensor({2.75, -2.75, 0.0, -0.0, 0.1}, f64);
  CHECK(to(x, f32).to_vector<float>() == std::vector<float>{2.75f, -2.75f, 0, 0, 0.1f});
  CHECK(to(to(x, f32), f64).at({4}) == static_cast<double>(0.1f));
  CHECK(to(x, i64).to_vector<std::int64_t>() == Numbers{2, -2, 0, 0, 0});
  CHECK(to(x, boolean).to_vector<bool>() == Bits{true, true, false, false, true});
  CHECK(to(tensor({3, 0, -1}), f32).to_vector<float>() == std::vector<float>{3, 0, -1});
  CHECK(to(tensor({3, 0, -1}), boolean).to_vector<bool>() == Bits{true, false, true});
  CHECK(to(tensor({true, false}), i64).to_vector<std::int64_t>() == Numbers{1, 0});
  CHECK(to(tensor({true, false}), f64).to_vector<double>() == std::vector<double>{1, 0});
  // 2^53 + 1 lies between two doubles, and goes to the even one.
  CHECK(to(tensor(std::int64_t{9007199254740993}), f64).item() == 9007199254740992.0);
  CHECK(to(zeros({2, 0}), i64).shape() == Shape{2, 0});
  CHECK(to(x[slice({}, {}, -2)], f32).to_vector<float>() == std::vector<float>{0.1f, 0, 2.75f});
}

TEST_CASE("to: the same dtype is the same tensor") {
  const Tensor x = tensor({1.5}).requires_grad_();
  CHECK(to(x, f32).value_ref() == x.value_ref());
  CHECK(to(x, f32).node() == x.node());
}

TEST_CASE("to: NaN and infinities") {
  const Tensor x = tensor({std::nan(""), infinity, -infinity, 1e300}, f64);
  const std::vector<float> y = to(x, f32).to_vector<float>();
  CHECK(std::isnan(y[0]));
  CHECK(y[1] == std::numeric_limits<float>::infinity());
  CHECK(y[2] == -std::numeric_limits<float>::infinity());
  CHECK(y[3] == std::numeric_limits<float>::infinity());
  CHECK(to(x, boolean).to_vector<bool>() == Bits{true, true, true, true});
}

TEST_CASE("to: what no i64 holds is named") {
  const double edge = 9223372036854775808.0;  // 2^63
  CHECK(to(tensor({-edge, std::nextafter(edge, 0)}, f64), i64).to_vector<std::int64_t>() ==
        Numbers{std::numeric_limits<std::int64_t>::min(), 9223372036854774784});
  CHECK(error_of<ValueError>([&] { to(tensor({{1.0, edge}}, f64).named("x"), i64); }) ==
        "to: no i64 for 9.223372036854776e+18 at (0, 1) of x (1, 2)\n  at HERE\n  hint: replace "
        "such elements first: where(isnan(x), 0.0, x), clamp(x, low, high)");
  CHECK(error_of<ValueError>([&] { to(tensor(std::nan("")), i64); }) ==
        "to: no i64 for nan at () of ()\n  at HERE\n  hint: replace such elements first: "
        "where(isnan(x), 0.0, x), clamp(x, low, high)");
  CHECK(error_of<ValueError>([&] { to(tensor({0.0, -infinity}, f32), i64); }) ==
        "to: no i64 for -inf at (1,) of (2,)\n  at HERE\n  hint: replace such elements first: "
        "where(isnan(x), 0.0, x), clamp(x, low, high)");
  CHECK_THROWS_AS(to(tensor({edge, 0.0}, f32)[slice({}, {}, -1)], i64), ValueError);
}

TEST_CASE("to: gradients come back in the dtype of x") {
  Tensor x = tensor({1.5, -2.0}, f64).requires_grad_();
  const Tensor y = to(x, f32);
  const Tensor g = grad(sum(y * y), x);
  CHECK(g.dtype() == f64);
  CHECK(g.to_vector<double>() == std::vector<double>{3, -4});
  CHECK_FALSE(to(x, i64).requires_grad());
  CHECK_FALSE(to(x, boolean).requires_grad());
  CHECK_FALSE(to(tensor({1, 2}), f32).requires_grad());
}
