#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <string>
#include <vector>

#include <chainrule/core/create.hpp>
#include <chainrule/tests/core/error_of.hpp>

using namespace chainrule;

TEST_SUITE_BEGIN("core");

namespace {

using Floats = std::vector<float>;
using Doubles = std::vector<double>;
using Integers = std::vector<std::int64_t>;
using Booleans = std::vector<bool>;

constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr std::int64_t largest = std::numeric_limits<std::int64_t>::max();
constexpr std::int64_t least = std::numeric_limits<std::int64_t>::min();

}  // namespace

TEST_CASE("create: zeros, ones and full") {
  CHECK(zeros({2, 2}).to_vector<float>() == Floats{0, 0, 0, 0});
  CHECK(zeros({2}, boolean).to_vector<bool>() == Booleans{false, false});
  CHECK(ones({3}, f64).to_vector<double>() == Doubles{1, 1, 1});
  CHECK(ones({2}, boolean).to_vector<bool>() == Booleans{true, true});
  CHECK(full({2}, 2.5).to_vector<float>() == Floats{2.5, 2.5});
  CHECK(full({2}, 3, i64).to_vector<std::int64_t>() == Integers{3, 3});
  CHECK(full({1}, 7).dtype() == f32);
  CHECK(full({1}, largest, i64).item<std::int64_t>() == largest);
  CHECK(full({1}, 0.5, boolean).item<bool>());
  CHECK(std::isnan(full({}, not_a_number).item()));
  CHECK(zeros({}).shape() == Shape{});
  CHECK(zeros({3, 0}).numel() == 0);
  CHECK_FALSE(zeros({2}).requires_grad());
}

TEST_CASE("create: sizes and numbers that cannot be") {
  CHECK(error_of<ShapeError>([] { zeros({2, -1}); }) ==
        "zeros: negative extent in (2, -1)\n  at HERE\n  hint: write the number out: -1 for what "
        "is left is known by reshape() alone");
  CHECK(error_of<ShapeError>([] { ones({0, -1}); }) ==
        "ones: negative extent in (0, -1)\n  at HERE\n  hint: write the number out: -1 for what is "
        "left is known by reshape() alone");
  CHECK(error_of<ShapeError>([] { eye(-2); }) ==
        "eye: negative extent in (-2, -2)\n  at HERE\n  hint: write the number out: -1 for what is "
        "left is known by reshape() alone");
  CHECK(error_of<ShapeError>([] { full({std::int64_t{1} << 40, std::int64_t{1} << 40}, 1); }) ==
        "full: (1099511627776, 1099511627776) has more elements than can be counted\n  at HERE\n  "
        "hint: a tensor has at most 2^59: is an extent a product, or no extent at all?");
  const std::string hint = "\n  at HERE\n  hint: round it first, or name a floating dtype";
  CHECK(error_of<ValueError>([] { full({2}, 1.5, i64); }) == "full: 1.5 is not an i64" + hint);
  const std::string beyond =
      "\n  at HERE\n  hint: integers go from -2^63 to 2^63 - 1: name a floating dtype";
  CHECK(error_of<ValueError>([] { full({2}, not_a_number, i64); }) ==
        "full: nan is not an i64" + beyond);
  CHECK(error_of<ValueError>([] { full({2}, 0x1p63, i64); }) ==
        "full: 9.223372036854776e+18 is not an i64" + beyond);
  CHECK(full({}, -0x1p63, i64).item<std::int64_t>() == least);
  CHECK(error_of<ValueError>([] { full({2}, ~0ULL, i64); }) ==
        "full: 18446744073709551615 is not an i64" + beyond);
  CHECK(full({}, ~0ULL, f64).item() == 0x1p64);
}

TEST_CASE("create: like another tensor") {
  const Tensor x = tensor({{1.0, 2.0}}, f64).requires_grad_();
  CHECK(zeros_like(x).to_vector<double>() == Doubles{0, 0});
  CHECK(ones_like(x).shape() == Shape{1, 2});
  CHECK(full_like(x, 4).to_vector<double>() == Doubles{4, 4});
  CHECK_FALSE(ones_like(x).requires_grad());
  CHECK_THROWS_AS(zeros_like(Tensor()), ValueError);
  CHECK_THROWS_AS(full_like(tensor({1}), 0.5), ValueError);
}

TEST_CASE("create: eye") {
  CHECK(eye(2).to_vector<float>() == Floats{1, 0, 0, 1});
  CHECK(eye(2, 3, f64).to_vector<double>() == Doubles{1, 0, 0, 0, 1, 0});
  CHECK(eye(3, 2, i64).to_vector<std::int64_t>() == Integers{1, 0, 0, 1, 0, 0});
  CHECK(eye(2, boolean).to_vector<bool>() == Booleans{true, false, false, true});
  CHECK(eye(0).shape() == Shape{0, 0});
}

TEST_CASE("create: arange") {
  CHECK(arange(4).to_vector<std::int64_t>() == Integers{0, 1, 2, 3});
  CHECK(arange(2, 5).to_vector<std::int64_t>() == Integers{2, 3, 4});
  CHECK(arange(5, 0, -2).to_vector<std::int64_t>() == Integers{5, 3, 1});
  CHECK(arange(0, 7, 3).to_vector<std::int64_t>() == Integers{0, 3, 6});
  CHECK(arange(0, 6, 3).to_vector<std::int64_t>() == Integers{0, 3});
  CHECK(arange(3, f64).to_vector<double>() == Doubles{0, 1, 2});
  CHECK(arange(1.0).dtype() == f32);
  CHECK(arange(0, 1.0, 0.25).to_vector<float>() == Floats{0, 0.25, 0.5, 0.75});
  CHECK(arange(1.0, -1.0, -0.5, f64).to_vector<double>() == Doubles{1, 0.5, 0, -0.5});
  CHECK(arange(0.0, 1.25, 0.5, f64).to_vector<double>() == Doubles{0, 0.5, 1});
  CHECK(arange(0.0, 4.0, 2.0, i64).to_vector<std::int64_t>() == Integers{0, 2});
  // Element i is start + i · step, not a sum of i steps.
  CHECK(arange(0.0, 1.0, 0.1, f64).at({9}) == 9 * 0.1);
  // Nothing where stop lies on the other side.
  CHECK(arange(3, 3).numel() == 0);
  CHECK(arange(5, 2).numel() == 0);
  CHECK(arange(-1.0).numel() == 0);
  CHECK(arange(least, least + 2).to_vector<std::int64_t>() == Integers{least, least + 1});
  CHECK(arange(least, largest, largest).to_vector<std::int64_t>() ==
        Integers{least, -1, largest - 1});
  CHECK(arange(largest, least, least).to_vector<std::int64_t>() == Integers{largest, -1});
}

TEST_CASE("create: arange that cannot be") {
  CHECK(error_of<ValueError>([] { arange(0, 5, 0); }) ==
        "arange: the step is 0\n  at HERE\n  hint: full({n}, start) repeats one number");
  CHECK(error_of<ValueError>([] { arange(0.0, 5.0, 0.0); }) ==
        "arange: the step is 0\n  at HERE\n  hint: full({n}, start) repeats one number");
  CHECK(error_of<ValueError>([] { arange(not_a_number); }) ==
        "arange: stop is nan\n  at HERE\n  hint: begin, end and step are finite numbers");
  CHECK(error_of<ValueError>([] { arange(-infinity, 0.0); }) ==
        "arange: start is -inf\n  at HERE\n  hint: begin, end and step are finite numbers");
  CHECK(error_of<ValueError>([] { arange(0.0, 1.0, not_a_number); }) ==
        "arange: the step is nan\n  at HERE\n  hint: begin, end and step are finite numbers");
  CHECK(
      error_of<ValueError>([] { arange(least, largest); }) ==
      "arange: from -9223372036854775808 to 9223372036854775807 by 1 are more elements than can be "
      "counted\n  at HERE\n  hint: linspace(start, stop, count) says how many");
  CHECK(error_of<ValueError>([] { arange(-1e308, 1e308, 1e-300); }) ==
        "arange: from -1e+308 to 1e+308 by 1e-300 are more elements than can be counted\n  at "
        "HERE\n  hint: linspace(start, stop, count) says how many");
  CHECK_THROWS_AS(arange(0.0, 1.0, 0.5, i64), ValueError);
  CHECK(error_of<DTypeError>([] { arange(2, boolean); }) ==
        "arange: makes numbers, not boolean\n  at HERE\n  hint: compare them: arange(n) < k");
}

TEST_CASE("create: linspace") {
  CHECK(linspace(0, 1, 5).to_vector<float>() == Floats{0, 0.25, 0.5, 0.75, 1});
  CHECK(linspace(1, -1, 3, f64).to_vector<double>() == Doubles{1, 0, -1});
  CHECK(linspace(2, 3, 1, f64).to_vector<double>() == Doubles{2});
  CHECK(linspace(2, 3, 2, f64).to_vector<double>() == Doubles{2, 3});
  // The ends are exact whatever the step is.
  const Tensor x = linspace(0.1, 0.7, 1000, f64);
  CHECK(x.at({0}) == 0.1);
  CHECK(x.at({-1}) == 0.7);
  // The whole range of f64 does not overflow.
  CHECK(linspace(-1e308, 1e308, 3, f64).to_vector<double>() == Doubles{-1e308, 0, 1e308});
  CHECK(error_of<ValueError>([] { linspace(0, 1, 0); }) ==
        "linspace: the count is 0, but must be at least 1\n  at HERE\n  hint: it counts both "
        "ends; of no numbers, zeros({0}) is the tensor");
  CHECK(error_of<ValueError>([] { linspace(not_a_number, 1, 2); }) ==
        "linspace: start is nan\n  at HERE\n  hint: begin, end and step are finite numbers");
  CHECK(error_of<ValueError>([] { linspace(0, infinity, 2); }) ==
        "linspace: stop is inf\n  at HERE\n  hint: begin, end and step are finite numbers");
  CHECK(error_of<DTypeError>([] { linspace(0, 1, 2, i64); }) ==
        "linspace: makes f32 or f64, not i64\n  at HERE\n  hint: arange(start, stop, step) makes "
        "integers");
}

TEST_CASE("create: tensors of literals") {
  CHECK(tensor(1.5).shape() == Shape{});
  CHECK(tensor(1.5).dtype() == f32);
  CHECK(tensor(1.5f).dtype() == f32);
  CHECK(tensor(2).dtype() == i64);
  CHECK(tensor(true).dtype() == boolean);
  CHECK(tensor({1.0, 2.0}).dtype() == f32);
  CHECK(tensor({1, 2}).dtype() == i64);
  CHECK(tensor({std::int64_t{1}}).dtype() == i64);
  CHECK(tensor({true}).dtype() == boolean);
  CHECK(tensor({1, 2}, f64).to_vector<double>() == Doubles{1, 2});
  CHECK(tensor({1.0, 0.0}, boolean).to_vector<bool>() == Booleans{true, false});
  CHECK(tensor({0.1}, f64).item() == 0.1);
  CHECK(tensor({0.1}).item<float>() == 0.1f);

  const Tensor matrix = tensor({{1, 2, 3}, {4, 5, 6}});
  CHECK(matrix.shape() == Shape{2, 3});
  CHECK(matrix.to_vector<std::int64_t>() == Integers{1, 2, 3, 4, 5, 6});
  CHECK(tensor({{1.0}, {2.0}}).shape() == Shape{2, 1});
  CHECK(tensor({{1.0, 2.0}}).shape() == Shape{1, 2});
  CHECK(tensor({{{1, 2}}, {{3, 4}}, {{5, 6}}}).shape() == Shape{3, 1, 2});
  const Tensor deep = tensor({{{{1, 2}, {3, 4}}}, {{{5, 6}, {7, 8}}}}, f32);
  CHECK(deep.shape() == Shape{2, 1, 2, 2});
  CHECK(deep.to_vector<float>() == Floats{1, 2, 3, 4, 5, 6, 7, 8});
  CHECK(tensor(std::initializer_list<double>{}).shape() == Shape{0});
  CHECK(tensor(std::initializer_list<std::initializer_list<double>>{{}, {}}).shape() ==
        Shape{2, 0});
  CHECK(tensor(std::initializer_list<std::initializer_list<double>>{}).shape() == Shape{0, 0});
  CHECK_THROWS_AS(tensor({0.5}, i64), ValueError);
}

TEST_CASE("create: ragged lists name the row") {
  const std::string hint = "\n  at HERE\n  hint: the rows of a tensor are equally long";
  CHECK(error_of<ShapeError>([] { tensor({{1.0, 2.0}, {3.0, 4.0}, {5.0}}); }) ==
        "tensor: row 2 has 1 elements, but row 0 has 2" + hint);
  CHECK(error_of<ShapeError>([] { tensor({{1.0}, {}}); }) ==
        "tensor: row 1 has 0 elements, but row 0 has 1" + hint);
  CHECK(error_of<ShapeError>([] { tensor({{}, {1.0}}); }) ==
        "tensor: row 1 has 1 elements, but row 0 has 0" + hint);
  CHECK(error_of<ShapeError>([] { tensor({{{1, 2}, {3, 4}}, {{5, 6}, {7}}}); }) ==
        "tensor: row (1, 1) has 1 elements, but row (0, 0) has 2" + hint);
  CHECK(error_of<ShapeError>([] { tensor({{{1, 2}, {3, 4}}, {{5, 6}}}); }) ==
        "tensor: row 1 has 1 elements, but row 0 has 2" + hint);
}

TEST_CASE("create: copies of spans and vectors") {
  std::vector<double> numbers{1, 2, 3, 4};
  const Tensor x = from_vector(numbers, {2, 2});
  CHECK(x.dtype() == f64);
  CHECK(x.at({1, 0}) == 3);
  numbers[2] = 9;
  CHECK(x.at({1, 0}) == 3);
  CHECK(from_vector(numbers).shape() == Shape{4});
  CHECK(from_span(std::span<const double>(numbers), {4}).at({2}) == 9);
  CHECK(from_span(std::span(numbers).subspan(1, 2), {2}).to_vector<double>() == Doubles{2, 9});
  CHECK(from_vector(std::vector<float>{1.5f}).dtype() == f32);
  CHECK(from_vector(std::vector<int>{-1, 2}).to_vector<std::int64_t>() == Integers{-1, 2});
  const std::array<unsigned char, 2> bytes{0, 255};
  CHECK(from_span(std::span(bytes), {2}).to_vector<std::int64_t>() == Integers{0, 255});
  CHECK(from_vector(std::vector<bool>{true, false}).to_vector<bool>() == Booleans{true, false});
  CHECK(from_vector(std::vector<double>{}, {0, 3}).shape() == Shape{0, 3});
  CHECK(error_of<ShapeError>([&] { from_vector(numbers, {3}); }) ==
        "from_vector: (3,) has 3 elements, but 4 numbers are given\n  at HERE\n  hint: the "
        "product of the extents is how many numbers there are");
  CHECK(error_of<ShapeError>([&] { from_span(std::span(numbers), {-4}); }) ==
        "from_span: negative extent in (-4,)\n  at HERE\n  hint: write the number out: -1 for what "
        "is left is known by reshape() alone");
  CHECK_THROWS_AS(from_vector(std::vector<unsigned long>{~0UL}), ValueError);
}

TEST_CASE("create: borrowed memory is shared") {
  std::vector<double> memory{1, 2, 3, 4};
  {
    Tensor x = borrow(std::span(memory), {2, 2});
    CHECK(x.data<double>().data() == memory.data());
    memory[1] = 7;
    CHECK(x.at({0, 1}) == 7);
    x.mutable_data<double>()[2] = 8;
    CHECK(memory[2] == 8);
  }
  CHECK(memory == Doubles{1, 7, 8, 4});
  CHECK(error_of<ShapeError>([&] { borrow(std::span(memory), {5}); }) ==
        "borrow: (5,) has 5 elements, but 4 numbers are given\n  at HERE\n  hint: the "
        "product of the extents is how many numbers there are");
}

TEST_CASE("create: the end of a loan is told once") {
  std::vector<float> memory(3, 1.0f);
  int ended = 0;
  const auto end = [](void* count) { ++*static_cast<int*>(count); };
  {
    const Tensor x = borrow(std::span(memory), {3}, end, &ended);
    const Tensor copy = x;
    CHECK(ended == 0);
  }
  CHECK(ended == 1);
  CHECK_THROWS_AS(borrow(std::span(memory), {4}, end, &ended), ShapeError);
  CHECK(ended == 1);
}

TEST_CASE("create: memory borrowed as const is not written") {
  const std::vector<double> memory{1, 2};
  Tensor x = borrow(std::span(memory), {2});
  CHECK(x.data<double>().data() == memory.data());
  CHECK(error_of<ValueError>([&] { x.mutable_data<double>(); }) ==
        "mutable_data: (2,) is borrowed memory that is const\n  at HERE\n  hint: borrow a span of "
        "non-const elements, or copy them with from_span");
  CHECK(x.version() == 0);
}

TEST_CASE("create: ends that are farther apart than any number") {
  CHECK(linspace(-1.7e308, 1.7e308, 2, f64).to_vector<double>() == Doubles{-1.7e308, 1.7e308});
  CHECK(linspace(-1.7e308, 1.7e308, 3, f64).to_vector<double>() == Doubles{-1.7e308, 0, 1.7e308});
  CHECK(arange(-1.5e308, 1.7e308, 0.5e308, f64).to_vector<double>() ==
        Doubles{-1.5e308, -1e308, -0.5e308, 0, 0.5e308, 1e308, 1.5e308});
  CHECK(arange(1.5e308, -1.7e308, -1.5e308, f64).to_vector<double>() ==
        Doubles{1.5e308, 0, -1.5e308});
}

TEST_SUITE_END();
