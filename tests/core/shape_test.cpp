#include <doctest/doctest.h>

#include <cstdint>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <chainrule/core/create.hpp>
#include <chainrule/core/dtype.hpp>
#include <chainrule/core/error.hpp>
#include <chainrule/core/shape.hpp>
#include <chainrule/tests/core/error_of.hpp>

using namespace chainrule;

TEST_SUITE_BEGIN("core");

TEST_CASE("dtype: names, sizes and C++ types") {
  CHECK(std::string(name_of(f32)) == "f32");
  CHECK(std::string(name_of(f64)) == "f64");
  CHECK(std::string(name_of(i64)) == "i64");
  CHECK(std::string(name_of(boolean)) == "boolean");
  CHECK(size_of(f32) == 4);
  CHECK(size_of(f64) == 8);
  CHECK(size_of(i64) == 8);
  CHECK(size_of(boolean) == sizeof(bool));
  CHECK(is_floating(f32));
  CHECK(is_floating(f64));
  CHECK_FALSE(is_floating(i64));
  CHECK_FALSE(is_floating(boolean));
  static_assert(dtype_of<float> == f32 && dtype_of<double> == f64);
  static_assert(dtype_of<std::int64_t> == i64 && dtype_of<bool> == boolean);
}

TEST_CASE("dtype: visit calls with the type that stands for it") {
  for (const DType dtype : {f32, f64, i64, boolean})
    CHECK(visit(dtype, [](auto zero) { return dtype_of<decltype(zero)>; }) == dtype);
  for (const DType dtype : {f32, f64})
    CHECK(visit_floating(dtype, [](auto zero) { return dtype_of<decltype(zero)>; }) == dtype);
}

namespace {

template <class S>
concept has_elements_set = requires { std::declval<S>()[0] = 9; };
template <class S>
concept grows = requires { std::declval<S>().push_back(9); };

}  // namespace

TEST_CASE("shape: a copy that is lost, as x.shape() gives, cannot be written to") {
  static_assert(has_elements_set<Shape&> && !has_elements_set<Shape>);
  static_assert(grows<Shape&> && !grows<Shape>);
  static_assert(std::is_assignable_v<Shape&, Shape> && !std::is_assignable_v<Shape, Shape>);
}

TEST_CASE("shape: extents, text and number of elements") {
  const Shape scalar, vector{5}, matrix{3, 4}, none{2, 0, 3};
  CHECK(to_string(scalar) == "()");
  CHECK(to_string(vector) == "(5,)");
  CHECK(to_string(matrix) == "(3, 4)");
  CHECK(scalar.numel() == 1);
  CHECK(vector.numel() == 5);
  CHECK(matrix.numel() == 12);
  CHECK(none.numel() == 0);
  CHECK(scalar.rank() == 0);
  CHECK(scalar.empty());
  CHECK(matrix[1] == 4);
  CHECK(matrix.back() == 4);
  CHECK(std::vector<std::int64_t>(matrix.begin(), matrix.end()) == std::vector<std::int64_t>{3, 4});
  CHECK(matrix == Shape{3, 4});
  CHECK_FALSE(matrix == Shape{4, 3});
  CHECK_FALSE(matrix == Shape{3, 4, 1});
  CHECK_FALSE(scalar == Shape{1});
}

TEST_CASE("shape: push_back, insert and erase") {
  Shape shape;
  shape.push_back(2);
  shape.push_back(4);
  shape.insert(1, 3);
  CHECK(shape == Shape{2, 3, 4});
  shape.insert(0, 1);
  shape.insert(4, 5);
  CHECK(shape == Shape{1, 2, 3, 4, 5});
  shape.erase(0);
  shape.erase(3);
  shape.erase(1);
  CHECK(shape == Shape{2, 4});
  Shape copy = shape;
  copy[0] = 7;
  CHECK(shape == Shape{2, 4});
  shape = copy;
  CHECK(shape == Shape{7, 4});
}

TEST_CASE("shape: no more axes than max_rank") {
  const std::vector<std::int64_t> most(max_rank, 1), more(max_rank + 1, 1);
  Shape shape{std::span<const std::int64_t>(most)};
  CHECK(shape.rank() == max_rank);
  const std::string text = "shape: 17 axes, but a tensor has at most 16";
  const std::string hint =
      "\n  hint: a shape has one number for each axis: is it made of elements instead?";
  CHECK(error_of<ShapeError>([&] { shape.push_back(1); }) == text + hint);
  CHECK(error_of<ShapeError>([&] { shape.insert(0, 1); }) == text + hint);
  CHECK(shape.rank() == max_rank);
  CHECK(error_of<ShapeError>([&] { Shape{std::span<const std::int64_t>(more)}; }) ==
        text + "\n  at HERE" + hint);
  CHECK(error_of<ShapeError>([&] { zeros({1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}); }) ==
        text + "\n  at HERE" + hint);
}

TEST_CASE("shape: row-major strides") {
  CHECK(contiguous_strides({}) == Shape{});
  CHECK(contiguous_strides({5}) == Shape{1});
  CHECK(contiguous_strides({2, 3, 4}) == Shape{12, 4, 1});
}

TEST_CASE("error: message, location and hint") {
  CHECK(std::string(Error("what happened").what()) == "what happened");
  const Where here = Where::current();
  const std::string at =
      std::string("\n  at ") + here.file_name() + ":" + std::to_string(here.line());
  CHECK(std::string(Error("what happened", here).what()) == "what happened" + at);
  CHECK(std::string(ShapeError("what happened", here, "do this").what()) ==
        "what happened" + at + "\n  hint: do this");
  // A location without a line is left out.
  CHECK(std::string(Error("what happened", Where(), "do this").what()) ==
        "what happened\n  hint: do this");
}

TEST_CASE("error: one family, known to the standard library") {
  static_assert(std::is_base_of_v<std::runtime_error, Error>);
  static_assert(std::is_base_of_v<Error, ShapeError> && std::is_base_of_v<Error, DTypeError> &&
                std::is_base_of_v<Error, GradError> && std::is_base_of_v<Error, IndexError> &&
                std::is_base_of_v<Error, ValueError> && std::is_base_of_v<Error, IoError> &&
                std::is_base_of_v<Error, MemoryError>);
  CHECK_THROWS_AS(throw GradError("x"), Error);
}

TEST_SUITE_END();
