#include <chainrule/ops/elementwise/log.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include <chainrule/core/create.hpp>
#include <chainrule/core/node.hpp>
#include <chainrule/core/op.hpp>
#include <chainrule/graph/gradcheck.hpp>
#include <chainrule/ops/define.hpp>
#include <chainrule/ops/elementwise/activations.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/elementwise/convert.hpp>
#include <chainrule/ops/elementwise/functions.hpp>
#include <chainrule/ops/nn/softmax.hpp>
#include <chainrule/ops/reduce/reduction.hpp>
#include <chainrule/ops/shape/indexing.hpp>
#include <chainrule/ops/shape/manipulation.hpp>
#include <chainrule/tests/core/error_of.hpp>
#include <chainrule/tests/ops/elementwise/ulps.hpp>

using namespace chainrule;

TEST_SUITE_BEGIN("ops");

namespace {

using R = long double;
using Reals = std::vector<R>;
using Unary = Tensor (*)(const Tensor&);

Reals reals(const Tensor& x) {
  Reals out;
  if (x.dtype() == f32)
    for (const float e : x.to_vector<float>()) out.push_back(e);
  else
    for (const double e : x.to_vector<double>()) out.push_back(e);
  return out;
}

// The formulas for one row z, shifted by the largest element, in long double.
R log_sum_exp(const Reals& z) {
  R m = z[0], s = 0;
  for (const R e : z) m = e > m ? e : m;
  for (const R e : z) s += std::exp(e - m);
  return m + std::log(s);
}
R log_sigmoid_of(R x) { return -(std::max(-x, R{0}) + std::log1p(std::exp(-std::abs(x)))); }

// Rounding of the result and of what is subtracted: some units in the last place of the largest z.
R tolerance(const Tensor& z) {
  R most = 1;
  for (const R e : reals(z)) most = std::max(most, std::abs(e));
  return most * (z.dtype() == f32 ? 4e-7L : 4e-16L);
}

void check_near(const Tensor& got, const Reals& want, R within) {
  const Reals values = reals(got);
  REQUIRE(values.size() == want.size());
  for (std::size_t i = 0; i < want.size(); ++i) {
    CAPTURE(i);
    CAPTURE(static_cast<double>(values[i]));
    CAPTURE(static_cast<double>(want[i]));
    CHECK(std::isfinite(values[i]));
    CHECK(std::abs(values[i] - want[i]) <= within);
  }
}

std::vector<Tensor> extreme_rows() {
  std::vector<Tensor> rows;
  for (const Tensor& row :
       {tensor({1000.0, 0.0, -1000.0}, f64), tensor({-1000.0, -1000.5, -999.0}, f64),
        tensor({1000.0, 1000.0, 999.5}, f64), tensor({0.25, -0.5, 3.0}, f64)}) {
    rows.push_back(row);
    rows.push_back(to(row, f32));
  }
  return rows;
}

}  // namespace

// The bound is the one that ops/kernels/vector_math.hpp states.
TEST_CASE("log: values within units in the last place, at all sizes and extremes") {
  ulps::check_all(
      "log", [](const Tensor& x) { return log(x); }, [](R x) { return std::log(x); }, 0.9);
}

TEST_CASE("log: of softmax, sigmoid and a sum of exp, at ±1000, recorded and not") {
  for (const Tensor& z : extreme_rows()) {
    CAPTURE(name_of(z.dtype()));
    const Reals x = reals(z);
    const R within = tolerance(z), total = log_sum_exp(x);
    Reals by_softmax, by_sigmoid;
    for (const R e : x) {
      by_softmax.push_back(e - total);
      by_sigmoid.push_back(log_sigmoid_of(e));
    }
    Tensor leaf = z.detach().requires_grad_();
    for (const Tensor& at : {z, leaf}) {
      check_near(log(softmax(at)), by_softmax, within);
      check_near(log(sigmoid(at)), by_sigmoid, within);
      check_near(log(sum(exp(at))), {total}, within);
      check_near(no_grad([&] { return log(softmax(at)); }), by_softmax, within);
      check_near(no_grad([&] { return log(sigmoid(at)); }), by_sigmoid, within);
      check_near(no_grad([&] { return log(sum(exp(at))); }), {total}, within);
    }
    CHECK(reals(log(softmax(leaf))) == reals(log_softmax(z)));
    CHECK(reals(log(sum(exp(leaf), 0, true))) == reals(logsumexp(z, 0, true)));
  }
}

TEST_CASE("log: derivatives of the stable forms at ±1000") {
  const Reals weight = {0.5L, -1.25L, 2};
  for (const Tensor& z : extreme_rows()) {
    CAPTURE(name_of(z.dtype()));
    const Reals x = reals(z);
    const R within = z.dtype() == f32 ? 2e-6L : 4e-15L;
    // softmax(z), and ⟨softmax(z), w⟩.
    const R total = log_sum_exp(x);
    Reals p, by_softmax, by_sigmoid, along_softmax;
    R mean = 0;
    for (std::size_t i = 0; i < 3; ++i) {
      p.push_back(std::exp(x[i] - total));
      mean += p[i] * weight[i];
    }
    for (std::size_t i = 0; i < 3; ++i) {
      by_softmax.push_back(weight[i] - p[i] * (weight[0] + weight[1] + weight[2]));
      by_sigmoid.push_back(weight[i] / (1 + std::exp(x[i])));
      along_softmax.push_back(weight[i] - mean);
    }
    const Tensor w = to(tensor({0.5, -1.25, 2.0}, f64), z.dtype());
    Tensor leaf = z.detach().requires_grad_();
    check_near(grad(sum(w * log(softmax(leaf))), leaf), by_softmax, within);
    check_near(grad(sum(w * log(sigmoid(leaf))), leaf), by_sigmoid, within);
    check_near(grad(log(sum(exp(leaf))), leaf), p, within);
    const auto forward = [&](const UnaryFunction& f) { return jvp(f, z, w).second; };
    check_near(forward([](const Tensor& t) { return log(softmax(t)); }), along_softmax, within);
    check_near(forward([](const Tensor& t) { return log(sigmoid(t)); }), by_sigmoid, within);
    check_near(forward([](const Tensor& t) { return log(sum(exp(t))); }), {mean}, within);
  }
}

TEST_CASE("log: second derivatives of the stable forms") {
  const Tensor moderate = tensor({{0.7, -1.3, 2.1}, {-0.4, 1.9, 0.6}}, f64);
  // Away from 0 the last digit of a difference is larger, in proportion.
  for (const auto& [z, tolerance] : {std::pair(moderate, 1e-6), std::pair(moderate + 800, 1e-4)})
    for (const Unary f : {Unary([](const Tensor& x) { return log(softmax(x)); }),
                          Unary([](const Tensor& x) { return log(softmax(x, 0)); }),
                          Unary([](const Tensor& x) { return log(sigmoid(x)); }),
                          Unary([](const Tensor& x) { return log(sum(exp(x))); }),
                          Unary([](const Tensor& x) { return log(sum(exp(x), 0)); }),
                          Unary([](const Tensor& x) { return log(sum(exp(x), -1, true)); })}) {
      const auto report = gradcheck([f](std::span<const Tensor> in) { return f(in[0]); }, {z},
                                    {.order = 2, .step = 1e-6, .tolerance = tolerance});
      CHECK_MESSAGE(report.ok(), report.to_string());
    }
}

TEST_CASE("log: sums of exp over several axes, no axis, and no elements") {
  const Tensor z = reshape(linspace(-2.0, 3.0, 12, f64), {2, 3, 2});
  Tensor leaf = (z + 1000).requires_grad_();
  const Tensor outer = log(sum(exp(leaf), {0, 2}));
  CHECK(outer.shape() == Shape{3});
  // Σ over i, k of e^z(i, j, k), by hand.
  for (int j = 0; j < 3; ++j) {
    Reals group;
    for (const int i : {0, 1})
      for (const int k : {0, 1}) group.push_back(leaf.at({i, j, k}));
    CHECK(outer.at({j}) == doctest::Approx(static_cast<double>(log_sum_exp(group))).epsilon(1e-15));
  }
  CHECK(reals(sum(grad(sum(outer), leaf), {0, 2}))[1] == doctest::Approx(1).epsilon(1e-14));
  CHECK(log(sum(exp(zeros({0, 3}, f64)), 0)).at({1}) == -std::numeric_limits<double>::infinity());
  Tensor none = zeros({0, 3}, f64).requires_grad_();
  CHECK(grad(sum(log(sum(exp(none), 0, true))), none).shape() == Shape{0, 3});
  const std::vector<std::int64_t> no_axes;
  Tensor far = tensor({1000.0, -1000.0}, f64).requires_grad_();
  const Tensor same = log(sum(exp(far), Axes(std::span<const std::int64_t>(no_axes))));
  CHECK(reals(same) == Reals{1000, -1000});
  CHECK(reals(grad(sum(same), far)) == Reals{1, 1});
}

TEST_CASE("log: the graph has one node, with z and x as operands") {
  Tensor z = tensor({1.0, 2.0}, f64).requires_grad_();
  const Tensor x = softmax(z), y = log(x);
  CHECK(std::string(y.node()->op()->name()) == "log_of_softmax");
  REQUIRE(y.node()->inputs().size() == 2);
  CHECK(y.node()->inputs()[0] == z.node());
  CHECK(y.node()->inputs()[1] == x.node());
  // Without recording nothing is left.
  CHECK(no_grad([&] { return log(softmax(z)); }).node() == nullptr);
  CHECK(log(softmax(z.detach())).node() == nullptr);
  // Recording only from log() on records nothing: z has no part in it.
  const Tensor silent = no_grad([&] { return softmax(z); });
  CHECK_FALSE(log(silent).requires_grad());
}

TEST_CASE("log: a gradient that is asked for is not stepped over") {
  const Tensor at = tensor({0.5, -1.0, 2.0}, f64);
  Tensor z = at.detach().requires_grad_();
  for (const Unary f : {Unary([](const Tensor& t) { return softmax(t); }),
                        Unary([](const Tensor& t) { return sigmoid(t); }),
                        Unary([](const Tensor& t) { return sum(exp(t), 0, true); })}) {
    const Tensor x = f(z), y = sum(log(x) * 3);
    const auto both = grad(y, {x, z}, {.retain_graph = true});
    const Tensor alone = grad(y, x, {.retain_graph = true}), through = grad(y, z);
    const Reals values = reals(x), slopes = reals(both[0]);
    for (std::size_t i = 0; i < values.size(); ++i)
      CHECK(slopes[i] == doctest::Approx(static_cast<double>(3 / values[i])).epsilon(1e-14));
    CHECK(reals(alone) == slopes);
    for (std::size_t i = 0; i < 3; ++i)
      CHECK(reals(both[1])[i] ==
            doctest::Approx(static_cast<double>(reals(through)[i])).epsilon(1e-12));
  }
  const Tensor e = exp(z), y = log(sum(e));
  const auto grads = grad(y, {e, z});
  CHECK(reals(grads[0])[0] == doctest::Approx(1 / sum(e).item()).epsilon(1e-14));
  // x in two places: through log, and directly.
  const Tensor p = softmax(z), twice = sum(log(p)) + sum(p * p);
  const auto split = grad(twice, {p, z});
  for (int i = 0; i < 3; ++i)
    CHECK(split[0].at({i}) == doctest::Approx(1 / p.at({i}) + 2 * p.at({i})).epsilon(1e-14));
}

TEST_CASE("log: what is no softmax, sigmoid or sum of exp any more has a plain logarithm") {
  const auto plain = [](const Tensor& y) { return std::string(y.node()->op()->name()) == "log"; };
  Tensor z = tensor({0.5, -1.0}, f64).requires_grad_();
  CHECK(plain(log(softmax(z) * 1)));
  CHECK(plain(log(reshape(softmax(z), {2, 1}))));
  CHECK(plain(log(sum(exp(z) + 1))));
  CHECK(plain(log(exp(z))));
  CHECK(plain(log(mean(exp(z)))));
  CHECK(plain(log(softmax(z).detach().requires_grad_())));
  // z was written to since.
  Tensor moving = tensor({0.5, -1.0}, f64).requires_grad_();
  const Tensor x = sigmoid(moving), s = sum(exp(moving));
  moving.mutable_data<double>()[0] = 3;
  CHECK(plain(log(x)));
  CHECK(plain(log(s)));
  CHECK(log(x).at({0}) == doctest::Approx(static_cast<double>(log_sigmoid_of(0.5L))));
  // The result itself was written to, without recording.
  Tensor own = sigmoid(tensor({0.5}, f64));
  own.mutable_data<double>()[0] = 4;
  CHECK(log(own).item() == doctest::Approx(std::log(4.0)));
  Tensor total = sum(exp(tensor({0.5}, f64)));
  total.mutable_data<double>()[0] = 4;
  CHECK(log(total).item() == doctest::Approx(std::log(4.0)));
  Tensor e = exp(tensor({0.5}, f64));
  e.mutable_data<double>()[0] = 4;
  CHECK(log(sum(e)).item() == doctest::Approx(std::log(4.0)));
  // A released graph keeps no z.
  const Tensor released = softmax(z);
  grad(sum(released * released), z);
  CHECK(log(released).at({0}) == doctest::Approx(std::log(released.at({0}))));
}

TEST_CASE("log: memory that an operand borrowed is not read again without recording") {
  std::vector<double> memory = {1, 2, 3};
  const auto of = [&](auto f) {
    memory = {1, 2, 3};
    const NoGrad guard;
    const Tensor p = f(borrow(std::span(memory), {3}));
    const std::vector<double> before = p.to_vector<double>();
    memory = {9, -50, 0};  // the borrowing tensor is gone
    const std::vector<double> after = log(p).to_vector<double>();
    for (std::size_t i = 0; i < before.size(); ++i)
      CHECK(std::abs(after[i] - std::log(before[i])) < 1e-15);
  };
  of([](const Tensor& x) { return softmax(x); });
  of([](const Tensor& x) { return sigmoid(x); });
  of([](const Tensor& x) { return exp(x); });
  of([](const Tensor& x) { return sum(exp(x)); });
  of([](const Tensor& x) { return softmax(x[slice(0, 2)]); });
}

TEST_CASE("log: nothing lives on, and views are as good as any") {
  const std::int64_t before = live_nodes();
  {
    Tensor z = tensor({{0.5, 1000.0}, {-1.0, -1000.0}}, f64).requires_grad_();
    const Tensor y = log(softmax(transpose(z), 0));
    CHECK(reals(y) == reals(log_softmax(transpose(z), 0)));
    sum(y).backward();
    CHECK(z.grad().shape() == Shape{2, 2});
    CHECK(log(expand(tensor(1.0), {2, 3})).to_vector<float>() == std::vector<float>(6, 0.0f));
  }
  CHECK(live_nodes() == before);
}

TEST_CASE("log: errors name the op, the operand and the line") {
  CHECK(error_of<DTypeError>([&] { log(tensor({1, 2}).named("n")); }) ==
        "log: n (2,) holds i64, but f32 or f64 is needed\n  at HERE\n  hint: convert it: to(x, "
        "f32)");
  CHECK_THROWS_AS(log(Tensor()), ValueError);
}

namespace {

// An identity whose logarithm() is mistaken.
struct Mistaken final : Op {
  bool throws;
  Mistaken(const char* name, bool it_throws) : Op(name), throws(it_throws) {}
  void infer(Inference& call) const override { call.output_like(f64, call.in(0)); }
  void evaluate(Evaluation& call) const override { kernels::copy(call.out(), call.in(0)); }
  void vjp(Vjp& r) const override { r.give(0, r.g()); }
  Logarithm logarithm(const Tensor& x) const override {
    if (throws) throw ValueError("mine", Where(), "");
    return {.z = x};
  }
  std::vector<Sample> samples() const override { return {}; }
};

}  // namespace

TEST_CASE("log: what is wrong with an op's logarithm() is told in the op's name") {
  const Mistaken throwing("throwing_log", true), nameless("nameless_log", false);
  const Tensor x = tensor({1.0, 2.0}, f64).requires_grad_();
  const Tensor* given[] = {&x};
  const Tensor a = apply(nameless, given, {}, Where::current()),
               b = apply(throwing, given, {}, Where::current());
  CHECK(error_of<GradError>([&] {
          log(a);
        }).starts_with("nameless_log: its logarithm() gives a tensor, and no op\n"));
  CHECK(error_of<ValueError>([&] { log(b); }).find("throwing_log") != std::string::npos);
}
