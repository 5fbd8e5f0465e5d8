// What gradient rules of a program's own ops may compute with, and have formulas.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include <chainrule/core/create.hpp>
#include <chainrule/core/error.hpp>
#include <chainrule/graph/checking/check_derivation.hpp>
#include <chainrule/graph/derivation/derive.hpp>
#include <chainrule/ops/define.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/elementwise/convert.hpp>
#include <chainrule/ops/elementwise/functions.hpp>
#include <chainrule/ops/elementwise/select.hpp>
#include <chainrule/ops/reduce/reduction.hpp>
#include <chainrule/ops/shape/gather.hpp>
#include <chainrule/ops/shape/manipulation.hpp>
#include <chainrule/tests/core/error_of.hpp>

using namespace chainrule;

TEST_SUITE_BEGIN("graph");

namespace {

// Straight lines between the numbers of a table.
struct Interpolated final : UnaryOp<Interpolated> {
  Interpolated() : UnaryOp("interpolated", "table({0})") {}
  static constexpr bool integers = false;
  static constexpr Node::SavedMask saved = Node::input(0);
  static constexpr double table[] = {0, 1, 0.5, 2, 1.5};
  template <class T>
  static T value(T x) {
    const auto i = static_cast<std::size_t>(std::clamp(x, T(0), T(3)));
    return static_cast<T>(table[i] + (x - static_cast<T>(i)) * (table[i + 1] - table[i]));
  }
  static Tensor slope(const Application& r, Tensor g) {
    const Tensor numbers = to(from_span(std::span<const double>(table), {5}), g.dtype());
    const Tensor cell = to(clamp(r.in(0), 0, 3), i64);
    const Tensor slopes = take(numbers, cell + 1) - take(numbers, cell);
    return where(to(cell + 1, boolean), g * slopes, 0.0);
  }
  std::vector<Sample> samples() const override { return {}; }
};

// Its rule counts by a sum of masks.
struct Counted final : UnaryOp<Counted> {
  Counted() : UnaryOp("counted") {}
  static constexpr bool integers = false;
  static constexpr Node::SavedMask saved = Node::input(0);
  template <class T>
  static T value(T x) {
    return x > 1 ? 2 * x : T(0);
  }
  static Tensor slope(const Application& r, Tensor g) {
    const Shape twice = {2, r.in(0).numel()};
    return g * to(sum(expand(r.in(0) > 1.0, twice), 0), g.dtype());
  }
  std::vector<Sample> samples() const override { return {}; }
};

// Adds another number each time.
struct Random final : UnaryOp<Random> {
  Random() : UnaryOp("noisy") {}
  static constexpr bool integers = false;
  static constexpr Node::SavedMask saved = 0;
  template <class T>
  static T value(T x) {
    static int count = 0;
    return x + static_cast<T>(++count);
  }
  static Tensor slope(const Application&, Tensor g) { return g; }
  std::vector<Sample> samples() const override { return {}; }
};

}  // namespace

TEST_CASE("own ops: a rule that computes positions and masks has a derivation") {
  const Interpolated interpolated;
  for (const DType dt : {f32, f64}) {
    const Tensor x = tensor({0.4, 1.7, 3.2}, dt).named("x").requires_grad_();
    const Tensor loss = sum(square(interpolated(x, Where::current())));
    const Tensor right = 2.0 * interpolated(x, Where::current()) * tensor({1.0, -0.5, -0.5}, dt);
    const std::string text = derive(loss).text();
    CAPTURE(text);
    CHECK(text.find("take(c2, trunc(clip(x, 0, 3)))") != std::string::npos);
    CHECK(check_derivation(loss, {{"dx", x, right}}).ok());
    CHECK_FALSE(check_derivation(loss, {{"dx", x, 1.25 * right}}).ok());
  }
}

TEST_CASE("own ops: a rule that counts by the sum of a mask has a derivation") {
  const Counted counted;
  const Tensor x = tensor({0.4, 1.7, 3.2, 0.1}, f64).named("x").requires_grad_();
  CHECK_NOTHROW(static_cast<void>(derive(sum(square(counted(x, Where::current()))))));
}

TEST_CASE("own ops: one that does not repeat is told so, not that it is not elementwise") {
  const Random noisy;
  const Tensor x = tensor({0.4, 1.7, 3.2, 0.1}, f64).named("x").requires_grad_();
  const Tensor loss = sum(square(noisy(x, Where::current())));
  const std::string said = error_of<ValueError>([&] { derive(loss); }, 4);
  CHECK(said.starts_with("noisy: it does not repeat: it gave "));
}

TEST_SUITE_END();
