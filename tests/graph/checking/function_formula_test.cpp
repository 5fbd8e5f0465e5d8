#include <chainrule/graph/checking/check_derivation.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include <chainrule/core/create.hpp>
#include <chainrule/core/random.hpp>
#include <chainrule/ops/elementwise/activations.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/elementwise/convert.hpp>
#include <chainrule/ops/elementwise/functions.hpp>
#include <chainrule/ops/linalg/matmul.hpp>
#include <chainrule/ops/reduce/reduction.hpp>
#include <chainrule/ops/shape/manipulation.hpp>
#include <chainrule/tests/core/error_of.hpp>

using namespace chainrule;

TEST_SUITE_BEGIN("graph");

namespace {

using At = std::span<const Tensor>;

// aᵀ·b in loops over numbers, of which nothing is recorded.
Tensor by_loops(const Tensor& a, const Tensor& b) {
  const std::vector<double> x = to(a, f64).to_vector<double>(), y = b.to_vector<double>();
  const std::int64_t samples = a.size(0), rows = a.size(1), columns = b.size(1);
  std::vector<double> product(static_cast<std::size_t>(rows * columns));
  for (std::int64_t n = 0; n < samples; ++n)
    for (std::int64_t i = 0; i < rows; ++i)
      for (std::int64_t j = 0; j < columns; ++j)
        product[static_cast<std::size_t>(i * columns + j)] +=
            x[static_cast<std::size_t>(n * rows + i)] *
            y[static_cast<std::size_t>(n * columns + j)];
  return from_vector(product, {rows, columns});
}

// Least squares with a factor γ that is 1.
struct Model {
  Tensor X, W, gamma, y, z, loss;
  Tensor y64;  // for functions, which get tensors in f64
  explicit Model(DType dtype = f64) {
    Generator generator(1);
    X = randn({6, 3}, generator, dtype).named("X");
    W = randn({3, 2}, generator, dtype).named("W").requires_grad_();
    gamma = ones({2}, dtype).named("γ").requires_grad_();
    y = randn({6, 2}, generator, dtype).named("y");
    z = (matmul(X, W) * gamma).named("z");
    y64 = to(y, f64);
    loss = 0.5 * sum(square(z - y));
  }
};

}  // namespace

TEST_CASE("check_derivation: a formula as a function of tensors is asked at other points") {
  for (const DType dtype : {f64, f32}) {
    const Model m(dtype);
    const auto right = [&](At at) { return by_loops(m.X, (at[0] - m.y64) * at[1]); };
    const DerivationReport report =
        check_derivation(m.loss, {{"dz", m.z, m.z - m.y}, {"dW", m.W, {}, {m.z, m.gamma}, right}});
    CHECK_MESSAGE(report.ok(), report.text());
    CHECK_FALSE(report.verdicts()[1].here_alone);

    // Without γ it is right where γ is 1, and nowhere else.
    const auto forgot = [&](At at) { return by_loops(m.X, at[0] - m.y64); };
    const DerivationReport wrong = check_derivation(m.loss, {{"dW", m.W, {}, {m.z}, forgot}});
    CHECK_FALSE(wrong.ok());
    CHECK(wrong.verdicts()[0].note.find("right for these values alone") != std::string::npos);
    CHECK(wrong.verdicts()[0].note.find("what it captures stays") != std::string::npos);
    // Nor is what it captures of the parameters known elsewhere.
    const Tensor gamma = to(m.gamma, f64);
    for (const bool in_loops : {true, false}) {
      const auto captures = [&](At at) {
        const Tensor dz = (at[0] - m.y64) * gamma;
        return in_loops ? by_loops(m.X, dz) : matmul(to(m.X, f64).T(), dz);
      };
      CHECK_FALSE(check_derivation(m.loss, {{"dW", m.W, {}, {m.z}, captures}}).ok());
    }
    // As a value nothing can be said of that, which the report says.
    const std::vector<Tensor> recorded{to(m.z.detach(), f64)};
    const DerivationReport value = check_derivation(m.loss, {{"dW", m.W, forgot(recorded)}});
    CHECK(value.ok());
    CHECK(value.verdicts()[0].here_alone);
  }
}

TEST_CASE("check_derivation: what is wrong with a function is named as with a value") {
  const Model m;
  const auto sign = [&](At at) { return by_loops(m.X, (m.y64 - at[0]) * at[1]); };
  const DerivationReport report = check_derivation(m.loss, {{"dW", m.W, {}, {m.z, m.gamma}, sign}});
  CHECK_FALSE(report.ok());
  CHECK(report.verdicts()[0].diagnosis.find("sign") != std::string::npos);

  // What only follows an earlier one that is wrong is no mistake of its own.
  const auto follows = [&](At at) { return by_loops(m.X, 2.0 * (at[0] - m.y64) * at[1]); };
  const DerivationReport two = check_derivation(
      m.loss, {{"dz", m.z, 2.0 * (m.z - m.y)}, {"dW", m.W, {}, {m.z, m.gamma}, follows}});
  CHECK(two.first_wrong() == &two.verdicts()[0]);
  CHECK(two.verdicts()[1].inherited);
}

TEST_CASE("check_derivation: functions that follow one that is wrong elsewhere build on it") {
  Generator generator(4);
  const Tensor X = randn({5, 3}, generator, f64).named("X"),
               T = randn({5, 2}, generator, f64).named("T"),
               W = randn({3, 2}, generator, f64).named("W").requires_grad_(),
               gain = ones({2}, f64).named("g").requires_grad_();
  const Tensor z = matmul(X, W).named("z"), u = (z * gain).named("u"), h = tanh(u).named("h");
  const Tensor loss = 0.5 * sum(square(h - T));
  // The gain, which is 1 today, is forgotten in dz; a mistake of its own builds on nothing.
  const auto inherited = [&](bool forgets, double factor) {
    const auto of_u = [&](At at) {
      const Tensor y = tanh(matmul(X, at[0]) * at[1]);
      return (y - T) * (1.0 - y * y);
    };
    const auto of_z = [=](At at) { return forgets ? of_u(at) : of_u(at) * at[1]; };
    const std::vector<Tensor> from{W, gain};
    const DerivationReport report = check_derivation(
        loss,
        {{"du", u, {}, from, of_u},
         {"dz", z, {}, from, of_z},
         {"dW", W, {}, from, [&](At at) { return matmul(X.T(), of_z(at)) * pow(at[1], factor); }}});
    INFO(report.text());
    CHECK(report.verdicts()[0].ok);
    CHECK(report.verdicts()[1].ok != forgets);
    CHECK(report.verdicts()[2].ok == (!forgets && factor == 0));
    return report.verdicts()[2].inherited;
  };
  CHECK(inherited(true, 0));
  CHECK_FALSE(inherited(false, 0));
  CHECK_FALSE(inherited(false, 2));
  CHECK_FALSE(inherited(true, 3));
}

TEST_CASE("check_derivation: a function that gives NaN twice repeats, one of two shapes does not") {
  const Tensor x = tensor({0.0, 2.0}, f64).named("x").requires_grad_();
  const Tensor loss = sum(square(x));
  const auto nan_at_zero = [](At at) { return 2.0 * at[0] * at[0] / at[0]; };
  CHECK_NOTHROW((void)check_derivation(loss, {{"dx", x, {}, {x}, nan_at_zero}}));
  int calls = 0;
  const auto turning = [&](At at) { return ++calls == 1 ? at[0] : reshape(at[0], {2, 1}); };
  CHECK_THROWS_AS((void)check_derivation(loss, {{"dx", x, {}, {x}, turning}}), ValueError);
}

TEST_CASE("check_derivation: a function that is defined at the recorded values alone") {
  const Tensor x = tensor({1.0, 2.0}, f64).named("x").requires_grad_();
  const Tensor loss = sum(square(x));
  const auto here = [](At at) {
    if (at[0].to_vector<double>()[0] != 1) throw ValueError("elsewhere", Where::current());
    return 2.0 * at[0];
  };
  const DerivationReport report = check_derivation(loss, {{"dx", x, {}, {x}, here}});
  CHECK(report.verdicts()[0].ok);
  CHECK(report.verdicts()[0].here_alone);
  CHECK(report.verdicts()[0].why_here_alone ==
        "there are no others close to them where it can be compared");
}

TEST_CASE("check_derivation: a function has the numbers of a program in f32 as they are in f64") {
  // 9.81 is none of f32; the gradient is 0 here, and the results on the way have names.
  const double h = 0.1;
  const Tensor q = zeros({}, f32).named("q").requires_grad_();
  const Tensor v = zeros({}, f32).named("v").requires_grad_();
  const auto end = [h](const Tensor& at, const Tensor& speed) {
    const Tensor later = (speed - (h * 9.81) * sin(at)).named("v1");
    return (at + h * later).named("q1");
  };
  const Tensor loss = 0.5 * square(end(q, v));
  const auto check = [&](const Function& dv) {
    return check_derivation(loss, {{"dv", v, {}, {q, v}, dv}});
  };
  const DerivationReport report = check([&](At at) { return h * end(at[0], at[1]); });
  CHECK_MESSAGE(report.ok(), report.text());
  CHECK_FALSE(report.verdicts()[0].here_alone);
  const DerivationReport unseen = check([&](At at) {
    const double x = at[0].item<double>(), y = at[1].item<double>();
    return tensor(h * (x + h * (y - h * 9.81 * std::sin(x))), f64);
  });
  CHECK_MESSAGE(unseen.ok(), unseen.text());
  CHECK_FALSE(check([&](At at) { return 1.001 * h * end(at[0], at[1]); }).ok());
  CHECK_FALSE(check([&](At at) { return h * (at[0] + h * at[1]); }).ok());
}

TEST_CASE("check_derivation: what a function's own arithmetic rounds is no mistake") {
  using Slope = Tensor (*)(const Tensor&);
  const Slope one_less = [](const Tensor& s) { return sigmoid(s) - 1.0; };
  const Slope squared = [](const Tensor& s) { return square(tanh(s)) - 1.0; };
  const auto loss_of = [](const Tensor& s, bool is_tanh) {
    return is_tanh ? -mean(tanh(s)) : -mean(log_sigmoid(s));
  };
  for (const DType dtype : {f64, f32})
    for (const double large : {19.0, 40.0, 116.0, 700.0})
      for (const double other : {3.0, large + 1})
        for (const bool is_tanh : {false, true})
          // What is detached, or computed in loops over numbers, shows nothing of its arithmetic.
          for (const bool seen : {true, false}) {
            CAPTURE(name_of(dtype));
            CAPTURE(large);
            CAPTURE(other);
            CAPTURE(is_tanh);
            CAPTURE(seen);
            const Tensor s = to(tensor({large, other}, f64), dtype).named("s").requires_grad_();
            const Slope slope = is_tanh ? squared : one_less;
            const Tensor loss = loss_of(s, is_tanh);
            const auto ok = [&](double factor) {
              const Function f = [=](At at) {
                const Tensor value = slope(at[0]) * factor / 2.0;
                return seen ? value : value.detach();
              };
              return check_derivation(loss, {{"ds", s, {}, {s}, f}}).ok();
            };
            CHECK(ok(1));
            if (other == 3) CHECK_FALSE(ok(-1));
            if (other == 3) CHECK_FALSE(ok(1.001));
          }
}

TEST_CASE("check_derivation: a function may be given what the loss was not computed from") {
  const Tensor x = tensor({{1.0, 2.0}, {-1.0, 0.5}}, f64).named("X"),
               y = tensor({1.0, 0.0}, f64).named("y"),
               w = tensor({0.3, -0.2}, f64).named("w").requires_grad_();
  const Tensor z = matmul(x, w).named("z"), p = sigmoid(z).named("P"),
               loss = sum(softplus(z) - y * z);
  const auto check = [&](const Tensor& given) {
    return check_derivation(loss, {{"dz", z, {}, {z, given}, [&](At at) { return at[1] - y; }}});
  };
  const DerivationReport right = check(p);
  CHECK_MESSAGE(right.ok(), right.text());
  CHECK_FALSE(right.verdicts()[0].here_alone);
  CHECK_FALSE(check(square(p)).ok());
  // Detached, it stays what it was.
  CHECK_FALSE(check(p.detach()).ok());
}

TEST_CASE("check_derivation: functions that cannot be asked") {
  const Model m;
  const Function f = [&](At at) { return by_loops(m.X, at[0] - m.y64); };
  const auto error = [&](const Formula& formula) {
    return error_of<ValueError>([&] { check_derivation(m.loss, {formula}); });
  };
  CHECK(error({"dW", m.W, m.W, {m.z}, f}) ==
        "check_derivation: formula dW: it is given twice, as a value and as a function\n  at HERE"
        "\n  hint: leave the value undefined: {\"dW\", W, {}, {p, h}, function}");
  CHECK(error({"dW", m.W, {}, {}, f}).find("its function gets no tensors\n  at HERE\n  hint: ") !=
        std::string::npos);
  CHECK(error({"dW", m.W, {}, {Tensor()}, f}).find("is undefined\n  at HERE") != std::string::npos);
  CHECK(error({"dW", m.W, m.W, {m.z}}).find("has no function") != std::string::npos);
  CHECK(error({"dW", m.W, {}, {m.z}, [](At) { return Tensor(); }}).find("its value is undefined") !=
        std::string::npos);
  CHECK(error({"dW", m.W, {}, {m.z}, [](At) -> Tensor { throw ValueError("no"); }})
            .find("in the function of formula dW") != std::string::npos);
  int calls = 0;
  const auto changes = [&](At at) { return by_loops(m.X, at[0] * static_cast<double>(++calls)); };
  CHECK(error({"dW", m.W, {}, {m.z}, changes})
            .find("other numbers for the same tensors\n  at HERE") != std::string::npos);
  // A function that other points are not allowed for is known at this one.
  const auto here_only = [&](At at) -> Tensor {
    if (at[0].to_vector<double>() != m.z.to_vector<double>()) throw ValueError("elsewhere");
    return by_loops(m.X, at[0] - m.y64);
  };
  CHECK(check_derivation(m.loss, {{"dW", m.W, {}, {m.z}, here_only}}).ok());
  // Another shape is a verdict.
  const DerivationReport shape =
      check_derivation(m.loss, {{"dW", m.W, {}, {m.z}, [](At at) { return at[0]; }}});
  CHECK_FALSE(shape.ok());
  CHECK(shape.verdicts()[0].given == Shape{6, 2});
}

TEST_SUITE_END();
