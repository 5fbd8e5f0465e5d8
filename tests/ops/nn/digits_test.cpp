#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include <chainrule/core/create.hpp>
#include <chainrule/graph/backward.hpp>
#include <chainrule/graph/functional.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/elementwise/convert.hpp>
#include <chainrule/ops/elementwise/functions.hpp>
#include <chainrule/ops/elementwise/log.hpp>
#include <chainrule/ops/nn/cross_entropy.hpp>
#include <chainrule/ops/nn/softmax.hpp>
#include <chainrule/ops/reduce/reduction.hpp>
#include <chainrule/ops/shape/indexing.hpp>
#include <chainrule/ops/shape/manipulation.hpp>

/// Lines of which one element is nearly certain: 1 − p and all that is made of it has the digits of
/// the other probabilities.

using namespace chainrule;

TEST_SUITE_BEGIN("ops");

namespace {

using Real = long double;
using Reals = std::vector<Real>;

// Logits whose largest, 0, stands at `at`, the others from `gap` on below it. They are multiples of
// 1/4, so that their differences are exact.
struct Line {
  std::size_t at;
  Reals x, p;
  Real log_sum, short_of_one;  // 1 − p at the largest

  Line(std::size_t n, double gap, std::size_t place) : at(place), x(n), p(n) {
    Real rest = 0;
    for (std::size_t i = 0; i < n; ++i)
      if (i != at) rest += std::exp(x[i] = -gap - static_cast<double>(i % 7) / 4);
    log_sum = std::log1p(rest);
    for (std::size_t i = 0; i < n; ++i) p[i] = std::exp(x[i] - log_sum);
    short_of_one = rest / (1 + rest);
  }
  // The same numbers for all elements but one for the largest.
  template <class F>
  Reals with(Real largest, F f) const {
    Reals values(x.size());
    for (std::size_t i = 0; i < x.size(); ++i) values[i] = i == at ? largest : f(i);
    return values;
  }
};

// Lines of n elements as rows (lines, n), or as columns (n, lines).
struct Lines {
  std::vector<Line> lines;
  DType dtype;
  int axis;

  Tensor tensor_of(const std::vector<Reals>& rows) const {
    std::vector<double> all;
    for (const Reals& row : rows)
      for (const Real e : row) all.push_back(static_cast<double>(e));
    const Tensor matrix = reshape(from_vector(all), {static_cast<std::int64_t>(rows.size()), -1});
    return to(axis == 1 ? matrix : matrix.T() + 0.0, dtype);
  }
  template <class F>
  std::vector<Reals> each(F f) const {
    std::vector<Reals> values;
    for (const Line& line : lines) values.push_back(f(line));
    return values;
  }
  Tensor logits() const {
    return tensor_of(each([](const Line& line) { return line.x; }));
  }
  // 1 at the largest elements.
  Tensor largest() const {
    return tensor_of(
        each([](const Line& line) { return line.with(1, [](std::size_t) { return 0; }); }));
  }
  Tensor labels() const {
    std::vector<std::int64_t> at;
    for (const Line& line : lines) at.push_back(static_cast<std::int64_t>(line.at));
    return from_vector(at);
  }

  // Each element to so many units in the last place; elements that are no normal numbers to the
  // smallest of these.
  void check(const char* what, const Tensor& got, const std::vector<Reals>& want) const {
    const bool single = dtype == f32;
    const Real eps =
        single ? std::numeric_limits<float>::epsilon() : std::numeric_limits<double>::epsilon();
    const Real least =
        single ? std::numeric_limits<float>::min() : std::numeric_limits<double>::min();
    // Some operations, and sums of rows, of which each lane of a register adds up to 64 numbers in
    // turn; and the sums of columns, which are added up in double one by one, and enter
    // second derivatives more than once.
    const Real n = static_cast<Real>(lines[0].x.size());
    const Real tolerance = (48 + (axis == 0 && !single ? n / 4 : 0)) * eps;
    const Tensor rows = got.rank() == 1 ? unsqueeze(got, 1) : axis == 1 ? got : got.T();
    const std::vector<double> numbers = to(rows, f64).to_vector<double>();
    Real worst = 0;
    std::string at;
    std::size_t k = 0;
    for (const Reals& row : want)
      for (const Real e : row) {
        const Real off = std::abs(numbers.at(k) - e) / std::max(std::abs(e), least);
        if (!(off <= worst)) {
          worst = off;
          at = fmt::format("{}: element {} is {}, not {}", what, k, numbers[k],
                           static_cast<double>(e));
        }
        ++k;
      }
    CHECK(k == numbers.size());
    CHECK_MESSAGE(worst <= tolerance, at);
  }
};

const auto all_cases = [](auto run) {
  for (const DType dtype : {f32, f64})
    for (const int axis : {0, 1})
      for (const std::size_t n : {2, 3, 10, 100, 1023, 3000})
        for (const double gap : {0.0, 1.0, 5.0, 17.0, 40.0, 80.0}) {
          CAPTURE(to_string(Shape{static_cast<std::int64_t>(n), axis}));
          CAPTURE(gap);
          CAPTURE(name_of(dtype));
          // The largest in the first, a middle and the last place, and another gap beside them.
          run(Lines{{Line(n, gap, 0), Line(n, gap / 2, n / 2), Line(n, gap, n - 1)}, dtype, axis});
        }
};

}  // namespace

TEST_CASE("digits: logarithms and losses where one class is nearly certain") {
  all_cases([](const Lines& lines) {
    const int axis = lines.axis;
    const Tensor z = lines.logits();
    lines.check("log_softmax", log_softmax(z, axis), lines.each([](const Line& line) {
      return line.with(-line.log_sum, [&](std::size_t i) { return line.x[i] - line.log_sum; });
    }));
    const auto log_sums = lines.each([](const Line& line) { return Reals{line.log_sum}; });
    lines.check("logsumexp", logsumexp(z, axis), log_sums);
    lines.check("log of sum of exp", log(sum(exp(z), axis)), log_sums);
    lines.check("labels", cross_entropy(z, lines.labels(), Reduction::none, axis), log_sums);
    lines.check("probabilities", cross_entropy(z, lines.largest(), Reduction::none, axis),
                log_sums);
  });
}

TEST_CASE("digits: logsumexp over axes that are not neighbours") {
  const Line line(6, 30, 0);
  std::vector<double> x;
  for (const int k : {0, 1, 2, 3, 4, 5}) {  // (3, 2, 2), the middle axis twice the same
    const int first = k / 2, last = k % 2;
    if (last == 0)
      for (int middle = 0; middle < 2; ++middle)
        for (int j = 0; j < 2; ++j)
          x.push_back(static_cast<double>(line.x[static_cast<std::size_t>(2 * first + j)]));
  }
  const Tensor z = reshape(from_vector(x), {3, 2, 2});
  for (const double e : logsumexp(z, {0, 2}).to_vector<double>())
    CHECK(std::abs(e / line.log_sum - 1) < 1e-15L);
}

TEST_CASE("digits: gradients where one class is nearly certain") {
  all_cases([](const Lines& lines) {
    const int axis = lines.axis;
    Tensor z = lines.logits().requires_grad_();
    const Tensor right = lines.largest();
    // p − 1 at the label, p elsewhere.
    const auto residual = lines.each([](const Line& line) {
      return line.with(-line.short_of_one, [&](std::size_t i) { return line.p[i]; });
    });
    const auto negated = lines.each([](const Line& line) {
      return line.with(line.short_of_one, [&](std::size_t i) { return -line.p[i]; });
    });
    lines.check("labels", grad(cross_entropy(z, lines.labels(), Reduction::sum, axis), z),
                residual);
    lines.check("probabilities", grad(cross_entropy(z, right, Reduction::sum, axis), z), residual);
    lines.check("log_softmax", grad(sum(log_softmax(z, axis) * right), z), negated);
    lines.check("log of softmax", grad(sum(log(softmax(z, axis)) * right), z), negated);
    lines.check("softmax", grad(sum(softmax(z, axis) * right), z), lines.each([](const Line& line) {
      const Real p = line.p[line.at];
      return line.with(p * line.short_of_one, [&](std::size_t i) { return -p * line.p[i]; });
    }));
  });
}

TEST_CASE("digits: tangents and second derivatives where one class is nearly certain") {
  all_cases([](const Lines& lines) {
    const int axis = lines.axis;
    Tensor z = lines.logits().requires_grad_();
    const Tensor right = lines.largest(), labels = lines.labels();
    const auto short_of_one = [](const Line& line) { return Reals{-line.short_of_one}; };
    const auto tangent = [&](auto f) { return jvp(f, z.detach(), right).second; };
    const auto by_labels = [&](const Tensor& x) {
      return cross_entropy(x, labels, Reduction::none, axis);
    };
    lines.check("labels", tangent(by_labels), lines.each(short_of_one));
    lines.check("probabilities", tangent([&](const Tensor& x) {
                  return cross_entropy(x, right, Reduction::none, axis);
                }),
                lines.each(short_of_one));
    lines.check("log_softmax", tangent([&](const Tensor& x) { return log_softmax(x, axis); }),
                lines.each([](const Line& line) {
                  const Real p = line.p[line.at];
                  return line.with(line.short_of_one, [&](std::size_t) { return -p; });
                }));
    // The Hessian's column of the right label: p (1 − p), and −p pᵢ elsewhere.
    const Tensor first = grad(sum(by_labels(z)), z, {.create_graph = true});
    lines.check("second derivative", grad(sum(first * right), z), lines.each([](const Line& line) {
      const Real p = line.p[line.at];
      return line.with(p * line.short_of_one, [&](std::size_t i) { return -p * line.p[i]; });
    }));
  });
}

TEST_SUITE_END();
