#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include <chainrule/core/create.hpp>
#include <chainrule/core/op.hpp>
#include <chainrule/core/recording.hpp>
#include <chainrule/graph/backward.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/nn/softmax.hpp>
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

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

Tensor scores(const Shape& shape, DType dtype) {
  return samples::tensor_of(samples::scattered(shape, 5, 20), dtype);
}

// log Σ exp along an axis, with extent 1 there; without a shift: long double holds e^±11000.
Array log_sums(const Array& x, int axis) {
  return reference::reduce(x, {axis}, true, [](const std::vector<Real>& line) {
    Real sum = 0;
    for (const Real e : line) sum += std::exp(e);
    return std::log(sum);
  });
}

void check_lines(const Tensor& x, int axis, Real tolerance) {
  CAPTURE(to_string(x.shape()));
  CAPTURE(axis);
  const Array a = array_of(x), sums = log_sums(a, axis);
  const Array logs = reference::map(a, sums, [](Real e, Real sum) { return e - sum; });
  CHECK(compare("log_softmax", log_softmax(x, axis), logs, tolerance) == "");
  const Array p = reference::map(logs, [](Real e) { return std::exp(e); });
  CHECK(compare("softmax", softmax(x, axis), p, tolerance) == "");
  const Array sums_of_lines = array_of(sum(softmax(x, axis), axis));
  for (const Real s : sums_of_lines.v) CHECK(std::abs(s - 1) < tolerance);
}

std::vector<double> of(Tensor (*f)(const Tensor&, int, Where), std::initializer_list<double> x) {
  const Tensor row = f(tensor(x, f64), 0, Where::current());
  // The same as columns, which have loops of their own.
  const auto n = static_cast<std::int64_t>(x.size());
  const Tensor columns =
      f(contiguous(expand(reshape(tensor(x, f64), {n, 1}), {n, 3})), 0, Where::current());
  for (std::int64_t i = 0; i < n; ++i) {
    const double a = row.at({i}), b = columns.at({i, 1});
    CHECK((std::isnan(a) ? std::isnan(b) : std::abs(a - b) <= 1e-15 * std::abs(a) || a == b));
  }
  return row.to_vector<double>();
}

}  // namespace

TEST_CASE("softmax: values along every axis, around the sizes of blocks") {
  // Sums of n exponentials, each good to an ulp or two.
  for (const Shape& shape :
       {Shape{1, 1}, Shape{3, 10}, Shape{200, 7}, Shape{2, 1024}, Shape{3, 1025}, Shape{1, 5000},
        Shape{10, 256}, Shape{10, 257}, Shape{70, 33}})
    for (const int axis : {0, 1}) {
      check_lines(scores(shape, f64), axis, 1e-14L);
      check_lines(scores(shape, f32), axis, 1e-5L);
    }
}

TEST_CASE("softmax: views of rank 3") {
  const Tensor x = scores({4, 5, 6}, f64);
  for (const samples::Layout& layout : samples::layouts())
    for (const int axis : {0, 1, 2}) {
      CAPTURE(layout.name);
      check_lines(layout.apply(x), axis, 1e-14L);
      check_lines(permute(layout.apply(x), {2, 0, 1}), axis, 1e-14L);
    }
}

TEST_CASE("softmax: extremes") {
  using Numbers = std::vector<double>;
  CHECK(of(softmax, {1000, 1000}) == Numbers{0.5, 0.5});
  CHECK(of(softmax, {-1000, -1000}) == Numbers{0.5, 0.5});
  CHECK(of(softmax, {-1000, 1000}) == Numbers{0, 1});
  CHECK(of(softmax, {0, -infinity, 0}) == Numbers{0.5, 0, 0.5});
  CHECK(of(log_softmax, {-1000, 1000}) == Numbers{-2000, 0});
  CHECK(of(log_softmax, {-infinity, 3}) == Numbers{-infinity, 0});
  CHECK(of(log_softmax, {1e300, -1e300}) == Numbers{0, -2e300});
  for (const auto f : {static_cast<Tensor (*)(const Tensor&, int, Where)>(softmax),
                       static_cast<Tensor (*)(const Tensor&, int, Where)>(log_softmax)}) {
    for (const double e : of(f, {-infinity, -infinity})) CHECK(std::isnan(e));
    for (const double e : of(f, {1, not_a_number, 2})) CHECK(std::isnan(e));
  }
  CHECK(std::isnan(of(softmax, {infinity, 1})[0]));
  // log softmax keeps what softmax has lost.
  CHECK(of(softmax, {0, -800})[1] == 0);
  CHECK(of(log_softmax, {0, -800})[1] == -800);
  // A shift of all logits is exact here, and changes nothing.
  CHECK(of(log_softmax, {0x1p30, 0x1p30 + 1}) == of(log_softmax, {0, 1}));
}

TEST_CASE("softmax: a masked logit has no gradient") {
  Tensor x = tensor({{1.0, -infinity, 2.0}}, f64).requires_grad_();
  const Tensor weights = tensor({{3.0, 5.0, 7.0}}, f64);
  const std::vector<double> g = grad(sum(softmax(x) * weights), x).to_vector<double>();
  const double p = 1 / (1 + std::exp(1.0));  // of the first
  CHECK(g[1] == 0);
  CHECK(g[0] == doctest::Approx(-4 * p * (1 - p)).epsilon(1e-14));
  CHECK(g[2] == doctest::Approx(4 * p * (1 - p)).epsilon(1e-14));
  const Tensor loss = log_softmax(x)(0, 2);
  CHECK(grad(loss, x).to_vector<double>()[1] == 0);
}

TEST_CASE("softmax: gradients along rows and columns of many sizes agree") {
  // Rows and columns have loops of their own; each is checked against differences on its samples.
  for (const Shape& shape : {Shape{300, 5}, Shape{40, 260}, Shape{2, 1300}}) {
    Tensor x = scores(shape, f64).requires_grad_();
    const Tensor weights = scores(shape, f64) * 0.1;
    for (const auto f : {static_cast<Tensor (*)(const Tensor&, int, Where)>(softmax),
                         static_cast<Tensor (*)(const Tensor&, int, Where)>(log_softmax)}) {
      const Tensor rows = grad(sum(f(x, 1, Where::current()) * weights), x);
      const Tensor columns =
          grad(sum(f(contiguous(x.T()), 0, Where::current()) * contiguous(weights.T())), x);
      CHECK(compare("gradients", rows, columns, 1e-13L) == "");
    }
  }
}

TEST_CASE("softmax: what it remembers for log()") {
  const Tensor x = tensor({{1.0, 2.0}}, f64);
  const auto argument = [](const Tensor& p) {
    return p.node() && std::string(p.node()->op()->name()) == "softmax" ? p.node()->saved_input(0)
                                                                        : nullptr;
  };
  CHECK(argument(softmax(x)) == x.value_ref().get());
  CHECK(argument(no_grad([&] { return softmax(x); })) == x.value_ref().get());
  CHECK_FALSE(softmax(x).requires_grad());
  const Tensor parameter = x.detach().requires_grad_();
  const Tensor p = softmax(parameter, 0);
  CHECK(argument(p) == x.value_ref().get());
  CHECK(p.node()->parameters<detail::SoftmaxParameters>().axis == 0);
  CHECK(softmax(x, -1).node()->parameters<detail::SoftmaxParameters>().axis == 1);
}

TEST_CASE("softmax: what is wrong with the arguments") {
  const Tensor x = zeros({2, 3}).named("z");
  CHECK(error_of<IndexError>([&] { softmax(x, 2); }) ==
        "softmax: axis 2 of z (2, 3), which has 2 axes\n  at HERE\n  hint: axes go from -2 to 1");
  CHECK(error_of<IndexError>([&] { log_softmax(tensor(1.0)); }) ==
        "log_softmax: axis -1 of (), which has 0 axes\n  at HERE\n  hint: there are no axes");
  CHECK(error_of<DTypeError>([&] { softmax(tensor({1, 2})); }) ==
        "softmax: (2,) holds i64, but f32 or f64 is needed\n  at HERE\n  hint: convert it: to(x, "
        "f32)");
  CHECK(softmax(zeros({0, 3})).shape() == Shape{0, 3});
  CHECK(softmax(zeros({3, 0})).shape() == Shape{3, 0});
  CHECK(log_softmax(zeros({3, 0, 2}), 1).shape() == Shape{3, 0, 2});
}

TEST_SUITE_END();
