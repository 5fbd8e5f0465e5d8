#include <chainrule/ops/define.hpp>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include <chainrule/tests/core/error_of.hpp>

using namespace chainrule;

TEST_SUITE_BEGIN("ops");

namespace {

// Throw at 7 and at 8.
template <class T>
T unless_taken(T x) {
  if (x == T{7}) throw ValueError("7 is taken", Where(), "take another");
  if (x == T{8}) throw std::runtime_error("8 is taken");
  return x;
}
struct Picky final : UnaryOp<Picky> {
  Picky() : UnaryOp("picky") {}
  static constexpr bool integers = true;
  static constexpr Node::SavedMask saved = 0;
  template <class T>
  static T value(T x) {
    return unless_taken(x);
  }
  static Tensor slope(const Application&, Tensor g) { return g; }
  std::vector<Sample> samples() const override { return {}; }
};
struct PickyPair final : BinaryOp<PickyPair> {
  PickyPair() : BinaryOp("picky_pair") {}
  static constexpr bool integers = true;
  static Node::SavedMask saved(bool, bool) { return 0; }
  template <class T>
  static T value(T x, T) {
    return unless_taken(x);
  }
  std::vector<Sample> samples() const override { return {}; }
};

}  // namespace

TEST_CASE("elementwise: an error of value() gets the name of the op and the user's line") {
  const Picky one;
  const PickyPair two;
  const Where here = Where::current();
  const std::string place =
      fmt::format("\n  at {}:{}\n  hint: take another", here.file_name(), here.line());
  for (const std::int64_t n : {1, 100, 3'000'000})
    for (const DType dtype : {f32, f64, i64}) {
      const Tensor seven = full({n}, 7, dtype), eight = full({n}, 8, dtype),
                   zero = zeros({1}, dtype);
      CHECK(error_of<ValueError>([&] { one(seven, here); }) == "7 is taken\n  in picky" + place);
      CHECK(error_of<ValueError>([&] { two(seven, zero, here); }) ==
            "7 is taken\n  in picky_pair" + place);
      CHECK_THROWS_AS(one(eight, here), std::runtime_error);
      CHECK_THROWS_AS(two(eight, zero, here), std::runtime_error);
    }
}

TEST_CASE("checks: an operand that is no tensor is an error that names the op and which it is") {
  const Tensor none, x = tensor({1.0, 2.0}, f64);
  const auto message = [](auto check, Where where = Where::current()) {
    return error_of<ValueError>([&] { check(where); }, 1, where);
  };
  const auto undefined = [](const char* operand) {
    return "mine: the " + std::string(operand) +
           " is undefined\n  at HERE\n  hint: it was default-constructed, moved from, or is the "
           "grad() of a tensor that has none";
  };
  const std::string first = undefined("first of two operands"),
                    second = undefined("second of two operands");
  CHECK(message([&](Where where) { check_dtype("mine", none, false, where); }) ==
        undefined("operand"));
  CHECK(message([&](Where where) { check_dtypes("mine", none, x, false, where); }) == first);
  CHECK(message([&](Where where) { check_dtypes("mine", x, none, false, where); }) == second);
  CHECK(message([&](Where where) { check_operands("mine", "input", none, "target", x, where); }) ==
        undefined("input"));
  CHECK(message([&](Where where) { check_operands("mine", "input", x, "target", none, where); }) ==
        undefined("target"));
  CHECK(message([&](Where where) { check_shape("mine", "weight", none, Shape{2}, where); }) ==
        undefined("weight"));
  CHECK(message([&](Where where) { check_shape("mine", "weight", none, *x.value_ref(), where); }) ==
        undefined("weight"));
  const auto not_shaped = [&](const Shape& shape) {
    return error_of<ShapeError>([&] { check_shape("mine", "weight", ones({2, 3}), shape, {}); });
  };
  CHECK(not_shaped({6}) ==
        "mine: the weight (2, 3) has not the shape (6,)\n  hint: reshape() gives it that shape");
  CHECK(not_shaped({4, 3}).ends_with(
      "\n  hint: expand() repeats along axes of extent 1, a slice is a part"));
  CHECK(message([&](Where where) { broadcast_shape("mine", none, x, where); }) == first);
  CHECK(message([&](Where where) { broadcast_shape("mine", x, none, where); }) == second);
}

TEST_SUITE_END();
