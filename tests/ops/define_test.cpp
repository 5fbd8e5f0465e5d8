#include <chainrule/ops/define.hpp>

#include <doctest/doctest.h>

#include <string>

#include <chainrule/tests/core/error_of.hpp>

using namespace chainrule;

TEST_SUITE_BEGIN("ops");

TEST_CASE("checks: an operand that is no tensor is an error that names the op and which it is") {
  const Tensor none, x = tensor({1.0, 2.0}, f64);
  const auto message = [](auto check, Where where = Where::current()) {
    return error_of<ValueError>([&] { check(where); }, 1, where);
  };
  const auto undefined = [](const char* operand) {
    return "mine: the " + std::string(operand) +
           " is undefined\n  at HERE\n  hint: it was default-constructed, or is the grad() of a "
           "tensor that has none";
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
  CHECK(message([&](Where where) { broadcast_shape("mine", none, x, where); }) == first);
  CHECK(message([&](Where where) { broadcast_shape("mine", x, none, where); }) == second);
}

TEST_SUITE_END();
