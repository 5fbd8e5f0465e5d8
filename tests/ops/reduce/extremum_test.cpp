#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <vector>

#include <chainrule/core/create.hpp>
#include <chainrule/core/random.hpp>
#include <chainrule/graph/backward.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/elementwise/convert.hpp>
#include <chainrule/ops/elementwise/functions.hpp>
#include <chainrule/ops/elementwise/select.hpp>
#include <chainrule/ops/reduce/reduction.hpp>
#include <chainrule/ops/shape/indexing.hpp>
#include <chainrule/ops/shape/manipulation.hpp>

using namespace chainrule;

TEST_SUITE_BEGIN("ops");

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

}  // namespace

TEST_CASE("reduction: the gradient of an extremum is shared by ties") {
  Tensor x = tensor({{1.0, 3.0, 3.0}, {2.0, 2.0, 2.0}}, f64).requires_grad_();
  CHECK(grad(sum(max(x, 1)), x).to_vector<double>() ==
        std::vector<double>{0, 0.5, 0.5, 1.0 / 3, 1.0 / 3, 1.0 / 3});
  CHECK(grad(max(x), x).to_vector<double>() == std::vector<double>{0, 0.5, 0.5, 0, 0, 0});
  CHECK(grad(min(x), x).to_vector<double>() == std::vector<double>{1, 0, 0, 0, 0, 0});
  CHECK(grad(sum(min(x, 0, true)), x).to_vector<double>() == std::vector<double>{1, 0, 0, 0, 1, 1});
  Tensor bad = tensor({1.0, not_a_number}, f64).requires_grad_();
  for (const double g : grad(max(bad), bad).to_vector<double>()) CHECK(std::isnan(g));
}

TEST_CASE("reduction: infinities inside of long rows and columns") {
  Generator random(3);
  for (const double extreme : {infinity, -infinity}) {
    std::vector<double> numbers = to(randn({6000}, random), f64).to_vector<double>();
    numbers[777] = extreme;
    for (const DType dtype : {f32, f64}) {
      const Tensor row = to(from_vector(numbers), dtype), column = reshape(row, {6000, 1});
      const Tensor wide = contiguous(expand(column, {6000, 40}));
      const double most = extreme > 0 ? extreme : max(abs(where(row == extreme, 0, row))).item();
      for (const Tensor& got : {max(row), max(contiguous(wide.T()), 1)[3], max(wide, 0)[7]})
        CHECK((extreme > 0 ? got.item() == extreme : got.item() <= most));
      CHECK(min(row).item() == (extreme < 0 ? extreme : min(where(row == extreme, 0, row)).item()));
      CHECK(min(wide, 0).at({39}) == min(row).item());
      CHECK(max(wide, 0).at({0}) == max(row).item());
    }
  }
}

TEST_CASE("reduction: the gradient of an extremum, of lines of all lengths") {
  for (const std::int64_t n : {1, 2, 3, 4, 5, 6, 17, 100, 1000})
    for (const std::int64_t rows : {1, 3, 70}) {
      CAPTURE(n);
      CAPTURE(rows);
      std::vector<double> numbers;
      for (std::int64_t i = 0; i < rows * n; ++i)
        numbers.push_back(static_cast<double>(i * 7919 % 11));
      if (n > 2) numbers[1] = not_a_number;  // in the first row
      std::vector<double> want, seeds;
      for (std::int64_t i = 0; i < rows; ++i) {
        const auto line = std::span(numbers).subspan(static_cast<std::size_t>(i * n),
                                                     static_cast<std::size_t>(n));
        const bool nan = std::ranges::any_of(line, [](double e) { return std::isnan(e); });
        const double best = *std::ranges::max_element(line);
        const auto equal = static_cast<double>(std::ranges::count(line, best));
        seeds.push_back(static_cast<double>(i % 7) - 2.5);
        for (const double e : line)
          want.push_back(nan ? not_a_number : e == best ? seeds.back() * (1 / equal) : 0);
      }
      const Tensor x = from_vector(numbers, {rows, n}), g = from_vector(seeds, {rows});
      const auto check = [&](const Tensor& leaf, int axis, bool turned) {
        Tensor at = leaf.detach().requires_grad_();
        // In operations when the gradient is recorded.
        for (const bool recorded : {false, true}) {
          at.zero_grad();
          backward(max(at, axis), g, {.create_graph = recorded});
          const Tensor got = turned ? at.grad().T() : at.grad();
          const std::vector<double> all = got.to_vector<double>();
          for (std::size_t i = 0; i < all.size(); ++i)
            CHECK((all[i] == want[i] || (std::isnan(all[i]) && std::isnan(want[i]))));
        }
      };
      check(x, 1, false);
      check(contiguous(x.T()), 0, true);
    }
}

TEST_SUITE_END();
