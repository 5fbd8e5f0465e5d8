#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include <chainrule/core/create.hpp>
#include <chainrule/graph/backward.hpp>
#include <chainrule/graph/functional.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/linalg/matmul.hpp>
#include <chainrule/ops/reduce/reduction.hpp>
#include <chainrule/ops/shape/indexing.hpp>
#include <chainrule/ops/shape/manipulation.hpp>
#include <chainrule/tests/core/error_of.hpp>
#include <chainrule/tests/ops/samples/samples.hpp>

using namespace chainrule;
using samples::array_of;
using samples::compare;
using samples::tensor_of;

TEST_SUITE_BEGIN("ops");

namespace {

using Doubles = std::vector<double>;

reference::Array product(const Tensor& a, const Tensor& b) {
  const samples::Arrays both = {array_of(a), array_of(b)};
  return reference::of("matmul")(both, "");
}

Tensor numbers(const Shape& shape, DType dtype, unsigned seed) {
  return tensor_of(samples::direction(shape, seed), dtype);
}

// Terms are at most 1, so that the error of a sum of k is within k times the unit roundoff each.
samples::Real tolerance(std::int64_t k, DType dtype) {
  return static_cast<samples::Real>(k + 4) * (dtype == f32 ? 6e-8L : 1.2e-16L);
}

std::string problem(const Tensor& a, const Tensor& b) {
  return compare(
      fmt::format("{} {} · {}", name_of(a.dtype()), to_string(a.shape()), to_string(b.shape())),
      matmul(a, b), product(a, b), tolerance(a.shape().back(), a.dtype()));
}

}  // namespace

TEST_CASE("matmul: a product worked out by hand") {
  const Tensor a = tensor({{1.0, 2.0, 3.0}, {4.0, 5.0, 6.0}}), b = tensor({{1.0}, {10.0}, {100.0}});
  CHECK(matmul(a, b).shape() == Shape{2, 1});
  CHECK(matmul(a, b).to_vector<float>() == std::vector<float>{321, 654});
  CHECK(matmul(b.T(), a.T()).to_vector<float>() == std::vector<float>{321, 654});
  CHECK(matmul(a, flatten(b)).shape() == Shape{2});
  CHECK(matmul(flatten(b), a.T()).to_vector<float>() == std::vector<float>{321, 654});
  CHECK(matmul(a[0], a[1]).item() == 32);
  CHECK(dot(a[0], a[1]).item() == 32);
  CHECK(dot(a[0], a[0](slice({}, {}, -1))).item() == 10);
  CHECK(outer(a[0], tensor({1.0, -1.0})).to_vector<float>() ==
        std::vector<float>{1, -1, 2, -2, 3, -3});
}

TEST_CASE("matmul: sizes around the blocks of the kernels") {
  for (const DType dtype : {f32, f64})
    for (const std::int64_t m : {1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 33})
      for (const std::int64_t n : {1, 2, 3, 4, 6, 8, 15, 16, 17, 32, 48})
        for (const std::int64_t k : {1, 2, 3, 8, 17, 40})
          CHECK(problem(numbers({m, k}, dtype, 1), numbers({k, n}, dtype, 2)) == "");
  for (const DType dtype : {f32, f64}) {
    CHECK(problem(numbers({130, 70}, dtype, 1), numbers({70, 65}, dtype, 2)) == "");
    CHECK(problem(numbers({65, 300}, dtype, 1), numbers({300, 129}, dtype, 2)) == "");
    CHECK(problem(numbers({1, 700}, dtype, 1), numbers({700, 130}, dtype, 2)) == "");
    CHECK(problem(numbers({130, 700}, dtype, 1), numbers({700, 1}, dtype, 2)) == "");
  }
}

TEST_CASE("matmul: operands of any strides") {
  for (const DType dtype : {f32, f64})
    for (const std::int64_t size : {3, 8, 20, 70}) {
      const Tensor a = numbers({size, size + 1}, dtype, 1), b = numbers({size + 1, size}, dtype, 2);
      CHECK(problem(a.T(), b.T()) == "");
      CHECK(problem(a.T(), a) == "");
      CHECK(problem(b.T(), b) == "");
      for (const samples::Layout& left : samples::layouts())
        for (const samples::Layout& right : samples::layouts()) {
          CAPTURE(std::string(left.name));
          CAPTURE(std::string(right.name));
          CHECK(problem(left.apply(a), right.apply(b)) == "");
        }
      CHECK(problem(expand(a(slice(0, 1)), a.shape()), b) == "");
      CHECK(problem(a, expand(b(all, slice(0, 1)), b.shape())) == "");
      CHECK(problem(expand(a[0], {3, size + 1}), expand(b(all, 0), {4, size + 1}).T()) == "");
    }
}

TEST_CASE("matmul: vectors, batches, broadcasting") {
  const auto shapes = {std::pair<Shape, Shape>{{5}, {5}},
                       {{3, 5}, {5}},
                       {{5}, {5, 4}},
                       {{2, 3, 5}, {5, 4}},
                       {{3, 5}, {2, 5, 4}},
                       {{2, 3, 5}, {2, 5, 4}},
                       {{2, 1, 3, 5}, {6, 5, 4}},
                       {{1, 3, 5}, {6, 2, 5, 4}},
                       {{2, 3, 5}, {5}},
                       {{5}, {2, 5, 4}},
                       {{0, 5}, {5, 4}},
                       {{3, 0}, {0, 4}},
                       {{3, 5}, {5, 0}},
                       {{0}, {0}},
                       {{0, 3, 5}, {5, 4}},
                       {{2, 3, 0}, {2, 0, 4}}};
  for (const auto& [left, right] : shapes) {
    const Tensor a = numbers(left, f64, 1), b = numbers(right, f64, 2);
    CHECK(problem(a, b) == "");
    for (const samples::Layout& layout : samples::layouts())
      CHECK(problem(layout.apply(a), layout.apply(b)) == "");
  }
}

TEST_CASE("matmul: NaN and infinities are not lost against zeros") {
  const double infinity = std::numeric_limits<double>::infinity();
  for (const std::int64_t size : {2, 40}) {
    std::vector<double> elements(static_cast<std::size_t>(size * size), 1.0);
    elements[1] = infinity;
    const Tensor a = zeros({size, size}, f64), b = from_vector(elements, {size, size});
    CHECK(std::isnan(matmul(a, b).at({0, 1})));
    CHECK(std::isnan(matmul(b, a).at({0, 0})));
    CHECK(matmul(a, b).at({0, 0}) == 0);
  }
}

TEST_CASE("matmul: gradients are g·Bᵀ and Aᵀ·g") {
  for (const std::int64_t n : {2, 33}) {
    Tensor a = numbers({n, n + 1}, f64, 1).requires_grad_();
    Tensor b = numbers({n + 1, n + 2}, f64, 2).requires_grad_();
    const Tensor g = numbers({n, n + 2}, f64, 3);
    const auto [y, grads] = vjp([](std::span<const Tensor> in) { return matmul(in[0], in[1]); },
                                std::vector<Tensor>{a, b}, g);
    CHECK(compare("dA", grads[0], product(g, b.detach().T()), tolerance(n + 2, f64)) == "");
    CHECK(compare("dB", grads[1], product(a.detach().T(), g), tolerance(n, f64)) == "");
  }
}

TEST_CASE("matmul: what does not fit, and where") {
  const Tensor w = zeros({32, 64}).named("W1"), x = zeros({1, 64}).named("x");
  CHECK(error_of<ShapeError>([&] { matmul(w, x); })
            .starts_with(
                "matmul: inner dimensions differ: W1 (32, 64) · x (1, 64)\n  at HERE\n  hint: "
                "x has one row per sample"));
  CHECK_NOTHROW(matmul(w, x.T()));
  CHECK(error_of<ShapeError>([&] {
          matmul(w, tensor(2.0));
        }).starts_with("matmul: an operand is a scalar: W1 (32, 64) · ()\n  at HERE"));
  CHECK(error_of<ShapeError>([&] { matmul(zeros({2, 3, 4}), zeros({3, 4, 2})); })
            .starts_with("matmul: batch axes do not broadcast: (2, 3, 4) · (3, 4, 2)\n  at HERE\n  "
                         "hint: axes in front of the matrices are equal, 1, or missing"));
  CHECK_THROWS_AS(matmul(zeros({3}), zeros({4})), ShapeError);
  CHECK(error_of<DTypeError>([&] { matmul(w, zeros({64, 1}, f64)); }) ==
        "matmul: dtypes differ: W1 (32, 64) is f32, (64, 1) is f64\n  at HERE\n  hint: convert one "
        "of "
        "them: to(x, f32)");
  CHECK_THROWS_AS(matmul(zeros({2, 2}, i64), zeros({2, 2}, i64)), DTypeError);
  CHECK(error_of<ShapeError>([&] { dot(w[0], zeros({3})); }) ==
        "dot: lengths differ: (64,) and (3,)\n  at HERE\n  hint: dot multiplies element by "
        "element; matmul takes matrices");
  CHECK_THROWS_AS(dot(w, w), ShapeError);
  CHECK_THROWS_AS(outer(w, x), ShapeError);
  CHECK_THROWS_AS(matmul(w, Tensor()), ValueError);
}

TEST_CASE("matmul: transposed by its parameters, beside a vector") {
  const Tensor a = tensor({{0.7, -1.3}, {2.1, 0.4}}, f64).requires_grad_();
  const Tensor v = tensor({0.6, -1.1}, f64).requires_grad_();
  for (const bool left : {true, false}) {
    const auto direct = [&] {
      return left ? detail::product(a, true, v, false, Where::current())
                  : detail::product(v, false, a, true, Where::current());
    };
    const auto by_view = [&] { return left ? matmul(a.T(), v) : matmul(v, a.T()); };
    CHECK(direct().to_vector<double>() == by_view().to_vector<double>());
    const std::vector<Tensor> got = grad(sum(direct() * v), {a, v});
    const std::vector<Tensor> want = grad(sum(by_view() * v), {a, v});
    for (const std::size_t k : {0U, 1U})
      CHECK(got[k].to_vector<double>() == want[k].to_vector<double>());
  }
}
