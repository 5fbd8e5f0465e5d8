#include <doctest/doctest.h>

#include <Eigen/Core>
#include <cstdint>
#include <vector>

#include <chainrule/core/create.hpp>
#include <chainrule/core/eigen.hpp>
#include <chainrule/graph/backward.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/elementwise/functions.hpp>
#include <chainrule/ops/reduce/reduction.hpp>
#include <chainrule/tests/core/error_of.hpp>

using namespace chainrule;

TEST_SUITE_BEGIN("core");

namespace {

using Doubles = std::vector<double>;

Tensor transposed(const Tensor& x) {
  return Tensor(Value::view(x.value_ref(), {x.size(1), x.size(0)}, {1, x.size(1)}, 0));
}

}  // namespace

TEST_CASE("eigen: matrices of any strides") {
  const Tensor x = tensor({{1.0, 2.0, 3.0}, {4.0, 5.0, 6.0}}, f64);
  const auto matrix = as_matrix<double>(x);
  CHECK(matrix.rows() == 2);
  CHECK(matrix.cols() == 3);
  CHECK(matrix(1, 0) == 4);
  CHECK(matrix.data() == x.data<double>().data());
  const auto turned = as_matrix<double>(transposed(x));
  CHECK(turned.rows() == 3);
  CHECK(turned(0, 1) == 4);
  const Eigen::MatrixXd product = matrix * turned;
  CHECK(product(0, 0) == 14);
  CHECK(product(0, 1) == 32);
  CHECK(product(1, 1) == 77);
  // Every second column, and one row for all.
  const Tensor slice(Value::view(x.value_ref(), {2, 2}, {3, 2}, 0));
  CHECK(as_matrix<double>(slice)(1, 1) == 6);
  const Tensor expanded(Value::view(x.value_ref(), {4, 3}, {0, 1}, 0));
  CHECK(as_matrix<double>(expanded).sum() == 24);
  CHECK(as_array<double>(x).square().sum() == 91);
  CHECK(as_matrix<double>(zeros({0, 3}, f64)).rows() == 0);
}

TEST_CASE("eigen: vectors") {
  const Tensor x = tensor({{1, 2}, {3, 4}});
  const Tensor column(Value::view(x.value_ref(), {2}, {2}, 1));
  const auto vector = as_vector<std::int64_t>(column);
  CHECK(vector.size() == 2);
  CHECK(vector(1) == 4);
  CHECK(as_matrix<std::int64_t>(column).rows() == 2);
  CHECK(as_matrix<std::int64_t>(column).cols() == 1);
  CHECK(as_matrix<std::int64_t>(column)(1, 0) == 4);
}

TEST_CASE("eigen: writing moves the version") {
  Tensor x = zeros({2, 3}, f64);
  as_mutable_matrix<double>(x).setConstant(2);
  CHECK(x.version() == 1);
  CHECK(x.to_vector<double>() == Doubles(6, 2.0));
  as_mutable_array<double>(x) += 1;
  CHECK(x.version() == 2);
  CHECK(x.at({1, 2}) == 3);
  Tensor v = zeros({2});
  as_mutable_vector<float>(v) << 5, 6;
  CHECK(v.at({1}) == 6);
  Tensor view = transposed(x);
  CHECK_THROWS_AS(as_mutable_matrix<double>(view), ShapeError);
  CHECK(x.version() == 2);
}

TEST_CASE("eigen: wrong ranks and dtypes") {
  Tensor x = zeros({2, 3, 4}).named("x");
  CHECK(error_of<ShapeError>([&] { as_matrix<float>(x); }) ==
        "as_matrix: x (2, 3, 4) has 3 axes, expected 1 or 2\n  at HERE\n  hint: reshape it first");
  CHECK(error_of<ShapeError>([&] { as_array<float>(tensor(1.0)); }) ==
        "as_array: () has 0 axes, expected 1 or 2\n  at HERE\n  hint: reshape it first");
  CHECK(error_of<ShapeError>([&] { as_vector<float>(zeros({2, 1})); }) ==
        "as_vector: (2, 1) has 2 axes, expected 1\n  at HERE\n  hint: reshape it first");
  CHECK(error_of<DTypeError>([&] { as_matrix<double>(x); }) ==
        "as_matrix: asked for f64, but x (2, 3, 4) holds f32\n  at HERE\n  hint: convert it: to(x, "
        "f64)");
  CHECK_THROWS_AS(as_mutable_matrix<float>(x), ShapeError);
}

TEST_CASE("eigen: errors name the function that was called") {
  Tensor none, result = ones({2, 2}).requires_grad_() * 2.0, view = transposed(ones({2, 3}));
  const auto undefined = [](const char* function) {
    return std::string(function) +
           ": the tensor is undefined\n  at HERE\n  hint: it was default-constructed, moved from, "
           "or is the grad() of a tensor that has none";
  };
  CHECK(error_of<ValueError>([&] { as_matrix<float>(none); }) == undefined("as_matrix"));
  CHECK(error_of<ValueError>([&] { as_array<float>(none); }) == undefined("as_array"));
  CHECK(error_of<ValueError>([&] { as_vector<float>(none); }) == undefined("as_vector"));
  CHECK(error_of<ValueError>([&] { as_mutable_matrix<float>(none); }) ==
        undefined("as_mutable_matrix"));
  CHECK(error_of<ValueError>([&] { as_mutable_array<float>(none); }) ==
        undefined("as_mutable_array"));
  CHECK(error_of<ValueError>([&] { as_mutable_vector<float>(none); }) ==
        undefined("as_mutable_vector"));
  CHECK(error_of<GradError>([&] {
          as_mutable_matrix<float>(result);
        }).starts_with("as_mutable_matrix: (2, 2) is the result of a recorded operation"));
  CHECK(error_of<ShapeError>([&] {
          as_mutable_array<float>(view);
        }).starts_with("as_mutable_array: (3, 2) is a view with strides"));
}

TEST_CASE("eigen: copies of expressions") {
  Eigen::MatrixXd matrix(2, 3);
  matrix << 1, 2, 3, 4, 5, 6;
  const Tensor x = from_eigen(matrix);
  CHECK(x.dtype() == f64);
  CHECK(x.shape() == Shape{2, 3});
  CHECK(x.to_vector<double>() == Doubles{1, 2, 3, 4, 5, 6});
  CHECK(from_eigen(matrix.transpose()).to_vector<double>() == Doubles{1, 4, 2, 5, 3, 6});
  CHECK(from_eigen(matrix * matrix.transpose()).to_vector<double>() == Doubles{14, 32, 32, 77});
  CHECK(from_eigen(matrix.array() + 1).at({0, 0}) == 2);
  CHECK(from_eigen((matrix.array() > 3).eval()).dtype() == boolean);
  CHECK(from_eigen(matrix.row(1)).shape() == Shape{3});
  CHECK(from_eigen(matrix.col(1)).to_vector<double>() == Doubles{2, 5});
  CHECK(from_eigen(Eigen::Vector3f(1, 2, 3)).dtype() == f32);
  CHECK(from_eigen(Eigen::Array22i::Constant(7)).to_vector<std::int64_t>() ==
        std::vector<std::int64_t>{7, 7, 7, 7});
  CHECK(from_eigen(Eigen::MatrixXf(0, 4)).shape() == Shape{0, 4});
  CHECK(from_eigen(as_matrix<double>(x)).to_vector<double>() == x.to_vector<double>());
}

TEST_CASE("eigen: a write through a map made before the forward is reported") {
  Tensor w = tensor({1.0, 2.0}, f64).requires_grad_();
  auto map = as_mutable_vector<double>(w);
  const Tensor unchanged = sum(square(w)), changed = sum(square(w));
  unchanged.backward();
  CHECK(w.grad().to_vector<double>() == std::vector<double>{2, 4});
  map(1) = 50;
  CHECK_THROWS_AS(changed.backward(), GradError);
}

TEST_SUITE_END();
