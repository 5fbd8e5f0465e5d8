#include <chainrule/ops/elementwise/select.hpp>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include <chainrule/core/create.hpp>
#include <chainrule/graph/functional.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/elementwise/convert.hpp>
#include <chainrule/ops/elementwise/functions.hpp>
#include <chainrule/ops/reduce/reduction.hpp>
#include <chainrule/ops/shape/indexing.hpp>
#include <chainrule/ops/shape/manipulation.hpp>
#include <chainrule/tests/core/error_of.hpp>

using namespace chainrule;

TEST_SUITE_BEGIN("ops");

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
const double not_a_number = std::numeric_limits<double>::quiet_NaN();
using Numbers = std::vector<double>;
using Truths = std::vector<bool>;
Truths truths(const Tensor& x) { return x.to_vector<bool>(); }
Numbers numbers(const Tensor& x) { return x.to_vector<double>(); }

}  // namespace

TEST_CASE("select: comparisons, also of NaN, infinities and zeros of either sign") {
  const Tensor a = tensor({1.0, 2.0, 3.0, not_a_number, not_a_number, infinity, -0.0}, f64);
  const Tensor b = tensor({2.0, 2.0, 1.0, not_a_number, 1.0, infinity, 0.0}, f64);
  CHECK(truths(a == b) == Truths{0, 1, 0, 0, 0, 1, 1});
  CHECK(truths(a != b) == Truths{1, 0, 1, 1, 1, 0, 0});
  CHECK(truths(a < b) == Truths{1, 0, 0, 0, 0, 0, 0});
  CHECK(truths(a <= b) == Truths{1, 1, 0, 0, 0, 1, 1});
  CHECK(truths(a > b) == Truths{0, 0, 1, 0, 0, 0, 0});
  CHECK(truths(a >= b) == Truths{0, 1, 1, 0, 0, 1, 1});
  CHECK(truths(eq(a, b)) == truths(a == b));
  CHECK(truths(ne(a, b)) == truths(a != b));
  CHECK(truths(lt(a, b)) == truths(a < b));
  CHECK(truths(le(a, b)) == truths(a <= b));
  CHECK(truths(gt(a, b)) == truths(a > b));
  CHECK(truths(ge(a, b)) == truths(a >= b));
}

TEST_CASE("select: comparisons of every dtype, with numbers on either side, broadcast") {
  const Tensor n = tensor({{1, 2}, {3, 4}});
  CHECK(truths(n >= 3) == Truths{0, 0, 1, 1});
  CHECK(truths(2 < n) == Truths{0, 0, 1, 1});
  CHECK(truths(transpose(n) == n) == Truths{1, 0, 0, 1});
  CHECK(truths(n == tensor({1, 4})) == Truths{1, 0, 0, 1});
  CHECK((tensor({{1.0}, {2.0}}) < tensor({1.5, 2.5})).shape() == Shape{2, 2});
  CHECK(truths(tensor({true, false}) == tensor({true, true})) == Truths{1, 0});
  // 2⁵³ + 1, which f64 does not have.
  const std::int64_t large = (std::int64_t{1} << 53) + 1;
  CHECK(truths(tensor({large}) == large) == Truths{1});
  CHECK(truths(tensor({large}) == large - 1) == Truths{0});
  CHECK((zeros({0, 3}) < 1).shape() == Shape{0, 3});
  CHECK((tensor({1.0}) < 2).dtype() == boolean);
  Tensor w = tensor({1.0}).requires_grad_();
  CHECK_FALSE((w < 2).requires_grad());
  CHECK(all(n == n).item<bool>());
}

TEST_CASE("select: a mask holds no numbers but 0 and 1") {
  const Tensor mask = tensor({true, false}).named("m");
  CHECK((mask == 1).to_vector<bool>() == std::vector{true, false});
  CHECK((mask == false).to_vector<bool>() == std::vector{false, true});
  CHECK(where(mask, 0, mask).to_vector<bool>() == std::vector{false, false});
  for (const double number : {2.0, 0.5, -1.0, std::nan("")})
    CHECK(error_of<DTypeError>([&] { mask == number; }) ==
          fmt::format("eq: the number {} with m (2,), which holds boolean\n  at HERE\n  hint: use "
                      "true or false, or convert the tensor first: to(x, f32)",
                      number));
  CHECK(error_of<DTypeError>([&] {
          where(mask, 3, mask);
        }).starts_with("where: the number 3 with m (2,), which holds boolean"));
}

TEST_CASE("select: booleans, and kinds of numbers") {
  const Tensor a = tensor({true, true, false, false}), b = tensor({true, false, true, false});
  CHECK(truths(logical_and(a, b)) == Truths{1, 0, 0, 0});
  CHECK(truths(logical_or(a, b)) == Truths{1, 1, 1, 0});
  CHECK(truths(logical_not(a)) == Truths{0, 0, 1, 1});
  CHECK(truths(logical_and(unsqueeze(a, 1), b)).size() == 16);
  const Tensor x = tensor({1.0, not_a_number, infinity, -infinity, 0.0, -1e308, 5e-324}, f64);
  CHECK(truths(isnan(x)) == Truths{0, 1, 0, 0, 0, 0, 0});
  CHECK(truths(isinf(x)) == Truths{0, 0, 1, 1, 0, 0, 0});
  CHECK(truths(isfinite(x)) == Truths{1, 0, 0, 0, 1, 1, 1});
  CHECK(truths(isfinite(tensor({1, 2}))) == Truths{1, 1});
  CHECK(truths(isnan(a)) == Truths{0, 0, 0, 0});
}

TEST_CASE("select: maximum and minimum share the gradient of ties and hand on NaN") {
  Tensor a = tensor({1.0, 2.0, 5.0, not_a_number, 1.0, -infinity}, f64).requires_grad_();
  Tensor b = tensor({3.0, 2.0, 4.0, 1.0, not_a_number, -infinity}, f64).requires_grad_();
  const Numbers larger = numbers(maximum(a, b)), smaller = numbers(minimum(a, b));
  CHECK(larger[0] == 3);
  CHECK(larger[1] == 2);
  CHECK(larger[2] == 5);
  CHECK(larger[5] == -infinity);
  CHECK(smaller[0] == 1);
  CHECK(smaller[2] == 4);
  for (const std::size_t i : {3, 4}) {
    CHECK(std::isnan(larger[i]));
    CHECK(std::isnan(smaller[i]));
  }
  const auto by_maximum = grad(sum(maximum(a, b)), {a, b});
  const auto by_minimum = grad(sum(minimum(a, b)), {a, b});
  const Numbers first = numbers(by_maximum[0]), second = numbers(by_maximum[1]);
  CHECK(Numbers(first.begin(), first.begin() + 3) == Numbers{0, 0.5, 1});
  CHECK(Numbers(second.begin(), second.begin() + 3) == Numbers{1, 0.5, 0});
  CHECK(first[5] == 0.5);
  CHECK(std::isnan(first[3]));
  CHECK(numbers(by_minimum[0])[0] == 1);
  CHECK(numbers(by_minimum[1])[2] == 1);
  // A number, and integers.
  CHECK(numbers(maximum(tensor({-1.0, 2.0}, f64), 0)) == Numbers{0, 2});
  CHECK(numbers(minimum(0.5, tensor({{0.0}, {1.0}}, f64))) == Numbers{0, 0.5});
  CHECK(maximum(tensor({1, 5}), tensor({3})).to_vector<std::int64_t>() ==
        std::vector<std::int64_t>{3, 5});
}

TEST_CASE("select: where chooses, broadcasts, and keeps NaN out that is not taken") {
  const Tensor condition = tensor({{true, false}, {false, true}});
  const Tensor x = tensor({{1.0, 2.0}, {3.0, 4.0}}, f64), row = tensor({10.0, 20.0}, f64);
  CHECK(numbers(where(condition, x, row)) == Numbers{1, 20, 10, 4});
  CHECK(numbers(where(transpose(condition), x, -1)) == Numbers{1, -1, -1, 4});
  CHECK(numbers(where(tensor({true, false}), row, unsqueeze(row, 1))) == Numbers{10, 10, 10, 20});
  CHECK(where(condition, 1, 2.5).dtype() == f32);
  CHECK(where(tensor(true), 1, 2).shape() == Shape{});
  CHECK(where(condition, tensor({1, 2}), 0).to_vector<std::int64_t>() ==
        std::vector<std::int64_t>{1, 0, 0, 2});
  CHECK(where(tensor({true}), zeros({0, 1}), 1).shape() == Shape{0, 1});
  CHECK(numbers(where(tensor({true, false}), tensor({1.0, not_a_number}, f64),
                      tensor({not_a_number, 2.0}, f64))) == Numbers{1, 2});
  // Against a loop, over all ways in which three operands can be spread.
  const Tensor c = arange(6) > 2;
  for (const Tensor& cond : {reshape(c, {2, 3}), reshape(c, {3, 2}).T(), c(slice(0, 3)), c[4]})
    for (const Tensor& p : {reshape(arange(6), {2, 3}), arange(3), tensor({{7}, {8}}), tensor(9)})
      for (const Tensor& q : {reshape(arange(6), {3, 2}).T(), arange(3), tensor(-1)}) {
        const Tensor got = where(cond, p, q);
        const Shape shape = got.shape();
        const Tensor spread_c = expand(cond, shape), spread_p = expand(p, shape),
                     spread_q = expand(q, shape);
        const auto cs = truths(spread_c);
        const auto ps = spread_p.to_vector<std::int64_t>(), qs = spread_q.to_vector<std::int64_t>();
        const auto values = got.to_vector<std::int64_t>();
        for (std::size_t i = 0; i < values.size(); ++i) CHECK(values[i] == (cs[i] ? ps[i] : qs[i]));
      }
  // The gradient of the side that is not taken is 0, whatever its value.
  Tensor w = tensor({4.0, -1.0}, f64).requires_grad_();
  CHECK(numbers(grad(sum(where(w > 0, w * w, 0)), w)) == Numbers{8, 0});
}

TEST_CASE("select: where broadcasts along few and many columns") {
  const auto check = [](auto zero) {
    using T = decltype(zero);
    for (const std::int64_t rows : {0, 1, 5, 300})
      for (const std::int64_t n : {1, 2, 3, 7, 8, 9, 33, 70}) {
        CAPTURE(rows);
        CAPTURE(n);
        const Shape shape{rows, n};
        const auto numbers = [&](std::int64_t from) {
          return to(reshape(arange(from, from + rows * n), shape), dtype_of<T>);
        };
        // Of each the whole, a row, a column, one number, and what stands column by column.
        const auto forms = [&](const Tensor& x) {
          std::vector<Tensor> all = {x, contiguous(x.T()).T()};
          if (rows > 0) {
            all.push_back(x(slice(0, 1)));
            all.push_back(x(chainrule::all, slice(0, 1)));
            all.push_back(x[0][0]);
          }
          return all;
        };
        for (const Tensor& c : forms(sin(to(numbers(7), f64)) > 0))
          for (const Tensor& a : forms(numbers(1)))
            for (const Tensor& b : forms(-numbers(2))) {
              const Tensor got = where(c, a, b);
              const auto spread = [&](const Tensor& x) { return expand(x, got.shape()); };
              const std::vector<bool> take = truths(spread(c));
              const std::vector<T> first = spread(a).template to_vector<T>(),
                                   second = spread(b).template to_vector<T>();
              std::vector<T> want;
              for (std::size_t i = 0; i < take.size(); ++i)
                want.push_back(take[i] ? first[i] : second[i]);
              CHECK(got.template to_vector<T>() == want);
            }
      }
  };
  check(float{});
  check(double{});
}

TEST_CASE("select: clamp, whose slope is 1 inside and at the bounds") {
  Tensor x = tensor({-2.0, -1.0, 0.5, 2.0, 2.5, not_a_number, -infinity}, f64).requires_grad_();
  const Numbers got = numbers(clamp(x, -1, 2));
  CHECK(Numbers(got.begin(), got.begin() + 5) == Numbers{-1, -1, 0.5, 2, 2});
  CHECK(std::isnan(got[5]));
  CHECK(got[6] == -1);
  CHECK(numbers(grad(sum(clamp(x, -1, 2)), x)) == Numbers{0, 1, 1, 1, 0, 0, 0});
  CHECK(numbers(clamp(tensor({-3.0, 1e300}, f64), 0, infinity)) == Numbers{0, 1e300});
  CHECK(clamp(tensor({-7, 0, 7}), -1, 2).to_vector<std::int64_t>() ==
        std::vector<std::int64_t>{-1, 0, 2});
  CHECK(clamp(transpose(tensor({{1.0f, 5.0f}, {3.0f, 7.0f}})), 2, 6).to_vector<float>() ==
        std::vector<float>{2, 3, 5, 6});
  // 0.1 is rounded to f32 as the elements are, so that an element of 0.1f is at the bound.
  Tensor tenth = tensor({0.1f}).requires_grad_();
  CHECK(grad(sum(clamp(tenth, 0, 0.1)), tenth).item() == 1);
  CHECK(numbers(clamp(tensor({5.0}, f64), 1, 1)) == Numbers{1});
}

TEST_CASE("select: errors name the op, the operands and the line of the expression") {
  const Tensor x = zeros({2, 3}).named("x"), y = zeros({2}).named("y");
  CHECK(error_of<ShapeError>([&] { (void)(x < y); }) ==
        "lt: shapes do not broadcast: x (2, 3) and y (2,) differ in axis -1\n  at HERE\n  hint: "
        "shapes are aligned at the last axis; extents must be equal or 1");
  CHECK(error_of<DTypeError>([&] { (void)(x == zeros({3}, f64)); }) ==
        "eq: dtypes differ: x (2, 3) is f32, (3,) is f64\n  at HERE\n  hint: convert one of them: "
        "to(x, f32)");
  CHECK(error_of<DTypeError>([&] { (void)(tensor({1, 2}) > 0.5); }) ==
        "gt: the number 0.5 with (2,), which holds i64\n  at HERE\n  hint: convert the tensor "
        "first: to(x, "
        "f32)");
  CHECK(error_of<DTypeError>([&] { logical_and(tensor({true}), x); }) ==
        "logical_and: x (2, 3) holds f32, but boolean is needed\n  at HERE\n  hint: compare "
        "first, as in x != 0");
  CHECK(error_of<DTypeError>([&] { logical_not(x); }) ==
        "logical_not: x (2, 3) holds f32, but boolean is needed\n  at HERE\n  hint: compare "
        "first, as in x != 0");
  CHECK(error_of<DTypeError>([&] { where(x, 1, 0); }) ==
        "where: the condition x (2, 3) holds f32, but boolean is needed\n  at HERE\n  hint: "
        "compare first, as in x != 0");
  CHECK(error_of<ShapeError>([&] { where(x > 0, y, 0); }) ==
        "where: shapes do not broadcast: condition (2, 3) and a = y (2,) differ in axis -1\n  at "
        "HERE\n  hint: shapes are aligned at the last axis; extents must be equal or 1");
  CHECK(error_of<ShapeError>([&] { where(x > 0, 0, y); })
            .starts_with("where: shapes do not broadcast: condition (2, 3) and b = y (2,) differ "
                         "in axis -1\n"));
  CHECK(
      error_of<ShapeError>([&] { where(tensor(true), x, y); })
          .starts_with("where: shapes do not broadcast: a = x (2, 3) and b = y (2,) differ in axis "
                       "-1\n"));
  CHECK(error_of<DTypeError>([&] {
          where(x > 0, x, zeros({3}, i64));
        }).starts_with("where: dtypes differ: a = x (2, 3) is f32, b (3,) is i64\n"));
  CHECK(error_of<ValueError>([&] {
          where(x > 0, x, Tensor());
        }).starts_with("where: the tensor b is undefined\n"));
  CHECK(error_of<DTypeError>([&] { maximum(tensor({true}), tensor({false})); }) ==
        "maximum: (1,) holds boolean, but f32, f64 or i64 is needed\n  at HERE\n  hint: convert "
        "it: to(x, f32)");
  CHECK(error_of<ValueError>([&] { clamp(x, 2, 1); }) ==
        "clamp: the bounds 2 and 1 for x (2, 3) are in the wrong order\n  at HERE\n  hint: "
        "clamp(x, low, high): the lower bound first, and none NaN");
  CHECK_THROWS_AS(clamp(x, not_a_number, 1), ValueError);
  CHECK_THROWS_AS(clamp(tensor({1}), 0.5, 1), DTypeError);
  CHECK_THROWS_AS(clamp(x > 0, 0, 1), DTypeError);
}
