#include <doctest/doctest.h>

#include <cstdint>
#include <string>
#include <vector>

#include <chainrule/core/allocator.hpp>
#include <chainrule/core/create.hpp>
#include <chainrule/graph/functional.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/elementwise/functions.hpp>
#include <chainrule/ops/linalg/matmul.hpp>
#include <chainrule/ops/reduce/reduction.hpp>
#include <chainrule/ops/shape/indexing.hpp>
#include <chainrule/ops/shape/manipulation.hpp>
#include <chainrule/tests/core/error_of.hpp>

using namespace chainrule;

TEST_SUITE_BEGIN("ops");

namespace {

using Numbers = std::vector<std::int64_t>;
Numbers numbers(const Tensor& x) { return x.to_vector<std::int64_t>(); }
bool shares(const Tensor& a, const Tensor& b) {
  return a.value_ref()->owner() == b.value_ref()->owner();
}
Tensor counting(const Shape& shape) { return reshape(arange(shape.numel()), shape); }

}  // namespace

TEST_CASE("transpose and permute: views of the same elements") {
  const Tensor x = counting({2, 3}), y = counting({2, 3, 4});
  CHECK(transpose(x).shape() == Shape{3, 2});
  CHECK(numbers(transpose(x)) == Numbers{0, 3, 1, 4, 2, 5});
  CHECK(numbers(x.T()) == numbers(transpose(x)));
  CHECK(y.T().shape() == Shape{4, 3, 2});
  CHECK(tensor({1, 2}).T().shape() == Shape{2});
  CHECK(transpose(y).shape() == Shape{2, 4, 3});
  CHECK(transpose(y, 0, -1).shape() == Shape{4, 3, 2});
  CHECK(permute(y, {1, 2, 0}).shape() == Shape{3, 4, 2});
  CHECK(permute(y, {1, 2, 0}).at<int>({2, 3, 1}) == y.at<int>({1, 2, 3}));
  CHECK(numbers(permute(permute(y, {1, 2, 0}), {2, 0, 1})) == numbers(y));
  CHECK(permute(y, {-1, -3, -2}).shape() == Shape{4, 2, 3});
  for (const Tensor& view : {transpose(y), y.T(), permute(y, {1, 2, 0})}) CHECK(shares(view, y));
  CHECK(transpose(zeros({0, 3})).shape() == Shape{3, 0});
}

TEST_CASE("reshape: row-major order, a view where the strides allow it") {
  const Tensor x = counting({2, 6});
  CHECK(reshape(x, {3, -1}).shape() == Shape{3, 4});
  CHECK(numbers(reshape(x, {3, 4})) == numbers(x));
  CHECK(shares(reshape(x, {2, 2, 3}), x));
  CHECK(reshape(tensor({5}), {}).shape() == Shape{});
  CHECK(reshape(tensor(5), {1, 1}).shape() == Shape{1, 1});
  CHECK(numbers(reshape(transpose(x), {4, 3})) == Numbers{0, 6, 1, 7, 2, 8, 3, 9, 4, 10, 5, 11});
  CHECK_FALSE(shares(reshape(transpose(x), {4, 3}), x));
  // The rows of a slice of columns can be cut, but not joined.
  const Tensor part = x(all, slice(0, 4));
  CHECK(shares(reshape(part, {2, 2, 2}), x));
  CHECK(numbers(reshape(part, {2, 2, 2})) == Numbers{0, 1, 2, 3, 6, 7, 8, 9});
  CHECK_FALSE(shares(reshape(part, {8}), x));
  CHECK(numbers(reshape(part, {8})) == Numbers{0, 1, 2, 3, 6, 7, 8, 9});
  CHECK(numbers(reshape(x(slice({}, {}, -1), all), {12})) ==
        Numbers{6, 7, 8, 9, 10, 11, 0, 1, 2, 3, 4, 5});
  CHECK(reshape(zeros({0, 3}), {5, 0}).shape() == Shape{5, 0});
}

TEST_CASE("reshape: every factorisation of every stride pattern keeps the order") {
  const Tensor base = counting({2, 3, 4, 2});
  int wrong = 0;
  for (const Tensor& x :
       {base, base.T(), transpose(base, 1, 2), transpose(base, 0, 1), base(all, slice({}, {}, -1)),
        base(all, all, slice(0, 3)), base(all, all, all, slice({}, {}, -1)),
        expand(base(all, slice(0, 1)), {2, 3, 4, 2}), base(1), base(all, 1)}) {
    const Numbers want = numbers(x);
    const std::int64_t n = x.numel();
    for (std::int64_t a = 1; a <= n; ++a)
      for (std::int64_t b = 1; n % a == 0 && b <= n / a; ++b)
        if (n / a % b == 0) wrong += numbers(reshape(x, {a, b, n / a / b})) != want;
  }
  CHECK(wrong == 0);
}

TEST_CASE("flatten, squeeze and unsqueeze") {
  const Tensor x = zeros({2, 1, 3, 1});
  CHECK(flatten(x).shape() == Shape{6});
  CHECK(flatten(x, 1).shape() == Shape{2, 3});
  CHECK(flatten(x, 0, 1).shape() == Shape{2, 3, 1});
  CHECK(flatten(tensor(1)).shape() == Shape{1});
  CHECK(squeeze(x).shape() == Shape{2, 3});
  CHECK(squeeze(x, 1).shape() == Shape{2, 3, 1});
  CHECK(squeeze(x, -1).shape() == Shape{2, 1, 3});
  CHECK(unsqueeze(x, 0).shape() == Shape{1, 2, 1, 3, 1});
  CHECK(unsqueeze(x, -1).shape() == Shape{2, 1, 3, 1, 1});
  CHECK(unsqueeze(tensor(1), 0).shape() == Shape{1});
  CHECK(error_of<ShapeError>([&] {
          squeeze(x.named("x"), 2);
        }).starts_with("squeeze: axis 2 of x (2, 1, 3, 1) has extent 3, not 1\n  at HERE"));
  CHECK_THROWS_AS(squeeze(x, 4), IndexError);
  CHECK(error_of<IndexError>([&] { unsqueeze(ones({2, 3}), 4); }) ==
        "unsqueeze: axis 4 of a result with 3 axes, of (2, 3)\n  at HERE\n  hint: axes go from -3 "
        "to 2");
  CHECK_THROWS_AS(unsqueeze(x, 6), IndexError);
  CHECK_THROWS_AS(flatten(x, 2, 1), IndexError);
}

TEST_CASE("expand: strides of 0") {
  const Tensor row = tensor({1, 2, 3}), column = tensor({{4}, {5}});
  CHECK(numbers(expand(row, {2, 3})) == Numbers{1, 2, 3, 1, 2, 3});
  CHECK(numbers(expand(column, {-1, 3})) == Numbers{4, 4, 4, 5, 5, 5});
  CHECK(expand(row, {2, 3}).strides() == Shape{0, 1});
  CHECK(shares(expand(row, {2, 3}), row));
  CHECK(expand(tensor(7), {0, 2}).shape() == Shape{0, 2});
  CHECK(numbers(contiguous(expand(tensor(7), {3}))) == Numbers{7, 7, 7});
  CHECK(error_of<ShapeError>([&] { expand(row.named("b"), {3, 2}); }) ==
        "expand: b (3,) does not broadcast to (3, 2)\n  at HERE\n  hint: shapes are aligned at the "
        "last axis; only extents of 1 can grow");
  CHECK_THROWS_AS(expand(column, {2}), ShapeError);
  CHECK_THROWS_AS(expand(row, {-1, 3}), ShapeError);
}

TEST_CASE("contiguous: x itself, or a copy") {
  const Tensor x = counting({2, 3});
  CHECK(contiguous(x).value_ref() == x.value_ref());
  const Tensor copy = contiguous(transpose(x));
  CHECK(copy.is_contiguous());
  CHECK_FALSE(shares(copy, x));
  CHECK(numbers(copy) == Numbers{0, 3, 1, 4, 2, 5});
}

TEST_CASE("manipulation: gradients go back through chains of views") {
  Tensor x = tensor({{1.0, 2.0, 3.0}, {4.0, 5.0, 6.0}}, f64).requires_grad_();
  const Tensor weights = arange(6, f64);
  const auto gradient = [&](const Tensor& y) {
    return grad(sum(flatten(y) * weights), x).to_vector<double>();
  };
  using Doubles = std::vector<double>;
  CHECK(gradient(x) == Doubles{0, 1, 2, 3, 4, 5});
  CHECK(gradient(x.T()) == Doubles{0, 2, 4, 1, 3, 5});
  CHECK(gradient(reshape(x.T(), {2, 3}).T()) == Doubles{0, 4, 3, 2, 1, 5});
  CHECK(gradient(unsqueeze(x, 1)(slice({}, {}, -1))) == Doubles{3, 4, 5, 0, 1, 2});
  CHECK(grad(sum(expand(x[0], {4, 3})), x).to_vector<double>() == Doubles{4, 4, 4, 0, 0, 0});
}

TEST_CASE("manipulation: what does not fit, and where") {
  const Tensor x = zeros({2, 3}).named("W");
  CHECK(error_of<ShapeError>([&] { reshape(x, {4, 2}); }) ==
        "reshape: W (2, 3) has 6 elements and cannot become (4, 2)\n  at HERE\n  hint: the "
        "products of "
        "the extents must be equal; one may be −1");
  CHECK_THROWS_AS(reshape(x, {-1, -1}), ShapeError);
  CHECK_THROWS_AS(reshape(x, {-1, 4}), ShapeError);
  CHECK(error_of<ShapeError>([&] { reshape(x, {-2, -3}); }) ==
        "reshape: W (2, 3) has 6 elements and cannot become (-2, -3)\n  at HERE\n  hint: no extent "
        "is negative, but for one that is −1 and stands for the rest");
  CHECK(error_of<IndexError>([&] { flatten(x, 1, 0); }) ==
        "flatten: axis 1 lies behind axis 0 of W (2, 3)\n  at HERE\n  hint: name the first of the "
        "axes that are joined, and then the last");
  CHECK_THROWS_AS(reshape(zeros({0, 3}), {-1, 0}), ShapeError);
  CHECK_THROWS_AS(reshape(x, {std::int64_t{1} << 62, 4}), ShapeError);
  CHECK(error_of<ShapeError>([&] { permute(x, {0, 0}); }) ==
        "permute: axes (0, 0) are not a permutation of the 2 axes of W (2, 3)\n  at HERE\n  hint: "
        "name "
        "each axis once, in the order of the result");
  CHECK_THROWS_AS(permute(x, {0}), ShapeError);
  CHECK_THROWS_AS(permute(x, {0, 2}), IndexError);
  CHECK(error_of<IndexError>([&] { transpose(x, 0, 2); }) ==
        "transpose: axis 2 of W (2, 3), which has 2 axes\n  at HERE\n  hint: axes go from -2 to 1");
}

TEST_CASE("expand: more elements than can be counted") {
  constexpr std::int64_t many = std::int64_t{1} << 32;
  CHECK_THROWS_AS(expand(ones({1}), {many, many}), ShapeError);
  CHECK_THROWS_AS(expand(ones({1}), {many, many, 0}), ShapeError);
  // Views of one element each, whose combination would be too large.
  const Tensor column = expand(ones({1, 1}), {many, 1}), row = expand(ones({1, 1}), {1, many});
  CHECK(error_of<ShapeError>([&] { column + row; }) ==
        "add: the result (4294967296, 4294967296) has more elements than can be counted\n"
        "  at HERE\n  hint: a tensor has at most 2^59");
  CHECK(error_of<ShapeError>([&] { matmul(column, row); }) ==
        "matmul: the result (4294967296, 4294967296) has more elements than can be counted\n"
        "  at HERE\n  hint: a tensor has at most 2^59");
}

TEST_CASE("a result for which there is no memory" * doctest::skip(!memory::pooled)) {
  const Tensor large = expand(ones({1}), {std::int64_t{1} << 50});
  CHECK(error_of<MemoryError>([&] { exp(large); }) ==
        "exp: no memory for (1125899906842624,) of f32\n  at HERE\n  hint: that takes "
        "4503599627370496 bytes; memory_stats() says how many are in use");
  CHECK(error_of<MemoryError>([&] { large + 1; }) ==
        "add: no memory for (1125899906842624,) of f32\n  at HERE\n  hint: that takes "
        "4503599627370496 bytes; memory_stats() says how many are in use");
}
