#include <chainrule/graph/checking/least_squares.hpp>

#include <doctest/doctest.h>

using namespace chainrule;
using derivation::least_squares;

TEST_SUITE_BEGIN("graph");

TEST_CASE("least_squares: the factors that come nearest") {
  const auto found = least_squares({{1, 1, 1}, {0, 1, 2}}, {1, 3, 6});
  CHECK(found.unique);
  CHECK(found.factors[0] == doctest::Approx(5.0 / 6));
  CHECK(found.factors[1] == doctest::Approx(2.5));
}

TEST_CASE("least_squares: a column that is 0, and one that others make up, have no part") {
  const auto zero = least_squares({{0, 0, 0}, {1, 2, 2}}, {2, 4, 4});
  CHECK_FALSE(zero.unique);
  CHECK(zero.factors[0] == 0);
  CHECK(zero.factors[1] == doctest::Approx(2));
  const auto equal = least_squares({{1, 2, 2}, {1, 2, 2}, {0, 1, 0}}, {2, 7, 4});
  CHECK_FALSE(equal.unique);
  CHECK(equal.factors[0] == doctest::Approx(2));
  CHECK(equal.factors[1] == 0);
  CHECK(equal.factors[2] == doctest::Approx(3));
}

TEST_CASE("least_squares: columns of very different sizes") {
  const auto found = least_squares({{1e12, 2e12, 0}, {1e-12, 0, 3e-12}}, {5e12 + 2, 1e13, 6});
  CHECK(found.unique);
  CHECK(found.factors[0] == doctest::Approx(5));
  CHECK(found.factors[1] == doctest::Approx(2e12).epsilon(0.01));
}

TEST_SUITE_END();
