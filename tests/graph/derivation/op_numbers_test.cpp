// How exactly ops are held to what they say of themselves, and at which numbers.
#include <doctest/doctest.h>

#include <cmath>
#include <string>
#include <vector>

#include <chainrule/core/create.hpp>
#include <chainrule/graph/checking/check_derivation.hpp>
#include <chainrule/graph/derivation/derive.hpp>
#include <chainrule/graph/derivation/derive_forward.hpp>
#include <chainrule/graph/derivation/expression.hpp>
#include <chainrule/graph/derivation/tried.hpp>
#include <chainrule/graph/emission/emit.hpp>
#include <chainrule/ops/elementwise/activations.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/elementwise/convert.hpp>
#include <chainrule/ops/elementwise/functions.hpp>
#include <chainrule/ops/elementwise/log.hpp>
#include <chainrule/ops/elementwise/select.hpp>
#include <chainrule/ops/nn/softmax.hpp>
#include <chainrule/ops/reduce/reduction.hpp>
#include <chainrule/ops/shape/indexing.hpp>
#include <chainrule/ops/shape/join.hpp>
#include <chainrule/ops/shape/manipulation.hpp>
#include <chainrule/tests/core/error_of.hpp>
#include <chainrule/tests/graph/derivation/says.hpp>

using namespace chainrule;
using namespace op_tests;

TEST_SUITE_BEGIN("graph");

TEST_CASE("ops: simpler operations are held to other numbers than the recorded, roles to these") {
  const Tensor x = tensor({{0.7, 2.1, 0.3}, {1.2, 0.9, 1.6}}, f64).named("x").requires_grad_();
  const auto text = [&](const Rule& f, Role role, const Rule& simpler) {
    Says op("elsewhere", f);
    op.claims = role;
    if (simpler) op.simpler = simpler;
    op.result = {2, 3};
    const Tensor loss = sum(op({x}));
    return error_of<GradError>([&] { derive(loss); });
  };
  const Rule squared = [](Given in) { return square(in[0]); };
  const std::vector<double> recorded = square(x.detach()).to_vector<double>();
  CHECK(text(squared, Role::Kind::other, squared) == "nothing was thrown");
  for (const Rule& simpler :
       std::vector<Rule>{[](Given in) { return in[0] * abs(in[0]); },
                         [](Given in) { return square(relu(in[0])); },
                         [&](Given) { return from_vector(recorded, {2, 3}); }})
    CHECK(text(squared, Role::Kind::other, simpler)
              .starts_with("elsewhere: its written_out() computes something else\n"));
  // One that refuses what is tried.
  const auto near_recorded = [](const Rule& f) -> Rule {
    return [f](Given in) {
      if (std::abs(sum(in[0]).item<double>() - 6.8) > 1e-9) throw ValueError("other numbers");
      return f(in);
    };
  };
  const Rule negated = [](Given in) { return -in[0]; };
  CHECK(text(near_recorded(negated), Role::Kind::negation, {}) == "nothing was thrown");
  CHECK(text(near_recorded(squared), Role::Kind::negation, {})
            .starts_with("elsewhere: its role() says negation, but it computes something else\n"));
  const Rule same = [](Given in) { return in[0] * 1.0; };
  for (const Role::Kind move : {Role::Kind::copy, Role::Kind::reshape, Role::Kind::slice}) {
    CHECK(text(near_recorded(same), move, {}) == "nothing was thrown");
    CHECK(text(near_recorded(squared), move, {}).starts_with("elsewhere: its role() says "));
  }
}

namespace {

// Who makes formulas and code, and what each says to a loss with x in it.
std::vector<std::string> refusals(const Tensor& loss, const Tensor& x) {
  const Tensor direction = ones(x.shape(), f64);
  return {error_of<GradError>([&] { derive(loss); }),
          error_of<GradError>([&] { derive_forward(loss, {x}, {direction}); }),
          error_of<GradError>([&] { check_derivation(loss, {{"dx", x, x}}); }),
          error_of<GradError>([&] { emit_cpp(loss); })};
}

}  // namespace

TEST_CASE("ops: roles are held to the operands of each application") {
  using Kind = Role::Kind;
  struct Case {
    const char* what;
    Role role;
    Shape result;
    Rule right, wrong;  // the latter beyond 30 alone
  };
  const auto at_most_30 = [](const Tensor& x) { return where(x > 30.0, 30.0, x); };
  const Case cases[] = {
      {"square",
       Kind::square,
       {3},
       [](Given in) { return square(in[0]); },
       [&](Given in) { return in[0] * at_most_30(in[0]); }},
      {"negation",
       Kind::negation,
       {3},
       [](Given in) { return -in[0]; },
       [&](Given in) { return -at_most_30(in[0]); }},
      {"copy",
       Kind::copy,
       {3},
       [](Given in) { return in[0] * 1.0; },
       [&](Given in) { return at_most_30(in[0]); }},
      {"reshape",
       Kind::reshape,
       {3, 1},
       [](Given in) { return reshape(in[0], {3, 1}); },
       [&](Given in) { return reshape(at_most_30(in[0]), {3, 1}); }},
      {"slice",
       Kind::slice,
       {2},
       [](Given in) { return slice(in[0], 0, 1, 3); },
       [&](Given in) { return slice(at_most_30(in[0]), 0, 1, 3); }},
      {"total",
       Kind::total,
       {},
       [](Given in) { return sum(in[0]); },
       [&](Given in) { return sum(at_most_30(in[0])); }},
      {"mean",
       Kind::mean,
       {},
       [](Given in) { return mean(in[0]); },
       [&](Given in) { return mean(at_most_30(in[0])); }},
  };
  const Tensor x = tensor({0.7, -2.0, 40.0}, f64).named("x").requires_grad_();
  for (const Case& each : cases) {
    CAPTURE(each.what);
    for (const bool wrong : {false, true}) {
      Says op("clipped", wrong ? each.wrong : each.right);
      op.claims = each.role;
      op.result = each.result;
      // The first one is what its role says.
      const Tensor loss = sum(op({x * 0.1})) + sum(op({x}));
      for (const std::string& refusal : refusals(loss, x)) {
        CAPTURE(refusal);
        CHECK(refusal.starts_with(std::string("clipped: its role() says ") + each.what) == wrong);
      }
    }
  }
  // Below 0 there are no logarithms.
  Says of_sizes("of_sizes", [](Given in) { return log(abs(in[0])); });
  of_sizes.claims = Kind::logarithm;
  of_sizes.result = {3};
  for (const std::string& refusal : refusals(sum(of_sizes({x})), x))
    CHECK(refusal.starts_with("of_sizes: its role() says logarithm, but it computes something"));
}

TEST_CASE("ops: a logarithm is of the operand that its role says") {
  for (const bool right : {true, false}) {
    Says op("logarithm", [&](Given in) { return right ? in[0] : log(in[0]); });
    op.claims = Role::Kind::logarithm;
    op.claims.argument = 1;
    op.result = {2, 3};
    const Tensor x = tensor({{0.5, 1.0, 2.0}, {1.5, 0.1, 0.7}}, f64).named("x").requires_grad_();
    const Tensor loss = sum(square(op({x, exp(x)})));
    for (const std::string& refusal : refusals(loss, x)) {
      CAPTURE(refusal);
      CHECK(refusal.starts_with("logarithm: its role() says logarithm, but what it computes of "
                                "operand 0 is not the logarithm of operand 1\n") != right);
      CHECK((refusal.find("give StableLog the op that computes log(x)") != refusal.npos) != right);
    }
  }
}

TEST_CASE("ops: a slope is held to the z that it has, and belongs to another op") {
  const Tensor x = matrix();  // up to 2
  Says slope("slope_of_tanh",
             [](Given in) { return in[0] * where(in[1] > 0.95, 0.0, 1.0 - square(in[1])); });
  const Tensor y = tanh(x);
  slope.claims = Role::slope_of(*y.node()->op());
  slope.result = {2, 3};
  for (const std::string& refusal : refusals(sum(slope({x, y})), x))
    CHECK(refusal.starts_with("slope_of_tanh: its role() says slope, but it computes something"));
  slope.claims = Role::slope_of(slope);
  for (const std::string& refusal : refusals(sum(slope({x, y})), x))
    CHECK(refusal.starts_with("slope_of_tanh: its role() says slope, but names the op itself"));
}

TEST_CASE("ops: numbers of the operands are no simpler operations on them") {
  const Tensor x = matrix();
  const auto numbers_of = [](const Tensor& in) {
    return from_vector(in.to_vector<double>(), in.shape());
  };
  Says cubed("cubed", [](Given in) { return in[0] * square(in[0]); });
  cubed.result = {2, 3};
  const Tensor loss = sum(cubed({x}));
  for (const Rule& simpler :
       std::vector<Rule>{[&](Given in) { return numbers_of(in[0] * square(in[0])); },
                         [&](Given in) { return in[0] * numbers_of(square(in[0])); }}) {
    cubed.simpler = simpler;
    for (const std::string& refusal : refusals(loss, x))
      CHECK(
          refusal.starts_with("cubed: its written_out() computes with numbers that it takes out "
                              "of its operands"));
  }
  cubed.simpler = [](Given in) { return in[0] * in[0] * in[0]; };
  for (const std::string& refusal : refusals(loss, x)) CHECK(refusal == "nothing was thrown");
  // Powers are known by their exponents, where these stay.
  const Tensor n = tensor(2.0, f64).named("n"), p = tensor(-2.0, f64).named("p").requires_grad_();
  for (const std::string& refusal : refusals(sum(pow(square(x), n) + pow(square(x), p)), x))
    CHECK(refusal == "nothing was thrown");
}

TEST_CASE("ops: what is not done element by element may not say that it is") {
  struct Elementwise final : Op {
    Rule computes;
    explicit Elementwise(Rule f) : Op("not_alone"), computes(std::move(f)) {}
    bool elementwise() const noexcept override { return true; }
    void infer(Inference& call) const override { call.output_like(f64, call.in(0)); }
    void evaluate(Evaluation& call) const override {
      const NoGrad guard;
      kernels::copy(call.out(), *computes(std::vector{call.tensor(0)}).value_ref());
    }
    void vjp(Vjp& r) const override { r.give(0, r.g() * 1.0); }
    Tensor jvp(Jvp& r) const override { return r.tangent(0) * 1.0; }
    std::vector<Sample> samples() const override { return {}; }
  };
  const auto weights = [] { return tensor({{1.0, 2.0, 3.0}, {4.0, 5.0, 6.0}}, f64); };
  const Tensor x = matrix();
  for (const Rule& wrong : std::vector<Rule>{
           [](Given in) { return in[0] - mean(in[0]); },
           [](Given in) { return concat({slice(in[0], 1, 2, 3), slice(in[0], 1, 0, 2)}, 1); },
           [](Given in) { return softmax(in[0], 1); }, [&](Given in) { return in[0] * weights(); },
           [](Given in) { return in[0] * expand(tensor({1.0, 2.0, 1.0}, f64), in[0].shape()); },
           [](Given in) { return in[0] / max(in[0]); },
           [](Given in) { return in[0] * static_cast<double>(in[0].numel()); },
           [](Given in) { return where(in[0] > 0.0, in[0], min(in[0])); }}) {
    const Elementwise op(wrong);
    for (const std::string& refusal : refusals(sum(apply(op, {&x}, {}, Where::current())), x)) {
      CAPTURE(refusal);
      CHECK(
          refusal.starts_with("not_alone: its elementwise() says that element i of the result "
                              "depends on element i of the operands alone"));
    }
  }
  int evaluations = 0;
  const Elementwise op([&](Given in) {
    ++evaluations;
    return sqrt(in[0] - 0.3);  // NaN of some
  });
  CHECK(refusals(sum(apply(op, {&x}, {}, Where::current())), x)[0] == "nothing was thrown");
  // Four evaluations tell that of as many elements as there are.
  const Tensor many = arange(0, 100, 1, f64).named("many").requires_grad_();
  const Tensor y = apply(op, {&many}, {}, Where::current());
  evaluations = 0;
  CHECK(derivation::acts_elementwise(*derivation::operation_expression(
            Ref<Node>::share(y.node()), {derivation::tensor_expression(0, many.shape())})) == true);
  CHECK(evaluations == 4);
}

TEST_CASE("ops: a slope of z is held to its function where the graph does not have that") {
  const Tensor z = matrix(), g = matrix();
  for (const bool right : {true, false}) {
    Says slope("slope_of_tanh", [right](Given in) {
      return right ? in[0] * (1.0 - square(tanh(in[1]))) : in[0] * in[1];
    });
    slope.claims = Role::slope_at(*tanh(z).node()->op());
    slope.result = {2, 3};
    const Tensor loss = sum(slope({g, z}));
    const std::string text = error_of<GradError>([&] { derive(loss); });
    CAPTURE(text);
    if (right)
      CHECK(text == "nothing was thrown");
    else
      CHECK(
          text.starts_with("slope_of_tanh: its role() says slope, but it computes something else"));
  }
}

TEST_CASE("ops: numbers that a role or simpler operations miss by little are others") {
  const Tensor x = matrix(), y = matrix();
  using Kind = Role::Kind;
  const auto text = [&](const std::vector<Tensor>& operands, const Rule& f, Role role,
                        const Rule& simpler) {
    Says op("nearly", f);
    op.claims = role;
    if (simpler) op.simpler = simpler;
    op.result = {2, 3};
    const Tensor loss = sum(op(operands));
    return error_of<GradError>([&] { derive(loss); });
  };
  for (const double off : {1e-3, 1e-6, 1e-8, 1e-10, 0.0}) {
    CAPTURE(off);
    const double by = 1 + off;
    const bool refused = off >= 1e-8, either_way = off == 1e-10;
    const Rule product = [by](Given in) { return in[0] * in[1] * by; };
    const Rule squared = [by](Given in) { return square(in[0]) * by; };
    const Rule exponential = [by](Given in) { return exp(in[0]) * by; };
    if (either_way) {  // emitted code is held to 1e-9
      CHECK(text({x, y}, product, Kind::product, {}) != "nothing was thrown");
    } else {
      CHECK((text({x, y}, product, Kind::product, {}) == "nothing was thrown") != refused);
      CHECK((text({x}, squared, Kind::square, {}) == "nothing was thrown") != refused);
      CHECK((text({x}, exponential, Kind::exponential, {}) == "nothing was thrown") != refused);
      CHECK((text({x, y}, product, Kind::other, [](Given in) { return in[0] * in[1]; }) ==
             "nothing was thrown") != refused);
    }
  }
  // Where digits cancel, or the op makes f32, less is known.
  const Rule variance = [](Given in) {
    const Tensor far = in[0] + 1e6;
    return expand(mean(square(far)) - square(mean(far)), {2, 3});
  };
  const Rule stable = [](Given in) {
    const Tensor far = in[0] + 1e6;
    return expand(mean(square(far - mean(far))), {2, 3});
  };
  CHECK(text({x}, stable, Kind::other, variance) == "nothing was thrown");
  const Rule in_f32 = [](Given in) { return to(to(in[0], f32) * to(in[1], f32), f64); };
  CHECK(text({x, y}, in_f32, Kind::product, {}).starts_with("nearly: its role() says product"));
}

TEST_CASE("ops: a notation that is no UTF-8 is an error that names the op") {
  const Tensor x = matrix();
  const Rule same = [](Given in) { return in[0] * 1.0; };
  Says latin("caf\xE9", same), right("café", same);
  latin.result = right.result = {2, 3};
  const std::string text = error_of<ValueError>([&] { derive(sum(sin(latin({x})))).text(); });
  CAPTURE(text);
  CHECK(text.starts_with("caf\uFFFD: its notation is no UTF-8\n  at "));
  CHECK(derive(sum(sin(right({x})))).text().find("café(x)") != std::string::npos);
}

TEST_SUITE_END();
