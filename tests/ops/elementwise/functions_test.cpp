#include <chainrule/ops/elementwise/functions.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numbers>
#include <string>
#include <vector>

#include <chainrule/core/create.hpp>
#include <chainrule/graph/backward.hpp>
#include <chainrule/graph/functional.hpp>
#include <chainrule/graph/gradcheck.hpp>
#include <chainrule/ops/elementwise/activations.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/elementwise/convert.hpp>
#include <chainrule/ops/reduce/reduction.hpp>
#include <chainrule/ops/shape/indexing.hpp>
#include <chainrule/ops/shape/join.hpp>
#include <chainrule/ops/shape/manipulation.hpp>
#include <chainrule/tests/core/error_of.hpp>
#include <chainrule/tests/ops/elementwise/ulps.hpp>

using namespace chainrule;

TEST_SUITE_BEGIN("ops");

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
const double not_a_number = std::numeric_limits<double>::quiet_NaN();
using Numbers = std::vector<double>;
using Real = long double;

// The gradient of Σ f(x).
template <class F>
Numbers slopes(F f, const Tensor& at) {
  Tensor x = at.detach().requires_grad_();
  return to(grad(sum(f(x)), x), f64).template to_vector<double>();
}

}  // namespace

// 2/√π e^−x² in long double: e^−x² within 0.95 units, and five roundings, of half a unit each, or
// of up to a whole one where the result lies just above a power of two.
TEST_CASE("erf: the gradient keeps its digits where x² is large") {
  for (const DType dtype : {f32, f64}) {
    const double eps = dtype == f32 ? 0x1p-23 : 0x1p-52, end = dtype == f32 ? 9.2 : 26;
    Numbers points;
    for (double x = -end; x <= end; x += end / 5003) points.push_back(x);
    const Tensor at = to(from_vector(points), dtype);
    const Numbers x = to(at, f64).to_vector<double>();
    const Numbers got = slopes([](const Tensor& e) { return erf(e); }, at);
    const Tensor tangent = jvp([](const Tensor& e) { return erf(e); }, at, ones_like(at)).second;
    const Numbers forward = to(tangent, f64).to_vector<double>();
    Tensor leaf = at.detach().requires_grad_();
    const Tensor recorded = grad(sum(erf(leaf)), leaf, {.create_graph = true});
    CHECK(to(recorded.detach(), f64).to_vector<double>() == got);
    const Numbers second = to(grad(sum(recorded), leaf), f64).to_vector<double>();
    double worst = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const auto e = static_cast<long double>(x[i]);
      const long double right = 2 * std::numbers::inv_sqrtpi_v<long double> * std::exp(-e * e);
      worst = std::max(worst, static_cast<double>(std::abs(got[i] / right - 1)));
      if (e != 0)
        worst =
            std::max(worst, static_cast<double>(std::abs(second[i] / (-2 * e * right) - 1)) / 1.5);
      CHECK(forward[i] == got[i]);
    }
    CHECK(worst < 4 * eps);
  }
  const Numbers ends = slopes([](const Tensor& e) { return erf(e); },
                              tensor({infinity, -infinity, 1e300, not_a_number}, f64));
  CHECK(ends[0] == 0);
  CHECK(ends[1] == 0);
  CHECK(ends[2] == 0);
  CHECK(std::isnan(ends[3]));
  Tensor most = tensor({1e300, std::numeric_limits<double>::max()}, f64).requires_grad_();
  CHECK(grad(sum(grad(sum(erf(most)), most, {.create_graph = true})), most).to_vector<double>() ==
        Numbers{0, 0});
}

// The bounds are those that ops/kernels/vector_math.hpp states, or half a unit for what the
// standard rounds correctly and one for the C library's functions.
TEST_CASE("elementwise: values within units in the last place, at all sizes and extremes") {
  using R = long double;
  using ulps::check_all;
  check_all("exp", [](const Tensor& x) { return exp(x); }, [](R x) { return std::exp(x); }, 0.95);
  check_all(
      "expm1", [](const Tensor& x) { return expm1(x); }, [](R x) { return std::expm1(x); }, 1.7);
  check_all(
      "log1p", [](const Tensor& x) { return log1p(x); }, [](R x) { return std::log1p(x); }, 0.9);
  check_all(
      "sqrt", [](const Tensor& x) { return sqrt(x); }, [](R x) { return std::sqrt(x); }, 0.501);
  check_all("sin", [](const Tensor& x) { return sin(x); }, [](R x) { return std::sin(x); }, 1);
  check_all("cos", [](const Tensor& x) { return cos(x); }, [](R x) { return std::cos(x); }, 1);
  check_all("erf", [](const Tensor& x) { return erf(x); }, [](R x) { return std::erf(x); }, 1.45);
  check_all("abs", [](const Tensor& x) { return abs(x); }, [](R x) { return std::abs(x); }, 0);
  check_all("square", [](const Tensor& x) { return square(x); }, [](R x) { return x * x; }, 0.501);
  check_all(
      "reciprocal", [](const Tensor& x) { return reciprocal(x); }, [](R x) { return 1 / x; },
      0.501);
  check_all(
      "sign", [](const Tensor& x) { return sign(x); },
      [](R x) { return std::isnan(x) ? x : R((x > 0) - (x < 0)); }, 0);
}

TEST_CASE("elementwise: zeros keep their sign") {
  const Tensor x = tensor({0.0, -0.0}, f64);
  for (const auto f :
       {+[](const Tensor& e) { return expm1(e); }, +[](const Tensor& e) { return log1p(e); },
        +[](const Tensor& e) { return sqrt(e); }, +[](const Tensor& e) { return sin(e); }}) {
    const Numbers y = f(x).to_vector<double>();
    CHECK(!std::signbit(y[0]));
    CHECK(std::signbit(y[1]));
  }
}

TEST_CASE("elementwise: integers, which wrap around") {
  constexpr std::int64_t least = std::numeric_limits<std::int64_t>::min();
  const Tensor x = tensor({std::int64_t{-3}, std::int64_t{0}, std::int64_t{4}, least});
  using Integers = std::vector<std::int64_t>;
  CHECK(abs(x).to_vector<std::int64_t>() == Integers{3, 0, 4, least});
  CHECK(sign(x).to_vector<std::int64_t>() == Integers{-1, 0, 1, -1});
  CHECK(square(x).to_vector<std::int64_t>() == Integers{9, 0, 16, 0});
}

TEST_CASE("elementwise: views of any strides") {
  const Tensor x = tensor({{0.1, 0.2, 0.3}, {0.4, 0.5, 0.6}}, f64);
  const Numbers want = {std::exp(0.1), std::exp(0.4), std::exp(0.2),
                        std::exp(0.5), std::exp(0.3), std::exp(0.6)};
  const Tensor y = exp(transpose(x));
  CHECK(y.shape() == Shape{3, 2});
  CHECK(y.is_contiguous());
  for (std::size_t i = 0; i < want.size(); ++i)
    CHECK(y.to_vector<double>()[i] == doctest::Approx(want[i]).epsilon(1e-15));
  CHECK(sqrt(expand(tensor(4.0, f64), {2, 2})).to_vector<double>() == Numbers{2, 2, 2, 2});
  CHECK(exp(zeros({0, 3})).shape() == Shape{0, 3});
}

TEST_CASE("elementwise: large results, which are written past the caches") {
  // 48 MiB and some elements more than a block.
  const std::int64_t n = (std::int64_t{3} << 22) + 77;
  const Tensor x = to(arange(n), f32) * 0.25F, y = to(arange(n - 1, -1, -1), f32);
  const std::vector<float> scaled = (x * 2.0F).to_vector<float>();
  const std::vector<float> reversed = (3.0F - y).to_vector<float>();
  const std::vector<float> sums = (x + y).to_vector<float>();
  const std::vector<float> roots = sqrt(x).to_vector<float>();
  const std::vector<float> sines = sin(x).to_vector<float>();
  const std::vector<float> powers = pow(x, 0.7).to_vector<float>();
  std::vector<float> sines_apart, powers_apart;
  for (const Tensor& part : split(x, 1'000'003)) {
    for (const float e : sin(part).to_vector<float>()) sines_apart.push_back(e);
    for (const float e : pow(part, 0.7).to_vector<float>()) powers_apart.push_back(e);
  }
  std::int64_t wrong = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    const auto at = static_cast<std::size_t>(i);
    const float xi = static_cast<float>(i) * 0.25F, yi = static_cast<float>(n - 1 - i);
    wrong += sines[at] != sines_apart[at] || powers[at] != powers_apart[at];
    wrong += scaled[at] != xi * 2.0F || reversed[at] != 3.0F - yi || sums[at] != xi + yi ||
             roots[at] != std::sqrt(xi);
  }
  CHECK(wrong == 0);
}

TEST_CASE("elementwise: large gradients, which are multiplied in place") {
  // Rules that are given the gradient for good: of one operand, of two, and of the slopes' three.
  const std::int64_t n = (std::int64_t{3} << 22) + 77;
  const Tensor start = to(arange(n), f32) * 0x1p-22F - 1.5F;
  const auto gradient = [](const Tensor& at) {
    const Tensor x = at.detach().requires_grad_();
    sum(sigmoid(tanh(exp(square(x)) * x))).backward();
    return x.grad().to_vector<float>();
  };
  const std::vector<float> whole = gradient(start);
  constexpr std::int64_t part = 1 << 20;
  std::int64_t wrong = 0;
  for (std::int64_t begin = 0; begin < n; begin += part) {
    const std::vector<float> alone = gradient(slice(start, 0, begin, std::min(n, begin + part)));
    for (std::size_t i = 0; i < alone.size(); ++i)
      wrong += alone[i] != whole[static_cast<std::size_t>(begin) + i];
  }
  CHECK(wrong == 0);
}

TEST_CASE("elementwise: gradients at kinks and ends of the domain") {
  const Tensor x = tensor({-2.0, 0.0, 3.0}, f64);
  CHECK(slopes([](const Tensor& e) { return abs(e); }, x) == Numbers{-1, 0, 1});
  CHECK(slopes([](const Tensor& e) { return sign(e); }, x) == Numbers{0, 0, 0});
  const Numbers roots = slopes([](const Tensor& e) { return sqrt(e); }, tensor({0.0, 4.0}, f64));
  CHECK(roots == Numbers{infinity, 0.25});
  // 1 + expm1(−40) is 0 in f64, e^−40 is not.
  const Numbers small = slopes([](const Tensor& e) { return expm1(e); }, tensor({-40.0}, f64));
  CHECK(small[0] == doctest::Approx(4.248354255291589e-18).epsilon(1e-15));
}

TEST_CASE("elementwise: pow as C has it, with the special exponents") {
  const Numbers xs = {0.0,    -0.0,  1.0,      -1.0,      2.5,         -2.5,
                      1e-300, 1e200, infinity, -infinity, not_a_number};
  const Numbers ys = {0.0, 1.0,  2.0, 3.0,      -1.0,      -2.0,
                      0.5, -0.5, 2.5, infinity, -infinity, not_a_number};
  const Tensor x = from_span(std::span<const double>(xs), {static_cast<std::int64_t>(xs.size())});
  for (const double y : ys) {
    CAPTURE(y);
    const Numbers by_number = pow(x, y).to_vector<double>();
    const Numbers by_tensor = pow(x, full({11}, y, f64)).to_vector<double>();
    for (std::size_t i = 0; i < xs.size(); ++i) {
      CAPTURE(xs[i]);
      const long double want =
          std::pow(static_cast<long double>(xs[i]), static_cast<long double>(y));
      // x·x·x rounds twice.
      CHECK(ulps::distance(by_number[i], want) <= (y == 3 ? 1.6 : 1));
      CHECK(ulps::distance(by_tensor[i], want) <= 1);
    }
  }
  CHECK(pow(2.0, tensor({1.0, 10.0}, f64)).to_vector<double>() == Numbers{2, 1024});
  CHECK(pow(tensor({{2.0}, {3.0}}, f64), tensor({1.0, 2.0}, f64)).to_vector<double>() ==
        Numbers{2, 4, 3, 9});
  CHECK(pow(tensor({3.0f}), 2).dtype() == f32);
}

TEST_CASE("elementwise: powers of numbers of all sizes, within a unit in the last place") {
  const auto check = [](auto zero) {
    using T = decltype(zero);
    std::vector<T> bases = ulps::arguments<T>(), exponents;
    for (std::size_t i = 0; i < bases.size(); ++i) {
      bases[i] = std::abs(bases[i]);
      // Such that most of the results are numbers.
      const T size = std::max<T>(1, std::abs(std::log2(bases[i])));
      exponents.push_back(static_cast<T>(i * 7919 % 2001) / T{1000.5} *
                          std::numeric_limits<T>::max_exponent / size);
      if (i % 2 == 1) exponents.back() *= -1;
    }
    const auto n = static_cast<std::int64_t>(bases.size());
    const std::vector<T> got =
        pow(from_vector(bases, {n}), from_vector(exponents, {n})).template to_vector<T>();
    double worst = 0;
    for (std::size_t i = 0; i < got.size(); ++i)
      worst =
          std::max(worst, ulps::distance(got[i], std::pow(static_cast<long double>(bases[i]),
                                                          static_cast<long double>(exponents[i]))));
    CHECK(worst <= 1);
  };
  check(float{});
  check(double{});
}

// A power and three more roundings, of up to a unit each; y − 1 is rounded for most of these.
TEST_CASE("elementwise: the gradient of pow for its base, where |ln x| is large") {
  const auto check = [](auto zero) {
    using T = decltype(zero);
    const T infinite = std::numeric_limits<T>::infinity();
    std::vector<T> bases = {0, 0, 0, infinite, infinite, -infinite, -2, 0, T(not_a_number)};
    std::vector<T> exponents = {T(0.3), T(-0.3), 0, T(0.3), T(-0.3), -3, T(0.3), -1, 0};
    std::vector<Real> want = {infinite, -infinite, 0, 0, 0, 0, T(not_a_number), -infinite, 0};
    for (const T e : ulps::arguments<T>())
      if (e > 0 && std::isfinite(e)) {
        const T y = static_cast<T>(bases.size() % 1999) / T{1999} * T{2.5} - 2;
        const Real power = std::pow(static_cast<Real>(e), static_cast<Real>(y) - 1);
        if (std::abs(y * power) > std::numeric_limits<T>::max()) continue;  // what y shrinks counts
        bases.push_back(e), exponents.push_back(y);
        want.push_back(y * power);
      }
    const auto worst_of = [&](const std::vector<T>& got, std::size_t from) {
      double worst = 0;
      for (std::size_t i = from; i < got.size(); ++i)
        worst = std::max(worst, ulps::distance(got[i], want[i]));
      return worst;
    };
    const Tensor y = from_vector(exponents);
    Tensor x = from_vector(bases).requires_grad_();
    sum(pow(x, y)).backward();
    CHECK(worst_of(x.grad().template to_vector<T>(), 0) <= 4);
    const auto power = [&](const Tensor& e) { return pow(e, y); };
    CHECK(worst_of(jvp(power, x.detach(), ones_like(x)).second.template to_vector<T>(), 0) <= 4);
    // One exponent for all.
    const T alone = T(-0.3);
    for (std::size_t i = 9; i < want.size(); ++i)  // x⁻¹·³ may overflow alone
      want[i] = alone * std::pow(static_cast<Real>(bases[i]), static_cast<Real>(alone) - 1);
    x.zero_grad();
    sum(pow(x, alone)).backward();
    CHECK(worst_of(x.grad().template to_vector<T>(), 9) <= 4);
    // So small ones that xʸ⁻¹ overflows next to 0, and its product with y does not.
    for (const T small : {T(0.01), T(0.03125), T(-0.001), std::numeric_limits<T>::denorm_min()}) {
      for (std::size_t i = 9; i < want.size(); ++i)
        want[i] = small * std::pow(static_cast<Real>(bases[i]), static_cast<Real>(small) - 1);
      x.zero_grad();
      sum(pow(x, small)).backward();
      CHECK(worst_of(x.grad().template to_vector<T>(), 9) <= 4);
    }
  };
  check(float{});
  check(double{});
}

TEST_CASE("elementwise: functions of views and of one number, as of adjacent elements") {
  const auto copy_of = [](const Tensor& e) {
    return from_vector(e.to_vector<double>(), e.shape());
  };
  const Tensor x = reshape(to(arange(1200), f64) * 0.01 + 0.3, {30, 40});
  for (const auto f :
       {+[](const Tensor& e) { return sin(e); }, +[](const Tensor& e) { return cos(e); },
        +[](const Tensor& e) { return erf(e); }, +[](const Tensor& e) { return pow(e, 1.7); },
        +[](const Tensor& e) { return pow(1.3, e); }, +[](const Tensor& e) { return pow(e, e); },
        +[](const Tensor& e) { return pow(e, e(0)); },
        +[](const Tensor& e) { return pow(e(all, slice(0, 1)), e); }})
    for (const Tensor& view : {x.T(), x(slice({}, {}, 3)), x(all, slice(1, 4)), x(all, slice(7, 8)),
                               expand(x(all, slice(0, 1)), {30, 5})})
      CHECK(f(view).to_vector<double>() == f(copy_of(view)).to_vector<double>());
}

TEST_CASE("elementwise: the gradients of pow at 0 and with negative bases") {
  const Tensor x = tensor({0.0, -2.0, 3.0}, f64);
  const auto by_base = [&](double y) {
    return slopes([y](const Tensor& e) { return pow(e, y); }, x);
  };
  CHECK(by_base(0) == Numbers{0, 0, 0});
  CHECK(by_base(1) == Numbers{1, 1, 1});
  CHECK(by_base(2) == Numbers{0, -4, 6});
  CHECK(by_base(3) == Numbers{0, 12, 27});
  CHECK(by_base(-1) == Numbers{-infinity, -0.25, -1.0 / 9});
  // As tensors: y = 0 gives 0 also where 1/x is infinite or NaN.
  Tensor base = tensor({0.0, 0.0, 0.0, -2.0, not_a_number, 1e-310, 5.0}, f64).requires_grad_();
  Tensor power = tensor({0.0, 1.0, 2.0, 3.0, 0.0, 0.0, 0.0}, f64).requires_grad_();
  const auto grads = grad(sum(pow(base, power)), {base, power});
  CHECK(grads[0].to_vector<double>() == Numbers{0, 1, 0, 12, 0, 0, 0});
  const Numbers by_power = grads[1].to_vector<double>();
  CHECK(by_power[0] == 0);
  CHECK(by_power[1] == 0);
  CHECK(by_power[2] == 0);
  CHECK(std::isnan(by_power[3]));  // ln of a negative number
  CHECK(by_power[6] == doctest::Approx(std::log(5.0)).epsilon(1e-15));
  // 0⁻¹ is infinite, and so is its slope.
  Tensor down = tensor(-1.0, f64).requires_grad_();
  CHECK(grad(pow(tensor(0.0, f64), down), down).item() == -infinity);
  // Where y = 0 and x is not, the mixed second derivative is 1/x.
  Tensor two = tensor(2.0, f64).requires_grad_(), zero = tensor(0.0, f64).requires_grad_();
  const Tensor first = grad(pow(two, zero), two, {.create_graph = true});
  CHECK(first.item() == 0);
  CHECK(grad(first, zero).item() == doctest::Approx(0.5));
}

TEST_CASE("elementwise: derivatives of pow with numbers, of first and second order") {
  const Tensor positive = tensor({0.7, 1.9, 2.3}, f64), any = tensor({0.7, -1.9, 2.3}, f64);
  for (const double y : {0.5, -1.5, 2.7}) {
    CAPTURE(y);
    const auto report = gradcheck([y](std::span<const Tensor> in) { return pow(in[0], y); },
                                  {positive}, {.order = 2});
    CHECK_MESSAGE(report.ok(), report.to_string());
  }
  for (const int y : {0, 1, 2, 3, -1, 4}) {
    CAPTURE(y);
    const auto report =
        gradcheck([y](std::span<const Tensor> in) { return pow(in[0], y); }, {any}, {.order = 2});
    CHECK_MESSAGE(report.ok(), report.to_string());
  }
  const auto report =
      gradcheck([](std::span<const Tensor> in) { return pow(1.7, in[0]); }, {any}, {.order = 2});
  CHECK_MESSAGE(report.ok(), report.to_string());
}

TEST_CASE("elementwise: errors name the op, the operand and the line") {
  const Tensor n = tensor({1, 2}).named("n");
  CHECK(error_of<DTypeError>([&] { exp(n); }) ==
        "exp: n (2,) holds i64, but f32 or f64 is needed\n  at HERE\n  hint: convert it: to(x, "
        "f32)");
  CHECK(error_of<DTypeError>([&] { abs(tensor({true})); }) ==
        "abs: (1,) holds boolean, but f32, f64 or i64 is needed\n  at HERE\n  hint: convert it: "
        "to(x, f32)");
  CHECK(error_of<DTypeError>([&] { pow(zeros({2}), zeros({2}, f64)); }) ==
        "pow: dtypes differ: (2,) is f32, (2,) is f64\n  at HERE\n  hint: convert one of them: "
        "to(x, f32)");
  CHECK(error_of<ShapeError>([&] { pow(zeros({2}).named("x"), zeros({3})); }) ==
        "pow: shapes do not broadcast: x (2,) and (3,) differ in axis -1\n  at HERE\n  hint: "
        "shapes are aligned at the last axis; extents must be equal or 1");
  CHECK_THROWS_AS(pow(n, 2), DTypeError);
  CHECK_THROWS_AS(sqrt(Tensor()), ValueError);
}
