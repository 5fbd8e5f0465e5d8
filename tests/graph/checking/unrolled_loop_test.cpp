#include <algorithm>
#include <cstdint>
#include <ctime>
#include <limits>
#include <span>
#include <string>

#include <doctest/doctest.h>

#include <chainrule/chainrule.hpp>
#include <chainrule/graph/checking/candidate.hpp>
#include <chainrule/graph/checking/other_symbols.hpp>
#include <chainrule/graph/checking/solved_forms.hpp>
#include <chainrule/graph/derivation/trace.hpp>
#include <chainrule/tests/graph/checking/diagnosed.hpp>

using namespace chainrule;
using namespace chainrule::derivation;

TEST_SUITE_BEGIN("graph");

namespace {

// Steps without names, and two with names behind them; the formula for the first of these is wrong.
struct Unrolled {
  explicit Unrolled(int steps) : trace(loss_of(steps), std::span<const Tensor>(), "test", where) {
    for (std::uint32_t i = 0; i < trace.size(); ++i)
      if (trace.node(i).name() == "k1") suspect.node = i;
    suspect.right = trace.gradient(suspect.node);
    suspect.points = {&trace.environment()};
    suspect.values = {normal({3}, "wrong", 4)};
    suspect.tolerance = 1e-9;
  }
  static Tensor loss_of(int steps) {
    const Tensor w = parameter({3}, "w", 1), b = parameter({3}, "b", 2);
    Tensor h = normal({3}, "x0", 3);
    for (int t = 0; t < steps; ++t) h = tanh(w * h + b);
    const Tensor k1 = tanh(w * h + b).named("k1"), k2 = tanh(w * k1 + b).named("k2");
    return sum(square(k2));
  }

  const Where where = Where::current();
  Trace trace;
  Suspect suspect;
};

// The processor's seconds that f(unrolled) takes, at least.
template <class F>
double seconds(const Unrolled& unrolled, F f) {
  double least = std::numeric_limits<double>::infinity();
  for (int time = 0; time < 3; ++time) {
    const std::clock_t begin = std::clock();
    f(unrolled);
    least = std::min(least, static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC);
  }
  return least;
}
// What grows with the square of the steps takes 64 times as long for 8 times as many.
template <class F>
void check_grows_with_steps(F f) {
  const double few = seconds(Unrolled(500), f), many = seconds(Unrolled(4000), f);
  CAPTURE(few);
  CAPTURE(many);
  CHECK(many < 40 * few);
}

}  // namespace

TEST_CASE("other symbols: the slopes of an unrolled loop are known by results listed once") {
  check_grows_with_steps([](const Unrolled& unrolled) {
    const Trace& trace = unrolled.trace;
    const Expr& k1 = trace.forward(unrolled.suspect.node);
    const Expr slope = slope_expression(k1->application, k1->operands[0]);
    OtherSymbols others(trace, trace.environment(), unrolled.suspect.node);
    int unnamed = 0;
    for (std::uint32_t i = 0; i < trace.size(); ++i)
      unnamed += others.contain(i, slope) && trace.node(i).name().empty();
    CHECK(unnamed == 1);  // what k2 was taken of
  });
}

TEST_CASE("solved forms: the users of a parameter of an unrolled loop are listed once") {
  check_grows_with_steps([](const Unrolled& unrolled) {
    const Comparison comparison(unrolled.trace, unrolled.suspect);
    for (int again = 0; again < 5; ++again) solved_forms(unrolled.trace, comparison);
    CHECK(!comparison.exhausted());
  });
}

TEST_SUITE_END();
