#include <chainrule/graph/backward.hpp>

#include <doctest/doctest.h>

#include <vector>

#include <chainrule/core/create.hpp>
#include <chainrule/core/op.hpp>
#include <chainrule/graph/derivation/derive.hpp>
#include <chainrule/graph/functional.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/kernels/elementwise/loops.hpp>
#include <chainrule/ops/reduce/reduction.hpp>
#include <chainrule/ops/shape/join.hpp>
#include <chainrule/ops/shape/manipulation.hpp>

#include <chainrule/tests/core/error_of.hpp>

using namespace chainrule;

TEST_SUITE_BEGIN("graph");

TEST_CASE("grad() of leaves and intermediates writes nothing") {
  const Tensor x = tensor(3.0, f64).requires_grad_();
  const Tensor square = x * x;
  const Tensor y = square * square;
  const auto grads = grad(y, {x, square, y, x}, {.retain_graph = true});
  CHECK(grads[0].item() == 108.0);
  CHECK(grads[1].item() == 18.0);
  CHECK(grads[2].item() == 1.0);
  CHECK(grads[3].item() == 108.0);
  CHECK_FALSE(x.grad().defined());
  CHECK(grad(y, square).item() == 18.0);
}

TEST_CASE("grad() of several outputs, with and without seeds") {
  const Tensor x = tensor(3.0, f64).requires_grad_();
  const std::vector<Tensor> outputs = {x * x, x * 5.0};
  CHECK(grad(outputs, std::vector<Tensor>{x}, {.retain_graph = true})[0].item() == 11.0);
  const std::vector<Tensor> seeds = {tensor(2.0, f64), tensor(-1.0, f64)};
  CHECK(grad(outputs, seeds, std::vector<Tensor>{x}, GradOptions{})[0].item() == 7.0);
  const std::vector<Tensor> twice = {outputs[0], outputs[0]};
  const Tensor y = x * x;
  CHECK(grad({y, y}, {x})[0].item() == 12.0);
}

TEST_CASE("grad() gives results that may be written to, also where the seed goes through") {
  Tensor x = tensor({1.0, 2.0}, f64).requires_grad_();
  const Tensor seed = tensor({3.0, 4.0}, f64);
  for (const Tensor& y : {x + 1, reshape(x, {2, 1})}) {
    const Tensor of_shape = reshape(seed, y.shape());
    Tensor result = grad(std::vector{y}, std::vector{of_shape}, std::vector{x})[0];
    result.mutable_data<double>()[0] = 100;
    CHECK(seed.to_vector<double>() == std::vector<double>{3, 4});
  }
}

TEST_CASE("grad() gives results that share no memory with each other") {
  const Tensor a = tensor({1.0, 2.0}, f64).requires_grad_();
  const Tensor b = tensor({3.0, 4.0}, f64).requires_grad_();
  auto grads = grad(sum((a + b) * 2.0), {a, b, a});
  grads[0].mutable_data<double>()[0] = 100;
  CHECK(grads[0].to_vector<double>() == std::vector<double>{100, 2});
  CHECK(grads[1].to_vector<double>() == std::vector<double>{2, 2});
  CHECK(grads[2].to_vector<double>() == std::vector<double>{2, 2});
}

TEST_CASE("what no rule gives anything for has a gradient of zeros, whoever asks") {
  struct Constant final : Op {  // x, as if it were nobody's
    Constant() : Op("constant_of") {}
    void infer(Inference& call) const override { call.output_like(f64, call.in(0)); }
    void evaluate(Evaluation& call) const override { kernels::copy(call.out(), call.in(0)); }
    void vjp(Vjp&) const override {}
    Tensor jvp(Jvp& r) const override { return zeros(r.node().shape(), f64); }
    std::vector<Sample> samples() const override { return {}; }
  };
  const Constant op;
  const std::vector<double> zero{0, 0};
  Tensor x = tensor({1.0, 2.0}, f64).named("x").requires_grad_();
  Tensor y = tensor({3.0, 4.0}, f64).named("y").requires_grad_();
  const auto loss_of = [&](const Tensor& of) {
    return sum(apply(op, {&of}, {}, Where::current()) * y);
  };
  const auto grads = grad(loss_of(x * 2.0), {x, y});
  CHECK(grads[0].to_vector<double>() == zero);
  CHECK(grads[1].to_vector<double>() == std::vector<double>{2, 4});
  CHECK(grad(loss_of(x), x, {.create_graph = true}).to_vector<double>() == zero);
  CHECK(value_and_grad(loss_of, x).second.to_vector<double>() == zero);
  loss_of(x).backward();
  REQUIRE(x.grad().defined());
  CHECK(x.grad().to_vector<double>() == zero);
  CHECK(y.grad().to_vector<double>() == std::vector<double>{1, 2});
  // What a leaf has already stays, seen by others or not.
  sum(x * 3.0).backward();
  const Tensor seen = x.grad();
  loss_of(x).backward();
  CHECK(x.grad().to_vector<double>() == std::vector<double>{3, 3});
  CHECK(derive(loss_of(x)).text().find("dx = 0\n") != std::string::npos);
}

TEST_CASE("grad() of an input that the output does not depend on") {
  const Tensor x = tensor(3.0).named("x").requires_grad_();
  const Tensor other = tensor({1.0, 2.0}).named("other").requires_grad_();
  const std::string message = error_of<GradError>([&] { grad(x * x, other); });
  CHECK(message.find("do not depend on input 0, other (2,)") != std::string::npos);
  CHECK(message.find(".allow_unused = true") != std::string::npos);
  const auto grads = grad(x * x, {x, other}, {.allow_unused = true});
  CHECK(grads[1].to_vector<float>() == std::vector<float>{0, 0});
  CHECK_THROWS_AS(grad(x * x, tensor(1.0)), GradError);
  CHECK_THROWS_AS(grad(tensor(1.0), x), GradError);
  CHECK_THROWS_AS(grad({}, {x}), ValueError);
}

TEST_CASE("grad() numbers the one of several outputs, seeds and inputs that does not fit") {
  const Tensor x = tensor({1.0, 2.0}).requires_grad_(), loss = sum(x * x), none;
  const std::string why =
      "\n  at HERE\n  hint: it was default-constructed, moved from, or is the grad() of a tensor "
      "that has none";
  CHECK(error_of<ValueError>([&] { grad(loss, {x, none}); }) == "grad: input 1 is undefined" + why);
  CHECK(error_of<ValueError>([&] { grad({loss, none}, {x}); }) ==
        "grad: output 1 is undefined" + why);
  CHECK(error_of<ValueError>([&] { grad(loss, none); }) == "grad: the input is undefined" + why);
  CHECK(error_of<GradError>([&] {
          grad({loss, tensor(1.0)}, {x});
        }).starts_with("grad: output 1, (), has no graph: "));
  CHECK(error_of<GradError>([&] {
          grad({loss, x * x}, {x});
        }).starts_with("grad: output 1, (2,), is not a scalar\n  at HERE"));
  const std::vector<Tensor> outputs = {loss, x * x}, inputs = {x};
  const auto seeded = [&](const Tensor& second) {
    grad(outputs, std::vector<Tensor>{tensor(1.0), second}, inputs);
  };
  CHECK(error_of<ValueError>([&] { seeded(none); }).starts_with("grad: seed 1 is undefined\n"));
  CHECK(error_of<ShapeError>([&] {
          seeded(tensor(1.0));
        }).starts_with("grad: seed 1 () has not the shape of (2,)\n"));
  CHECK(error_of<DTypeError>([&] {
          seeded(ones({2}, f64));
        }).starts_with("grad: seed 1 is f64, but output 1, (2,), is f32\n"));
}

TEST_CASE("grad() of outputs that are all older than the inputs") {
  const Tensor a = tensor(5.0, f64).named("a").requires_grad_();
  const Tensor y = a * a;
  const Tensor pair = tensor({2.0, 3.0}, f64).requires_grad_();
  const std::vector<Tensor> parts = split(pair * pair, {1, 1}, 0);
  const Tensor leaf = tensor(1.0, f64).named("b").requires_grad_();
  const Tensor other = leaf * leaf, later = y + 1.0, constant = tensor(1.0, f64).named("c");
  const auto zeros_at = [](const std::vector<Tensor>& outputs, const std::vector<Tensor>& inputs) {
    std::vector<Tensor> seeds;
    for (const Tensor& output : outputs) seeds.push_back(ones(output.shape(), f64));
    for (const bool create_graph : {false, true})
      for (const Tensor& g :
           grad(outputs, seeds, inputs,
                {.retain_graph = true, .create_graph = create_graph, .allow_unused = true}))
        CHECK(g.item() == 0.0);
  };
  for (const Tensor& input : {leaf, other, later, constant, tensor(1.0, f64)}) {
    for (const Tensor& output : {y, a, parts[0], parts[1]}) {
      zeros_at({output}, {input});
      zeros_at({output, y, output}, {input, input});
    }
    if (!input.requires_grad()) continue;
    const std::string message = error_of<GradError>([&] { grad(y, input); });
    CHECK(message.find("grad: the outputs do not depend on input 0") != std::string::npos);
    CHECK(message.find("at HERE") != std::string::npos);
    CHECK(message.find(".allow_unused = true") != std::string::npos);
  }

  // One output is younger.
  const auto both =
      grad({y, other, a}, {leaf, later}, {.retain_graph = true, .allow_unused = true});
  CHECK(both[0].item() == 2.0);
  CHECK(both[1].item() == 0.0);

  // A graph that is not visited may be released.
  y.backward();
  zeros_at({y}, {leaf});
  CHECK_THROWS_AS(grad(y, a), GradError);
}

TEST_CASE("grad() at an intermediate leaves what is below it") {
  Tensor w = tensor({1.0, 2.0}, f64).requires_grad_();
  const Tensor h = w * w, loss = sum(h * h);
  const Tensor g = grad(loss, h);
  CHECK(g.to_vector<double>() == std::vector<double>{2, 8});
  backward(h, g);
  CHECK(w.grad().to_vector<double>() == std::vector<double>{4, 32});
  // And it does not need what is below either.
  CHECK(grad(sum(h * h), h).to_vector<double>() == std::vector<double>{2, 8});
}

TEST_CASE("recorded gradients without a graph share no memory") {
  Tensor a = tensor({1.0, 2.0}, f64).requires_grad_(), b = tensor({3.0, 4.0}, f64).requires_grad_();
  const Tensor seed = tensor({5.0, 6.0}, f64);
  std::vector<Tensor> g = grad(std::vector<Tensor>{a + b}, std::vector<Tensor>{seed},
                               std::vector<Tensor>{a, b}, {.create_graph = true});
  g[0].mutable_data<double>()[0] = 9;
  CHECK(g[1].to_vector<double>() == std::vector<double>{5, 6});
  CHECK(seed.to_vector<double>() == std::vector<double>{5, 6});
  sum(a + b).backward({.create_graph = true});
  CHECK(a.grad().data<double>().size() == 2);
  CHECK(a.grad().data<double>().data() != b.grad().data<double>().data());
}

TEST_CASE("gradients of many inputs, of which some are the same") {
  std::vector<Tensor> inputs;
  Tensor total = tensor(0.0, f64);
  for (int i = 0; i < 3000; ++i) {
    inputs.push_back(tensor(i, f64).requires_grad_());
    total = total + inputs.back() * inputs.back();
  }
  inputs.push_back(inputs[7]);
  std::vector<Tensor> g = grad(total, inputs);
  for (int i = 0; i < 3000; ++i) REQUIRE(g[static_cast<std::size_t>(i)].item() == 2 * i);
  g[7].mutable_data<double>()[0] = 1;
  CHECK(g[3000].item() == 14);
}

TEST_SUITE_END();
