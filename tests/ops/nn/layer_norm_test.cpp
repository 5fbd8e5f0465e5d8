#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include <chainrule/core/create.hpp>
#include <chainrule/core/random.hpp>
#include <chainrule/graph/backward.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/elementwise/convert.hpp>
#include <chainrule/ops/elementwise/select.hpp>
#include <chainrule/ops/nn/layer_norm.hpp>
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

// x̂ and the gradients of ⟨g, x̂ ⊗ w + b⟩ by their definitions, for rows (rows, n).
struct Definition {
  Array y, out, by_x, by_w, by_b;

  Definition(const Array& x, const Array& w, const Array& b, const Array& g, Real eps)
      : y(x.shape), out(x.shape), by_x(x.shape), by_w(w.shape), by_b(b.shape) {
    const std::int64_t n = x.shape[1];
    for (std::int64_t r = 0; r < x.shape[0]; ++r) {
      Real mean = 0, variance = 0, mean_k = 0, mean_ky = 0;
      for (std::int64_t i = 0; i < n; ++i) mean += x.at({r, i}) / n;
      for (std::int64_t i = 0; i < n; ++i) {
        const Real deviation = x.at({r, i}) - mean;
        variance += deviation * deviation / n;
      }
      const Real scale = 1 / std::sqrt(variance + eps);
      for (std::int64_t i = 0; i < n; ++i) {
        const Real e = y.at({r, i}) = (x.at({r, i}) - mean) * scale, k = g.at({r, i}) * w.at({i});
        out.at({r, i}) = e * w.at({i}) + b.at({i});
        mean_k += k / n;
        mean_ky += k * e / n;
        by_w.at({i}) += g.at({r, i}) * e;
        by_b.at({i}) += g.at({r, i});
      }
      for (std::int64_t i = 0; i < n; ++i)
        by_x.at({r, i}) = scale * (g.at({r, i}) * w.at({i}) - mean_k - y.at({r, i}) * mean_ky);
    }
  }
};

Real largest(const Array& a) {
  Real most = 0;
  for (const Real e : a.v) most = std::max(most, std::abs(e));
  return most;
}

}  // namespace

TEST_CASE("layer_norm: values and gradients against the definition, around the sizes of blocks") {
  Generator generator(3);
  for (const DType dtype : {f64, f32})
    for (const Shape& shape : {Shape{1, 1}, Shape{5, 3}, Shape{200, 17}, Shape{3, 1024},
                               Shape{2, 1025}, Shape{130, 257}, Shape{1, 5000}}) {
      CAPTURE(name_of(dtype));
      CAPTURE(to_string(shape));
      // Sums of up to 5000 numbers of size 4; f64 and f32 have 2e-16 and 6e-8.
      const Real tolerance = dtype == f64 ? 4e-15L : 2e-6L;
      const Tensor x = (randn(shape, generator, dtype) * 2.0 + 0.5).detach().requires_grad_();
      const Tensor w = randn({shape[1]}, generator, dtype).requires_grad_();
      const Tensor b = randn({shape[1]}, generator, dtype).requires_grad_();
      const Tensor g = randn(shape, generator, dtype);
      const Definition want(array_of(x), array_of(w), array_of(b), array_of(g), 1e-5L);
      const Tensor out = layer_norm(x, {shape[1]}, w, b);
      CHECK(compare("x̂", layer_norm(x, {shape[1]}), want.y, tolerance * 2) == "");
      CHECK(compare("out", out, want.out, tolerance * 4) == "");
      const Tensor inputs[] = {x, w, b};
      const std::vector<Tensor> grads = grad(std::span(&out, 1), std::span(&g, 1), inputs);
      // A row of one element has an x̂ of 0 and a scale of 316.
      const Real size = shape[1] == 1 ? 400 : 4;
      CHECK(compare("gradient for x", grads[0], want.by_x, tolerance * size) == "");
      CHECK(compare("gradient for w", grads[1], want.by_w, tolerance * (4 + largest(want.by_w))) ==
            "");
      CHECK(compare("gradient for b", grads[2], want.by_b, tolerance * (4 + largest(want.by_b))) ==
            "");
    }
}

TEST_CASE("layer_norm: rows with a large mean lose no digits") {
  // The elements themselves are exact: multiples of 1/64 about 8192, which f32 can hold, so that
  // the definition of these very numbers is what is wanted.
  Generator generator(5);
  for (const std::int64_t n : {4, 33, 512, 3000}) {
    CAPTURE(n);
    const Tensor offsets = to(randint(-128, 128, {3, n}, generator), f32) / 64.0;
    const Tensor x = (offsets + 8192.0).detach().requires_grad_();
    const Tensor w = ones({n}).requires_grad_(), b = zeros({n}), g = randn({3, n}, generator);
    const Definition want(array_of(x), array_of(w), array_of(b), array_of(g), 1e-5L);
    const Tensor out = layer_norm(x, {n}, w, b);
    CHECK(compare("x̂", out, want.out, 1e-6L) == "");
    const Tensor inputs[] = {x, w};
    const std::vector<Tensor> grads = grad(std::span(&out, 1), std::span(&g, 1), inputs);
    CHECK(compare("gradient for x", grads[0], want.by_x, 4e-6L) == "");
    CHECK(compare("gradient for w", grads[1], want.by_w, 4e-6L) == "");
  }
}

TEST_CASE("layer_norm: constant rows are zeros, whatever their size") {
  for (const double value : {0.0, 0.1, 3.7, 1e6, -12345.678, 1e10}) {
    CAPTURE(value);
    const Array y = array_of(layer_norm(full({3, 1000}, value), {1000}));
    // The rounded mean is 1e-7 of the value off, and what that is off, 1e-7 of this; scale is 316.
    CHECK(largest(y) <= std::abs(value) * 1e-14L * 316);
  }
}

TEST_CASE("layer_norm: the gradient of a row of one is 0, whatever the rounding of g ⊗ w") {
  Generator generator(27);
  for (const DType dtype : {f32, f64}) {
    Tensor x = randn({500, 1}, generator, dtype).requires_grad_();
    const Tensor g = randn({500, 1}, generator, dtype);
    for (int i = 0; i < 10; ++i) {
      const Tensor w = randn({1}, generator, dtype);
      CHECK(largest(array_of(grad(sum(layer_norm(x, {1}, w) * g), x))) == 0);
    }
  }
}

TEST_CASE("layer_norm: rows whose squares overflow or underflow") {
  struct Case {
    DType dtype;
    double size, eps;
  };
  const Case cases[] = {{f32, 1e30, 1e-5}, {f32, 1e37, 1e-5},   {f32, 0x1p64, 0},
                        {f32, 1e-30, 0},   {f32, 1e-36, 1e-80}, {f64, 1e160, 1e-5},
                        {f64, 1e300, 0},   {f64, 1e-200, 0},    {f64, 1e-300, 0}};
  Generator generator(6);
  for (const Case& c : cases)
    for (const std::int64_t n : {4, 1500}) {
      CAPTURE(name_of(c.dtype));
      CAPTURE(c.size);
      CAPTURE(n);
      const Tensor numbers = randn({3, n}, generator, f64) + 0.5;
      const Tensor x = to(numbers * c.size, c.dtype).detach().requires_grad_();
      const Tensor w = randn({n}, generator, c.dtype).requires_grad_();
      const Tensor b = zeros({n}, c.dtype), g = randn({3, n}, generator, c.dtype);
      const Definition want(array_of(x), array_of(w), array_of(b), array_of(g), c.eps);
      const Tensor out = layer_norm(x, {n}, w, b, c.eps);
      const Real tolerance = c.dtype == f64 ? 1e-14L : 1e-5L;
      CHECK(compare("out", out, want.out, tolerance) == "");
      const Tensor inputs[] = {x, w};
      const std::vector<Tensor> grads = grad(std::span(&out, 1), std::span(&g, 1), inputs);
      CHECK(compare("gradient for w", grads[1], want.by_w, tolerance * 4) == "");
      // Of the size of 1 / x: compared as multiples of that.
      const Real size = c.size;
      const auto scaled = [&](Array a) {
        return reference::map(a, [&](Real e) { return e * size; });
      };
      CHECK(compare("gradient for x", scaled(array_of(grads[0])), scaled(want.by_x),
                    tolerance * 4) == "");
    }
}

TEST_CASE("layer_norm: NaN and infinity stay in their rows") {
  const double infinity = std::numeric_limits<double>::infinity();
  const double not_a_number = std::numeric_limits<double>::quiet_NaN();
  const Tensor y =
      layer_norm(tensor({{1.0, infinity, 2.0}, {1.0, not_a_number, 2.0}, {1.0, 2.0, 3.0}}, f64),
                 {3}, {}, {}, 0);
  for (std::int64_t i = 0; i < 3; ++i) {
    CHECK(std::isnan(y.at({0, i})));
    CHECK(std::isnan(y.at({1, i})));
    CHECK(y.at({2, i}) == doctest::Approx(static_cast<double>(i - 1) * std::sqrt(1.5)));
  }
  // Without ε a row without deviations has no x̂.
  CHECK(std::isnan(layer_norm(ones({1, 4}), {4}, {}, {}, 0).at({0, 0})));
}

TEST_CASE("layer_norm: views, several axes, and inputs that need no gradient") {
  Generator generator(7);
  const Tensor x = randn({4, 3, 5}, generator, f64);
  const Tensor w = randn({3, 5}, generator, f64), b = randn({3, 5}, generator, f64);
  const Tensor flat = layer_norm(reshape(x, {4, 15}), {15}, flatten(w), flatten(b));
  CHECK(compare("two axes", layer_norm(x, {3, 5}, w, b), reshape(flat, {4, 3, 5}), 1e-14L) == "");
  const Tensor turned = contiguous(permute(x, {2, 1, 0}));  // (5, 3, 4)
  CHECK(compare("a view", layer_norm(permute(turned, {2, 1, 0}), {3, 5}, w, b),
                reshape(flat, {4, 3, 5}), 1e-14L) == "");
  CHECK_FALSE(layer_norm(x, {3, 5}, w, b).requires_grad());
  // Each gradient alone is what it is among the others.
  for (int which = 0; which < 3; ++which) {
    std::vector<Tensor> all = {x, w, b}, one = {x, w, b};
    for (Tensor& t : all) t = t.detach().requires_grad_();
    Tensor& leaf = one[static_cast<std::size_t>(which)];
    leaf = leaf.detach().requires_grad_();
    const auto loss = [](const std::vector<Tensor>& in) {
      const Tensor y = layer_norm(in[0], {3, 5}, in[1], in[2]);
      return sum(y * y);
    };
    const Tensor want = grad(loss(all), all)[static_cast<std::size_t>(which)];
    CHECK(compare("a gradient alone", grad(loss(one), leaf), want, 1e-14L) == "");
  }
}

TEST_CASE("layer_norm: what is wrong with the arguments") {
  const Tensor x = zeros({2, 3}).named("x");
  const std::string hint =
      "\n  hint: it is what the shape of x ends in, all of it or the last axes";
  CHECK(error_of<ShapeError>([&] { layer_norm(x, {4}); }) ==
        "layer_norm: x (2, 3) does not end in the normalized shape (4,)\n  at HERE" + hint);
  CHECK(
      error_of<ShapeError>([&] { layer_norm(x, {2}); }) ==
      "layer_norm: x (2, 3) does not end in the normalized shape (2,)\n  at HERE\n  hint: samples "
      "stand in rows, (batch, features): pass x.T()");
  CHECK(error_of<ShapeError>([&] { layer_norm(x, {1, 2, 3}); }) ==
        "layer_norm: x (2, 3) does not end in the normalized shape (1, 2, 3)\n  at HERE" + hint);
  CHECK(error_of<ShapeError>([&] { layer_norm(x, {}); }) ==
        "layer_norm: the normalized shape has no axis\n  at HERE\n  hint: give the extents of the "
        "trailing axes: {features}");
  CHECK(error_of<ShapeError>([&] { layer_norm(x, {3}, ones({2}).named("w")); }) ==
        "layer_norm: the weight w (2,) has not the normalized shape (3,)\n  at HERE\n  hint: it "
        "has one element for each that is normalized together");
  CHECK(error_of<ShapeError>([&] { layer_norm(x, {3}, {}, ones({1, 3})); }) ==
        "layer_norm: the bias (1, 3) has not the normalized shape (3,)\n  at HERE\n  hint: it has "
        "one element for each that is normalized together");
  CHECK(
      error_of<DTypeError>([&] { layer_norm(x, {3}, ones({3}, f64)); })
          .starts_with(
              "layer_norm: dtypes differ: input = x (2, 3) is f32, weight (3,) is f64\n  at HERE"));
  CHECK_THROWS_AS(layer_norm(zeros({2, 3}, i64), {3}), DTypeError);
  CHECK_THROWS_AS(layer_norm(Tensor(), {3}), ValueError);
  const double bad[] = {-1e-5, std::numeric_limits<double>::infinity(),
                        std::numeric_limits<double>::quiet_NaN()};
  for (const double eps : bad) CHECK_THROWS_AS(layer_norm(x, {3}, {}, {}, eps), ValueError);
  CHECK(error_of<ValueError>([&] { layer_norm(x, {3}, {}, {}, -1); }) ==
        "layer_norm: the eps -1 is negative or not finite\n  at HERE\n  hint: it keeps the "
        "variance from 0: 1e-5 is usual");
  CHECK(layer_norm(zeros({0, 3}), {3}).shape() == Shape{0, 3});
  CHECK(layer_norm(zeros({3, 0}), {0}).shape() == Shape{3, 0});
}

TEST_CASE("layer_norm: large results, which are written past the caches") {
  // 36 MiB, in rows that are no whole number of vectors.
  constexpr std::int64_t rows = 4711, n = 2003;
  Generator random(5);
  const Tensor start = randn({rows, n}, random), seed = randn({rows, n}, random);
  Tensor w = randn({n}, random), b = randn({n}, random);
  const auto both = [&](const Tensor& part, const Tensor& g) {
    Tensor x = part.detach().requires_grad_();
    const Tensor y = layer_norm(x, {n}, w, b);
    backward(y, g);
    return std::pair(y.detach(), x.grad());
  };
  const auto [y, dx] = both(start, seed);
  for (std::int64_t i = 0; i < rows; i += 500) {
    const std::int64_t stop = std::min(rows, i + 500);
    const auto [part, slope] = both(slice(start, 0, i, stop), slice(seed, 0, i, stop));
    CHECK(all(slice(y, 0, i, stop) == part).item<bool>());
    CHECK(all(slice(dx, 0, i, stop) == slope).item<bool>());
  }
}

TEST_SUITE_END();
