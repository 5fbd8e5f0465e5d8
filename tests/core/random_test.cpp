#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <thread>
#include <vector>

#include <chainrule/core/create.hpp>
#include <chainrule/core/random.hpp>
#include <chainrule/tests/core/error_of.hpp>

// The statistical checks draw from fixed seeds, so that they pass always or never. Each threshold
// is a quantile that a good generator exceeds with probability 1e-3 or less.

using namespace chainrule;

TEST_SUITE_BEGIN("core");

namespace {

using Words = std::array<std::uint32_t, 4>;
constexpr std::size_t many = 100'000;

// Kolmogorov and Smirnov's √n · sup |F_n − F|; above 1.95 with probability 1e-3.
template <class F>
double kolmogorov(std::vector<double> numbers, F cdf) {
  std::ranges::sort(numbers);
  const auto n = static_cast<double>(numbers.size());
  double distance = 0;
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    const double p = cdf(numbers[i]), rank = static_cast<double>(i);
    distance = std::max({distance, p - rank / n, (rank + 1) / n - p});
  }
  return distance * std::sqrt(n);
}

double mean_of(const std::vector<double>& x, int power) {
  double sum = 0;
  for (const double each : x) sum += std::pow(each, power);
  return sum / static_cast<double>(x.size());
}

double correlation_of_neighbours(const std::vector<double>& x) {
  const double mean = mean_of(x, 1), variance = mean_of(x, 2) - mean * mean;
  double sum = 0;
  for (std::size_t i = 1; i < x.size(); ++i) sum += (x[i] - mean) * (x[i - 1] - mean);
  return sum / static_cast<double>(x.size()) / variance;
}

double normal_cdf(double x) { return 0.5 * std::erfc(-x / std::sqrt(2.0)); }

std::vector<double> numbers_of(const Tensor& x) {
  if (x.dtype() == f64) return x.to_vector<double>();
  const std::vector<float> numbers = x.to_vector<float>();
  return {numbers.begin(), numbers.end()};
}

}  // namespace

TEST_CASE("random: the known answers of Philox4x32-10") {
  // Random123 (https://www.thesalmons.org/john/random123), tests/kat_vectors.
  CHECK(philox4x32({0, 0, 0, 0}, {0, 0}) == Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  const std::uint32_t all = 0xffffffff;
  CHECK(philox4x32({all, all, all, all}, {all, all}) ==
        Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
        Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("random: how a generator maps onto Philox") {
  Generator zero;
  CHECK(zero.u32() == 0x6627e8d5);
  CHECK(zero.u32() == 0xe169c58d);
  CHECK(zero.u32() == 0xbc57ac4c);
  CHECK(zero.offset() == 3);
  CHECK(zero.u64() == Generator(0).block(1)[0] + (std::uint64_t{Generator(0).block(1)[1]} << 32));
  CHECK(zero.offset() == 6);
  // The key is the seed; the counter is the block and the stream, low halves first.
  Generator other(0x299f31d0'a4093822, 0x03707344'13198a2e);
  CHECK(other.block(0x85a308d3'243f6a88) == Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
  // Floating numbers are the top bits: 0x6627e8d5 >> 8 over 2^24, 0xe169c58d6627e8d5 >> 11 over
  // 2^53.
  Generator first;
  CHECK(rand({}, first).item<float>() == static_cast<float>(0x6627e8) / 16777216.0f);
  CHECK(Generator().uniform() == static_cast<double>(0xe169c58d6627e8d5 >> 11) / 0x1p53);
}

TEST_CASE("random: a draw does not depend on how it is cut") {
  for (const DType dtype : {f32, f64})
    for (const int start : {0, 1, 2, 3}) {
      CAPTURE(start);
      Generator whole(7), parts(7);
      whole.seek(static_cast<std::uint64_t>(start));
      parts.seek(static_cast<std::uint64_t>(start));
      const auto check = [&](auto draw) {
        const std::vector<double> expected = numbers_of(draw(Shape{23}, whole));
        std::vector<double> found;
        for (const std::int64_t n : {1, 2, 0, 3, 5, 1, 4, 7})
          for (const double x : numbers_of(draw(Shape{n}, parts))) found.push_back(x);
        CHECK(found == expected);
        CHECK(whole.offset() == parts.offset());
      };
      check([&](const Shape& shape, Generator& from) { return rand(shape, from, dtype); });
      check([&](const Shape& shape, Generator& from) { return randn(shape, from, dtype); });
      check(
          [&](const Shape& shape, Generator& from) { return uniform(-2, 3, shape, from, dtype); });
    }
}

TEST_CASE("random: behind the end of a stream it begins again") {
  constexpr std::uint64_t end = std::numeric_limits<std::uint64_t>::max();
  for (const std::uint64_t start : {end, end - 1, end - 3, end - 4, end - 9})
    for (const DType dtype : {f32, f64}) {
      CAPTURE(end - start);
      Generator whole(5), parts(5), one(5);
      for (Generator* generator : {&whole, &parts, &one}) generator->seek(start);
      const std::vector<double> numbers = numbers_of(rand({12}, whole, dtype));
      std::vector<double> by_parts;
      for (int i = 0; i < 12; ++i) by_parts.push_back(numbers_of(rand({1}, parts, dtype))[0]);
      CHECK(by_parts == numbers);
      CHECK(whole.offset() == parts.offset());
      // As the single numbers are made of the words.
      for (const double x : numbers)
        CHECK(x == (dtype == f32 ? static_cast<double>(one.u32() >> 8) * 0x1p-24
                                 : static_cast<double>(one.u64() >> 11) * 0x1p-53));
      whole.seek(start), parts.seek(start);
      const std::vector<double> normals = numbers_of(randn({9}, whole, dtype));
      std::vector<double> single;
      for (int i = 0; i < 9; ++i) single.push_back(numbers_of(randn({1}, parts, dtype))[0]);
      CHECK(single == normals);
      for (const double x : normals) CHECK(std::abs(x) < 8.58);
      whole.seek(start), parts.seek(start);
      const auto integers = randint(0, 1000, {5}, whole).to_vector<std::int64_t>();
      for (const std::int64_t x : integers) CHECK(parts.integer(0, 1000) == x);
      std::vector<std::int64_t> order = permutation(6, whole).to_vector<std::int64_t>();
      std::ranges::sort(order);
      CHECK(order == std::vector<std::int64_t>{0, 1, 2, 3, 4, 5});
    }
}

TEST_CASE("random: single numbers and tensors are the same draws") {
  Generator one(3), other(3);
  const std::vector<double> uniforms = rand({5}, one, f64).to_vector<double>();
  for (const double x : uniforms) CHECK(other.uniform() == x);
  const std::vector<double> normals = randn({5}, one, f64).to_vector<double>();
  for (const double x : normals) CHECK(other.normal() == x);
  const auto integers = randint(-5, 5, {5}, one).to_vector<std::int64_t>();
  for (const std::int64_t x : integers) CHECK(other.integer(-5, 5) == x);
}

TEST_CASE("random: one seed, one run") {
  const auto run = [](std::uint64_t with) {
    seed(with);
    std::vector<double> all = numbers_of(rand({10}));
    for (const double x : numbers_of(randn({10}, f64))) all.push_back(x);
    for (const std::int64_t x : permutation(10).to_vector<std::int64_t>())
      all.push_back(static_cast<double>(x));
    return all;
  };
  const std::vector<double> first = run(42);
  CHECK(run(42) == first);
  CHECK(run(43) != first);
  std::vector<double> elsewhere;
  std::thread([&] { elsewhere = run(42); }).join();
  CHECK(elsewhere == first);
  CHECK(default_generator().seed() == 43);
}

TEST_CASE("random: threads that were not seeded draw from streams of their own") {
  std::vector<std::vector<float>> draws(3);
  for (auto& draw : draws) std::thread([&] { draw = rand({4}).to_vector<float>(); }).join();
  CHECK(draws[0] != draws[1]);
  CHECK(draws[1] != draws[2]);
  CHECK(draws[0] != draws[2]);
}

TEST_CASE("random: copies and seek") {
  Generator generator(1);
  generator.u32();
  Generator copy = generator;
  const std::uint64_t place = generator.offset(), expected = generator.u64();
  CHECK(copy.u64() == expected);
  generator.seek(place);
  CHECK(generator.u64() == expected);
  CHECK(Generator(1, 0).u64() != Generator(1, 1).u64());
}

TEST_CASE("random: rand is uniform in [0, 1)") {
  const auto check = [](DType dtype) {
    Generator generator(2024);
    const std::vector<double> x = numbers_of(rand({many}, generator, dtype));
    CHECK(*std::ranges::min_element(x) >= 0);
    CHECK(*std::ranges::max_element(x) < 1);
    CHECK(kolmogorov(x, [](double p) { return p; }) < 1.95);
    // The mean's deviation is √(1/12n) = 9.1e-4, the variance's √(1/180n) = 2.4e-4; 3.3 of them.
    CHECK(std::abs(mean_of(x, 1) - 0.5) < 3.0e-3);
    CHECK(std::abs(mean_of(x, 2) - mean_of(x, 1) * mean_of(x, 1) - 1.0 / 12) < 8e-4);
    CHECK(std::abs(correlation_of_neighbours(x)) < 3.3 / std::sqrt(double{many}));
  };
  check(f32);
  check(f64);
}

TEST_CASE("random: randn is normal") {
  const auto check = [](DType dtype) {
    Generator generator(2025);
    const std::vector<double> x = numbers_of(randn({many}, generator, dtype));
    CHECK(kolmogorov(x, normal_cdf) < 1.95);
    // Deviations of the first four moments: √(1, 2, 15, 96) / √n; 3.3 of them.
    const double root = std::sqrt(double{many});
    CHECK(std::abs(mean_of(x, 1)) < 3.3 * 1 / root);
    CHECK(std::abs(mean_of(x, 2) - 1) < 3.3 * std::sqrt(2.0) / root);
    CHECK(std::abs(mean_of(x, 3)) < 3.3 * std::sqrt(15.0) / root);
    CHECK(std::abs(mean_of(x, 4) - 3) < 3.3 * std::sqrt(96.0) / root);
    CHECK(std::abs(correlation_of_neighbours(x)) < 3.3 / root);
    for (const double each : x) CHECK_UNARY(std::isfinite(each));
  };
  check(f32);
  check(f64);
}

TEST_CASE("random: uniform stays within its bounds") {
  Generator generator(5);
  const std::vector<double> x = numbers_of(uniform(-2, 3, {many}, generator));
  CHECK(*std::ranges::min_element(x) >= -2);
  CHECK(*std::ranges::max_element(x) < 3);
  CHECK(kolmogorov(x, [](double v) { return (v + 2) / 5; }) < 1.95);
  // Only 1 lies in the range when rounded to f32 from below.
  const float next = std::nextafter(1.0f, 2.0f);
  for (const float each : uniform(1, next, {100}, generator).to_vector<float>()) CHECK(each == 1);
  CHECK(uniform(4, 4, {2}, generator).to_vector<float>() == std::vector<float>{4, 4});
}

TEST_CASE("random: randint hits all integers equally often") {
  Generator generator(9);
  std::array<double, 10> hits{};
  for (const std::int64_t x : randint(-3, 7, {many}, generator).to_vector<std::int64_t>()) {
    REQUIRE(x >= -3);
    REQUIRE(x < 7);
    ++hits[static_cast<std::size_t>(x + 3)];
  }
  double chi_squared = 0;
  const double expected = double{many} / 10;
  for (const double count : hits) chi_squared += (count - expected) * (count - expected) / expected;
  CHECK(chi_squared < 27.88);  // 9 degrees of freedom: exceeded with probability 1e-3
  CHECK(randint(4, 5, {3}, generator).to_vector<std::int64_t>() ==
        std::vector<std::int64_t>{4, 4, 4});
  // The largest range there is reaches both halves.
  using Limits = std::numeric_limits<std::int64_t>;
  const auto wide =
      randint(Limits::min(), Limits::max(), {100}, generator).to_vector<std::int64_t>();
  CHECK(std::ranges::count_if(wide, [](std::int64_t x) { return x < 0; }) > 30);
  CHECK(std::ranges::count_if(wide, [](std::int64_t x) { return x < 0; }) < 70);
}

TEST_CASE("random: permutations hold every number once, and are equally likely") {
  Generator generator(11);
  auto order = permutation(1000, generator).to_vector<std::int64_t>();
  CHECK_FALSE(std::ranges::is_sorted(order));
  std::ranges::sort(order);
  std::vector<std::int64_t> all(1000);
  std::iota(all.begin(), all.end(), 0);
  CHECK(order == all);
  CHECK(permutation(0, generator).numel() == 0);
  CHECK(permutation(1, generator).to_vector<std::int64_t>() == std::vector<std::int64_t>{0});
  // The 6 orders of 3 numbers, 6000 times: 5 degrees of freedom, 20.52 with probability 1e-3.
  std::array<double, 27> hits{};
  for (int i = 0; i < 6000; ++i) {
    const auto three = permutation(3, generator).to_vector<std::int64_t>();
    ++hits[static_cast<std::size_t>(9 * three[0] + 3 * three[1] + three[2])];
  }
  double chi_squared = 0;
  int orders = 0;
  for (const double count : hits) {
    if (count == 0) continue;
    ++orders;
    chi_squared += (count - 1000) * (count - 1000) / 1000;
  }
  CHECK(orders == 6);
  CHECK(chi_squared < 20.52);
}

TEST_CASE("random: arguments that cannot be") {
  CHECK(error_of<DTypeError>([] { rand({2}, i64); }) ==
        "rand: makes f32 or f64, not i64\n  at HERE\n  hint: randint draws integers");
  CHECK_THROWS_AS(randn({2}, boolean), DTypeError);
  CHECK(error_of<ShapeError>([] { randn({-2}); }) ==
        "randn: negative extent in (-2,)\n  at HERE\n  hint: write the number out: -1 for what is "
        "left is known by reshape() alone");
  CHECK(error_of<ValueError>([] { randint(3, 3, {2}); }) ==
        "randint: no integer in [3, 3)\n  at HERE\n  hint: the upper bound is not included");
  CHECK(error_of<ValueError>([] { Generator(1).integer(5, 2); }) ==
        "integer: no integer in [5, 2)\n  at HERE\n  hint: the upper bound is not included");
  CHECK(error_of<ValueError>([] { uniform(1, 0, {2}); }) ==
        "uniform: no range [1, 0)\n  at HERE\n  hint: the bounds are finite, the lower one first");
  CHECK_THROWS_AS(uniform(0, std::numeric_limits<double>::quiet_NaN(), {2}), ValueError);
  CHECK_THROWS_AS(uniform(-std::numeric_limits<double>::infinity(), 1, {2}, f64), ValueError);
  CHECK(error_of<ValueError>([] { permutation(-1); }) ==
        "permutation: of -1 numbers\n  at HERE\n  hint: x.size(0) says how many rows there are to "
        "permute");
}

TEST_CASE("random: the widest bounds that there are, and wider ones") {
  Generator generator(31);
  const double most = std::numeric_limits<double>::max();
  const std::vector<double> x = uniform(-most, most, {4000}, generator, f64).to_vector<double>();
  int above_half = 0;
  for (const double each : x) {
    CHECK((each >= -most && each < most));
    above_half += each > most / 2;
  }
  // A quarter of 4000, within 5 standard deviations of √(4000·3/16) = 27.
  CHECK(std::abs(above_half - 1000) < 140);
  const float most_f32 = std::numeric_limits<float>::max();
  for (const float each : uniform(-most_f32, most_f32, {1000}, generator).to_vector<float>())
    CHECK(std::isfinite(each));
  CHECK(
      error_of<ValueError>([&] { uniform(-1e39, 1, {2}, generator); }) ==
      "uniform: no range [-1e+39, 1) in f32\n  at HERE\n  hint: f32 ends at 3.4e+38: ask for f64");
  constexpr std::int64_t least = std::numeric_limits<std::int64_t>::min(),
                         last = std::numeric_limits<std::int64_t>::max();
  bool low = false, high = false;
  for (const std::int64_t each : randint(least, last, {100}, generator).to_vector<std::int64_t>()) {
    low |= each < least / 2;
    high |= each > last / 2;
  }
  CHECK((low && high));
}

TEST_SUITE_END();
