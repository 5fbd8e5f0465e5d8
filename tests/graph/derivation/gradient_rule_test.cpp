#include <doctest/doctest.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <chainrule/core/create.hpp>
#include <chainrule/graph/checking/check_derivation.hpp>
#include <chainrule/graph/derivation/derive.hpp>
#include <chainrule/graph/derivation/derive_forward.hpp>
#include <chainrule/graph/emission/emit.hpp>
#include <chainrule/graph/picture/picture.hpp>
#include <chainrule/ops/define.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/elementwise/convert.hpp>
#include <chainrule/ops/elementwise/functions.hpp>
#include <chainrule/ops/elementwise/select.hpp>
#include <chainrule/ops/reduce/reduction.hpp>
#include <chainrule/tests/core/error_of.hpp>

using namespace chainrule;

TEST_SUITE_BEGIN("graph");

namespace {

// x² or, of two operands, x² · y; what a rule gives for x is what a test says: of g, x, y.
struct Squared final : Op {
  using Given = std::function<Tensor(const Tensor& g, const Tensor& x, const Tensor& y)>;
  Given given;
  explicit Squared(Given rule) : Op("squared"), given(std::move(rule)) {}
  Tensor operator()(const Tensor& x) const { return apply(*this, {&x}, {}, Where::current()); }
  Tensor operator()(const Tensor& x, const Tensor& y) const {
    return apply(*this, {&x, &y}, {}, Where::current());
  }
  void infer(Inference& call) const override {
    call.input_count() == 1 ? call.output_like(f64, call.in(0)) : infer_broadcast(call, f64);
  }
  void evaluate(Evaluation& call) const override {
    const NoGrad guard;
    const Tensor x = square(call.tensor(0));
    kernels::copy(call.out(), *(call.input_count() == 1 ? x : x * call.tensor(1)).value_ref());
  }
  Node::SavedMask reads(const Call& call) const override {
    return Node::input(0) | (call.input_count() == 2 ? Node::input(1) : 0);
  }
  Tensor by_rule(const Application& r, const Tensor& g) const {
    return given(g, r.in(0), r.input_count() == 2 ? r.in(1) : Tensor());
  }
  void vjp(Vjp& r) const override {
    if (r.needs(0)) r.give(0, by_rule(r, r.g()));
    if (r.needs(1)) r.give(1, r.g() * square(r.in(0)));
  }
  Tensor jvp(Jvp& r) const override {
    const Tensor of_x = r.has(0) ? by_rule(r, r.tangent(0)) : zeros(r.in(0).shape(), f64);
    return r.input_count() == 2 && r.has(1) ? of_x + r.tangent(1) * square(r.in(0)) : of_x;
  }
  std::vector<Sample> samples() const override { return {}; }
};

// The numbers of a tensor that no operation made.
Tensor copied(const Tensor& x) { return from_vector(x.to_vector<double>(), x.shape()); }

Tensor parameter(const char* name) {
  return tensor({1.5, -2.0, 0.5}, f64).named(name).requires_grad_();
}

}  // namespace

TEST_CASE("derivations: a rule that makes numbers of what it reads is refused") {
  const std::pair<const char*, Squared::Given> rules[] = {
      {"a loop",
       [](const Tensor& g, const Tensor& x, const Tensor&) { return g * copied(2.0 * x); }},
      {"an element", [](const Tensor& g, const Tensor& x,
                        const Tensor&) { return g * (2 * max(x).item<double>()) * x / max(x); }},
      {"a part",
       [](const Tensor& g, const Tensor& x, const Tensor&) { return g * x + g * copied(x); }},
      {"a ratio", [](const Tensor& g, const Tensor& x,
                     const Tensor&) { return 2.0 * g * copied(x / sum(abs(x))) * sum(abs(x)); }},
      {"what it is given",
       [](const Tensor& g, const Tensor& x, const Tensor&) { return 2.0 * copied(g) * x; }},
      {"all", [](const Tensor& g, const Tensor& x, const Tensor&) { return copied(2.0 * g * x); }}};
  using Ask = void (*)(const Tensor&);
  const Ask askers[] = {[](const Tensor& l) { derive(l); }, [](const Tensor& l) { emit_cpp(l); },
                        [](const Tensor& l) { graph_svg(l); },
                        [](const Tensor& l) { derive_forward(l); }};
  for (const auto& [what, rule] : rules)
    for (const Ask& ask : askers) {
      CAPTURE(std::string(what));
      const Squared op(rule);
      const Tensor x = parameter("x"), loss = sum(op(x) * tensor({1.0, 2.0, 4.0}, f64));
      const std::string message = error_of<GradError>([&] { ask(loss); });
      CAPTURE(message);
      const std::string of = &ask == &askers[3] ? "jvp" : "vjp";
      CHECK(message.starts_with("squared: its " + of +
                                " rule computes with numbers that it takes "
                                "out of what it reads, and formulas would "
                                "keep: for other operands it gives "));
      CHECK(message.find("gradient_rule_test.cpp:") != std::string::npos);
      CHECK(message.find("hint: write the rule in tensor operations") != std::string::npos);
    }
}

TEST_CASE("derivations: a rule that makes numbers of zeros and ones is refused") {
  // The last operand.
  const Squared op([](const Tensor& g, const Tensor& x, const Tensor& y) {
    return y.defined() ? 2.0 * g * x * copied(y) : 2.0 * g * copied(x);
  });
  for (const bool forward : {false, true})
    for (const double number : {0.0, 1.0, -1.0})
      for (const Shape& shape : {Shape{3}, Shape{}}) {
        CAPTURE(number);
        const Tensor same = full(shape, number, f64).named("x").requires_grad_();
        const Tensor other = full(shape, 1.5, f64).named("p").requires_grad_();
        for (const Tensor& loss : {sum(op(same)), sum(op(other, same)), sum(op(same * other))}) {
          const std::string message =
              error_of<GradError>([&] { forward ? derive_forward(loss) : derive(loss); });
          CAPTURE(message);
          CHECK(message.find(" rule computes with numbers") != std::string::npos);
        }
      }
}

TEST_CASE("derivations: a rule is asked until something can be told") {
  const Squared op([](const Tensor& g, const Tensor& x, const Tensor&) {
    return 2.0 * g * (x.to_vector<double>()[0] > 100 ? x / 0.0 : copied(x));
  });
  const Tensor x = parameter("x"), far = tensor({1e3, 1.0, 1.0}, f64).named("y").requires_grad_();
  CHECK_NOTHROW(derive(sum(op(far))));
  CHECK_THROWS_AS(derive(sum(op(far) + op(x))), GradError);
  CHECK_THROWS_AS(derive_forward(sum(op(far) + op(x))), GradError);
}

TEST_CASE("derivations: a rule that gives other numbers the second time is refused") {
  for (const bool forward : {false, true})
    for (const int period : {2, 3, 100}) {
      CAPTURE(period);
      int calls = 0;
      const Squared op([&](const Tensor& g, const Tensor& x, const Tensor&) {
        return g * x * (2 + 1e-3 * (calls++ % period));
      });
      const Tensor loss = sum(op(parameter("x")));
      const std::string message =
          error_of<GradError>([&] { forward ? derive_forward(loss) : derive(loss); });
      CAPTURE(message);
      const std::string of = forward ? "jvp" : "vjp";
      CHECK(message.starts_with("squared: its " + of + " rule does not repeat: it gave "));
    }
}

TEST_CASE("derivations: what a rule gives is told in as many digits as differ") {
  double factor = 2;
  const Squared op([&](const Tensor& g, const Tensor& x, const Tensor&) {
    factor *= 1 + 1e-6;
    return factor * g * x;
  });
  const Tensor loss = sum(op(parameter("x")));
  const std::string message = error_of<GradError>([&] { derive(loss); });
  CAPTURE(message);
  const auto number_behind = [&](const std::string& words) {
    const std::size_t at = message.find(words) + words.size();
    return message.substr(at, message.find(' ', at) - at);
  };
  CHECK(message.starts_with("squared: its vjp rule does not repeat: it gave "));
  CHECK(number_behind("it gave ") != number_behind("and then "));
}

namespace {

// x² whose jvp rule makes numbers of the tangent: in f32, or in f64 at one x alone.
struct SquaredThere final : Op {
  std::vector<double> there;  // empty: in f32
  explicit SquaredThere(std::vector<double> x) : Op("squared_there"), there(std::move(x)) {}
  void infer(Inference& call) const override {
    call.output_like(there.empty() ? f32 : f64, call.in(0));
  }
  void evaluate(Evaluation& call) const override {
    const NoGrad guard;
    kernels::copy(call.out(), *to(square(call.tensor(0)), call.out().dtype()).value_ref());
  }
  Node::SavedMask reads(const Call&) const override { return Node::input(0); }
  void vjp(Vjp& r) const override { r.give(0, 2.0 * r.g() * r.in(0)); }
  Tensor jvp(Jvp& r) const override {
    if (!there.empty() && r.in(0).to_vector<double>() != there)
      throw ValueError("not there", r.where());
    return 2.0 * r.in(0) * to(copied(to(r.tangent(0), f64)), r.in(0).dtype());
  }
  std::vector<Sample> samples() const override { return {}; }
};

}  // namespace

TEST_CASE("derive_forward: a rule that cannot be asked elsewhere is asked for other tangents") {
  const Tensor in_f64 = parameter("x");
  const Tensor in_f32 = to(in_f64.detach(), f32).named("x").requires_grad_();
  for (const Tensor& x : {in_f64, in_f32}) {
    const SquaredThere op(x.dtype() == f64 ? x.to_vector<double>() : std::vector<double>());
    const Tensor loss = sum(apply(op, {&x}, {}, Where::current()));
    const std::string message = error_of<GradError>([&] { derive_forward(loss); });
    CAPTURE(message);
    CHECK(message.starts_with("derive_forward: the jvp rule of squared_there gives "));
    CHECK(message.find(" for other tangents, and the operations") != std::string::npos);
    CHECK(message.find("gradient_rule_test.cpp:") != std::string::npos);
  }
}

TEST_CASE("derivations: what a rule may make numbers of") {
  const std::pair<const char*, Squared::Given> rules[] = {
      {"operations", [](const Tensor& g, const Tensor& x, const Tensor&) { return 2.0 * g * x; }},
      {"what is detached",
       [](const Tensor& g, const Tensor& x, const Tensor&) { return 2.0 * g * x.detach(); }},
      {"what is not recorded",
       [](const Tensor& g, const Tensor& x, const Tensor&) {
         const NoGrad guard;
         return 2.0 * g * x;
       }},
      {"a mask", [](const Tensor& g, const Tensor& x,
                    const Tensor&) { return where(x > 0.0, 2.0 * g * x, g * x + g * x); }},
      {"a branch",
       [](const Tensor& g, const Tensor& x, const Tensor&) {
         return max(x).item<double>() > 1 ? 2.0 * g * x : g * x + g * x;
       }},
      {"a branch at zero",
       [](const Tensor& g, const Tensor& x, const Tensor&) {
         return max(abs(x)).item<double>() == 0 ? zeros(x.shape(), f64) : 2.0 * g * x;
       }},
      {"signs", [](const Tensor& g, const Tensor& x,
                   const Tensor&) { return 2.0 * g * abs(x) * copied(sign(x)); }},
      {"a table", [](const Tensor& g, const Tensor& x, const Tensor&) {
         return g * x * tensor({2.0, 2.0, 2.0}, f64);
       }}};
  for (const auto& [what, rule] : rules) {
    CAPTURE(std::string(what));
    const Squared op(rule);
    const Tensor x = parameter("x"), loss = sum(op(x) * tensor({1.0, 2.0, 4.0}, f64));
    CHECK_NOTHROW(derive(loss));
    CHECK_NOTHROW(derive_forward(loss));
    CHECK(check_derivation(loss, {{"dx", x, 2.0 * x * tensor({1.0, 2.0, 4.0}, f64)}}).ok());
    for (const double same : {0.0, 1.0, -1.0}) {
      CAPTURE(same);
      const Tensor all = full({3}, same, f64).named("x").requires_grad_();
      CHECK_NOTHROW(derive(sum(op(all))));
      CHECK_NOTHROW(derive_forward(sum(op(all))));
    }
  }
  // Data stays what it is; a parameter in its place does not.
  const Squared op(
      [](const Tensor& g, const Tensor& x, const Tensor& y) { return 2.0 * g * x * copied(y); });
  const Tensor x = parameter("x"), y = tensor({0.3, 0.7, -1.1}, f64);
  CHECK_NOTHROW(derive(sum(op(x, y))));
  CHECK_NOTHROW(derive(sum(op(x, y.named("y")))));
  const Tensor q = y.named("q").requires_grad_();
  CHECK_THROWS_AS(derive(sum(op(x, q))), GradError);
  CHECK_THROWS_AS(derive(sum(op(x, exp(q)))), GradError);
}

TEST_SUITE_END();
