#include <chainrule/graph/replay.hpp>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <chainrule/core/create.hpp>
#include <chainrule/core/op.hpp>
#include <chainrule/graph/backward.hpp>
#include <chainrule/graph/derivation/derive.hpp>
#include <chainrule/ops/elementwise/activations.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/elementwise/convert.hpp>
#include <chainrule/ops/elementwise/functions.hpp>
#include <chainrule/ops/kernels/elementwise/loops.hpp>
#include <chainrule/ops/linalg/matmul.hpp>
#include <chainrule/ops/reduce/reduction.hpp>
#include <chainrule/ops/shape/indexing.hpp>
#include <chainrule/ops/shape/manipulation.hpp>
#include <chainrule/tests/core/error_of.hpp>
#include <chainrule/tests/ops/samples/samples.hpp>

using namespace chainrule;

TEST_SUITE_BEGIN("graph");

// The result is what the op itself gives for changed inputs: the sample's own call is the
// reference.
TEST_CASE("replay: every op on its samples, as recorded and on changed inputs") {
  samples::for_each_differentiable([](const Op&, const Sample& sample) -> std::string {
    const samples::Tensors leaves = samples::leaves_of(sample.inputs);
    const Tensor out = sample.apply(leaves);
    if (!out.requires_grad()) return "";
    const Traversal traversal(std::span(&out, 1), Traversal::Visit::everything);
    const Replay replay(traversal, std::span(&out, 1), "test", Where::current());
    const std::uint32_t at = traversal.output(0);
    if (out.dtype() == f32 || leaves[0].dtype() == f32) return "";  // f64 differs by rounding
    std::string problem = samples::compare("recorded", replay.value(at), out.detach(), 1e-14L);

    std::vector<Tensor> changed(traversal.size());
    samples::Tensors moved;
    for (std::size_t i = 0; i < leaves.size(); ++i) {
      moved.push_back(leaves[i].detach());
      if (!leaves[i].requires_grad()) continue;
      const NoGrad guard;
      moved.back() = leaves[i] * 1.25;
      for (std::uint32_t n = 0; n < traversal.size(); ++n)
        if (&traversal.node(n) == leaves[i].node()) changed[n] = moved.back();
    }
    if (problem.empty())
      problem = samples::compare("changed", replay.from(changed)[at], sample.apply(moved).detach(),
                                 1e-13L);
    return problem;
  });
}

TEST_CASE("written_out: what fused ops compute, in simpler ones") {
  int found = 0;
  samples::for_each_differentiable([&](const Op& op, const Sample& sample) -> std::string {
    const Tensor out = sample.apply(samples::leaves_of(sample.inputs));
    if (!out.node() || out.node()->op() != &op) return "";
    const Traversal traversal(std::span(&out, 1), Traversal::Visit::everything);
    const Replay replay(traversal, std::span(&out, 1), "test", Where::current());
    samples::Tensors inputs;
    for (std::size_t k = 0; k < out.node()->inputs().size(); ++k)
      inputs.push_back(replay.operand(traversal.output(0), k));
    const NoGrad guard;
    const Tensor longer = op.written_out(*out.node(), inputs);
    if (!longer.defined()) return "";
    ++found;
    return samples::compare("written out", longer, out.detach(), 1e-13L);
  });
  CHECK(found > 10);
}

TEST_CASE("replay: constants without names, f32, and one tensor changed") {
  const Tensor x = tensor({{0.5F, -1.0F}, {2.0F, 0.25F}});
  const Tensor w = tensor({{1.5F, 0.5F}, {-0.5F, 1.0F}}).requires_grad_();
  const Tensor z = matmul(w, x) + 1.0F;
  const Tensor loss = sum(sigmoid(z) * tensor({{1.0F, 2.0F}, {3.0F, 4.0F}}));
  const Traversal traversal(std::span(&loss, 1), Traversal::Visit::everything);
  const Replay replay(traversal, std::span(&loss, 1), "test", Where::current());
  for (std::uint32_t i = 0; i < traversal.size(); ++i) CHECK(replay.value(i).dtype() == f64);
  std::uint32_t at = 0;
  while (&traversal.node(at) != z.node()) ++at;
  const std::vector<Tensor> values = replay.changed(at, zeros({2, 2}, f64));
  CHECK(values[traversal.output(0)].item<double>() == 5.0);  // half of 1 + 2 + 3 + 4
  CHECK(replay.value(traversal.output(0)).item<double>() ==
        doctest::Approx(loss.item<double>()).epsilon(1e-6));
}

namespace {

// x³ in f32 of any operand, as an op may say; or a conversion, as another may.
struct Narrow final : Op {
  Role::Kind said;
  explicit Narrow(Role::Kind kind) : Op("narrow"), said(kind) {}
  void infer(Inference& call) const override { call.output_like(f32, call.in(0)); }
  void evaluate(Evaluation& call) const override {
    visit_floating(call.in(0).dtype(), [&](auto zero) {
      kernels::map<float, decltype(zero)>(call.out(), call.in(0),
                                          [](auto x) { return static_cast<float>(x * x * x); });
    });
  }
  Node::SavedMask reads(const Call&) const override { return Node::input(0); }
  void vjp(Vjp& r) const override { r.give(0, 3.0 * square(r.in(0)) * to(r.g(), f64)); }
  Tensor jvp(Jvp& r) const override { return to(3.0 * square(r.in(0)) * r.tangent(0), f32); }
  Role role(const Parameters&) const override { return said; }
  std::vector<Sample> samples() const override { return {}; }
};

}  // namespace

TEST_CASE("replay: an op that makes f32 of f64, and one that is no conversion though it says so") {
  for (const Role::Kind said : {Role::Kind::other, Role::Kind::conversion}) {
    CAPTURE(static_cast<int>(said));
    const Narrow narrow(said);
    const Tensor x = tensor({0.5, -2.0, 1.5}, f64).named("x").requires_grad_();
    const Tensor y = apply(narrow, {&x}, {}, Where::current()).named("y");
    const Tensor loss = sum(square(y));  // x⁶, exact in f32 for these
    const Traversal traversal(std::span(&loss, 1), Traversal::Visit::everything);
    const Replay replay(traversal, std::span(&loss, 1), "test", Where::current());
    const Tensor value = replay.value(traversal.output(0));
    CHECK(value.dtype() == f64);
    CHECK(value.item<double>() == loss.item<double>());
    if (said == Role::Kind::conversion) {
      CHECK(error_of<GradError>([&] {
              derive(loss);
            }).starts_with("narrow: its role() says conversion, but it computes something else"));
      continue;
    }
    const Derivation derivation = derive(loss);
    for (const Derivation::Step& step : derivation.steps())
      if (step.of == "x")
        CHECK(step.value.to_vector<double>() ==
              grad(loss, x, {.retain_graph = true}).to_vector<double>());
  }
}

TEST_CASE("replay: a released graph and a value written to since") {
  const Tensor x = tensor({1.0, 2.0}, f64);
  Tensor w = tensor({3.0, 4.0}, f64).named("w").requires_grad_();
  const Tensor loss = sum(w * x + 1.0);
  const Traversal traversal(std::span(&loss, 1), Traversal::Visit::everything);
  w.mutable_data<double>()[0] = 5;
  CHECK(error_of<GradError>([&] {
          Replay(traversal, std::span(&loss, 1), "test", Where::current());
        }).find("w (2,), was written to since: recorded at version 0, now 1") != std::string::npos);
  loss.backward();
  CHECK(error_of<GradError>([&] {
          Replay(traversal, std::span(&loss, 1), "test", Where::current());
        }).starts_with("test: the graph was released by an earlier backward"));
}

TEST_CASE("replay: a value written to through a span that was taken before") {
  Tensor w = tensor({1.0, 2.0}, f64).named("w").requires_grad_();
  const auto elements = w.mutable_data<double>();
  const Tensor loss = sum(square(w));
  elements[0] = 5;
  const std::string said = error_of<GradError>([&] { derive(loss); });
  CHECK(said.find("w (2,), was written to since: through what mutable_data() or an Eigen map of it "
                  "gave before\n") != std::string::npos);
}

TEST_CASE("replay: a leaf that was written to between two uses") {
  Tensor W = tensor({1.0, 2.0}, f64).named("W").requires_grad_();
  const Tensor x = tensor({0.5, 0.25}, f64).named("x");
  const Tensor before = W + x;
  {
    const NoGrad guard;
    W.mutable_data<double>()[0] = 5;
  }
  const Tensor behind = W + x;
  for (const Tensor& loss : {sum(before * behind), sum(behind * before)})
    CHECK(error_of<GradError>([&] { derive(loss); }).find("was written to since") !=
          std::string::npos);
}

TEST_CASE("replay: into memory that is handed in, which a second run does not ask for again") {
  const Tensor x = tensor({{0.5, -1.0}, {2.0, 0.25}}, f64);
  const Tensor w = tensor({{1.5, 0.5}, {-0.5, 1.0}}, f64).requires_grad_();
  const Tensor loss = sum(sigmoid(matmul(w, x.T()) + 1.0));
  const Traversal traversal(std::span(&loss, 1), Traversal::Visit::everything);
  const Replay replay(traversal, std::span(&loss, 1), "test", Where::current());
  std::vector<Tensor> leaves(traversal.size()), values;
  std::uint32_t at = 0;
  while (&traversal.node(at) != w.node()) ++at;
  replay.from(leaves, values);
  std::vector<const void*> places;
  for (const Tensor& value : values) places.push_back(value.value_ref()->bytes());
  leaves[at] = tensor({{0.1, 0.2}, {0.3, 0.4}}, f64);
  replay.from(leaves, values);
  for (std::uint32_t i = 0; i < traversal.size(); ++i)
    if (replay.computed(i)) CHECK(values[i].value_ref()->bytes() == places[i]);
  const NoGrad guard;
  CHECK(values[traversal.output(0)].item() == sum(sigmoid(matmul(leaves[at], x.T()) + 1.0)).item());
}

TEST_CASE("replay: results of several stay in the memory that is handed in, too") {
  const Tensor x = tensor({{0.5, -1.0, 3.0}, {2.0, 0.25, 1.0}}, f64).requires_grad_();
  const auto [var, mean] = var_mean(x, 1);
  const Tensor loss = sum(var) + sum(mean);
  const Traversal traversal(std::span(&loss, 1), Traversal::Visit::everything);
  const Replay replay(traversal, std::span(&loss, 1), "test", Where::current());
  std::vector<Tensor> values;
  const auto memory = [&] {
    std::vector<const void*> places;
    for (const Tensor& value : values)
      places.push_back(value.defined() ? value.value_ref()->bytes() : nullptr);
    return places;
  };
  replay.from(std::vector<Tensor>(), values);
  const auto before = memory();
  replay.from(std::vector<Tensor>(), values);
  CHECK(memory() == before);
  CHECK(values[traversal.output(0)].item<double>() == loss.item<double>());
}

TEST_CASE("replay: shapes are inferred from what is handed in, and misfits are errors") {
  const Tensor w = tensor({1.0, 2.0}, f64).named("w").requires_grad_();
  const Tensor x = tensor({0.5, -1.0, 2.0}, f64);
  const Tensor loss = sum(w[0] * x + w[1]);
  const Traversal traversal(std::span(&loss, 1), Traversal::Visit::everything);
  const Replay replay(traversal, std::span(&loss, 1), "test", Where::current());
  std::uint32_t at = 0;
  while (&traversal.node(at) != w.node()) ++at;
  CHECK_THROWS_AS(replay.changed(at, tensor({1.0}, f64)), Error);
  const Tensor longer = replay.changed(at, tensor({1.0, 2.0, 3.0}, f64))[traversal.output(0)];
  CHECK(longer.item() == 1.0 * 1.5 + 3 * 2.0);  // w[0] Σx + 3 w[1]: the third is not looked at
  CHECK_THROWS_AS(replay.changed(at, tensor({{1.0, 2.0}}, f64)), Error);

  // A sum of squares takes any shape.
  const Tensor v = tensor({1.0, 2.0}, f64).requires_grad_();
  const Tensor squares = sum(v * v);
  const Traversal other(std::span(&squares, 1), Traversal::Visit::everything);
  const Replay again(other, std::span(&squares, 1), "test", Where::current());
  CHECK(again.changed(0, tensor({1.0, 2.0, 3.0}, f64))[other.output(0)].item() == 14);
}

namespace {

// 2 x and 3 x of two numbers; what it says of others names no line.
struct OfTwo final : Op {
  OfTwo() : Op("of_two") {}
  void infer(Inference& call) const override {
    if (call.in(0).numel() != 2) throw ShapeError("not two numbers");
    for (int k = 0; k < 2; ++k) call.output_like(f64, call.in(0));
  }
  void evaluate(Evaluation& call) const override {
    for (std::size_t k = 0; k < 2; ++k)
      kernels::map<double, double>(call.out(k), call.in(0),
                                   [k](double x) { return static_cast<double>(k + 2) * x; });
  }
  std::vector<Sample> samples() const override { return {}; }
};

}  // namespace

TEST_CASE("replay: errors of an op name it and the line where it was recorded") {
  const OfTwo of_two;
  const Tensor x = tensor({0.5, -1.0}, f64).requires_grad_();
  const Tensor* const operands[] = {&x};
  const std::vector<Tensor> made = apply_several(of_two, operands, {}, Where::current());
  const auto line = Where::current().line() - 1;
  const Tensor loss = sum(made[0] * made[1]);
  const Traversal traversal(std::span(&loss, 1), Traversal::Visit::everything);
  const Replay replay(traversal, std::span(&loss, 1), "test", Where::current());
  std::string text;
  try {
    replay.changed(0, ones({3}, f64));
  } catch (const ShapeError& error) {
    text = error.what();
  }
  INFO(text);
  CHECK(text.starts_with("not two numbers\n  in of_two\n"));
  CHECK(text.find(fmt::format("replay_test.cpp:{}", line)) != std::string::npos);
}

TEST_CASE("replay: an op that refuses f64 is told that it is asked for it") {
  struct Single final : Op {
    Single() : Op("single") {}
    void infer(Inference& call) const override {
      if (call.in(0).dtype() != f32) throw ValueError("f32 alone");
      call.output_like(f32, call.in(0));
    }
    void evaluate(Evaluation& call) const override { kernels::copy(call.out(), *call.in_ref(0)); }
    void vjp(Vjp& r) const override { r.give(0, r.g() * 1.0); }
    std::vector<Sample> samples() const override { return {}; }
  };
  const Single single;
  const Tensor x = tensor({0.5, -1.0}, f32).requires_grad_();
  const Tensor loss = sum(apply(single, {&x}, {}, Where::current()));
  const std::string text = error_of<ValueError>([&] { derive(loss); });
  CAPTURE(text);
  CHECK(text.starts_with("f32 alone\n  in single\n  at "));
  CHECK(text.find("\n  hint: derive computes what was recorded again, in f64") !=
        std::string::npos);
}

TEST_CASE("replay: results of an application of several") {
  const Tensor x = tensor({{0.5, -1.0, 3.0}, {2.0, 0.25, 1.0}}, f64).requires_grad_();
  const auto [var, mean] = var_mean(x, 1);
  const Tensor loss = sum(var * mean);
  const Traversal traversal(std::span(&loss, 1), Traversal::Visit::everything);
  CHECK(traversal.places() > traversal.size());
  const Replay replay(traversal, std::span(&loss, 1), "test", Where::current());
  CHECK(replay.value(traversal.output(0)).item() == loss.item());
  std::vector<Tensor> leaves(traversal.size());
  leaves[0] = tensor({{1.0, 2.0, 3.0}, {4.0, 8.0, 0.0}}, f64);
  CHECK(replay.from(leaves)[traversal.output(0)].item() == doctest::Approx(1.0 * 2 + 16.0 * 4));
}

TEST_CASE("replay: one value changed among others than the recorded") {
  const Tensor x = tensor({1.0, 2.0}, f64).requires_grad_(), y = tensor(3.0, f64).requires_grad_();
  const Tensor z = x * y, loss = sum(z * z) + sum(x);
  const Traversal traversal(std::span(&loss, 1), Traversal::Visit::everything);
  const Replay replay(traversal, std::span(&loss, 1), "test", Where::current());
  const auto place = [&](const Tensor& of) {
    for (std::uint32_t i = 0; i < traversal.size(); ++i)
      if (&traversal.node(i) == of.node()) return i;
    return Traversal::none;
  };
  std::vector<Tensor> leaves(traversal.size());
  leaves[place(x)] = tensor({5.0, 7.0}, f64);
  const std::vector<Tensor> there = replay.from(leaves);
  const std::vector<Tensor> changed = replay.changed(place(z), tensor({2.0, 1.0}, f64), there);
  CHECK(changed[place(loss)].item() == 5.0 + 12.0);
  CHECK(there[place(z)].to_vector<double>() == std::vector<double>{15.0, 21.0});
}

TEST_SUITE_END();
