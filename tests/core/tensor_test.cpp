#include <doctest/doctest.h>

#include <cstdint>
#include <string>
#include <type_traits>
#include <vector>

#include <chainrule/core/create.hpp>
#include <chainrule/core/op.hpp>
#include <chainrule/core/tensor.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/shape/manipulation.hpp>
#include <chainrule/tests/core/error_of.hpp>

using namespace chainrule;

TEST_SUITE_BEGIN("core");

namespace {

class Dummy : public Op {
 public:
  Dummy() : Op("dummy") {}
  std::vector<Sample> samples() const override { return {}; }
};

Tensor transposed(const Tensor& x) {
  return Tensor(Value::view(x.value_ref(), {x.size(1), x.size(0)}, {1, x.size(1)}, 0));
}

}  // namespace

TEST_CASE("tensor: what it holds") {
  const Tensor x = tensor({{1.0, 2.0, 3.0}, {4.0, 5.0, 6.0}}, f64);
  CHECK(x.defined());
  CHECK(x.dtype() == f64);
  CHECK(x.shape() == Shape{2, 3});
  CHECK(x.strides() == Shape{3, 1});
  CHECK(x.rank() == 2);
  CHECK(x.size(0) == 2);
  CHECK(x.size(-1) == 3);
  CHECK(x.numel() == 6);
  CHECK(x.is_contiguous());
  CHECK(x.is_leaf());
  CHECK_FALSE(x.requires_grad());
  CHECK(x.name().empty());
  CHECK_FALSE(x.grad().defined());
  CHECK(error_of<IndexError>([&] { x.size(2); }) ==
        "size: axis 2 of (2, 3), which has 2 axes\n  at HERE\n  hint: axes go from -2 to 1");
  CHECK_THROWS_AS(x.size(-3), IndexError);
}

TEST_CASE("tensor: an undefined one says so, and where") {
  const Tensor none;
  CHECK_FALSE(none.defined());
  const std::string text =
      ": the tensor is undefined\n  at HERE\n  hint: it was default-constructed, moved from, or is "
      "the grad() of a tensor that has none";
  CHECK(error_of<ValueError>([&] { none.shape(); }) == "shape" + text);
  CHECK(error_of<ValueError>([&] { none.dtype(); }) == "dtype" + text);
  CHECK(error_of<ValueError>([&] { none.item(); }) == "item" + text);
  CHECK(error_of<ValueError>([&] { none.at({0}); }) == "at" + text);
  CHECK(error_of<ValueError>([&] { none.data<float>(); }) == "data" + text);
  CHECK(error_of<ValueError>([&] { none.to_vector<float>(); }) == "to_vector" + text);
  CHECK(error_of<ValueError>([&] { (void)none.detach(); }) == "detach" + text);
  CHECK(error_of<ValueError>([&] { (void)none.named("x"); }) == "named" + text);
  CHECK(error_of<ValueError>([&] { Tensor().requires_grad_(); }) == "requires_grad_" + text);
  CHECK(describe(none) == "an undefined tensor");
}

TEST_CASE("tensor: the line of an error is the line of the call") {
  const Tensor x = zeros({2});
  std::string message;
  const std::string line = std::to_string(__LINE__ + 2);
  try {
    x.item();
  } catch (const ShapeError& error) {
    message = error.what();
  }
  CHECK(message == std::string("item: (2,) has 2 elements, not one\n  at ") +
                       Where::current().file_name() + ":" + line +
                       "\n  hint: at({i, j}) reads one of several, sum(x) or mean(x) reduces them");
}

TEST_CASE("tensor: item and at convert, and check") {
  CHECK(tensor(2.5).item() == 2.5);
  CHECK(tensor({{7}}).item<int>() == 7);
  CHECK(tensor(true).item<bool>());
  CHECK(tensor({7}).item<std::size_t>() == 7U);
  CHECK(tensor({65}).item<char>() == 'A');
  const Tensor x = tensor({{1.5, 2.5}, {3.5, 4.5}}).named("x");
  CHECK(x.at({1, 0}) == 3.5);
  CHECK(x.at({-1, -1}) == 4.5);
  CHECK(x.at<int>({0, 1}) == 2);
  CHECK(x.at<float>({0, 1}) == 2.5f);
  CHECK(transposed(x).at({0, 1}) == 3.5);
  CHECK(tensor(4.0).at({}) == 4);
  CHECK(error_of<IndexError>([&] { x.at({0, 2}); }) ==
        "at: index 2 is out of range for axis 1 of x (2, 2)\n  at HERE\n  hint: positions go "
        "from -2 to 1");
  CHECK(error_of<IndexError>([&] { x.at({-3, 0}); }) ==
        "at: index -3 is out of range for axis 0 of x (2, 2)\n  at HERE\n  hint: positions go "
        "from -2 to 1");
  CHECK(error_of<IndexError>([&] { x.at({1}); }) ==
        "at: 1 index for x (2, 2), which has 2 axes\n  at HERE\n  hint: give one for each axis");
  CHECK_THROWS_AS(zeros({0}).at({0}), IndexError);
}

TEST_CASE("tensor: data and to_vector") {
  const Tensor x = tensor({{1.0, 2.0, 3.0}, {4.0, 5.0, 6.0}}, f64);
  CHECK(x.data<double>().size() == 6);
  CHECK(x.data<double>()[5] == 6);
  CHECK(x.data<double>().data() == x.value_ref()->data<double>());
  CHECK(x.to_vector<double>() == std::vector<double>{1, 2, 3, 4, 5, 6});
  const Tensor t = transposed(x);
  CHECK_FALSE(t.is_contiguous());
  CHECK(t.to_vector<double>() == std::vector<double>{1, 4, 2, 5, 3, 6});
  CHECK(zeros({0, 3}).to_vector<float>().empty());
  CHECK(tensor(3).to_vector<std::int64_t>() == std::vector<std::int64_t>{3});
  CHECK(tensor({true, false}).to_vector<bool>() == std::vector<bool>{true, false});
  CHECK(error_of<DTypeError>([&] { x.data<float>(); }) ==
        "data<f32>: (2, 3) holds f64\n  at HERE\n  hint: ask for data<double>(), or convert with "
        "to(x, f32)");
  CHECK(error_of<DTypeError>([&] { tensor({1}).to_vector<double>(); }) ==
        "to_vector<f64>: (1,) holds i64\n  at HERE\n  hint: ask for to_vector<std::int64_t>(), or "
        "convert with to(x, f64)");
  CHECK(error_of<ShapeError>([&] { t.data<double>(); }) ==
        "data: (3, 2) is a view with strides (1, 3), not row-major\n  at HERE\n  hint: "
        "contiguous(x) makes a row-major copy, to_vector<T>() reads any strides");
  Tensor written = t;
  CHECK(error_of<ShapeError>([&] { written.mutable_data<double>(); }) ==
        "mutable_data: (3, 2) is a view with strides (1, 3), not row-major\n  at HERE\n  hint: "
        "write into the tensor that it is a view of, or into contiguous(x), a copy that the view "
        "does not see");
}

TEST_CASE("tensor: mutable_data moves the version, of all handles and views") {
  Tensor x = zeros({2, 2});
  const Tensor handle = x, view = transposed(x);
  CHECK(x.version() == 0);
  x.mutable_data<float>()[1] = 5;
  CHECK(x.version() == 1);
  CHECK(handle.version() == 1);
  CHECK(view.version() == 1);
  CHECK(handle.at({0, 1}) == 5);
  CHECK(view.at({1, 0}) == 5);
  CHECK_THROWS_AS(x.mutable_data<double>(), DTypeError);
  CHECK(x.version() == 1);
}

TEST_CASE("tensor: the result of a recorded operation is not written") {
  const Dummy op;
  const Tensor parameter = zeros({2}).requires_grad_();
  Tensor y = record(op, Value::make(f32, {2}), {&parameter}, 0, Where::current());
  CHECK(
      error_of<GradError>([&] { y.mutable_data<float>(); }) ==
      "mutable_data: (2,) is the result of a recorded operation and cannot be written\n  at HERE\n"
      "  hint: write into parameters and data, or into x.detach() knowing that a graph that saved "
      "it will refuse its backward");
  CHECK(y.version() == 0);
  Tensor same = y.detach();
  same.mutable_data<float>()[0] = 1;
  CHECK(y.version() == 1);
  Tensor writable = parameter;
  writable.mutable_data<float>()[0] = 1;
  CHECK(parameter.version() == 1);
}

TEST_CASE("tensor: requires_grad_ makes parameters of floating leaves") {
  Tensor x = zeros({2});
  Tensor before = x;
  CHECK(x.requires_grad_().requires_grad());
  CHECK(x.is_leaf());
  CHECK_FALSE(before.requires_grad());  // a handle copied earlier stays as it was
  const Tensor after = x;
  CHECK(after.requires_grad());
  x.requires_grad_(false);
  CHECK_FALSE(x.requires_grad());
  CHECK(after.requires_grad());
  CHECK(zeros({2}, f64).requires_grad_().requires_grad());
  CHECK(error_of<DTypeError>([] { tensor({1, 2}).requires_grad_(); }) ==
        "requires_grad_: (2,) holds i64, and only f32 and f64 have gradients\n  at HERE\n  "
        "hint: convert it first: to(x, f32)");
  CHECK_FALSE(tensor({1, 2}).requires_grad_(false).requires_grad());

  const Dummy op;
  Tensor y = record(op, Value::make(f32, {2}), {&after}, 0, Where::current());
  CHECK(
      error_of<GradError>([&] { y.requires_grad_(false); }) ==
      "requires_grad_: (2,) is the result of a recorded operation\n  at HERE\n  hint: use detach() "
      "for the value without its graph");
  CHECK_FALSE(y.requires_grad_().is_leaf());
}

TEST_CASE("tensor: names go with the place in the graph") {
  const Tensor plain = zeros({2, 3});
  const Tensor x = plain.named("x");
  CHECK(x.name() == "x");
  CHECK(plain.name().empty());
  CHECK(describe(plain) == "(2, 3)");
  CHECK(describe(x) == "x (2, 3)");
  CHECK(x.value_ref() == plain.value_ref());
  CHECK_FALSE(x.requires_grad());
  Tensor parameter = x;
  parameter.requires_grad_();
  CHECK(parameter.name() == "x");
  CHECK(zeros({2}).requires_grad_().named("W").requires_grad());
  CHECK(x.detach().name().empty());
}

TEST_CASE("tensor: detach shares the value without a graph") {
  const Tensor x = tensor({1.0, 2.0}).requires_grad_();
  const Tensor y = x.detach();
  CHECK_FALSE(y.requires_grad());
  CHECK(y.node() == nullptr);
  CHECK(y.value_ref() == x.value_ref());
}

TEST_CASE("tensor: a parameter's gradient can be put and removed") {
  Tensor x = zeros({2}).requires_grad_().named("W");
  const Tensor handle = x;
  x.set_grad(ones({2}));
  REQUIRE(handle.grad().defined());
  CHECK(handle.grad().at({1}) == 1);
  x.zero_grad();
  CHECK_FALSE(handle.grad().defined());
  x.set_grad(ones({2}));
  x.set_grad(Tensor());
  CHECK_FALSE(x.grad().defined());
  CHECK(
      error_of<ShapeError>([&] { x.set_grad(ones({3})); }) ==
      "set_grad: the gradient (3,) has not the shape of the parameter W (2,)\n  at HERE\n  hint: a "
      "gradient has one element for each of the parameter");
  CHECK(error_of<DTypeError>([&] { x.set_grad(ones({2}, f64)); }) ==
        "set_grad: the gradient (2,) holds f64, but the parameter W (2,) f32\n  at HERE\n  hint: "
        "convert it: to(gradient, f32)");
  CHECK(error_of<GradError>([] { zeros({2}).set_grad(ones({2})); }) ==
        "set_grad: (2,) is not a parameter\n  at HERE\n  hint: call requires_grad_() on it first");
  CHECK(error_of<GradError>([&] {
          Tensor y = ones({2}).requires_grad_() * 2.0;
          y.requires_grad_();  // which it does already
          y.set_grad(ones({2}));
        }) ==
        "set_grad: (2,) is the result of a recorded operation\n  at HERE\n  hint: only "
        "parameters keep a gradient: x.detach().requires_grad_() makes one of its value");
}

TEST_CASE("tensor: one that is undefined has no gradient, and gets none") {
  const std::string rest =
      ": the tensor is undefined\n  at HERE\n  hint: it was default-constructed, moved from, or is "
      "the grad() of a tensor that has none";
  CHECK(error_of<ValueError>([] { Tensor().grad(); }) == "grad" + rest);
  CHECK(error_of<ValueError>([] { Tensor().set_grad(ones({2})); }) == "set_grad" + rest);
  CHECK(error_of<ValueError>([] { Tensor().set_grad({}); }) == "set_grad" + rest);
  CHECK(error_of<ValueError>([] { zeros_like({}); }) == "zeros_like" + rest);
  CHECK(error_of<ValueError>([] { ones_like({}); }) == "ones_like" + rest);
  CHECK(error_of<ValueError>([] { full_like({}, 2); }) == "full_like" + rest);
}

TEST_CASE("tensor: a gradient that was put shares its memory until a backward adds to it") {
  Tensor w = zeros({2}).requires_grad_(), g = ones({2});
  w.set_grad(g);
  g.mutable_data<float>()[0] = 5;
  CHECK(w.grad().at({0}) == 5);
}

TEST_CASE("tensor: nothing can be assigned to a temporary handle") {
  // x[0] = y would change the temporary alone.
  static_assert(!std::is_assignable_v<Tensor, Tensor>);
  static_assert(!std::is_assignable_v<Tensor, const Tensor&>);
  static_assert(std::is_assignable_v<Tensor&, Tensor>);
  static_assert(std::is_nothrow_move_assignable_v<Tensor>);
  static_assert(std::is_nothrow_move_constructible_v<Tensor>);
  Tensor x = ones({2});
  x = {};
  CHECK_FALSE(x.defined());
}

TEST_CASE("tensor: a gradient that was put there keeps no graph, and no memory of the parameter") {
  const std::int64_t before = live_nodes();
  {
    Tensor w = tensor({1.0, 2.0}).requires_grad_(), v = tensor({3.0, 4.0}).requires_grad_();
    w.set_grad(w);
    CHECK(w.grad().to_vector<float>() == std::vector<float>{1, 2});
    w.mutable_data<float>()[0] = 7;
    CHECK(w.grad().to_vector<float>() == std::vector<float>{1, 2});
    // A view of it in another order, made of the parameter; and two that hold each other.
    Tensor matrix = tensor({{1.0, 2.0}, {3.0, 4.0}}).requires_grad_();
    matrix.set_grad(transpose(matrix));
    CHECK(matrix.grad().to_vector<float>() == std::vector<float>{1, 3, 2, 4});
    v.set_grad(w);
    w.set_grad(v);
    v.set_grad(w * w);
    CHECK(v.grad().to_vector<float>() == std::vector<float>{49, 4});
  }
  CHECK(live_nodes() == before);
}

TEST_SUITE_END();
