#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <chainrule/core/create.hpp>
#include <chainrule/core/random.hpp>
#include <chainrule/graph/checking/check_derivation.hpp>
#include <chainrule/graph/derivation/derive.hpp>
#include <chainrule/graph/derivation/derive_forward.hpp>
#include <chainrule/graph/emission/emit.hpp>
#include <chainrule/graph/picture/picture.hpp>
#include <chainrule/ops/define.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/elementwise/functions.hpp>
#include <chainrule/ops/linalg/matmul.hpp>
#include <chainrule/ops/reduce/reduction.hpp>
#include <chainrule/tests/core/error_of.hpp>

using namespace chainrule;

TEST_SUITE_BEGIN("graph");

namespace {

// With a mask that evaluate() draws, from a seed in the parameters or from where it was left.
struct Dropout final : Op {
  bool seeded;
  mutable Generator generator{3};
  explicit Dropout(bool from_seed) : Op("own_dropout"), seeded(from_seed) {}
  Tensor operator()(const Tensor& x) const { return apply(*this, {&x}, {}, Where::current()); }
  void infer(Inference& call) const override {
    call.output_like(f64, call.in(0));
    call.saves(f64, call.in(0).shape());
  }
  void evaluate(Evaluation& call) const override {
    if (seeded) generator = Generator(5);
    double* mask = call.saved(0).data<double>();
    for (std::int64_t i = 0; i < call.out().numel() && !call.knows(0); ++i)
      mask[i] = generator.uniform() < 0.5 ? 0 : 2;
    kernels::map<double, double, double>(call.out(), call.in(0), call.saved(0),
                                         [](double x, double m) { return x * m; });
  }
  Node::SavedMask reads(const Call&) const override { return Node::intermediate(0); }
  void vjp(Vjp& r) const override { r.give(0, r.g() * r.saved(0)); }
  Tensor jvp(Jvp& r) const override { return r.tangent(0) * r.saved(0); }
  std::vector<Sample> samples() const override { return {}; }
};

}  // namespace

TEST_CASE("check_derivation: what does not repeat has no differences to be held to") {
  for (const bool seeded : {true, false}) {
    CAPTURE(seeded);
    const Dropout dropout(seeded);
    Generator generator(1);
    const Tensor w = randn({6, 4}, generator, f64).named("W").requires_grad_(),
                 v = randn({2, 6}, generator, f64).named("V").requires_grad_();
    const Tensor h = matmul(w, randn({4}, generator, f64)).named("h");
    const Tensor d = dropout(h).named("d"), z = matmul(v, d).named("z");
    const Tensor loss = sum(square(z));
    const auto check = [&](double factor) {
      return check_derivation(loss, {{"dV", v, outer(factor * z, d)}});
    };
    if (seeded) {
      CHECK(check(2).ok());
      CHECK_FALSE(check(-2).ok());
      continue;
    }
    for (const double factor : {2.0, -2.0, 0.0}) {
      const std::string message = error_of<ValueError>([&] { check(factor); });
      CAPTURE(message);
      CHECK(message.starts_with("own_dropout: it does not repeat: it gave "));
    }
  }
}

TEST_CASE("derivations, emitted code and pictures: what does not repeat has no formula") {
  Generator generator(1);
  const Tensor x = randn({6}, generator, f64).named("x").requires_grad_();
  using Ask = void (*)(const Tensor&);
  const std::pair<const char*, Ask> askers[] = {
      {"derive", [](const Tensor& l) { derive(l); }},
      {"derive_forward", [](const Tensor& l) { derive_forward(l); }},
      {"graph_svg", [](const Tensor& l) { graph_svg(l); }},
      {"emit_cpp", [](const Tensor& l) { emit_cpp(l); }}};
  for (const bool seeded : {true, false}) {
    CAPTURE(seeded);
    const Dropout dropout(seeded);
    const Tensor loss = sum(square(dropout(x))).named("L");
    if (seeded) {
      CHECK_NOTHROW(derive(loss));
      CHECK_NOTHROW(derive_forward(loss));
      CHECK_NOTHROW(graph_svg(loss));
      continue;
    }
    for (const auto& [caller, ask] : askers) {
      CAPTURE(caller);
      const std::string message = error_of<ValueError>([&] { ask(loss); });
      CAPTURE(message);
      CHECK(message.starts_with("own_dropout: it does not repeat: it gave "));
    }
  }
}

namespace {

// x / max|x|, whose rules take the largest of x for a number.
struct ByLargest final : Op {
  bool of_the_operand;
  explicit ByLargest(bool right) : Op("by_largest"), of_the_operand(right) {}
  Tensor operator()(const Tensor& x) const { return apply(*this, {&x}, {}, Where::current()); }
  void infer(Inference& call) const override {
    call.output_like(f64, call.in(0));
    call.saves(f64, {});
  }
  void evaluate(Evaluation& call) const override {
    double& most = *call.saved(0).data<double>();
    const double* x = call.in(0).data<double>();
    if (!call.knows(0))
      most = std::abs(
          *std::ranges::max_element(x, x + 3, {}, [](double number) { return std::abs(number); }));
    kernels::map<double, double>(call.out(), call.in(0),
                                 [&](double number) { return number / most; });
  }
  Node::SavedMask reads(const Call&) const override {
    return Node::intermediate(0) | Node::input(0);
  }
  Tensor once_more(const Application& r, const Tensor& of) const {
    const Ref<Value> known[] = {r.saved(0).value_ref()};
    return apply(*this, {&of}, {}, r.where(), known);
  }
  void vjp(Vjp& r) const override {
    r.give(0, of_the_operand ? r.g() * once_more(r, r.in(0)) : once_more(r, r.g()));
  }
  Tensor jvp(Jvp& r) const override {
    return of_the_operand ? r.tangent(0) * once_more(r, r.in(0)) : once_more(r, r.tangent(0));
  }
  std::vector<Sample> samples() const override { return {}; }
};

}  // namespace

TEST_CASE("derivations: saved values that a rule hands on are those of the operands") {
  const Tensor x = tensor({1.0, -4.0, 2.0}, f64).named("x").requires_grad_();
  for (const bool right : {true, false}) {
    CAPTURE(right);
    const ByLargest by_largest(right);
    const Tensor loss = sum(tensor({1.0, 2.0, 3.0}, f64) * by_largest(x));
    if (right) {
      CHECK(derive(loss).steps().back().formula().text == "c1 ⊗ by_largest(x)");
      CHECK_NOTHROW(derive_forward(loss));
      continue;
    }
    for (const bool forward : {false, true}) {
      const std::string message =
          error_of<GradError>([&] { forward ? derive_forward(loss) : derive(loss); });
      CAPTURE(message);
      CHECK(message.find("by_largest: a gradient rule applied it with saved values that it does "
                         "not compute from these operands: it gave ") != std::string::npos);
    }
  }
}

namespace {

// 2 x, whose infer() says something else from the second call on, or the third.
struct Restless final : Op {
  enum class Then { shape, rank, dtype, less, more } then;
  int steady;
  mutable int calls = 0;
  Restless(Then what, int calls_first) : Op("restless"), then(what), steady(calls_first) {}
  void infer(Inference& call) const override {
    const Value& x = call.in(0);
    const std::size_t results = then == Then::less ? 2 : 1;
    if (calls++ < steady) {
      for (std::size_t k = 0; k < results; ++k) call.output_like(f64, x);
    } else if (then == Then::shape) {
      call.output(f64, {3, 2});
    } else if (then == Then::rank) {
      call.output(f64, {6});
    } else if (then == Then::dtype) {
      call.output_like(i64, x);
    } else {
      for (std::size_t k = 0; k < 3 - results; ++k) call.output_like(f64, x);
    }
  }
  void evaluate(Evaluation& call) const override {
    const std::vector<double> numbers = call.tensor(0).to_vector<double>();
    for (std::size_t i = 0; i < numbers.size(); ++i)
      if (call.out().dtype() == f64)
        call.out().data<double>()[i] = 2 * numbers[i];
      else
        call.out().data<std::int64_t>()[i] = 2;
    if (then == Then::less && calls <= steady)
      std::ranges::copy(numbers, call.out(1).data<double>());
  }
  void vjp(Vjp& r) const override { r.give(0, 2.0 * r.g()); }
  Tensor jvp(Jvp& r) const override { return 2.0 * r.tangent(0); }
  std::vector<Sample> samples() const override { return {}; }
};

}  // namespace

TEST_CASE("derivations, emitted code and pictures: an infer() that says another result is named") {
  using Then = Restless::Then;
  const Tensor x = tensor({{1.0, -4.0, 2.0}, {0.5, 3.0, -1.0}}, f64).named("x").requires_grad_();
  using Ask = void (*)(const Tensor&, const Tensor&);
  const Ask askers[] = {
      [](const Tensor& l, const Tensor&) { derive(l); },
      [](const Tensor& l, const Tensor&) { derive_forward(l); },
      [](const Tensor& l, const Tensor&) { graph_svg(l); },
      [](const Tensor& l, const Tensor&) { emit_cpp(l); },
      [](const Tensor& l, const Tensor& a) { check_derivation(l, {{"dx", a, a.detach()}}); }};
  using Read = Tensor (*)(const Tensor&);
  const Read readers[] = {
      [](const Tensor& y) { return square(y); }, [](const Tensor& y) { return y * 2.0; },
      [](const Tensor& y) { return matmul(y, y.T()); }, [](const Tensor& y) { return y; }};
  const std::pair<Then, const char*> cases[] = {
      {Then::shape, "it said (2, 3) of f64 when it was recorded, and says (3, 2) of f64"},
      {Then::rank, "it said (2, 3) of f64 when it was recorded, and says (6,) of f64"},
      {Then::dtype, "it said (2, 3) of f64 when it was recorded, and says (2, 3) of i64"},
      {Then::less, "it said 2 results when it was recorded, and says 1"},
      {Then::more, "says 2"}};
  for (const auto& [then, said] : cases)
    for (const Ask ask : askers)
      for (const Read read : readers) {
        CAPTURE(said);
        const Restless op(then, 1);
        const Tensor* operands[] = {&x};
        const Tensor y = apply_several(op, operands, {}, Where::current())[0];
        const std::string message = error_of<GradError>([&] { ask(sum(read(y)), x); });
        CAPTURE(message);
        CHECK(message.starts_with("restless: infer() does not repeat: it said "));
        CHECK(message.find(said) != std::string::npos);
        CHECK(message.find("repeating_test.cpp:") != std::string::npos);
        CHECK(message.find("hint: let the ") != std::string::npos);
      }
  // Later, too.
  for (const int steady : {2, 3}) {
    const Restless op(Then::rank, steady);
    const Tensor loss = sum(square(apply(op, {&x}, {}, Where::current())));
    const std::string message = error_of<GradError>([&] { derive(loss); });
    CAPTURE(message);
    CHECK(message.starts_with("restless: infer() does not repeat: it said "));
  }
}

TEST_CASE("derivations: what differs in the last digits alone is told in all of them") {
  struct Drifting final : Op {
    mutable double next = 2;
    Drifting() : Op("drifting") {}
    void infer(Inference& call) const override { call.output_like(f64, call.in(0)); }
    void evaluate(Evaluation& call) const override {
      next *= 1 + 1e-8;
      kernels::map<double, double>(call.out(), call.in(0), [&](double x) { return next * x; });
    }
    void vjp(Vjp& r) const override { r.give(0, 2.0 * r.g()); }
    std::vector<Sample> samples() const override { return {}; }
  } const op;
  const Tensor x = tensor({1.0, -4.0, 2.0}, f64).named("x").requires_grad_();
  const Tensor loss = sum(square(apply(op, {&x}, {}, Where::current())));
  const std::string message = error_of<ValueError>([&] { derive(loss); });
  CAPTURE(message);
  const std::string gave = "it gave ", then = "and then ";
  const auto number_behind = [&](const std::string& words) {
    const std::size_t at = message.find(words) + words.size();
    return message.substr(at, message.find(' ', at) - at);
  };
  CHECK(number_behind(gave) != number_behind(then));
}

TEST_SUITE_END();
