#include <doctest/doctest.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <chainrule/core/create.hpp>
#include <chainrule/core/node.hpp>
#include <chainrule/graph/functional.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/elementwise/convert.hpp>
#include <chainrule/ops/elementwise/functions.hpp>
#include <chainrule/ops/elementwise/select.hpp>
#include <chainrule/ops/reduce/reduction.hpp>
#include <chainrule/ops/shape/indexing.hpp>
#include <chainrule/ops/shape/join.hpp>
#include <chainrule/ops/shape/manipulation.hpp>
#include <chainrule/tests/core/error_of.hpp>

using namespace chainrule;

TEST_SUITE_BEGIN("ops");

namespace {

using Numbers = std::vector<std::int64_t>;
Numbers numbers(const Tensor& x) { return x.to_vector<std::int64_t>(); }

}  // namespace

TEST_CASE("join: concat along any axis, of any dtype and strides") {
  const Tensor a = tensor({{1, 2}, {3, 4}}), b = tensor({{5, 6}});
  CHECK(concat({a, b}).shape() == Shape{3, 2});
  CHECK(numbers(concat({a, b})) == Numbers{1, 2, 3, 4, 5, 6});
  CHECK(numbers(concat({a, transpose(b)}, 1)) == Numbers{1, 2, 5, 3, 4, 6});
  CHECK(numbers(concat({transpose(a), a(slice({}, {}, -1))}, -1)) ==
        Numbers{1, 3, 3, 4, 2, 4, 1, 2});
  CHECK(numbers(concat({expand(tensor({7}), {3}), tensor({8})})) == Numbers{7, 7, 7, 8});
  CHECK(concat({tensor({true}), tensor({false, true})}).to_vector<bool>() ==
        std::vector<bool>{true, false, true});
  CHECK(concat({tensor({1.5}), tensor({2.5})}).to_vector<float>() == std::vector<float>{1.5, 2.5});
  CHECK(concat({a}).value_ref()->owner() != a.value_ref()->owner());
  CHECK(concat({zeros({0, 2}, i64), b, zeros({0, 2}, i64)}).shape() == Shape{1, 2});
  CHECK(concat({zeros({2, 0}), zeros({3, 0})}).shape() == Shape{5, 0});
}

TEST_CASE("join: stack along a new axis") {
  const Tensor a = tensor({{1, 2}, {3, 4}}), b = tensor({{5, 6}, {7, 8}});
  CHECK(stack({a, b}).shape() == Shape{2, 2, 2});
  CHECK(numbers(stack({a, b})) == Numbers{1, 2, 3, 4, 5, 6, 7, 8});
  CHECK(numbers(stack({a, b}, 1)) == Numbers{1, 2, 5, 6, 3, 4, 7, 8});
  CHECK(numbers(stack({a, transpose(b)}, 2)) == Numbers{1, 5, 2, 7, 3, 6, 4, 8});
  CHECK(numbers(stack({a, b}, -1)) == numbers(stack({a, b}, 2)));
  CHECK(numbers(stack({tensor(1), tensor(2), tensor(3)})) == Numbers{1, 2, 3});
  CHECK(stack({zeros({0, 2}), zeros({0, 2})}, 1).shape() == Shape{0, 2, 2});
}

TEST_CASE("join: many rows of few elements, of every size") {
  constexpr std::int64_t rows = 5000;
  for (const DType dtype : {boolean, f32, f64})
    for (const std::int64_t width : {1, 2, 3, 4, 5}) {
      CAPTURE(width);
      const Tensor count = reshape(arange(rows * (width + 2)), {rows, width + 2});
      const Tensor numbers_of = dtype == boolean ? sin(to(count, f64)) > 0.3 : to(count, dtype);
      const Tensor left = numbers_of(all, slice(0, width));
      const Tensor right = numbers_of(all, slice(width, width + 2));
      CHECK(numbers(to(concat({left, right}, 1), i64)) == numbers(to(numbers_of, i64)));
      const Tensor both = stack({numbers_of, numbers_of}, -1);
      CHECK(numbers(to(both(all, all, 1), i64)) == numbers(to(numbers_of, i64)));
    }
}

TEST_CASE("join: split gives views that concat joins again") {
  const Tensor x = reshape(arange(14), {2, 7});
  const std::vector<Tensor> parts = split(x, 3, 1);
  REQUIRE(parts.size() == 3);
  CHECK(parts[0].shape() == Shape{2, 3});
  CHECK(parts[2].shape() == Shape{2, 1});
  CHECK(parts[1].value_ref()->owner() == x.value_ref()->owner());
  CHECK(numbers(concat(parts, 1)) == numbers(x));
  const std::vector<Tensor> sized = split(x, {2, 0, 5}, -1);
  REQUIRE(sized.size() == 3);
  CHECK(numbers(sized[0]) == Numbers{0, 1, 7, 8});
  CHECK(sized[1].shape() == Shape{2, 0});
  CHECK(split(zeros({0, 2}), 4).size() == 1);
  CHECK(error_of<ValueError>([&] { split(x, 0); }) ==
        "split: parts of 0 positions, but 1 or more are needed\n  at HERE\n  hint: the size is "
        "that of a part, not how many parts there are");
  CHECK(error_of<ShapeError>([&] { split(x.named("x"), {2, 4}, 1); }) ==
        "split: parts of 2 + 4 positions do not make up axis 1 of x (2, 7)\n  at HERE\n  hint: "
        "their sum is its extent, 7");
  CHECK(error_of<ShapeError>([&] { split(x, {8, -1}, 1); }) ==
        "split: parts of 8 + -1 positions, of which one is negative\n  at HERE\n  hint: a part has "
        "0 positions or more; none stands for the rest");
  CHECK(error_of<ShapeError>([&] { split(x.named("x"), std::span<const std::int64_t>(), 1); }) ==
        "split: no parts of axis 1 of x (2, 7)\n  at HERE\n  hint: give the extents of the parts; "
        "their sum is 7");
  const std::string scalar =
      "split: s () has no axes\n  at HERE\n  hint: unsqueeze(x, 0) gives it one";
  CHECK(error_of<ShapeError>([] { split(tensor(1.0).named("s"), 1); }) == scalar);
  CHECK(error_of<ShapeError>([] { split(tensor(1.0).named("s"), {1}); }) == scalar);
  CHECK_THROWS_AS(split(x, 1, 2), IndexError);
}

TEST_CASE("join: a thousand operands, and ten thousand") {
  for (const std::int64_t count : {1000, 10000}) {
    CAPTURE(count);
    const std::int64_t before = live_nodes();
    {
      std::vector<Tensor> rows;
      for (std::int64_t i = 0; i < count; ++i) {
        rows.push_back(full({1, 2}, i, f64));
        if (i % 2 == 1) rows.back().requires_grad_();
      }
      const Tensor joined = concat(rows), stacked = stack(rows, 1);
      CHECK(joined.shape() == Shape{count, 2});
      CHECK(joined.at({count - 1, 1}) == static_cast<double>(count - 1));
      CHECK(stacked.shape() == Shape{1, count, 2});
      // Σ i · row i: the gradient of row i is i in both places.
      const Tensor weights = reshape(arange(count, f64), {count, 1});
      const Tensor total = sum(weights * joined) + sum(weights * stacked[0]);
      total.backward();
      CHECK_FALSE(rows[0].grad().defined());
      CHECK(rows[1].grad().to_vector<double>() == std::vector<double>{2, 2});
      CHECK(rows.back().grad().at({0, 1}) == static_cast<double>(2 * (count - 1)));
    }
    CHECK(live_nodes() == before);
  }
}

TEST_CASE("join: the same tensor twice") {
  Tensor x = tensor({1.0, 2.0}, f64).requires_grad_();
  const Tensor weights = tensor({1.0, 10.0, 100.0, 1000.0}, f64);
  CHECK(grad(sum(concat({x, x}) * weights), x).to_vector<double>() ==
        std::vector<double>{101, 1010});
  CHECK(grad(sum(stack({x, x}) * reshape(weights, {2, 2})), x).to_vector<double>() ==
        std::vector<double>{101, 1010});
}

TEST_CASE("join: what does not fit is named with the operand") {
  const Tensor a = zeros({2, 3}).named("a"), b = zeros({2, 4}).named("b");
  CHECK(
      error_of<ShapeError>([&] { concat({a, a, b}); }) ==
      "concat: operand 2 does not fit operand 0 along axis 0: b (2, 4) and a (2, 3)\n  at HERE\n  "
      "hint: all extents but that of the axis must be equal");
  CHECK(concat({a, b}, 1).shape() == Shape{2, 7});
  CHECK_THROWS_AS(concat({a, zeros({3})}), ShapeError);
  CHECK(error_of<DTypeError>([&] { concat({a, zeros({2, 3}, f64)}); }) ==
        "concat: dtypes of operands 1 and 0 differ: (2, 3) is f64, a (2, 3) is f32\n  at "
        "HERE\n  hint: convert one of them: to(x, f32)");
  CHECK(error_of<ShapeError>([&] { concat({tensor(1.0), tensor(2.0)}); }) ==
        "concat: operand 0 has no axes: ()\n  at HERE\n  hint: stack() joins scalars");
  CHECK(error_of<IndexError>([&] { concat({a, a}, 2); }) ==
        "concat: axis 2 of a (2, 3), which has 2 axes\n  at HERE\n  hint: axes go from -2 to 1");
  CHECK(error_of<ValueError>([&] { concat(std::vector<Tensor>{}); }) ==
        "concat: no tensors\n  at HERE\n  hint: the shape would be unknown");
  CHECK(error_of<ValueError>([&] { concat({a, Tensor()}); }) ==
        "concat: operand 1 is an undefined tensor\n  at HERE\n  hint: it was default-constructed, "
        "moved from, or is the grad() of a tensor that has none");
  CHECK(error_of<ShapeError>([&] { stack({a, b}); }) ==
        "stack: operand 1 has another shape than operand 0: b (2, 4) and a (2, 3)\n  at HERE\n  "
        "hint: "
        "concat() joins along an axis that the tensors have");
  CHECK(error_of<IndexError>([&] { stack({a, a}, 3); }) ==
        "stack: axis 3 of a result with 3 axes\n  at HERE\n  hint: axes go from -3 to 2");
  CHECK_THROWS_AS(stack({a, zeros({2, 3}, i64)}), DTypeError);
  Tensor deep = tensor(1.0);
  for (int i = 0; i < max_rank; ++i) deep = unsqueeze(deep, 0);
  const std::string ones = "(1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1)";
  CHECK(error_of<ShapeError>([&] { stack({deep, deep}); }) ==
        "stack: " + ones +
            " has 16 axes, and there can be no more\n  at HERE\n  hint: concat() joins "
            "along an axis that the tensors have");
  CHECK(error_of<ShapeError>([&] { unsqueeze(deep, 0); }) ==
        "unsqueeze: 17 axes from " + ones +
            ", but a tensor has at most 16\n  at HERE\n  hint: join some of its axes first: "
            "flatten(), reshape()");
}
