#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include <chainrule/core/allocator.hpp>
#include <chainrule/core/create.hpp>
#include <chainrule/core/op.hpp>
#include <chainrule/core/random.hpp>
#include <chainrule/core/recording.hpp>
#include <chainrule/graph/backward.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/elementwise/convert.hpp>
#include <chainrule/ops/elementwise/functions.hpp>
#include <chainrule/ops/elementwise/select.hpp>
#include <chainrule/ops/reduce/reduction.hpp>
#include <chainrule/ops/shape/indexing.hpp>
#include <chainrule/ops/shape/manipulation.hpp>
#include <chainrule/tests/core/error_of.hpp>
#include <chainrule/tests/ops/samples/samples.hpp>

using namespace chainrule;
using reference::Array;
using reference::Real;
using samples::array_of;
using samples::compare;

TEST_SUITE_BEGIN("ops");

namespace {

using Group = std::vector<Real>;
constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

Real total(const Group& x) {
  Real sum = 0;
  for (const Real e : x) sum += e;
  return sum;
}
Real largest(const Group& x) {
  Real best = x[0];
  for (const Real e : x) best = e > best ? e : best;
  return best;
}
Real smallest(const Group& x) {
  Real best = x[0];
  for (const Real e : x) best = e < best ? e : best;
  return best;
}
// Without a shift: long double holds e^±11000.
Real log_total_exp(const Group& x) {
  Real sum = 0;
  for (const Real e : x) sum += std::exp(e);
  return std::log(sum);
}

// Numbers without a pattern, in −1 … 1, the same for every run.
std::vector<double> noise(std::int64_t n, std::uint64_t seed = 1) {
  std::vector<double> x;
  std::uint64_t state = seed;
  for (std::int64_t i = 0; i < n; ++i) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    x.push_back(static_cast<double>(state >> 11) * 0x1p-52 - 1);
  }
  return x;
}

std::vector<std::int64_t> axes_of(unsigned mask) {
  std::vector<std::int64_t> axes;
  for (int i = 0; i < max_rank; ++i)
    if (mask >> i & 1) axes.push_back(i);
  return axes;
}

// What the reference takes for all axes of a mask; it reads none as all.
Array reduced(const Array& x, unsigned mask, bool keepdim, Real (*f)(const Group&)) {
  if (mask == 0) return reference::map(x, [&](Real e) { return f({e}); });
  return reference::reduce(x, Shape(axes_of(mask)), keepdim, f);
}

}  // namespace

TEST_CASE("reduction: axes read well") {
  const Tensor x = tensor({{1.0, 2.0, 3.0}, {4.0, 5.0, 6.0}}, f64);
  CHECK(sum(x).shape() == Shape{});
  CHECK(sum(x).item() == 21);
  CHECK(sum(x, {}).item() == 21);
  CHECK(sum(x, 0).to_vector<double>() == std::vector<double>{5, 7, 9});
  CHECK(sum(x, -1).to_vector<double>() == std::vector<double>{6, 15});
  CHECK(sum(x, {0, -1}).shape() == Shape{});
  CHECK(sum(x, {0, -1}, true).shape() == Shape{1, 1});
  CHECK(sum(x, {}, true).shape() == Shape{1, 1});
  CHECK(sum(x, 1, true).shape() == Shape{2, 1});
  CHECK(sum(x, std::size_t{1}).shape() == Shape{2});
  const std::vector<std::int64_t> none;
  CHECK(sum(x, Axes(none)).to_vector<double>() == x.to_vector<double>());
  CHECK_FALSE(std::is_constructible_v<Axes, bool>);
}

TEST_CASE("reduction: axes that are none, and where they were named") {
  const Tensor x = zeros({2, 3}).named("x");
  CHECK(error_of<IndexError>([&] { sum(x, 2); }) ==
        "sum: axis 2 of x (2, 3), which has 2 axes\n  at HERE\n  hint: axes go from -2 to 1");
  CHECK(error_of<IndexError>([&] { mean(x, {0, -3}); }) ==
        "mean: axis -3 of x (2, 3), which has 2 axes\n  at HERE\n  hint: axes go from -2 to 1");
  CHECK(error_of<ValueError>([&] { max(x, {1, -1}); }) ==
        "max: axis 1 of x (2, 3) is named twice\n  at HERE\n  hint: negative axes count from the "
        "end: -1 is the last one");
  CHECK(error_of<IndexError>([&] { logsumexp(tensor(1.0), 0); }) ==
        "logsumexp: axis 0 of (), which has 0 axes\n  at HERE\n  hint: there are no axes");
  const std::vector<std::int64_t> many(40, 0);
  CHECK_THROWS_AS(sum(x, Axes(many)), ValueError);
  CHECK_THROWS_AS(sum(Tensor()), ValueError);
}

TEST_CASE("reduction: every choice of axes of a view of rank 3") {
  const Tensor x = from_vector(noise(3 * 4 * 5), {3, 4, 5});
  for (const samples::Layout& layout : samples::layouts())
    for (const bool turned : {false, true}) {
      const Tensor view = layout.apply(turned ? permute(x, {2, 0, 1}) : x);
      const Array a = array_of(view);
      for (unsigned mask = 0; mask < 8; ++mask)
        for (const bool keepdim : {false, true}) {
          CAPTURE(layout.name);
          CAPTURE(mask);
          const std::vector<std::int64_t> list = axes_of(mask);
          const Axes axes(list);
          const auto check = [&](const char* what, const Tensor& got, const Array& want) {
            CHECK(compare(what, got, want, 1e-15L * 60) == "");  // 60 terms of size 1
          };
          const Array sums = reduced(a, mask, keepdim, total);
          const Real count = Real(60) / static_cast<Real>(sums.shape.numel());
          check("sum", sum(view, axes, keepdim), sums);
          check("mean", mean(view, axes, keepdim),
                reference::map(sums, [&](Real e) { return e / count; }));
          check("max", max(view, axes, keepdim), reduced(a, mask, keepdim, largest));
          check("min", min(view, axes, keepdim), reduced(a, mask, keepdim, smallest));
          check("logsumexp", logsumexp(view, axes, keepdim),
                reduced(a, mask, keepdim, log_total_exp));
        }
    }
}

TEST_CASE("reduction: extents around the widths of registers and blocks") {
  // Small integers: f32 sums of them are exact.
  for (const std::int64_t rows : {1, 2, 3, 7, 63, 64, 65, 130, 1100})
    for (const std::int64_t columns : {1, 2, 3, 5, 10, 16, 31, 32, 33, 64, 100, 513, 1030}) {
      CAPTURE(rows);
      CAPTURE(columns);
      std::vector<float> numbers;
      for (std::int64_t i = 0; i < rows * columns; ++i)
        numbers.push_back(static_cast<float>(i * 7919 % 101 - 50));
      std::vector<float> down(static_cast<std::size_t>(columns)), across, high = down, low;
      std::fill(high.begin(), high.end(), -99.0F);
      float whole = 0;
      for (std::int64_t i = 0; i < rows; ++i) {
        float line = 0, least = 99;
        for (std::int64_t j = 0; j < columns; ++j) {
          const float e = numbers[static_cast<std::size_t>(i * columns + j)];
          const auto column = static_cast<std::size_t>(j);
          line += e;
          down[column] += e;
          high[column] = std::max(high[column], e);
          least = std::min(least, e);
        }
        whole += line;
        across.push_back(line);
        low.push_back(least);
      }
      const Tensor x = from_vector(numbers, {rows, columns});
      CHECK(sum(x).item<float>() == whole);
      CHECK(sum(x, 0).to_vector<float>() == down);
      CHECK(sum(x, 1).to_vector<float>() == across);
      CHECK(max(x, 0).to_vector<float>() == high);
      CHECK(min(x, 1).to_vector<float>() == low);
      CHECK(sum(x.T(), 1).to_vector<float>() == down);
      CHECK(sum(x.T(), 0).to_vector<float>() == across);
      CHECK(max(x.T(), 1).to_vector<float>() == high);
      CHECK(min(x.T(), 0).to_vector<float>() == low);
    }
}

TEST_CASE("reduction: expanded axes count as often as they repeat") {
  const Tensor row = tensor({1.0, 2.0, 4.0}, f64);
  const Tensor x = expand(row, {5, 3});
  CHECK(sum(x).item() == 35);
  CHECK(sum(x, 0).to_vector<double>() == std::vector<double>{5, 10, 20});
  CHECK(sum(x, 1).to_vector<double>() == std::vector<double>(5, 7));
  CHECK(mean(x, 0).to_vector<double>() == row.to_vector<double>());
  CHECK(max(x, 0).to_vector<double>() == row.to_vector<double>());
  CHECK(sum(expand(tensor(0.5), {1000, 1000})).item() == 500000);
  CHECK(sum(expand(row, {0, 3}), 0).to_vector<double>() == std::vector<double>(3, 0));
}

TEST_CASE("reduction: long sums of f32 keep their digits") {
  // Pairwise sums err by some log₂ n roundings of 6e-8, sums one after the other by up to n of
  // them.
  constexpr std::int64_t n = 1 << 22;
  std::vector<float> numbers;
  Real exact = 0;
  for (const double e : noise(n)) {
    numbers.push_back(static_cast<float>(e + 1));
    exact += static_cast<Real>(numbers.back());
  }
  const Real tolerance = 1e-6L;
  const auto error = [&](const Tensor& sum) {
    return std::abs(static_cast<Real>(sum.item<float>()) - exact) / exact;
  };
  const Tensor x = from_vector(numbers, {n});
  CHECK(error(sum(x)) < tolerance);
  CHECK(error(sum(sum(reshape(x, {n / 4, 4}), 0))) < tolerance);
  CHECK(error(sum(sum(reshape(x, {n / 1024, 1024}), 0))) < tolerance);
  CHECK(error(sum(transpose(reshape(x, {n / 2, 2})))) < tolerance);
  CHECK(std::abs(mean(x).item<float>() - static_cast<float>(exact / n)) < 1e-6F);
  CHECK(std::abs(logsumexp(x * 0.0F).item<float>() - std::log(static_cast<float>(n))) < 1e-5F);
}

TEST_CASE("reduction: i64 and boolean") {
  const Tensor x = tensor({{3, -1, 4}, {-1, 5, -9}});
  CHECK(sum(x).dtype() == i64);
  CHECK(sum(x, 0).to_vector<std::int64_t>() == std::vector<std::int64_t>{2, 4, -5});
  CHECK(max(x, 1).to_vector<std::int64_t>() == std::vector<std::int64_t>{4, 5});
  CHECK(min(x).item<std::int64_t>() == -9);
  constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();
  CHECK(sum(tensor({most, std::int64_t{1}})).item<std::int64_t>() ==
        std::numeric_limits<std::int64_t>::min());
  const Tensor b = tensor({{true, false, true}, {true, true, false}});
  CHECK(sum(b).dtype() == i64);
  CHECK(sum(b).item<std::int64_t>() == 4);
  CHECK(sum(b, 0).to_vector<std::int64_t>() == std::vector<std::int64_t>{2, 1, 1});
  CHECK(all(b, 0).to_vector<bool>() == std::vector<bool>{true, false, false});
  CHECK(any(b, 1).to_vector<bool>() == std::vector<bool>{true, true});
  CHECK_FALSE(all(b).item<bool>());
  CHECK(all(ones({300}, boolean)).item<bool>());
  CHECK_FALSE(any(zeros({300}, boolean)).item<bool>());
  CHECK(all(zeros({0}, boolean)).item<bool>());
  CHECK_FALSE(any(zeros({0}, boolean)).item<bool>());
  CHECK(error_of<DTypeError>([&] { mean(x); }) ==
        "mean: (2, 3) holds i64, but f32 or f64 is needed\n  at HERE\n  hint: convert it: to(x, "
        "f32)");
  CHECK_THROWS_AS(max(b), DTypeError);
  CHECK_THROWS_AS(argmax(b), DTypeError);
  CHECK_THROWS_AS(logsumexp(x), DTypeError);
  CHECK(error_of<DTypeError>([&] { all(x); }) ==
        "all: (2, 3) holds i64, but boolean is needed\n  at HERE\n  hint: compare first, as in "
        "all(x == y)");
}

TEST_CASE("reduction: booleans are counted where they stand") {
  Generator generator(31);
  const Tensor x = randint(0, 2, {5, 70, 33}, generator) > 0;
  // Views of every kind; and all choices of axes, against the sums of integers.
  for (const Tensor& view : {x, transpose(x, 0, 2), slice(x, 1, 3, 60, 4), slice(x, 1, {}, {}, -1),
                             expand(unsqueeze(x, 1), {5, 3, 70, 33}), x[2]})
    for (std::uint32_t mask = 0; mask < std::uint32_t{1} << view.rank(); ++mask)
      for (const bool keepdim : {false, true}) {
        const Axes axes = Axes::of_mask(mask);
        const Tensor counts = sum(view, axes, keepdim), want = sum(to(view, i64), axes, keepdim);
        CHECK(counts.shape() == want.shape());
        CHECK(counts.to_vector<std::int64_t>() == want.to_vector<std::int64_t>());
      }
  CHECK(sum(ones({3'000'000}, boolean)).item<std::int64_t>() == 3'000'000);
  CHECK(sum(zeros({0, 3}, boolean), 0).to_vector<std::int64_t>() ==
        std::vector<std::int64_t>{0, 0, 0});
  // Without a copy as integers.
  const Tensor many = ones({1000, 1000}, boolean);
  reset_peak_memory();
  const std::int64_t before = memory_stats().peak_bytes;
  CHECK(sum(many).item<std::int64_t>() == 1'000'000);
  CHECK(sum(many, 0)[3].item<std::int64_t>() == 1000);
  CHECK(memory_stats().peak_bytes - before < 100'000);
}

TEST_CASE("reduction: no elements") {
  const Tensor x = zeros({0, 3}, f64).named("x");
  CHECK(sum(x).item() == 0);
  CHECK(sum(x, 0).to_vector<double>() == std::vector<double>(3, 0));
  CHECK(sum(x, 1).shape() == Shape{0});
  CHECK(logsumexp(x).item() == -infinity);
  CHECK(logsumexp(x, 0).to_vector<double>() == std::vector<double>(3, -infinity));
  // No result has to be made of nothing here.
  CHECK(mean(x, 1).shape() == Shape{0});
  CHECK(max(x, 1, true).shape() == Shape{0, 1});
  CHECK(argmax(x, 1).shape() == Shape{0});
  const std::string hint =
      "\n  at HERE\n  hint: only sum, all, any and logsumexp have a value without elements";
  CHECK(error_of<ShapeError>([&] { mean(x); }) ==
        "mean: nothing to reduce: x (0, 3) has no elements" + hint);
  CHECK(error_of<ShapeError>([&] { max(x, 0); }) ==
        "max: nothing to reduce: x (0, 3) has no elements" + hint);
  CHECK(error_of<ShapeError>([&] { min(x); }) ==
        "min: nothing to reduce: x (0, 3) has no elements" + hint);
  CHECK(error_of<ShapeError>([&] { argmax(x, 0); }) ==
        "argmax: nothing to reduce: x (0, 3) has no elements" + hint);
  CHECK(error_of<ShapeError>([&] { argmin(x); }) ==
        "argmin: nothing to reduce: x (0, 3) has no elements" + hint);
}

TEST_CASE("reduction: NaN and infinities") {
  for (const std::int64_t n : {2, 5, 16, 17, 40, 129, 5000})
    for (const std::int64_t at : {std::int64_t{0}, n / 2, n - 1}) {
      CAPTURE(n);
      CAPTURE(at);
      std::vector<double> numbers = noise(n);
      numbers[static_cast<std::size_t>(at)] = not_a_number;
      const Tensor row = from_vector(numbers), column = reshape(row, {n, 1});
      const Tensor wide = expand(column, {n, 3});
      CHECK(std::isnan(sum(row).item()));
      CHECK(std::isnan(max(row).item()));
      CHECK(std::isnan(min(row).item()));
      CHECK(std::isnan(max(contiguous(wide), 0).at({2})));
      CHECK(std::isnan(min(contiguous(wide), 0).at({0})));
      CHECK(std::isnan(logsumexp(row).item()));
      CHECK(argmax(row).item<std::int64_t>() == at);
      CHECK(argmin(row).item<std::int64_t>() == at);
      CHECK(argmax(wide, 0).to_vector<std::int64_t>() == std::vector<std::int64_t>(3, at));
      CHECK(argmin(wide, 0).to_vector<std::int64_t>() == std::vector<std::int64_t>(3, at));
    }
  CHECK(max(tensor({-infinity, -infinity}, f64)).item() == -infinity);
  CHECK(max(tensor({1.0, infinity}, f64)).item() == infinity);
  CHECK(argmax(tensor({-infinity, -infinity}, f64)).item<std::int64_t>() == 0);
  CHECK(std::isnan(sum(tensor({infinity, -infinity}, f64)).item()));
}

TEST_CASE("reduction: logsumexp of extremes") {
  const auto of = [](std::initializer_list<double> x) { return logsumexp(tensor(x, f64)).item(); };
  CHECK(of({1000, 1000}) == doctest::Approx(1000 + std::log(2)).epsilon(1e-15));
  CHECK(of({-1000, -1000}) == doctest::Approx(-1000 + std::log(2)).epsilon(1e-15));
  CHECK(of({-1000, 1000}) == 1000);
  CHECK(of({-infinity, 3}) == 3);
  CHECK(of({-infinity, -infinity}) == -infinity);
  CHECK(of({infinity, 3}) == infinity);
  CHECK(of({infinity, -infinity}) == infinity);
  CHECK(std::isnan(of({infinity, not_a_number})));
  // The same where axes that are not neighbours are reduced.
  const Tensor x =
      expand(tensor({{{-infinity}, {1000.0}}, {{-infinity}, {1000.0}}}, f64), {2, 2, 2});
  CHECK(logsumexp(x, {0, 2}).at({0}) == -infinity);
  CHECK(logsumexp(x, {0, 2}).at({1}) == doctest::Approx(1000 + 2 * std::log(2)).epsilon(1e-15));
  // The gradient is exact where exp(x − logsumexp(x)) would lose digits in f32: 10000 has some
  // 1e-3.
  Tensor big = tensor({10000.0, 10000.25}).requires_grad_();
  const std::vector<float> g = grad(logsumexp(big), big).to_vector<float>();
  CHECK(g[0] == doctest::Approx(1 / (1 + std::exp(0.25))).epsilon(1e-6));
  CHECK(g[1] == doctest::Approx(1 / (1 + std::exp(-0.25))).epsilon(1e-6));
}

TEST_CASE("reduction: short rows are summed alike, alone and side by side") {
  const auto check = [](auto zero) {
    using T = decltype(zero);
    for (std::int64_t n = 1; n < 12; ++n) {
      CAPTURE(n);
      std::vector<T> numbers;
      for (std::int64_t i = 0; i < 5 * n; ++i)
        numbers.push_back(std::sin(static_cast<T>(i * i)) / static_cast<T>(i % 7 + 1));
      const Tensor x = from_vector(numbers, {5, n});
      const std::vector<T> rows = sum(x, 1).template to_vector<T>();
      for (std::int64_t i = 0; i < 5; ++i) {
        const Tensor row = x[i];
        CHECK(sum(row).template item<T>() == rows[static_cast<std::size_t>(i)]);
        CHECK(sum(reshape(row, {1, n}), 1).template to_vector<T>()[0] ==
              rows[static_cast<std::size_t>(i)]);
      }
    }
  };
  check(float{});
  check(double{});
}

TEST_CASE("reduction: indices") {
  const Tensor x = tensor({{3.0, 7.0, 7.0}, {9.0, 0.0, 9.0}}, f64);
  CHECK(argmax(x).dtype() == i64);
  CHECK(argmax(x).item<std::int64_t>() == 3);
  CHECK(argmax(x, {}, true).shape() == Shape{1, 1});
  CHECK(argmax(x, 1).to_vector<std::int64_t>() == std::vector<std::int64_t>{1, 0});
  CHECK(argmax(x, 0).to_vector<std::int64_t>() == std::vector<std::int64_t>{1, 0, 1});
  CHECK(argmax(x, 0, true).shape() == Shape{1, 3});
  CHECK(argmin(x, -1).to_vector<std::int64_t>() == std::vector<std::int64_t>{0, 1});
  CHECK(argmin(x).item<std::int64_t>() == 4);
  CHECK(argmax(x.T(), 0).to_vector<std::int64_t>() == std::vector<std::int64_t>{1, 0});
  CHECK(argmax(x.T()).item<std::int64_t>() == 1);
  CHECK(argmax(tensor({4, 9, 9}), 0).item<std::int64_t>() == 1);
  CHECK(argmax(tensor(2.0)).item<std::int64_t>() == 0);
  std::vector<double> numbers = noise(5 * 300 * 300);
  const Tensor deep = from_vector(numbers, {5, 300, 300});
  for (const int axis : {0, 1, 2}) {
    const Tensor at = argmax(deep, axis), best = max(deep, axis);
    for (const std::int64_t i : {0, 1, 4})
      for (const std::int64_t j : {0, 255, 256, 299}) {
        Shape index = axis == 0 ? Shape{j, 299 - j} : Shape{i, j};
        const double value = best.at(index);
        index.insert(axis, at.at<std::int64_t>(index));
        CHECK(deep.at(index) == value);
      }
  }
  CHECK(error_of<ValueError>([&] { argmax(deep, {0, 1}); }) ==
        "argmax: 2 of the 3 axes of (5, 300, 300), but one or all are needed\n  at HERE\n  hint: "
        "join them into one axis first: flatten(), reshape()");
  Tensor parameter = zeros({3}).requires_grad_();
  CHECK_FALSE(argmax(parameter).requires_grad());
}

TEST_CASE("reduction: a sum of exponentials remembers for log() what they are of") {
  const Tensor z = tensor({{1.0, 2.0}}, f64);
  const auto kept = [](const Tensor& s) {
    return s.node() && std::string(s.node()->op()->name()) == "sum" ? s.node()->saved_input(0)
                                                                    : nullptr;
  };
  const Tensor s = sum(exp(z), 1, true);
  CHECK(kept(s) == z.value_ref().get());
  CHECK_FALSE(s.requires_grad());
  CHECK(s.node()->parameters<detail::ReduceParameters>().mask == 2);
  CHECK(s.node()->parameters<detail::ReduceParameters>().keepdim);
  CHECK_FALSE(sum(z).node());
  const Tensor parameter = z.detach().requires_grad_();
  const Tensor quiet = no_grad([&] { return sum(exp(parameter)); });
  CHECK(kept(quiet) == z.value_ref().get());
  CHECK_FALSE(quiet.requires_grad());
  CHECK(quiet.node()->inputs()[0] == nullptr);
  // Recorded, the edge to the node of exp() says it.
  const Tensor recorded = sum(exp(parameter));
  CHECK(kept(recorded) == nullptr);
  CHECK(std::string(recorded.node()->inputs()[0]->op()->name()) == "exp");
}

TEST_CASE("reduction: gradients of sums are views") {
  Tensor x = ones({1000, 1000}).requires_grad_();
  const Tensor g = grad(sum(x), x);
  CHECK(g.shape() == x.shape());
  CHECK(g.strides() == Shape{0, 0});
  CHECK(grad(sum(mean(x, 1)), x).strides() == Shape{1, 0});
}

TEST_SUITE_END();
