#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include <chainrule/core/create.hpp>
#include <chainrule/graph/backward.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/reduce/reduction.hpp>
#include <chainrule/ops/shape/indexing.hpp>
#include <chainrule/ops/shape/manipulation.hpp>
#include <chainrule/tests/core/error_of.hpp>

using namespace chainrule;

TEST_SUITE_BEGIN("ops");

namespace {

using Numbers = std::vector<std::int64_t>;

// (3, 4): 0 … 11
Tensor matrix() { return reshape(arange(12), {3, 4}); }
Tensor cube() { return reshape(arange(24), {2, 3, 4}); }
Numbers numbers(const Tensor& x) { return x.to_vector<std::int64_t>(); }

}  // namespace

// Not positions, although they would convert to numbers or pointers.
static_assert(!std::is_constructible_v<Index, bool>);
static_assert(!std::is_constructible_v<Index, double>);
static_assert(!std::is_constructible_v<Index, std::nullptr_t>);
static_assert(std::is_constructible_v<Index, decltype(0)>);

TEST_CASE("indexing: numbers take a position and remove the axis") {
  const Tensor x = matrix();
  CHECK(x[1].shape() == Shape{4});
  CHECK(numbers(x[1]) == Numbers{4, 5, 6, 7});
  CHECK(numbers(x[-1]) == Numbers{8, 9, 10, 11});
  CHECK(x(2, 3).shape() == Shape{});
  CHECK(x(2, 3).item<int>() == 11);
  CHECK(x(-3, -4).item<int>() == 0);
  CHECK(x[0][2].item<int>() == 2);
  CHECK(cube()(1, 2, 3).item<int>() == 23);
  CHECK(cube()(1, 2).shape() == Shape{4});
  const std::size_t unsigned_number = 2;
  CHECK(numbers(x[unsigned_number]) == Numbers{8, 9, 10, 11});
}

TEST_CASE("indexing: all, slices, newaxis and ellipsis") {
  const Tensor x = matrix(), y = cube();
  CHECK(numbers(x(all, 1)) == Numbers{1, 5, 9});
  CHECK(numbers(x(all(), 1)) == Numbers{1, 5, 9});
  CHECK(x[all].shape() == Shape{3, 4});
  CHECK(numbers(x[slice(1, 3)]) == Numbers{4, 5, 6, 7, 8, 9, 10, 11});
  CHECK(numbers(x(slice(0, {}, 2), slice({}, {}, -3))) == Numbers{3, 0, 11, 8});
  CHECK(numbers(x(slice({}, -1), -1)) == Numbers{3, 7});
  CHECK(x(slice(2, 2), all).shape() == Shape{0, 4});
  CHECK(x(newaxis, all, newaxis).shape() == Shape{1, 3, 1, 4});
  CHECK(x(all, all, newaxis).shape() == Shape{3, 4, 1});
  CHECK(numbers(x(newaxis, 1, newaxis, 2)) == Numbers{6});
  CHECK(x(newaxis, 1, newaxis, 2).shape() == Shape{1, 1});
  CHECK(y(ellipsis, 1).shape() == Shape{2, 3});
  CHECK(numbers(y(ellipsis, 1)) == Numbers{1, 5, 9, 13, 17, 21});
  CHECK(numbers(y(1, ellipsis, 0)) == Numbers{12, 16, 20});
  CHECK(y(ellipsis, newaxis).shape() == Shape{2, 3, 4, 1});
  CHECK(y(0, 1, ellipsis, 2).shape() == Shape{});
  CHECK(index(y, {1, all, slice(1, {}, 2), newaxis, ellipsis}).shape() == Shape{3, 2, 1});
  CHECK(index(x, {}).shape() == Shape{3, 4});
  CHECK(tensor(5)(newaxis).shape() == Shape{1});
  CHECK(tensor(5)(ellipsis).shape() == Shape{});
}

TEST_CASE("indexing: results are views of the same elements") {
  const Tensor x = matrix();
  for (const Tensor& view : {x[1], x(all, 1), x(slice({}, {}, -1)), x(newaxis), x(1, 2),
                             transpose(x)[1], slice(x, 1, 1, 3), select(x, 1, 2)})
    CHECK(view.value_ref()->owner() == x.value_ref()->owner());
  CHECK(x(slice({}, {}, -1), all).strides() == Shape{-4, 1});
  CHECK(x[1].is_contiguous());
  CHECK_FALSE(x(all, 1).is_contiguous());
}

TEST_CASE("indexing: slice() and select() take an axis") {
  const Tensor y = cube();
  CHECK(numbers(slice(y, 1, 1, {}, 2)) == Numbers{4, 5, 6, 7, 16, 17, 18, 19});
  CHECK(slice(y, -1, {}, 2).shape() == Shape{2, 3, 2});
  CHECK(numbers(select(y, -2, -1)) == Numbers{8, 9, 10, 11, 20, 21, 22, 23});
  CHECK(numbers(select(y, 2, 0)) == Numbers{0, 4, 8, 12, 16, 20});
}

TEST_CASE("indexing: slices clip as Python's do") {
  // Python's definition: x = i + n·k for 0 ≤ n < (j − i)/k, where i and j are reduced to the length
  // (k > 0) or the length − 1 (k < 0) when they are greater, and omitted ones become end values.
  using End = std::optional<std::int64_t>;
  const auto python = [](std::int64_t length, End i, End j, std::int64_t k) {
    const auto reduced = [&](End end, std::int64_t omitted) {
      std::int64_t at = end ? *end < 0 ? *end + length : *end : omitted;
      const std::int64_t low = k > 0 ? 0 : -1, high = k > 0 ? length : length - 1;
      return at < low ? low : at > high ? high : at;
    };
    const std::int64_t first = reduced(i, k > 0 ? 0 : length - 1);
    const std::int64_t last = reduced(j, k > 0 ? length : -1);
    Numbers taken;
    for (std::int64_t at = first; k > 0 ? at < last : at > last; at += k) taken.push_back(at);
    return taken;
  };
  const auto bound = [](End end) { return end ? Bound(*end) : Bound(); };
  std::vector<End> ends = {{}};
  for (std::int64_t end = -7; end <= 7; ++end) ends.push_back(end);
  int wrong = 0;
  for (std::int64_t length = 0; length <= 5; ++length)
    for (const End& i : ends)
      for (const End& j : ends)
        for (const std::int64_t k : {-6, -3, -2, -1, 1, 2, 3, 6})
          wrong += numbers(arange(length)[slice(bound(i), bound(j), k)]) != python(length, i, j, k);
  CHECK(wrong == 0);
  // As CPython 3.11 prints them.
  CHECK(numbers(arange(10)[slice(-3, 2, -2)]) == Numbers{7, 5, 3});
  CHECK(numbers(arange(10)[slice(100, -100, -4)]) == Numbers{9, 5, 1});
  CHECK(numbers(arange(10)[slice(-100, 3)]) == Numbers{0, 1, 2});
  CHECK(numbers(arange(10)[slice(3, -100)]) == Numbers{});
}

TEST_CASE("indexing: extreme slices") {
  constexpr std::int64_t low = std::numeric_limits<std::int64_t>::min();
  constexpr std::int64_t high = std::numeric_limits<std::int64_t>::max();
  const Tensor x = arange(5);
  CHECK(numbers(x[slice(low, high)]) == Numbers{0, 1, 2, 3, 4});
  CHECK(numbers(x[slice(high, low, low)]) == Numbers{4});
  CHECK(numbers(x[slice(1, {}, high)]) == Numbers{1});
  CHECK(numbers(x[slice(high, low, -1)]) == Numbers{4, 3, 2, 1, 0});
  CHECK(numbers(x[slice(0, std::numeric_limits<std::uint64_t>::max())]) == Numbers{0, 1, 2, 3, 4});
  CHECK(zeros({0, 3})(all, 2).shape() == Shape{0});
  CHECK(zeros({3, 0})[2].shape() == Shape{0});
  CHECK(matrix()(slice(3, {}), slice(4, {})).shape() == Shape{0, 0});
}

TEST_CASE("indexing: the gradient is g at the place and 0 elsewhere") {
  Tensor x = tensor({{1.0, 2.0, 3.0}, {4.0, 5.0, 6.0}}, f64).requires_grad_();
  const auto gradient = [&](const Tensor& y) { return grad(sum(y), x).to_vector<double>(); };
  using Doubles = std::vector<double>;
  CHECK(gradient(x[1]) == Doubles{0, 0, 0, 1, 1, 1});
  CHECK(gradient(2 * x(all, -1)) == Doubles{0, 0, 2, 0, 0, 2});
  CHECK(gradient(x(all, slice({}, {}, -2))) == Doubles{1, 0, 1, 1, 0, 1});
  CHECK(gradient(transpose(x)(0, newaxis)) == Doubles{1, 0, 0, 1, 0, 0});
  CHECK(gradient(x(slice(0, 0))) == Doubles{0, 0, 0, 0, 0, 0});
  CHECK(gradient(x(0, 0) * x(0, 0) + x(1, 2)) == Doubles{2, 0, 0, 0, 0, 1});
}

TEST_CASE("indexing: what is out of range is named with axis, extent and line") {
  const Tensor x = zeros({3, 4}).named("W1");
  CHECK(error_of<IndexError>([&] { x[3]; }) ==
        "index: index 3 is out of range for axis 0 of W1 (3, 4), whose extent is 3\n  at HERE\n  "
        "hint: positions go from -3 to 2");
  CHECK(error_of<IndexError>([&] { x(all, -5); }) ==
        "index: index -5 is out of range for axis 1 of W1 (3, 4), whose extent is 4\n  at HERE\n  "
        "hint: positions go from -4 to 3");
  CHECK(error_of<IndexError>([&] { x(ellipsis, 4); }) ==
        "index: index 4 is out of range for axis 1 of W1 (3, 4), whose extent is 4\n  at HERE\n  "
        "hint: positions go from -4 to 3");
  CHECK(error_of<IndexError>([&] { x(0, 1, 2); }) ==
        "index: 3 indices for W1 (3, 4), which has 2 axes\n  at HERE\n  hint: give one for each "
        "axis at "
        "most");
  CHECK(
      error_of<IndexError>([&] { x(ellipsis, ellipsis); }) ==
      "index: 2 times ellipsis for W1 (3, 4)\n  at HERE\n  hint: only one can stand for all other "
      "axes");
  CHECK(error_of<ValueError>([&] { x(slice(0, 2, 0)); }) ==
        "index: a step of 0 along axis 0 of W1 (3, 4)\n  at HERE\n  hint: a negative step goes "
        "backwards, a number takes one position");
  CHECK(error_of<IndexError>([&] { tensor(1.0)[0]; }) ==
        "index: 1 index for (), which has 0 axes\n  at HERE\n  hint: item() reads the number of a "
        "scalar");
  CHECK(error_of<IndexError>([&] { select(x, 0, 7); }) ==
        "select: index 7 is out of range for axis 0 of W1 (3, 4), whose extent is 3\n  at HERE\n  "
        "hint: positions go from -3 to 2");
  CHECK(error_of<IndexError>([&] { slice(x, 2, 0, 1); }) ==
        "slice: axis 2 of W1 (3, 4), which has 2 axes\n  at HERE\n  hint: axes go from -2 to 1");
  CHECK(error_of<ValueError>([&] {
          Tensor()[0];
        }).starts_with("index: the operand x is undefined\n  at HERE"));
  Tensor deep = tensor(1.0);
  for (int i = 0; i < max_rank; ++i) deep = deep(newaxis);
  CHECK(deep.rank() == max_rank);
  CHECK(error_of<ShapeError>([&] { deep(newaxis); })
            .starts_with("index: 17 axes from (1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1), "
                         "but a tensor has at most 16\n  at HERE\n  hint: join some of its axes "
                         "first: flatten(), reshape()"));
}

namespace {

template <class X>
constexpr bool takes_tensors = requires(X x) { x[x]; };

}  // namespace

TEST_CASE("indexing: a tensor is no index of [] and (), which the declarations say") {
  CHECK_FALSE(takes_tensors<Tensor>);
  CHECK(std::is_invocable_v<const Tensor&, Index, int>);
  CHECK_FALSE(std::is_invocable_v<const Tensor&, Tensor>);
  CHECK_FALSE(std::is_invocable_v<const Tensor&, Index, Tensor>);
  CHECK_FALSE(std::is_invocable_v<const Tensor&, Tensor, Index>);
}
