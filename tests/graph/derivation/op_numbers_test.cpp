// How exactly ops are held to what they say of themselves, and at which numbers.
#include <doctest/doctest.h>

#include <cmath>
#include <string>
#include <vector>

#include <chainrule/core/create.hpp>
#include <chainrule/graph/derivation/derive.hpp>
#include <chainrule/ops/elementwise/activations.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/elementwise/convert.hpp>
#include <chainrule/ops/elementwise/functions.hpp>
#include <chainrule/ops/reduce/reduction.hpp>
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

TEST_SUITE_END();
