#include <doctest/doctest.h>

#include <algorithm>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include <chainrule/core/create.hpp>
#include <chainrule/graph/backward.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/elementwise/convert.hpp>
#include <chainrule/ops/elementwise/select.hpp>
#include <chainrule/ops/nn/cross_entropy.hpp>
#include <chainrule/ops/nn/layer_norm.hpp>
#include <chainrule/ops/nn/softmax.hpp>
#include <chainrule/ops/reduce/reduction.hpp>
#include <chainrule/ops/shape/indexing.hpp>
#include <chainrule/ops/shape/join.hpp>
#include <chainrule/ops/shape/manipulation.hpp>
#include <chainrule/tests/ops/samples/samples.hpp>

using namespace chainrule;
using samples::compare;

TEST_SUITE_BEGIN("ops");

namespace {

// Extents around those of registers, of what the compiler knows, and of what counts as short.
constexpr std::int64_t extents[] = {1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 33};

// Rows without a pattern, and in turn of ties, with a NaN, with infinities, and with one number
// that is the largest by far.
Tensor rows_of(std::int64_t rows, std::int64_t n, DType dtype) {
  constexpr auto infinity = std::numeric_limits<reference::Real>::infinity();
  samples::Array a = samples::scattered({rows, n}, 11, 6);
  for (std::int64_t r = 0; r < rows; ++r) {
    const auto row =
        std::span(a.v).subspan(static_cast<std::size_t>(r * n), static_cast<std::size_t>(n));
    reference::Real& one = row[static_cast<std::size_t>(r % n)];
    switch (r % 11) {
      case 1:
        std::ranges::fill(row, one);
        break;
      case 2:
        row.back() = row.front();
        break;
      case 3:
        one = std::numeric_limits<reference::Real>::quiet_NaN();
        break;
      case 4:
        one = infinity;
        break;
      case 5:
        one = -infinity;
        break;
      case 6:
        std::ranges::fill(row, -infinity);
        break;
      case 7:
        one = 40;
        break;
      case 8:
        one = 8;
        break;
    }
  }
  return samples::tensor_of(a, dtype);
}

// A function of every row, with what it takes for each.
struct OfLines {
  const char* name;
  Tensor (*apply)(const Tensor& x, const Tensor& probabilities, const Tensor& labels);
};

constexpr OfLines floating[] = {
    {"softmax", [](const Tensor& x, const Tensor&, const Tensor&) { return softmax(x); }},
    {"log_softmax", [](const Tensor& x, const Tensor&, const Tensor&) { return log_softmax(x); }},
    {"logsumexp", [](const Tensor& x, const Tensor&, const Tensor&) { return logsumexp(x, 1); }},
    {"layer_norm",
     [](const Tensor& x, const Tensor&, const Tensor&) {
       const Tensor w = to(arange(x.size(1)) + 1, x.dtype());
       return layer_norm(x, {x.size(1)}, w / 4.0, w - 2.0);
     }},
    {"cross_entropy of labels",
     [](const Tensor& x, const Tensor&, const Tensor& labels) {
       return cross_entropy(x, labels, Reduction::none);
     }},
    {"cross_entropy of probabilities",
     [](const Tensor& x, const Tensor& q, const Tensor&) {
       return cross_entropy(x, q, Reduction::none);
     }},
    {"max", [](const Tensor& x, const Tensor&, const Tensor&) { return max(x, 1); }}};

struct Results {
  Tensor value, gradient;
};

Results results(const OfLines& f, const Tensor& x, const Tensor& q, const Tensor& labels) {
  const Tensor leaf = x.detach().requires_grad_();
  const Tensor y = f.apply(leaf, q, labels);
  const Tensor seed = samples::tensor_of(samples::direction(y.shape(), 3), y.dtype());
  backward(y, seed);
  return {y.detach(), leaf.grad()};
}

// The same of each row alone.
Results one_by_one(const OfLines& f, const Tensor& x, const Tensor& q, const Tensor& labels,
                   const Tensor& seed) {
  std::vector<Tensor> values, gradients;
  for (std::int64_t r = 0; r < x.size(0); ++r) {
    const auto row = [r](const Tensor& all) { return all(slice(r, r + 1)); };
    const Tensor leaf = contiguous(row(x)).detach().requires_grad_();
    const Tensor y = f.apply(leaf, row(q), row(labels));
    backward(y, row(seed));
    values.push_back(y.detach());
    gradients.push_back(leaf.grad());
  }
  return {concat(values, 0), concat(gradients, 0)};
}

std::vector<std::int64_t> integers(const Tensor& x) { return x.to_vector<std::int64_t>(); }

}  // namespace

TEST_CASE("lines: many rows have the values and gradients of each row alone") {
  constexpr std::int64_t rows = 150;
  for (const DType dtype : {f64, f32})
    for (const std::int64_t n : extents) {
      CAPTURE(name_of(dtype));
      CAPTURE(n);
      const Tensor x = rows_of(rows, n, dtype);
      const Tensor q = softmax(samples::tensor_of(samples::scattered({rows, n}, 5, 2), dtype));
      std::vector<std::int64_t> classes;
      for (std::int64_t r = 0; r < rows; ++r) classes.push_back(r * 7 % n);
      const Tensor labels = from_vector(classes);
      // Sums of up to 33 numbers in another order; a layer norm of nearly equal ones multiplies
      // their errors by 316.
      const samples::Real tolerance = dtype == f64 ? 1e-13L : 5e-5L;
      for (const OfLines& f : floating) {
        CAPTURE(f.name);
        const Results all = results(f, x, q, labels);
        const Tensor seed =
            samples::tensor_of(samples::direction(all.value.shape(), 3), all.value.dtype());
        const Results alone = one_by_one(f, x, q, labels, seed);
        CHECK(compare("value", all.value, alone.value, tolerance) == "");
        CHECK(compare("gradient", all.gradient, alone.gradient, tolerance) == "");
        // Of other strides the same bits.
        for (const samples::Layout& layout : samples::layouts()) {
          CAPTURE(layout.name);
          const Results of_view = results(f, layout.apply(x), layout.apply(q), labels);
          CHECK(compare("value", of_view.value, all.value, 0) == "");
          CHECK(compare("gradient", of_view.gradient, all.gradient, 0) == "");
        }
      }
    }
}

TEST_CASE("lines: the place of an extremum in many rows is that in each row alone") {
  for (const DType dtype : {f64, f32, i64})
    for (const std::int64_t n : extents)
      for (const std::int64_t rows : {0, 1, 15, 16, 700}) {
        CAPTURE(name_of(dtype));
        CAPTURE(n);
        CAPTURE(rows);
        const Tensor x = dtype == i64
                             ? to(samples::tensor_of(samples::scattered({rows, n}, 2, 4), f64), i64)
                             : rows_of(rows, n, dtype);
        for (const auto f : {argmax, argmin}) {
          const auto at = [&](const Tensor& t) { return f(t, 1, false, Where::current()); };
          std::vector<std::int64_t> want;
          for (std::int64_t r = 0; r < rows; ++r)
            want.push_back(at(x(slice(r, r + 1))).item<std::int64_t>());
          CHECK(integers(at(x)) == want);
          for (const samples::Layout& layout : samples::layouts())
            CHECK(integers(at(layout.apply(x))) == want);
        }
      }
}

TEST_CASE("lines: booleans of many rows are counted") {
  for (const std::int64_t n : {1, 2, 3, 7, 8, 9, 31, 32, 33, 254, 255, 256, 257})
    for (const std::int64_t rows : {0, 1, 5, 511, 512, 513}) {
      CAPTURE(n);
      CAPTURE(rows);
      const Tensor some = samples::tensor_of(samples::scattered({rows, n}, 7, 1), f64) > 0;
      const Tensor every = ones({rows, n}, boolean);
      for (const Tensor& x : {some, every}) {
        const std::vector<std::int64_t> want = integers(sum(to(x, i64), 1));
        CHECK(integers(sum(x, 1)) == want);
        for (const samples::Layout& layout : samples::layouts())
          CHECK(integers(sum(layout.apply(x), 1)) == want);
      }
    }
}

TEST_SUITE_END();
