#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include <chainrule/core/allocator.hpp>
#include <chainrule/core/random.hpp>
#include <chainrule/nn/init/init.hpp>
#include <chainrule/tests/core/error_of.hpp>

using namespace chainrule;

TEST_SUITE_BEGIN("nn");

namespace {

struct Moments {
  double mean = 0, deviation = 0, largest = 0;
};

Moments moments(const Tensor& x) {
  Moments m;
  const std::vector<double> values = x.to_vector<double>();
  for (const double v : values) {
    m.mean += v / static_cast<double>(values.size());
    m.largest = std::max(m.largest, std::abs(v));
  }
  for (const double v : values)
    m.deviation += (v - m.mean) * (v - m.mean) / static_cast<double>(values.size());
  m.deviation = std::sqrt(m.deviation);
  return m;
}

// 60,000 numbers: their mean is within 5 of its deviations, and their deviation within 1.5 %, five
// times the 0.29 % by which the deviation of so many normal numbers varies.
void check_uniform(const Tensor& x, double bound) {
  const Moments m = moments(x);
  CHECK(m.largest <= bound);
  CHECK(m.largest > 0.999 * bound);
  CHECK(std::abs(m.mean) < 5 * bound / std::sqrt(3.0 * 60'000));
  CHECK(m.deviation == doctest::Approx(bound / std::sqrt(3.0)).epsilon(0.015));
}

void check_normal(const Tensor& x, double deviation) {
  const Moments m = moments(x);
  CHECK(std::abs(m.mean) < 5 * deviation / std::sqrt(60'000.0));
  CHECK(m.deviation == doctest::Approx(deviation).epsilon(0.015));
  CHECK(m.largest > 3.5 * deviation);  // it is not uniform
}

}  // namespace

TEST_CASE("init: fans") {
  CHECK(nn::fans({3, 5}).in == 5);
  CHECK(nn::fans({3, 5}).out == 3);
  CHECK(nn::fans({3, 5, 2, 7}).in == 70);
  CHECK(nn::fans({3, 5, 2, 7}).out == 42);
}

TEST_CASE("init: Xavier") {
  Generator generator(1);
  const Shape weight = {200, 300};  // √(6/500), √(2/500)
  check_uniform(nn::xavier_uniform(weight, {.dtype = f64, .generator = &generator}),
                0.10954451150103323);
  check_normal(nn::xavier_normal(weight, {.dtype = f64, .generator = &generator}),
               0.06324555320336758);
  check_uniform(nn::xavier_uniform(weight, {.gain = 2.5, .dtype = f64, .generator = &generator}),
                2.5 * 0.10954451150103323);
  // With a field of 6: √(2 / (6·300)) = 1/30
  check_normal(nn::xavier_normal({100, 200, 3, 1}, {.dtype = f64, .generator = &generator}),
               1 / std::sqrt(450.0));
}

TEST_CASE("init: Kaiming") {
  Generator generator(2);
  const Shape weight = {200, 300};  // √(2/300), √(2/200); times √3 for the bounds
  check_normal(nn::kaiming_normal(weight, {.dtype = f64, .generator = &generator}),
               0.08164965809277261);
  check_normal(
      nn::kaiming_normal(weight, {.fan = nn::Fan::out, .dtype = f64, .generator = &generator}),
      0.1);
  check_uniform(nn::kaiming_uniform(weight, {.dtype = f64, .generator = &generator}),
                0.1414213562373095);
  check_uniform(
      nn::kaiming_uniform(weight,
                          {.fan = nn::Fan::out, .gain = 1, .dtype = f64, .generator = &generator}),
      0.12247448713915890);
}

TEST_CASE("init: new tensors, by the generator given") {
  Generator a(3), b(3);
  const Tensor first = nn::xavier_uniform({4, 3}, {.generator = &a});
  CHECK(first.dtype() == f32);
  CHECK(first.shape() == Shape{4, 3});
  CHECK_FALSE(first.requires_grad());
  CHECK(first.to_vector<float>() ==
        nn::xavier_uniform({4, 3}, {.generator = &b}).to_vector<float>());
  CHECK(first.to_vector<float>() !=
        nn::xavier_uniform({4, 3}, {.generator = &b}).to_vector<float>());
  seed(5);
  const Tensor drawn = nn::kaiming_normal({4, 3});
  seed(5);
  CHECK(drawn.to_vector<float>() == nn::kaiming_normal({4, 3}).to_vector<float>());
  CHECK(nn::xavier_normal({0, 0}).shape() == Shape{0, 0});
  CHECK(nn::kaiming_uniform({3, 0}).shape() == Shape{3, 0});
  for (const float v : nn::xavier_uniform({2, 2}, {.gain = 0}).to_vector<float>()) CHECK(v == 0);
}

TEST_CASE("init: errors") {
  CHECK(error_of<ShapeError>([] { nn::xavier_uniform({3}); }) ==
        "xavier_uniform: a weight (3,) has no fan in and out\n"
        "  at HERE\n"
        "  hint: weights are (out, in), or (out, in, …); a bias usually begins with 0");
  CHECK_THROWS_AS(nn::kaiming_normal({}), ShapeError);
  CHECK(
      error_of<ValueError>([] { nn::xavier_normal({3, 3}, {.gain = -1}); }) ==
      "xavier_normal: the gain -1 is negative or not finite\n  at HERE\n  hint: it is that of the "
      "activation behind the layer: 1, or √2 for relu");
  const double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK(error_of<ValueError>([&] { nn::kaiming_uniform({3, 3}, {.gain = nan}); }) ==
        "kaiming_uniform: the gain nan is negative or not finite\n  at HERE\n  hint: it is that of "
        "the activation behind the layer: 1, or √2 for relu");
  CHECK(error_of<ShapeError>([] { nn::xavier_normal({3, -3}); }) ==
        "xavier_normal: (3, -3) cannot be the shape of a weight\n  at HERE\n  hint: no extent is "
        "negative, and the elements can be counted");
  CHECK(error_of<DTypeError>([] { nn::kaiming_uniform({3, 3}, {.dtype = i64}); }) ==
        "kaiming_uniform: makes f32 or f64, not i64\n  at HERE\n  hint: randint draws integers");
  CHECK_THROWS_AS(nn::xavier_normal({0, 3}, {.dtype = i64}), DTypeError);
}

TEST_CASE("init: a weight for which there is no memory" * doctest::skip(!memory::pooled)) {
  const std::int64_t huge = std::int64_t{1} << 25;
  CHECK(error_of<MemoryError>([=] { nn::xavier_uniform({huge, huge}); }) ==
        "xavier_uniform: no memory for (33554432, 33554432) of f32\n  at HERE\n  hint: that takes "
        "4503599627370496 bytes; memory_stats() says how many are in use");
  CHECK(error_of<MemoryError>([=] { nn::kaiming_normal({huge, huge}); }) ==
        "kaiming_normal: no memory for (33554432, 33554432) of f32\n  at HERE\n  hint: that takes "
        "4503599627370496 bytes; memory_stats() says how many are in use");
}

TEST_CASE("init: numbers beyond the dtype are no initial values") {
  CHECK(error_of<ValueError>([] {
          nn::xavier_uniform({2, 2}, {.gain = 1e39});
        }).starts_with("xavier_uniform: a standard deviation of 7.07"));
  CHECK_THROWS_AS(nn::kaiming_normal({2, 2}, {.gain = 1e38}), ValueError);
  CHECK_THROWS_AS(nn::kaiming_uniform({2, 2}, {.gain = 1.7e308, .dtype = f64}), ValueError);
  const Tensor wide = nn::xavier_uniform({2, 2}, {.gain = 1e308, .dtype = f64});
  for (const double each : wide.to_vector<double>()) CHECK(std::isfinite(each));
}

TEST_SUITE_END();
