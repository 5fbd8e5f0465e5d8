// An op that is not what it says of itself is an error that names it and its line, wherever
// formulas are made.
#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include <chainrule/core/create.hpp>
#include <chainrule/core/random.hpp>
#include <chainrule/graph/checking/check_derivation.hpp>
#include <chainrule/graph/derivation/derive.hpp>
#include <chainrule/graph/emission/emit.hpp>
#include <chainrule/ops/define.hpp>
#include <chainrule/ops/elementwise/activations.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/elementwise/convert.hpp>
#include <chainrule/ops/elementwise/functions.hpp>
#include <chainrule/ops/elementwise/log.hpp>
#include <chainrule/ops/elementwise/select.hpp>
#include <chainrule/ops/elementwise/stable_log.hpp>
#include <chainrule/ops/linalg/matmul.hpp>
#include <chainrule/ops/reduce/reduction.hpp>
#include <chainrule/ops/shape/indexing.hpp>
#include <chainrule/ops/shape/join.hpp>
#include <chainrule/ops/shape/manipulation.hpp>
#include <chainrule/tests/core/error_of.hpp>
#include <chainrule/tests/graph/derivation/says.hpp>

using namespace chainrule;
using namespace op_tests;

TEST_SUITE_BEGIN("graph");

namespace {

// What whoever makes formulas says to a loss with it.
void check_refused(const Tensor& loss, const std::string& begin, const std::string& hint) {
  const std::string refusals[] = {
      error_of<GradError>([&] { static_cast<void>(derive(loss)); }),
      error_of<GradError>([&] { static_cast<void>(emit_cpp(loss)); }),
  };
  for (const std::string& refusal : refusals) {
    CAPTURE(refusal);
    CHECK(refusal.starts_with(begin + "\n  at "));
    CHECK(refusal.find("op_check_test.cpp:") != std::string::npos);
    CHECK(refusal.find("hint: " + hint) != std::string::npos);
  }
}

}  // namespace

TEST_CASE("ops: a written_out() of other numbers is an error that names the op") {
  const Tensor x = matrix();
  Says twice("twice", [](Given in) { return in[0] * 2.0; });
  twice.result = {2, 3};
  const Tensor loss = sum(sin(twice({x})));
  const char* hint = "say the same in simpler operations, or leave it out";
  twice.simpler = [](Given in) { return in[0] * 3.0; };
  check_refused(loss, "twice: its written_out() computes something else", hint);
  twice.simpler = [](Given in) { return sum(in[0], 1); };
  check_refused(loss, "twice: its written_out() makes (2,), but the op makes (2, 3)", hint);
  // Within another's, and in a formula that somebody gives.
  twice.simpler = [](Given in) { return in[0] * 3.0; };
  Says again("again", [](Given in) { return in[0] * 2.0; });
  again.result = {2, 3};
  again.simpler = [&](Given in) { return twice({in[0]}); };
  check_refused(sum(sin(again({x}))), "twice: its written_out() computes something else", hint);
  const Tensor y = sum(square(x));
  const std::string given =
      error_of<GradError>([&] { static_cast<void>(check_derivation(y, {{"dx", x, twice({x})}})); });
  CAPTURE(given);
  CHECK(given.starts_with("twice: its written_out() computes something else\n"));

  twice.simpler = [](Given in) { return in[0] + in[0]; };
  CHECK(emit_cpp(loss).header.find("x") != std::string::npos);
}

TEST_CASE("ops: a written_out() that comes back to the op is an error that names it") {
  const Tensor x = matrix();
  const auto twice = [](Given in) { return in[0] * 2.0; };
  const char* hint = "say the same in simpler operations, or leave it out";
  Says first("first", twice), second("second", twice);
  first.result = second.result = {2, 3};
  first.simpler = [&](Given in) { return first({in[0]}); };
  check_refused(sum(sin(first({x}))), "first: its written_out() applies the op itself", hint);
  // To something else, or by way of another op.
  first.simpler = [&](Given in) { return first({in[0] * 3.0}) / 3.0; };
  check_refused(sum(sin(first({x}))), "first: its written_out() applies the op itself", hint);
  first.simpler = [&](Given in) { return second({in[0]}); };
  second.simpler = [&](Given in) { return first({in[0]}); };
  check_refused(sum(sin(first({x}))),
                "first: its written_out() applies the op itself, by way of second", hint);
  // One that was applied to its own result does not.
  first.simpler = [](Given in) { return in[0] * 2.0; };
  CHECK(derive(sum(sin(first({first({x})})))).text().find("dx") != std::string::npos);
}

namespace {

// x^n, which is x·xⁿ⁻¹ in simpler operations, down to 1 or without an end.
struct Power final : Op {
  std::int64_t step = -1;
  Power() : Op("natural_power") {}
  void infer(Inference& call) const override { call.output_like(f64, call.in(0)); }
  void evaluate(Evaluation& call) const override {
    const auto n = static_cast<double>(call.parameters<std::int64_t>());
    kernels::map<double, double>(call.out(), call.in(0), [n](double x) { return std::pow(x, n); });
  }
  Node::SavedMask reads(const Call&) const override { return Node::input(0); }
  void vjp(Vjp& r) const override {
    const Tensor x = r.in(0);
    const auto n = r.parameters<std::int64_t>();
    r.give(0, r.g() * pow(x, static_cast<double>(n - 1)) * static_cast<double>(n));
  }
  Tensor written_out(const Node& node, Given in) const override {
    const auto n = node.parameters<std::int64_t>();
    if (n == 1) return in[0] * 1.0;
    const Tensor rest = apply(*this, {&in[0]}, Parameters(n + step), node.where());
    return step < 0 ? in[0] * rest : rest / in[0];
  }
  std::vector<Sample> samples() const override { return {}; }
};

}  // namespace

TEST_CASE("ops: a written_out() may apply the op with other parameters, if it comes to an end") {
  const Tensor x = tensor({0.5, 1.25, 0.75}, f64).named("x").requires_grad_();
  Power power;
  const Tensor loss = sum(apply(power, {&x}, Parameters(std::int64_t{3}), Where::current()));
  CHECK(emit_cpp(loss).header.find("x") != std::string::npos);
  power.step = 1;
  check_refused(loss, "natural_power: its written_out() comes to no end", "say the same");
}

TEST_CASE("ops: a written_out() may not apply the op to ever more elements") {
  struct Doubled final : Op {
    Doubled() : Op("doubled") {}
    void infer(Inference& call) const override { call.output_like(f64, call.in(0)); }
    void evaluate(Evaluation& call) const override {
      kernels::map<double, double>(call.out(), call.in(0), [](double x) { return 2 * x; });
    }
    void vjp(Vjp& r) const override { r.give(0, r.g() * 2.0); }
    Tensor operator()(const Tensor& x) const { return apply(*this, {&x}, {}, Where::current()); }
    Tensor written_out(const Node&, Given in) const override {
      return (*this)(concat({in[0], in[0]}))(slice(0, in[0].size(0)));
    }
    std::vector<Sample> samples() const override { return {}; }
  };
  const Doubled doubled;
  const Tensor x = tensor({0.5, 1.25}, f64).named("x").requires_grad_();
  check_refused(sum(sin(doubled(x))), "doubled: its written_out() applies the op itself",
                "say the");
}

TEST_CASE("ops: a role whose numbers are others is an error in formulas, too") {
  using Kind = Role::Kind;
  const Tensor x = matrix(), y = tensor({{0.2, 0.3}, {1.5, 0.1}, {0.9, 2.0}}, f64);
  const Tensor q = tensor({{0.3, 1.0}, {-2.0, 0.7}}, f64).named("q").requires_grad_();
  const auto refused = [&](const Role& role, const std::vector<Tensor>& of, const Shape& result,
                           const Rule& f, bool right) {
    Says op("pretends", f);
    op.claims = role;
    op.result = result;
    CAPTURE(static_cast<int>(role.kind));
    const Tensor loss = sum(sin(op(of)));
    const std::string text =
        error_of<GradError>([&] { static_cast<void>(derive(loss).text({.indices = true})); });
    CAPTURE(text);
    if (right)
      CHECK(text == "nothing was thrown");
    else
      CHECK(text.starts_with("pretends: its role() says "));
  };
  const Rule twice = [](Given in) { return in[0] * 2.0; };
  refused(Kind::copy, {x}, {2, 3}, twice, false);
  refused(Kind::copy, {x}, {2, 3}, [](Given in) { return in[0] * 1.0; }, true);
  refused(Kind::negation, {x}, {2, 3}, twice, false);
  refused(Kind::negation, {x}, {2, 3}, [](Given in) { return -in[0]; }, true);
  refused(Kind::permutation, {q}, {2, 2}, twice, false);
  refused(Kind::permutation, {q}, {2, 2}, [](Given in) { return in[0].T(); }, true);
  Role swap = Kind::permutation;
  swap.swaps_axes = true;
  refused(swap, {q}, {2, 2}, [](Given in) { return in[0] * 1.0; }, false);
  refused(swap, {q}, {2, 2}, [](Given in) { return in[0].T(); }, true);
  const Rule of_three = [](Given in) { return permute(in[0], {2, 0, 1}); };
  const Tensor cube = reshape(sin(arange(1, 9, 1, f64)), {2, 2, 2}).detach().requires_grad_();
  refused(Kind::permutation, {cube}, {2, 2, 2}, of_three, true);
  refused(
      Kind::permutation, {cube}, {2, 2, 2}, [](Given in) { return concat({in[0][1], in[0][0]}); },
      false);
  refused(Kind::reshape, {x}, {3, 2}, [](Given in) { return in[0].T(); }, false);
  refused(Kind::reshape, {x}, {3, 2}, [](Given in) { return reshape(in[0], {3, 2}); }, true);
  refused(Kind::slice, {x}, {2, 2}, [](Given in) { return slice(in[0] * 2.0, 1, 0, 2); }, false);
  refused(Kind::slice, {x}, {2, 2}, [](Given in) { return slice(in[0], 1, 1, 3); }, true);
  // Some numbers alone stay as they are.
  const Rule positive = [](Given in) { return relu(in[0]); };
  const Rule rounded = [](Given in) { return to(to(in[0], i64), f64); };
  for (const Kind move : {Kind::copy, Kind::permutation, Kind::reshape, Kind::slice, Kind::scatter,
                          Kind::join, Kind::conversion}) {
    refused(move, {x}, {2, 3}, positive, false);
    refused(move, {x}, {2, 3}, rounded, false);
  }
  refused(Kind::slice, {q}, {}, [](Given in) { return in[0][0][0] + in[0][0][1]; }, false);
  refused(Kind::slice, {q}, {}, [](Given in) { return in[0][0][1] * 1.0; }, true);
  for (const Kind part : {Kind::slice, Kind::scatter}) {
    refused(part, {x}, {3, 2}, [](Given in) { return in[0].T(); }, false);
    const Rule shifted = [](Given in) {
      return concat({slice(in[0], 1, 2, 3), slice(in[0], 1, 0, 2)}, 1);
    };
    refused(part, {x}, {2, 3}, shifted, false);
    refused(part, {x}, {6}, [](Given in) { return flatten(in[0]); }, false);
  }
  refused(Kind::slice, {x}, {2}, [](Given in) { return slice(in[0], 1, 0, 3, 2)[1]; }, true);
  refused(Kind::copy, {q, q}, {2, 2}, [](Given in) { return in[0] * 1.0; }, false);
  refused(Kind::join, {x, x}, {4, 3}, [](Given in) { return concat({in[1], in[0]}); }, false);
  refused(Kind::join, {x, x}, {4, 3}, [](Given in) { return concat({in[0], in[1]}); }, true);
  refused(Kind::total, {x}, {2}, [](Given in) { return sum(in[0], 1) * 2.0; }, false);
  refused(Kind::total, {x}, {2}, [](Given in) { return sum(in[0], 1); }, true);
  refused(Kind::mean, {x}, {3}, [](Given in) { return sum(in[0], 0); }, false);
  refused(Kind::mean, {x}, {3}, [](Given in) { return mean(in[0], 0); }, true);
  refused(
      Kind::matrix_product, {x, y}, {2, 2}, [](Given in) { return -matmul(in[0], in[1]); }, false);
  refused(
      Kind::matrix_product, {x, y}, {2, 2}, [](Given in) { return matmul(in[0], in[1]); }, true);
}

namespace {

// z³ − z, of which the rule applies another op.
const Says* bent_slope = nullptr;
std::vector<Tensor> (*given_to_slope)(const Application& r, const Tensor& g) = nullptr;

struct Bent final : UnaryOp<Bent> {
  explicit Bent(const char* name) : UnaryOp(name) {}
  static constexpr bool integers = false;
  static constexpr Node::SavedMask saved = Node::input(0) | Node::output;
  template <class T>
  static T value(T z) {
    return z * z * z - z;
  }
  static Tensor slope(const Application& r, const Tensor& g) {
    return (*bent_slope)(given_to_slope(r, g));
  }
  std::vector<Sample> samples() const override { return {}; }
};

}  // namespace

namespace {

// exp(z) of one's own, whose logarithm is computed by another op.
struct OwnExp final : UnaryOp<OwnExp> {
  const Op* log_op = nullptr;
  OwnExp() : UnaryOp("own_exp") {}
  static constexpr bool integers = false;
  static constexpr Node::SavedMask saved = Node::output;
  template <class T>
  static T value(T z) {
    return std::exp(z);
  }
  static Tensor slope(const Application& r, const Tensor& g) { return g * r.out(); }
  Tensor remembered(const Call& call) const override { return call.tensor(0); }
  Logarithm logarithm(const Tensor& x) const override {
    return {log_op, detail::argument_of(x, *this)};
  }
  std::vector<Sample> samples() const override { return {}; }
};

struct OwnLog final : StableLog {
  explicit OwnLog(const Op& direct) : StableLog("own_log", direct) {}
  std::vector<Sample> samples() const override { return {}; }
};

}  // namespace

TEST_CASE("ops: a logarithm that is computed as something else is an error that says so") {
  const Tensor z = matrix();
  OwnExp own_exp;
  for (const double off : {0.0, 1.0}) {
    CAPTURE(off);
    Says direct("direct", [off](Given in) { return in[0] + off; });
    direct.result = {2, 3};
    const OwnLog own_log(direct);
    own_exp.log_op = &own_log;
    const Tensor loss = sum(log(own_exp(z, Where::current())));
    const std::string text = error_of<GradError>([&] { derive(loss); });
    CAPTURE(text);
    if (off == 0)
      CHECK(text == "nothing was thrown");
    else
      CHECK(
          text.starts_with("own_log: its role() says logarithm, but what it computes of operand 0 "
                           "is not the logarithm of operand 1\n"));
  }
}

TEST_CASE("ops: a slope that is another one than the function's rule gives is an error") {
  const Tensor x = matrix(), c = tensor({{0.5, 2.0, -1.0}, {3.0, -0.2, 0.7}}, f64).named("c");
  const Bent bent("bent");
  Says slope("slope_of_it", [](Given) { return Tensor(); });
  slope.result = {2, 3};
  bent_slope = &slope;
  const auto of_z = [](const Application& r, const Tensor& g) {
    return std::vector<Tensor>{g, r.in(0)};
  };
  const auto of_y = [](const Application& r, const Tensor& g) {
    return std::vector<Tensor>{g, r.out(), r.in(0)};
  };
  const auto loss = [&] { return sum(c * bent(x, Where::current())); };
  const char* hint = "say another role, or none";
  const std::string refusal =
      "slope_of_it: its role() says slope, but it computes something else than g ⊗ bent'(z) by the "
      "rule of bent";
  const Rule right = [](Given in) { return in[0] * (3.0 * square(in[1]) - 1.0); };
  given_to_slope = of_z;
  slope.claims = Role::slope_at(bent);
  slope.computes = right;
  CHECK(derive(loss()).text().find("dx = c ⊗ bent'(x)") != std::string::npos);
  // Not a multiple of g, or with something in it that no slope has.
  slope.computes = [&](Given in) { return square(in[0]) * (3.0 * square(in[1]) - 1.0); };
  check_refused(loss(), refusal, hint);
  slope.computes = [&](Given in) { return right(in) + 0.5; };
  check_refused(loss(), refusal, hint);
  // That of another function, which the graph has of the same tensor, or has not.
  slope.computes = right;
  const Tensor wave = sin(x);
  slope.claims = Role::slope_at(*wave.node()->op());
  for (const Tensor& with_it : {loss() + sum(wave), loss()})
    check_refused(with_it,
                  "slope_of_it: its role() says slope, but it computes something else than g ⊗ "
                  "sin'(z) by the rule of sin",
                  hint);
  // Of y and z: z is what the numbers need.
  given_to_slope = of_y;
  slope.claims = Role::slope_of(bent);
  slope.computes = [](Given in) { return in[0] * (3.0 * square(in[2]) - 1.0); };
  CHECK(derive(loss()).text().find("dx = c ⊗ bent'(x)") != std::string::npos);
  slope.computes = [](Given in) { return in[0] * (3.0 * square(in[2]) - 1.0) * sign(in[0]); };
  check_refused(loss(), refusal, hint);
  // Given by z where it says y: of φ(φ(x)) the formula would show the other one.
  slope.computes = right;
  slope.claims = Role::slope_of(bent);
  given_to_slope = of_z;
  const Tensor twice = sum(c * bent(bent(x, Where::current()), Where::current()));
  check_refused(twice, refusal, hint);
}

TEST_CASE("ops: a logarithm of what an op makes that is none is an error") {
  const Tensor x = matrix();
  Says op("log_of_it", [](Given in) { return sin(in[0]); });
  op.result = {2, 3};
  op.claims.of = sigmoid(x).node()->op();
  check_refused(sum(exp(op({x}))),
                "log_of_it: its role() says other, but it is not the logarithm of sigmoid",
                "say another role, or none");
  op.computes = [](Given in) { return -softplus(-in[0]); };
  CHECK(derive(sum(exp(op({x})))).text().find("dx") != std::string::npos);
}

namespace {

// Throws where a test says.
struct Throws final : Op {
  std::string where;
  Throws() : Op("throws") {}
  void at(const char* what) const {
    if (where == what) throw ValueError("something is wrong");
  }
  std::size_t results() const {
    return where == "written_output" || where == "output_written_out" ? 2 : 1;
  }
  void infer(Inference& call) const override {
    for (std::size_t k = 0; k < results(); ++k) call.output_like(f64, call.in(0));
  }
  void evaluate(Evaluation& call) const override {
    for (std::size_t k = 0; k < results(); ++k) kernels::copy(call.out(k), call.in(0));
  }
  void vjp(Vjp& r) const override {
    for (std::size_t k = 0; k < 2; ++k)
      if (r.has_g(k)) return r.give(0, r.g(k));
  }
  Role role(const Parameters&) const override {
    at("role");
    return {};
  }
  EigenForm eigen(const Parameters&) const override {
    at("eigen");
    return {};
  }
  std::string written(const Node& node) const override {
    at("written");
    return Op::written(node);
  }
  std::string written_output(const Node& node, std::size_t k) const override {
    at("written_output");
    return Op::written_output(node, k);
  }
  Tensor written_out(const Node&, Given) const override {
    at("written_out");
    return {};
  }
  Tensor output_written_out(const Node&, Given, std::size_t) const override {
    at("output_written_out");
    return {};
  }
  std::vector<Sample> samples() const override { return {}; }
};

}  // namespace

TEST_CASE("ops: what an op throws where it is asked what it is names the op and the line") {
  const Tensor x = matrix();
  for (const char* where :
       {"role", "eigen", "written", "written_out", "written_output", "output_written_out"}) {
    CAPTURE(std::string(where));
    Throws op;
    op.where = where;
    const Tensor* inputs[] = {&x};
    const Tensor y = apply_several(op, inputs, {}, Where::current())[0];
    const Tensor loss = sum(x * sin(y));
    const bool emits = op.where == "eigen" || op.where.ends_with("written_out");
    const std::string text = error_of<ValueError>([&] {
      if (emits)
        static_cast<void>(emit_cpp(loss));
      else
        static_cast<void>(derive(loss).text());
    });
    CAPTURE(text);
    CHECK(text.starts_with("something is wrong\n  in throws\n  at "));
    CHECK(text.find("op_check_test.cpp:") != std::string::npos);
  }
}

TEST_CASE("derive: the slopes of the library's own functions are theirs at any number of f32") {
  Generator generator(7);
  for (int k = 0; k < 300; ++k) {
    const Tensor x =
        (zeros({1 + k % 2}) + 4.0 * randn({}, generator)).detach().named("x").requires_grad_();
    for (const auto& function : {sigmoid, tanh}) {
      const Tensor h = function(x, Where::current()).named("h");
      CHECK_NOTHROW(derive(0.5 * sum(square(h - 2.0))));
    }
  }
}

TEST_CASE("ops: a simpler form that has no number where the op has one is an error") {
  const Tensor x = matrix();
  Says grows("grows", [](Given in) { return softplus(in[0]); });
  grows.result = {2, 3};
  for (const Rule& none : {Rule([](Given in) { return log(-1.0 - exp(in[0])); }),
                           Rule([](Given in) { return exp(in[0] + 1e4); })}) {
    grows.simpler = none;
    check_refused(sum(sin(grows({x}))), "grows: its written_out() computes something else",
                  "say the same in simpler operations, or leave it out");
  }
  // One that overflows where the op does not is the same elsewhere.
  grows.simpler = [](Given in) { return log(1.0 + exp(in[0])); };
  const Tensor large = (x.detach() + 800.0).named("x").requires_grad_();
  CHECK_NOTHROW(static_cast<void>(derive(sum(sin(grows({large}))))));
}

TEST_CASE("ops: a role that has no number where the op has one is an error") {
  const Tensor x = matrix(), zeros_too = tensor({{0.0, 4.0, 1.0}, {2.0, 0.0, -1.0}}, f64);
  Says divides("divides", [](Given in) { return where(eq(in[1], 0.0), 0.0, in[0] / in[1]); });
  divides.result = {2, 3};
  divides.claims = Role::Kind::quotient;
  const auto derived = [&](const Tensor& by) {
    return error_of<GradError>([&] { static_cast<void>(derive(sum(sin(divides({x, by}))))); });
  };
  CHECK(derived(zeros_too).starts_with("divides: its role() says quotient"));
}

TEST_SUITE_END();
