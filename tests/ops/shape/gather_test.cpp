#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include <chainrule/core/create.hpp>
#include <chainrule/core/random.hpp>
#include <chainrule/graph/backward.hpp>
#include <chainrule/graph/functional.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/reduce/reduction.hpp>
#include <chainrule/ops/shape/gather.hpp>
#include <chainrule/ops/shape/indexing.hpp>
#include <chainrule/ops/shape/manipulation.hpp>
#include <chainrule/tests/core/error_of.hpp>

using namespace chainrule;

TEST_SUITE_BEGIN("ops");

namespace {

using Numbers = std::vector<std::int64_t>;
using Doubles = std::vector<double>;
Numbers numbers(const Tensor& x) { return x.to_vector<std::int64_t>(); }

Tensor table() { return reshape(arange(12), {4, 3}); }  // row r is 3r, 3r + 1, 3r + 2

}  // namespace

TEST_CASE("take: an index of any shape stands for the axis") {
  const Tensor x = table();
  CHECK(numbers(take(x, tensor({3, 0, 3}))) == Numbers{9, 10, 11, 0, 1, 2, 9, 10, 11});
  CHECK(take(x, tensor({{1, 2}, {0, 3}})).shape() == Shape{2, 2, 3});
  CHECK(numbers(take(x, tensor({2, 0}), 1)) == Numbers{2, 0, 5, 3, 8, 6, 11, 9});
  CHECK(numbers(take(x, tensor({2, 0}), -1)) == numbers(take(x, tensor({2, 0}), 1)));
  CHECK(take(x, tensor({{1}, {2}}), 1).shape() == Shape{4, 2, 1});
  CHECK(numbers(take(x, tensor(2), 1)) == Numbers{2, 5, 8, 11});
  CHECK(take(x, tensor(2), 1).shape() == Shape{4});
  CHECK(take(x, zeros({0}, i64)).shape() == Shape{0, 3});
  CHECK(take(zeros({2, 0}), tensor({1, 1, 0})).shape() == Shape{3, 0});
  CHECK(take(tensor({true, false}), tensor({1, 0})).to_vector<bool>() ==
        std::vector<bool>{false, true});
  // Views on both sides.
  CHECK(numbers(take(transpose(x), expand(tensor(1), {2}))) == Numbers{1, 4, 7, 10, 1, 4, 7, 10});
  CHECK(numbers(take(x(slice({}, {}, -1), all), tensor({0, 9, 1, 9, 2, 9})[slice({}, {}, 2)], 0)) ==
        Numbers{9, 10, 11, 6, 7, 8, 3, 4, 5});
}

TEST_CASE("take: the rows of an embedding get the sum of their gradients") {
  Tensor e = tensor({{1.0, 2.0}, {3.0, 4.0}, {5.0, 6.0}}, f64).requires_grad_();
  const Tensor words = tensor({{2, 0, 2}, {2, 2, 0}});
  const Tensor weights = reshape(arange(12, f64), {2, 3, 2});
  const Tensor y = take(e, words);
  CHECK(y.at({0, 2, 1}) == 6);
  // Row 0 is at (0, 1) and (1, 2), row 2 at the other four; the weights there are 2k and 2k + 1.
  CHECK(grad(sum(y * weights), e).to_vector<double>() ==
        Doubles{2 + 10, 3 + 11, 0, 0, 0 + 4 + 6 + 8, 1 + 5 + 7 + 9});
}

TEST_CASE("gather: one element for each of the index") {
  const Tensor x = table();
  CHECK(numbers(gather(x, 1, tensor({{2}, {1}, {0}, {2}}))) == Numbers{2, 4, 6, 11});
  CHECK(numbers(gather(x, 0, tensor({{3, 0, 1}}))) == Numbers{9, 1, 5});
  CHECK(numbers(gather(x, -1, tensor({{2, 2, 0, 1}, {0, 0, 0, 1}}))) ==
        Numbers{2, 2, 0, 1, 3, 3, 3, 4});
  // Fewer positions than x along the other axis.
  CHECK(numbers(gather(x, 0, tensor({{1, 0}, {3, 3}}))) == Numbers{3, 1, 9, 10});
  CHECK(numbers(gather(transpose(x), 0, tensor({{1, 0, 2, 1}}))) == Numbers{1, 3, 8, 10});
  CHECK(gather(x, 0, zeros({0, 3}, i64)).shape() == Shape{0, 3});
  Tensor z = tensor({{0.5, 1.5}, {2.5, 3.5}}, f64).requires_grad_();
  CHECK(grad(sum(gather(z, 1, tensor({{1, 1}, {0, 1}}))), z).to_vector<double>() ==
        Doubles{0, 2, 1, 1});
}

TEST_CASE("scatter_add and index_add: places that occur twice get both") {
  const Tensor zero = zeros({2, 3}, f64), ones4 = ones({2, 2}, f64);
  CHECK(scatter_add(zero, 1, tensor({{0, 0}, {2, 1}}), ones4).to_vector<double>() ==
        Doubles{2, 0, 0, 0, 1, 1});
  CHECK(index_add(zero, 1, tensor({2, 2}), ones4).to_vector<double>() == Doubles{0, 0, 2, 0, 0, 2});
  CHECK(zero.to_vector<double>() == Doubles(6, 0));
  CHECK(numbers(index_add(tensor({1, 2}), 0, tensor({1, 1, 0}), tensor({10, 20, 30}))) ==
        Numbers{31, 32});
  Tensor x = tensor({1.0, 2.0}, f64).requires_grad_();
  Tensor s = tensor({3.0, 4.0, 5.0}, f64).requires_grad_();
  const Tensor y = index_add(x, 0, tensor({1, 0, 1}), s);
  CHECK(y.to_vector<double>() == Doubles{5, 10});
  const std::vector<Tensor> g = grad(sum(y * tensor({10.0, 100.0}, f64)), {x, s});
  CHECK(g[0].to_vector<double>() == Doubles{10, 100});
  CHECK(g[1].to_vector<double>() == Doubles{100, 10, 100});
}

TEST_CASE("index_add and scatter_add: many numbers at few places keep their digits") {
  // The errors of 2²¹ additions of equal terms in a row are of one sign, and come to some percent.
  constexpr std::int64_t n = (1 << 21) + 5;
  const double tenth = static_cast<double>(0.1F), right = tenth * n;
  const auto off = [&](const Tensor& sum) { return std::abs(sum.item() / right - 1); };
  const Tensor zero = zeros({1}), places = zeros({n}, i64), many = full({n}, 0.1F);
  CHECK(off(index_add(zero, 0, places, many)) < 1e-4);
  CHECK(off(scatter_add(zero, 0, places, many)) < 1e-4);
  Tensor w = ones({1, 1}).requires_grad_();
  CHECK(off(grad(sum(take(w, places) * 0.1F), w)) < 1e-4);
  sum(take(w, places) * 0.1F).backward();
  CHECK(off(w.grad()) < 1e-4);
}

TEST_CASE("index_add and scatter_add: many numbers at few places, whatever the axes and strides") {
  Generator generator(5);
  constexpr std::int64_t n = 30'000;
  const Tensor places = randint(0, 7, {n}, generator);
  const Numbers at = numbers(places);
  for (const int axis : {0, 1})
    for (const bool turned : {false, true}) {
      const Shape whole = axis == 0 ? Shape{7, 3} : Shape{3, 7};
      const Shape part = axis == 0 ? Shape{n, 3} : Shape{3, n};
      const Tensor source =
          turned ? randn({part[1], part[0]}, generator, f64).T() : randn(part, generator, f64);
      const Tensor x = randn(whole, generator, f64);
      Doubles right = x.to_vector<double>();
      const Doubles from = source.to_vector<double>();
      for (std::size_t i = 0; i < from.size(); ++i) {
        const std::size_t row = i / static_cast<std::size_t>(part[1]),
                          column = i % static_cast<std::size_t>(part[1]);
        const auto place = static_cast<std::size_t>(at[axis == 0 ? row : column]);
        right[axis == 0 ? place * 3 + column : row * 7 + place] += from[i];
      }
      const Tensor index = expand(axis == 0 ? unsqueeze(places, 1) : unsqueeze(places, 0), part);
      for (const Tensor& sum :
           {index_add(x, axis, places, source), scatter_add(x, axis, index, source)}) {
        const Doubles got = sum.to_vector<double>();
        for (std::size_t i = 0; i < got.size(); ++i)
          CHECK(std::abs(got[i] - right[i]) < 1e-10);  // some 4000 numbers of size 1 each
      }
    }
}

TEST_CASE("one_hot: a new last axis") {
  CHECK(one_hot(tensor({2, 0}), 3).dtype() == f32);
  CHECK(numbers(one_hot(tensor({2, 0}), 3, i64)) == Numbers{0, 0, 1, 1, 0, 0});
  CHECK(one_hot(tensor({{1}, {0}}), 2, boolean).to_vector<bool>() ==
        std::vector<bool>{false, true, true, false});
  CHECK(one_hot(tensor({{1}, {0}}), 2, boolean).shape() == Shape{2, 1, 2});
  CHECK(numbers(one_hot(tensor({0, 9, 1, 9})[slice({}, {}, 2)], 2, i64)) == Numbers{1, 0, 0, 1});
  CHECK(one_hot(zeros({0}, i64), 0).shape() == Shape{0, 0});
}

TEST_CASE("gather: positions out of range are named with place and value") {
  const Tensor x = zeros({5, 8}).named("E"), bad = tensor({{0, 1}, {4, 5}}).named("words");
  CHECK(error_of<IndexError>([&] { take(x, bad); }) ==
        "take: index 5 at (1, 1) of words (2, 2) is out of range for axis 0 of E (5, 8), whose "
        "extent "
        "is 5\n  at HERE\n  hint: positions go from 0 to 4");
  CHECK(error_of<IndexError>([&] { gather(x, 1, tensor({{0, 7}, {-1, 8}})); }) ==
        "gather: index -1 at (1, 0) of (2, 2) is out of range for axis 1 of E (5, 8), whose extent "
        "is "
        "8\n  at HERE\n  hint: negative indices in a tensor do not count from the end");
  CHECK(error_of<IndexError>([&] { one_hot(tensor({0, 10}), 10); }) ==
        "one_hot: index 10 at (1,) of (2,) is out of range for 10 classes\n  at HERE\n  hint: "
        "positions go from 0 to 9");
  CHECK(error_of<IndexError>([&] { one_hot(tensor(3), 3); }) ==
        "one_hot: index 3 at () of () is out of range for 3 classes\n  at HERE\n  hint: "
        "positions go from 0 to 2");
  CHECK_THROWS_AS(take(transpose(x), tensor({8})), IndexError);
  CHECK_THROWS_AS(take(zeros({3, 0}), tensor({3})), IndexError);
  CHECK_THROWS_AS(take(zeros({0, 3}), tensor({0})), IndexError);
  CHECK_THROWS_AS(take(x, tensor({0}), 2), IndexError);
  CHECK_THROWS_AS(take(tensor(1.0), tensor({0})), IndexError);
  CHECK_THROWS_AS(scatter_add(x, 0, tensor({{5}}), zeros({1, 1})), IndexError);
  CHECK_THROWS_AS(index_add(x, 0, tensor({-1}), zeros({1, 8})), IndexError);
}

TEST_CASE("gather: wrong shapes and dtypes") {
  const Tensor x = zeros({5, 8}).named("E");
  CHECK(error_of<DTypeError>([&] { take(x, zeros({2}).named("words")); }) ==
        "take: the index words (2,) holds f32, but i64 is needed\n  at HERE\n  hint: convert it: "
        "to(index, i64)");
  CHECK(
      error_of<ShapeError>([&] { gather(x, 1, tensor({0, 1})); }) ==
      "gather: the index (2,) does not fit E (5, 8) along axis 1\n  at HERE\n  hint: it needs as "
      "many axes, and no more positions than that along the other axes; take(x, index, axis) takes "
      "an index of any shape");
  CHECK_THROWS_AS(gather(x, 1, zeros({6, 1}, i64)), ShapeError);
  CHECK(error_of<ShapeError>([&] { index_add(x, 0, tensor({0, 1}), zeros({2, 7}).named("s")); }) ==
        "index_add: the source s (2, 7) does not have the shape (2, 8) of what is taken from E (5, "
        "8)\n  at HERE\n  hint: there is one element of the source for each that is added to");
  CHECK_THROWS_AS(scatter_add(x, 0, tensor({{0}}), zeros({1, 2})), ShapeError);
  CHECK_THROWS_AS(scatter_add(x, 0, tensor({{0}}), zeros({1, 1}, f64)), DTypeError);
  CHECK(error_of<ValueError>([&] { one_hot(tensor({0}), -2); }) ==
        "one_hot: -2 classes\n  at HERE\n  hint: the largest label and 1, or leave it out");
  CHECK_THROWS_AS(one_hot(zeros({2}), 3), DTypeError);
  const Tensor deep = zeros({1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1});
  CHECK_THROWS_AS(take(deep, tensor({{0}})), ShapeError);
  CHECK_THROWS_AS(one_hot(zeros(deep.shape(), i64), 1), ShapeError);
}

TEST_CASE("scatter_add and index_add of an undefined source") {
  const Tensor x = ones({2, 3});
  CHECK_THROWS_AS(scatter_add(x, 0, zeros({2, 3}, i64), Tensor()), ValueError);
  CHECK_THROWS_AS(index_add(x, 0, zeros({2}, i64), Tensor()), ValueError);
}

TEST_CASE("gather: a mask is no index, and not to be made one") {
  const Tensor x = tensor({1.0, 2.0, 3.0});
  CHECK(error_of<DTypeError>([&] { take(x, tensor({true, false, true})); }) ==
        "take: the index (3,) holds boolean, but i64 is needed\n  at HERE\n  hint: a mask is no "
        "index: where(mask, x, 0) keeps the shape, and positions are i64, 0 … n − 1");
  CHECK(
      error_of<DTypeError>([&] { one_hot(tensor({true, false}), 2); }) ==
      "one_hot: the index (2,) holds boolean, but i64 is needed\n  at HERE\n  hint: classes 0 and "
      "1 are what to(mask, i64) makes of it");
  CHECK(error_of<DTypeError>([&] { take(x, x); }) ==
        "take: the index (3,) holds f32, but i64 is needed\n  at HERE\n  hint: convert it: "
        "to(index, i64)");
}
