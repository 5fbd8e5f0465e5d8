#include <chainrule/graph/backward.hpp>

#include <doctest/doctest.h>

#include <cmath>

#include <chainrule/core/allocator.hpp>
#include <chainrule/core/create.hpp>
#include <chainrule/core/op.hpp>
#include <chainrule/graph/functional.hpp>
#include <chainrule/ops/elementwise/activations.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/elementwise/functions.hpp>
#include <chainrule/ops/linalg/matmul.hpp>
#include <chainrule/ops/nn/linear.hpp>
#include <chainrule/ops/reduce/reduction.hpp>
#include <chainrule/ops/shape/manipulation.hpp>

#include <chainrule/tests/core/error_of.hpp>

using namespace chainrule;

TEST_SUITE_BEGIN("graph");

TEST_CASE("gradients of a product of sums, by hand") {
  // L = Σ (a + b) a  ⇒  dL/da = 2a + b, dL/db = a
  const Tensor a = tensor({1.0, -2.0, 3.0}, f64).requires_grad_();
  const Tensor b = tensor({0.5, 4.0, -1.0}, f64).requires_grad_();
  sum((a + b) * a).backward();
  CHECK(a.grad().to_vector<double>() == std::vector<double>{2.5, 0.0, 5.0});
  CHECK(b.grad().to_vector<double>() == std::vector<double>{1.0, -2.0, 3.0});
  CHECK_FALSE(a.grad().requires_grad());
}

TEST_CASE("a diamond, and an input used twice by one op") {
  const Tensor x = tensor(3.0, f64).requires_grad_();
  const Tensor square = x * x;
  (square * square + square).backward();  // x⁴ + x²
  CHECK(x.grad().item() == 4 * 27.0 + 2 * 3.0);
}

TEST_CASE("a ladder of sixty doublings is sixty nodes") {
  const Tensor x = tensor(1.0, f64).requires_grad_();
  Tensor y = x;
  for (int i = 0; i < 60; ++i) y = y + y;
  y.backward();
  CHECK(x.grad().item() == 0x1p60);
}

TEST_CASE("a chain of a million operations: forward, backward, teardown") {
  const std::int64_t before = live_nodes();
  {
    const Tensor x = tensor(1.0, f64).requires_grad_();
    Tensor y = x;
    for (int i = 0; i < 1'000'000; ++i) y = i % 2 ? y * -1.0 : y + 1e-6;
    CHECK(live_nodes() == before + 1'000'001);
    y.backward();
    CHECK(x.grad().item() == 1.0);
  }
  CHECK(live_nodes() == before);
}

TEST_CASE("a fan-out of many consumers of one tensor") {
  const Tensor x = tensor({1.0, 2.0}, f64).requires_grad_();
  Tensor total = zeros({2}, f64);
  for (int i = 0; i < 10'000; ++i) total = total + x * static_cast<double>(i % 3);
  sum(total).backward();
  CHECK(x.grad().to_vector<double>() == std::vector<double>{9999.0, 9999.0});
}

TEST_CASE("backward adds to grad(); handles of an earlier grad() keep their numbers") {
  const Tensor x = tensor({2.0, 5.0}, f64).requires_grad_();
  sum(x * 3.0).backward();
  const Tensor first = x.grad();
  sum(x * x).backward();
  CHECK(x.grad().to_vector<double>() == std::vector<double>{7.0, 13.0});
  CHECK(first.to_vector<double>() == std::vector<double>{3.0, 3.0});
  Tensor(x).zero_grad();
  CHECK_FALSE(x.grad().defined());
}

TEST_CASE("backward adds once to grad(), whatever the strides of the gradient") {
  // The gradient of a sum is expanded, that of a transpose turned: neither is row-major.
  const Tensor x = tensor({{1.0, 2.0, 3.0}, {4.0, 5.0, 6.0}}, f64).requires_grad_();
  const Tensor w = tensor({{1.0, 4.0}, {2.0, 5.0}, {3.0, 6.0}}, f64);
  for (int round = 1; round <= 4; ++round) {
    sum(x).backward();
    sum(x.T() * w).backward();
    for (std::int64_t i = 0; i < 6; ++i)
      CHECK(x.grad().at({i / 3, i % 3}) == round * (1.0 + static_cast<double>(i + 1)));
  }
}

TEST_CASE("backward adds once to a gradient that was given to two parameters") {
  Tensor a = tensor({1.0, 2.0}, f64).requires_grad_(), b = tensor({3.0, 4.0}, f64).requires_grad_();
  {
    const Tensor both = tensor({10.0, 20.0}, f64);
    a.set_grad(both);
    b.set_grad(both);
  }
  sum(a * 3.0 + b * 5.0).backward();
  CHECK(a.grad().to_vector<double>() == std::vector<double>{13, 23});
  CHECK(b.grad().to_vector<double>() == std::vector<double>{15, 25});
}

TEST_CASE("gradients of two parameters never share memory") {
  Tensor a = tensor({1.0, 2.0}).requires_grad_(), b = tensor({3.0, 4.0}).requires_grad_();
  sum(a + b).backward();
  a.grad().mutable_data<float>()[0] = 100;
  CHECK(b.grad().at({0}) == 1.0);
  CHECK(a.grad().is_contiguous());
}

TEST_CASE("a broadcast operand gets the sum over the axes along which it was repeated") {
  const Tensor row = tensor({1.0, 2.0, 3.0}, f64).requires_grad_();
  const Tensor column = tensor({{1.0}, {2.0}}, f64).requires_grad_();
  const Tensor scalar = tensor(2.0, f64).requires_grad_();
  sum(row * column * scalar).backward();
  CHECK(row.grad().to_vector<double>() == std::vector<double>{6.0, 6.0, 6.0});
  CHECK(column.grad().shape() == Shape{2, 1});
  CHECK(column.grad().to_vector<double>() == std::vector<double>{12.0, 12.0});
  CHECK(scalar.grad().shape() == Shape{});
  CHECK(scalar.grad().item() == 18.0);
}

TEST_CASE("no_grad, detach and constants end the graph") {
  const Tensor x = tensor(2.0, f64).requires_grad_();
  const Tensor quiet = no_grad([&] { return x * x; });
  CHECK_FALSE(quiet.requires_grad());
  CHECK(quiet.is_leaf());
  {
    const NoGrad guard;
    CHECK_FALSE((x * x).requires_grad());
    const EnableGrad again;
    CHECK((x * x).requires_grad());
  }
  CHECK(is_recording());
  (x * (x * x).detach()).backward();
  CHECK(x.grad().item() == 4.0);
}

TEST_CASE("backward from a seed of the output's shape") {
  const Tensor x = tensor({1.0, 2.0}, f64).requires_grad_();
  backward(x * x, tensor({10.0, 100.0}, f64));
  CHECK(x.grad().to_vector<double>() == std::vector<double>{20.0, 400.0});
  CHECK_THROWS_AS(backward(x * x, tensor({1.0}, f64)), ShapeError);
  CHECK_THROWS_AS(backward(x * x, tensor({1.0, 1.0}, f32)), DTypeError);
}

TEST_CASE("backward from a non-scalar, and without a graph") {
  const Tensor x = tensor({1.0, 2.0}).requires_grad_();
  const Tensor y = (x * x).named("y");
  const std::string message = error_of<GradError>([&] { y.backward(); });
  CHECK(message.starts_with("backward: y (2,) is not a scalar\n  at HERE\n"));
  CHECK(message.find("\n  at ") != std::string::npos);
  CHECK(message.find("hint: reduce it with sum(x) or mean(x)") != std::string::npos);
  CHECK(error_of<GradError>([] { tensor(1.0).backward(); }).find("has no graph") !=
        std::string::npos);
  CHECK(error_of<ValueError>([] { Tensor().backward(); }).find("undefined") != std::string::npos);
}

TEST_CASE("a second backward names the option that would allow it") {
  const Tensor x = tensor(2.0, f64).requires_grad_();
  const Tensor y = x * x + x;
  y.backward();
  const std::string message = error_of<GradError>([&] { y.backward(); });
  CHECK(message.find("released by an earlier backward") != std::string::npos);
  CHECK(message.find(".retain_graph = true") != std::string::npos);
  CHECK(x.grad().item() == 5.0);

  const Tensor z = x + x;  // saves nothing, and is released all the same
  z.backward();
  CHECK_THROWS_AS(z.backward(), GradError);

  const Tensor kept = x * x;
  kept.backward({.retain_graph = true});
  kept.backward();
  CHECK_THROWS_AS(kept.backward(), GradError);
}

namespace {

// x itself, with a rule that needs the output after it said that it does not. Lives only as long as
// its test, so that it is in no list of the library's ops.
class Forgetful final : public Op {
 public:
  Forgetful(const char* name, bool keeps_handle) : Op(name), keeps_handle_(keeps_handle) {}
  Tensor operator()(const Tensor& x, Where where = Where::current()) const {
    return record(*this, x.value_ref(), {&x}, Node::output, where);
  }
  void vjp(Vjp& r) const override {
    const Tensor& y = r.out();
    const Tensor copy = y;
    r.drop_out();
    CHECK_FALSE(y.defined());
    r.give(0, keeps_handle_ ? r.g() * copy : r.g() * r.out());
  }
  std::vector<Sample> samples() const override { return {}; }

 private:
  bool keeps_handle_;
};

}  // namespace

TEST_CASE("a rule that reads its output after drop_out() is told so, whether or not it is there") {
  const Tensor x = tensor({1.0, 2.0}, f64).requires_grad_();
  const Forgetful forgetful("forgetful", false), careful("careful", true);
  for (const BackwardOptions options : {BackwardOptions{}, {.retain_graph = true}}) {
    Tensor y;
    CHECK(error_of<GradError>([&] {
            y = sum(forgetful(x));
            y.backward(options);
          }) ==
          "forgetful: the gradient rule reads out() after drop_out()\n  at HERE\n  hint: call "
          "drop_out() behind the last use of the output");
    CHECK_FALSE(x.grad().defined());
  }
  sum(careful(x)).backward();
  CHECK(x.grad().to_vector<double>() == std::vector<double>{1.0, 2.0});
}

TEST_CASE("a saved value that was written to is refused, with versions and the line") {
  Tensor w = tensor({1.0, 2.0}).named("W1").requires_grad_();
  const Tensor x = tensor({3.0, 4.0}).requires_grad_();
  const Tensor y = sum(w * x);
  w.mutable_data<float>()[0] = 7;
  const std::string message = error_of<GradError>([&] { y.backward(); });
  CHECK(
      message.starts_with("mul: the saved operand W1 (2,) was written to after it was used: saved "
                          "at version 0, now 1\n  at "));
  CHECK(message.find("\n  at ") != std::string::npos);
  CHECK_FALSE(x.grad().defined());
  CHECK_THROWS_AS(y.backward(), GradError);
}

TEST_CASE("views share the version of their base") {
  Tensor w = tensor({{1.0, 2.0}, {3.0, 4.0}});
  const Tensor x = tensor({{1.0, 1.0}, {1.0, 1.0}}).requires_grad_();
  const Tensor y = sum(w.T() * x);
  w.mutable_data<float>()[1] = 9;
  CHECK_THROWS_AS(y.backward(), GradError);
}

TEST_CASE("the result of a recorded operation cannot be written") {
  const Tensor x = tensor({1.0}).requires_grad_();
  Tensor y = x * 2.0;
  CHECK_THROWS_AS(y.mutable_data<float>(), GradError);
}

TEST_CASE("create_graph gives derivatives of any order") {
  const Tensor x = tensor(2.0, f64).requires_grad_();
  Tensor y = x * x * x * x * x;  // x⁵
  double factor = 1;
  for (int order = 1; order <= 5; ++order) {
    y = grad(y, x, {.create_graph = true});
    factor *= 6 - order;
    CHECK(y.item() == factor * std::pow(2.0, 5 - order));
  }
}

TEST_CASE("backward with create_graph leaves a differentiable grad()") {
  const std::int64_t before = live_nodes();
  {
    Tensor x = tensor(3.0, f64).requires_grad_();
    (x * x * x).backward({.create_graph = true});
    CHECK(x.grad().item() == 27.0);
    CHECK(grad(x.grad(), x).item() == 18.0);
    x.zero_grad();  // breaks the circle of parameter and gradient
  }
  CHECK(live_nodes() == before);
}

namespace {

// An op whose rule fails, as a user's may.
struct Failing final : Op {
  Failing() : Op("failing") {}
  void vjp(Vjp&) const override { throw std::runtime_error("no rule today"); }
  std::vector<Sample> samples() const override { return {}; }
};

// An op whose rule gives a gradient of a wrong shape.
struct Misshapen final : Op {
  Misshapen() : Op("misshapen") {}
  void vjp(Vjp& r) const override { r.give(0, zeros({5}, f64)); }
  std::vector<Sample> samples() const override { return {}; }
};

// An op whose rules give nothing where something is wanted: g() after it was taken, and no tangent.
struct Empty final : Op {
  Empty() : Op("empty") {}
  void vjp(Vjp& r) const override {
    r.give(0, r.take_g());
    r.give(1, r.g());
  }
  Tensor jvp(Jvp&) const override { return {}; }
  std::vector<Sample> samples() const override { return {}; }
};

}  // namespace

TEST_CASE("a gradient that is there already is added to in place, unless somebody else sees it") {
  const Tensor x = tensor({{1.0, 2.0}, {-1.0, 0.5}, {3.0, 1.0}}, f64);
  Tensor w = tensor({{0.5, -1.0}, {2.0, 1.5}}, f64).requires_grad_();
  const Tensor v = tensor({0.25, -0.5}, f64).requires_grad_();
  const auto step = [&] { sum(linear(x, w, v) * v).backward(); };
  step();
  // d/dw_ij = Σ over samples of v_i·x_j; d/dv_i = Σ over samples of w_i·x + 2·v_i, v being the bias
  // and a factor.
  const auto dw = [](double times) {
    return std::vector<double>{0.75 * times, 0.875 * times, -1.5 * times, -1.75 * times};
  };
  const auto dv = [](double times) { return std::vector<double>{-0.5 * times, 8.25 * times}; };
  CHECK(w.grad().to_vector<double>() == dw(1));
  CHECK(v.grad().to_vector<double>() == dv(1));
  const void* memory = w.grad().value_ref()->data<double>();
  step();
  CHECK(w.grad().value_ref()->data<double>() == memory);
  CHECK(w.grad().to_vector<double>() == dw(2));
  CHECK(v.grad().to_vector<double>() == dv(2));

  const Tensor kept = w.grad();
  step();
  CHECK(kept.to_vector<double>() == dw(2));
  CHECK(w.grad().to_vector<double>() == dw(3));
  CHECK(v.grad().to_vector<double>() == dv(3));

  // A parameter as the output itself, and one whose gradient was set as a view.
  const Tensor p = full({}, 3.0, f64).requires_grad_();
  p.backward();
  p.backward();
  CHECK(p.grad().item<double>() == 2.0);
  w.set_grad(expand(tensor({1.0, 2.0}, f64), {2, 2}));
  step();
  CHECK(w.grad().to_vector<double>() == std::vector<double>{1.75, 2.875, -0.5, 0.25});
}

TEST_CASE("gradients are added in the mode of the backward, not in that of the caller") {
  Tensor w = tensor({1.0, 2.0}, f64).requires_grad_();
  const Tensor loss = sum(w * w * w);
  {
    const NoGrad guard;
    loss.backward({.retain_graph = true, .create_graph = true});
    loss.backward({.create_graph = true});
  }
  CHECK(grad(sum(w.grad()), w).to_vector<double>() == std::vector<double>{12, 24});
  w.zero_grad();  // whose graph holds w, as w holds it
  Tensor v = tensor({1.0, 2.0}, f64).requires_grad_();
  sum(v * v).backward({.create_graph = true});
  sum(v * v).backward({.create_graph = true});
  CHECK(v.grad().requires_grad());
  v.zero_grad();
  sum(v).backward({.create_graph = true});
  sum(v).backward();
  sum(v).backward();
  CHECK_FALSE(v.grad().requires_grad());
  CHECK(v.grad().to_vector<double>() == std::vector<double>{3, 3});
}

TEST_CASE("gradients of the largest rank") {
  Shape shape;
  while (shape.rank() < max_rank) shape.push_back(shape.rank() < 2 ? 2 : 1);
  Tensor w = ones(shape).requires_grad_();
  sum(w * w).backward();
  CHECK(w.grad().shape() == shape);
  CHECK(sum(w.grad()).item() == 8);
}

TEST_CASE("rules that write into gradients write into nobody else's") {
  const std::vector<double> at{0.3, -0.7, 1.1};
  const auto fresh = [&] { return from_vector(at, {3}).requires_grad_(); };
  const auto expect = [&](const Tensor& gradient, auto of_x) {
    REQUIRE(gradient.defined());
    for (int i = 0; i < 3; ++i)
      CHECK(gradient.at({i}) == doctest::Approx(of_x(at[static_cast<std::size_t>(i)])));
  };
  SUBCASE("a gradient that goes to two operands, each of which a rule multiplies in place") {
    Tensor x = fresh(), y = fresh();
    sum(sigmoid(x) + exp(y)).backward();
    expect(x.grad(), [](double v) { return std::exp(-v) / std::pow(1 + std::exp(-v), 2); });
    expect(y.grad(), [](double v) { return std::exp(v); });
  }
  SUBCASE("a seed that the caller keeps") {
    Tensor x = fresh();
    const Tensor seed = ones({3}, f64);
    backward(exp(x), seed);
    backward(exp(x), seed);
    CHECK(seed.to_vector<double>() == std::vector<double>{1, 1, 1});
    expect(x.grad(), [](double v) { return 2 * std::exp(v); });
  }
  SUBCASE("the gradient of an intermediate that was asked for") {
    const Tensor x = fresh(), h = square(x), y = exp(h);
    const std::vector<Tensor> g = grad(std::vector<Tensor>{sum(y)}, std::vector<Tensor>{h, x, y});
    expect(g[0], [](double v) { return std::exp(v * v); });
    expect(g[1], [](double v) { return std::exp(v * v) * 2 * v; });
    expect(g[2], [](double) { return 1; });
  }
  SUBCASE("a product whose gradients go into sums that are there") {
    Tensor x = fresh();
    for (int i = 0; i < 3; ++i) sum(x * x * x).backward();
    expect(x.grad(), [](double v) { return 9 * v * v; });
  }
  SUBCASE("the graph once more") {
    Tensor x = fresh();
    const Tensor y = sum(tanh(exp(x) * x));
    y.backward({.retain_graph = true});
    const std::vector<double> once = x.grad().to_vector<double>();
    y.backward();
    for (int i = 0; i < 3; ++i)
      CHECK(x.grad().at({i}) == doctest::Approx(2 * once[static_cast<std::size_t>(i)]));
  }
}

TEST_CASE("rules that give undefined tensors are named") {
  const Empty empty;
  const Tensor x = tensor({1.0, 2.0}, f64).requires_grad_();
  const Tensor y = tensor({3.0, 4.0}, f64).requires_grad_();
  const auto apply = [&](std::span<const Tensor> in) {
    return record(empty, in[0].value_ref(), {&in[0], &in[1]}, 0, Where::current());
  };
  const Tensor both[] = {x, y};
  CHECK(error_of<GradError>([&] { sum(apply(both)).backward(); }, 20)
            .starts_with("empty: its vjp rule gives an undefined gradient for input 1\n  at "));
  CHECK(error_of<GradError>([&] { sum(apply(both)).backward(); }, 20)
            .ends_with("\n  hint: what is never given counts as zero"));
  CHECK_FALSE(x.grad().defined());
  const Tensor points[] = {x.detach(), y.detach()};
  CHECK(error_of<GradError>([&] { jvp(Function(apply), points, points); }, 20)
            .starts_with("empty: its jvp rule gives an undefined tangent\n  at "));
}

TEST_CASE("an exception in the middle of a backward leaves nothing broken") {
  const std::int64_t before = live_nodes();
  {
    const Failing failing;
    const Tensor x = tensor({1.0, 2.0}, f64).requires_grad_();
    Tensor w = tensor({1.0, 2.0}, f64).requires_grad_();
    sum(w * 2.0).backward();
    const Tensor bad = record(failing, x.value_ref(), {&x}, 0, Where::current());
    CHECK_THROWS_AS(sum(bad * w).backward(), std::runtime_error);
    CHECK(w.grad().to_vector<double>() == std::vector<double>{3.0, 4.0});  // its part was given
    CHECK_FALSE(x.grad().defined());
    w.zero_grad();
    CHECK_THROWS_AS(sum(record(failing, x.value_ref(), {&x}, 0, Where::current()) * w).backward(),
                    std::runtime_error);
    CHECK_FALSE(w.grad().defined());
    CHECK(is_recording());
    sum(w * x).backward();
    CHECK(x.grad().to_vector<double>() == std::vector<double>{1.0, 2.0});

    const Misshapen misshapen;
    const Tensor odd = record(misshapen, x.value_ref(), {&x}, 0, Where::current());
    CHECK(error_of<ShapeError>([&] {
            sum(odd).backward();
          }).find("misshapen: its vjp rule gives a gradient (5,) for an input (2,)") !=
          std::string::npos);
    CHECK(error_of<ShapeError>([&] {
            sum(odd).backward();
          }).find("\n  hint: it has the shape of the input") != std::string::npos);
  }
  CHECK(live_nodes() == before);
}

TEST_CASE("saved values are freed during the traversal") {
  const Tensor x = ones({1000}, f64).requires_grad_();
  const std::int64_t before = memory_stats().live_bytes;
  Tensor y = x;
  for (int i = 0; i < 50; ++i) y = y * y;
  CHECK(memory_stats().live_bytes > before + 50 * 8000);
  const Tensor loss = sum(y);
  y = Tensor();
  loss.backward();
  // The nodes are still there, what they saved is not: one gradient, and some bookkeeping.
  CHECK(memory_stats().live_bytes < before + 2 * 8192 + 50 * 512);
}

TEST_CASE("a sequence in pieces: whichever option was tried, the error names detach()") {
  for (const bool retain : {false, true}) {
    Tensor w = ones({1}).requires_grad_(), s = ones({1});
    const std::string message = error_of<GradError>([&] {
      for (int i = 0; i < 3; ++i) {
        s = tanh(w * s);
        sum(s).backward({.retain_graph = retain});
        w.mutable_data<float>()[0] += 0.1F;
      }
    });
    CHECK(message.find("s = s.detach()") != std::string::npos);
  }
  // What the hint says works.
  Tensor w = ones({1}).requires_grad_(), s = ones({1});
  for (int i = 0; i < 3; ++i) {
    s = tanh(w * s.detach());
    sum(s).backward();
    w.mutable_data<float>()[0] += 0.1F;
  }
  CHECK(w.grad().defined());
}

TEST_SUITE_END();
