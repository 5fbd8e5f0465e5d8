#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <sstream>
#include <string>

#include <chainrule/core/create.hpp>
#include <chainrule/core/print.hpp>

// The layout is NumPy's: what repr() of the same array gives with set_printoptions(precision=4),
// but for the word array.

using namespace chainrule;

TEST_SUITE_BEGIN("core");

namespace {

constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();

}  // namespace

TEST_CASE("print: scalars") {
  CHECK(to_string(tensor(3.0)) == "tensor(3.)");
  CHECK(to_string(tensor(-0.5)) == "tensor(-0.5)");
  CHECK(to_string(tensor(3.14159265)) == "tensor(3.1416)");
  CHECK(to_string(tensor(7)) == "tensor(7)");
  CHECK(to_string(tensor(true)) == "tensor(true)");
  CHECK(to_string(tensor(1e-10, f64)) == "tensor(1.e-10, dtype=f64)");
  CHECK(to_string(tensor(not_a_number)) == "tensor(nan)");
  CHECK(to_string(Tensor()) == "tensor(undefined)");
}

TEST_CASE("print: columns are equally wide") {
  CHECK(to_string(tensor({1.0, 2.0, 3.0})) == "tensor([1., 2., 3.])");
  CHECK(to_string(tensor({1.0, 2.5, -10.25})) == "tensor([  1.  ,   2.5 , -10.25])");
  CHECK(to_string(tensor({{1.0, 2.0}, {3.0, 4.5}})) ==
        "tensor([[1. , 2. ],\n"
        "        [3. , 4.5]])");
  CHECK(to_string(tensor({1, -20, 300})) == "tensor([  1, -20, 300])");
  CHECK(to_string(tensor({true, false})) == "tensor([ true, false])");
  CHECK(to_string(tensor({0.1, 0.25, 1.0 / 3})) == "tensor([0.1   , 0.25  , 0.3333])");
  CHECK(to_string(tensor({0.0, -0.0})) == "tensor([ 0., -0.])");
}

TEST_CASE("print: more axes are set apart by empty lines") {
  CHECK(to_string(tensor({{{1, 2}, {3, 4}}, {{5, 6}, {7, 8}}})) ==
        "tensor([[[1, 2],\n"
        "         [3, 4]],\n"
        "\n"
        "        [[5, 6],\n"
        "         [7, 8]]])");
  CHECK(to_string(tensor({{{{1}}}, {{{2}}}})) ==
        "tensor([[[[1]]],\n"
        "\n"
        "\n"
        "        [[[2]]]])");
}

TEST_CASE("print: name, dtype and requires_grad") {
  const Tensor weights = tensor({{1.0, 2.0}, {3.0, 4.0}}, f64).named("W1");
  CHECK(to_string(weights) ==
        "W1 = tensor([[1., 2.],\n"
        "             [3., 4.]], dtype=f64)");
  CHECK(to_string(tensor({1.0}).requires_grad_()) == "tensor([1.], requires_grad=true)");
  CHECK(to_string(tensor({1.0}, f64).requires_grad_().named("b")) ==
        "b = tensor([1.], dtype=f64, requires_grad=true)");
  // Aligned by characters, not bytes.
  CHECK(to_string(tensor({{1}, {2}}).named("σ′")) ==
        "σ′ = tensor([[1],\n"
        "             [2]])");
}

TEST_CASE("print: exponents when the range demands them") {
  CHECK(to_string(tensor({1.0, 1e-5})) == "tensor([1.e+00, 1.e-05])");
  CHECK(to_string(tensor({1.0, 2000.0})) == "tensor([1.e+00, 2.e+03])");
  CHECK(to_string(tensor({1.0, 1000.0})) == "tensor([   1., 1000.])");
  CHECK(to_string(tensor({123456789.0}, f64)) == "tensor([1.2346e+08], dtype=f64)");
  CHECK(to_string(tensor({12345678.0}, f64)) == "tensor([12345678.], dtype=f64)");
  CHECK(to_string(tensor({-1.5e-5, 2.25})) == "tensor([-1.50e-05,  2.25e+00])");
  CHECK(to_string(tensor({1e-5, 1e100}, f64)) == "tensor([1.e-005, 1.e+100], dtype=f64)");
  CHECK(to_string(tensor({0.0, 5e-324}, f64)) == "tensor([0.e+000, 5.e-324], dtype=f64)");
}

TEST_CASE("print: nan and infinity") {
  CHECK(to_string(tensor({1.0, infinity, 123.0, -infinity, not_a_number})) ==
        "tensor([  1.,  inf, 123., -inf,  nan])");
  CHECK(to_string(tensor({not_a_number, infinity})) == "tensor([nan, inf])");
  CHECK(to_string(tensor({not_a_number, 1.0})) == "tensor([nan,  1.])");
  CHECK(to_string(tensor({not_a_number, 1e-9})) == "tensor([   nan, 1.e-09])");
  CHECK(to_string(tensor({std::copysign(not_a_number, -1.0)})) == "tensor([nan])");
}

TEST_CASE("print: empty tensors tell their shape and dtype") {
  CHECK(to_string(zeros({0})) == "tensor([])");
  CHECK(to_string(zeros({0, 3})) == "tensor([], shape=(0, 3))");
  CHECK(to_string(zeros({2, 0}, f64)) == "tensor([], shape=(2, 0), dtype=f64)");
  CHECK(to_string(zeros({0}, i64)) == "tensor([], dtype=i64)");
}

TEST_CASE("print: long rows go on in the next line") {
  // The word tensor is one character longer than array, after which NumPy breaks these rows.
  PrintOptions wide;
  wide.line_width = 76;
  CHECK(to_string(arange(30), wide) ==
        "tensor([ 0,  1,  2,  3,  4,  5,  6,  7,  8,  9, 10, 11, 12, 13, 14, 15, 16,\n"
        "        17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29])");
  PrintOptions narrow;
  narrow.line_width = 20;
  CHECK(to_string(tensor({{1, 2, 3, 4, 5}, {6, 7, 8, 9, 10}}), narrow) ==
        "tensor([[ 1,  2,\n"
        "          3,  4,\n"
        "          5],\n"
        "        [ 6,  7,\n"
        "          8,  9,\n"
        "         10]])");
  // What does not fit behind the elements goes below.
  CHECK(to_string(full({18}, 1.5, f64)) ==
        "tensor([1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5,\n"
        "        1.5, 1.5, 1.5, 1.5, 1.5], dtype=f64)");
  CHECK(to_string(full({13}, 1.5, f64)) ==
        "tensor([1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5],\n"
        "       dtype=f64)");
}

TEST_CASE("print: large tensors show their edges") {
  CHECK(to_string(arange(1001)) ==
        "tensor([   0,    1,    2, ...,  998,  999, 1000], shape=(1001,))");
  CHECK(to_string(zeros({40, 50})) ==
        "tensor([[0., 0., 0., ..., 0., 0., 0.],\n"
        "        [0., 0., 0., ..., 0., 0., 0.],\n"
        "        [0., 0., 0., ..., 0., 0., 0.],\n"
        "        ...,\n"
        "        [0., 0., 0., ..., 0., 0., 0.],\n"
        "        [0., 0., 0., ..., 0., 0., 0.],\n"
        "        [0., 0., 0., ..., 0., 0., 0.]], shape=(40, 50))");
  // An axis that is not longer than its edges is shown whole.
  CHECK(to_string(zeros({2, 600}, f64)) ==
        "tensor([[0., 0., 0., ..., 0., 0., 0.],\n"
        "        [0., 0., 0., ..., 0., 0., 0.]], shape=(2, 600), dtype=f64)");
  PrintOptions few;
  few.threshold = 4;
  few.edge_items = 1;
  CHECK(to_string(arange(5), few) == "tensor([0, ..., 4], shape=(5,))");
  CHECK(to_string(arange(4), few) == "tensor([0, 1, 2, 3])");
}

TEST_CASE("print: every number is an option") {
  using Limits = std::numeric_limits<std::int64_t>;
  const std::string whole = "tensor([0, 1, 2], shape=(3,))";
  for (const std::int64_t edge :
       {std::int64_t{1} << 40, std::int64_t{1} << 61, std::int64_t{1} << 62, Limits::max()}) {
    PrintOptions options;
    options.threshold = Limits::min();
    options.edge_items = edge;
    CHECK(to_string(arange(3), options) == whole);
  }
  PrintOptions options;
  options.threshold = 0;
  for (const std::int64_t edge : {Limits::min(), std::int64_t{0}, std::int64_t{1}}) {
    options.edge_items = edge;
    CHECK(to_string(arange(3), options) == "tensor([0, ..., 2], shape=(3,))");
  }
  for (const int width : {std::numeric_limits<int>::min(), -1, 0, 1}) {
    options = {.line_width = width};
    CHECK(to_string(arange(3), options) == "tensor([0,\n        1,\n        2])");
  }
  options = {.line_width = std::numeric_limits<int>::max()};
  CHECK(to_string(arange(3), options) == "tensor([0, 1, 2])");
  const Tensor half = tensor({0.5, -2.25});
  options = {.precision = std::numeric_limits<int>::min(), .notation = Notation::fixed};
  CHECK(to_string(half, options) == "tensor([ 0., -2.])");
  options.precision = std::numeric_limits<int>::max();
  CHECK(to_string(half, options).size() > 2 * 100);
}

TEST_CASE("print: views are read by their strides") {
  const Tensor x = tensor({{1, 2, 3}, {4, 5, 6}});
  const Tensor transposed(Value::view(x.value_ref(), {3, 2}, {1, 3}, 0));
  CHECK(to_string(transposed) ==
        "tensor([[1, 4],\n"
        "        [2, 5],\n"
        "        [3, 6]])");
  const Tensor expanded(Value::view(x.value_ref(), {2, 3}, {0, 1}, 0));
  CHECK(to_string(expanded) ==
        "tensor([[1, 2, 3],\n"
        "        [1, 2, 3]])");
}

TEST_CASE("print: precision and notation") {
  const Tensor x = tensor({1.0 / 3, 2.0}, f64);
  PrintOptions options;
  options.precision = 8;
  CHECK(to_string(x, options) == "tensor([0.33333333, 2.        ], dtype=f64)");
  // The digits that tell an f32 from its neighbours, not those of its value as f64.
  CHECK(to_string(tensor(0.1), options) == "tensor(0.1)");
  options.precision = 20;
  CHECK(to_string(tensor(0.1), options) == "tensor(0.1)");
  CHECK(to_string(tensor({0.1}, f64), options) == "tensor([0.1], dtype=f64)");
  CHECK(fmt::format("{:.6f}", x) == "tensor([0.333333, 2.000000], dtype=f64)");
  CHECK(fmt::format("{:.3e}", x) == "tensor([3.333e-01, 2.000e+00], dtype=f64)");
  CHECK(fmt::format("{:.2}", x) == "tensor([0.33, 2.  ], dtype=f64)");
  CHECK(fmt::format("{:.0f}", x) == "tensor([0., 2.], dtype=f64)");
  CHECK(fmt::format("{:f}", x) == "tensor([0.3333, 2.0000], dtype=f64)");
  CHECK(fmt::format("{:.2f}", tensor({1, 2})) == "tensor([1, 2])");
  const std::string large = fmt::format("{:.1f}", tensor({1e300}, f64));
  CHECK(large.size() == 303 + std::string("tensor([],\n       dtype=f64)").size());
  CHECK_THROWS_AS((void)fmt::format(fmt::runtime("{:d}"), x), fmt::format_error);
  CHECK_THROWS_AS((void)fmt::format(fmt::runtime("{:.f}"), x), fmt::format_error);
  CHECK_THROWS_AS((void)fmt::format(fmt::runtime("{:.999f}"), x), fmt::format_error);
}

TEST_CASE("print: through fmt and iostream") {
  const Tensor x = tensor({1, 2});
  CHECK(fmt::format("{} {} {}", x, x.shape(), x.dtype()) == "tensor([1, 2]) (2,) i64");
  std::ostringstream stream;
  stream << x << ' ' << x.shape() << ' ' << boolean;
  CHECK(stream.str() == "tensor([1, 2]) (2,) boolean");
}

TEST_SUITE_END();
