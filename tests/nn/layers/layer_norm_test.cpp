#include <doctest/doctest.h>

#include <limits>
#include <string>
#include <vector>

#include <chainrule/core/create.hpp>
#include <chainrule/core/random.hpp>
#include <chainrule/nn/layers/activations.hpp>
#include <chainrule/nn/layers/layer_norm.hpp>
#include <chainrule/nn/layers/linear.hpp>
#include <chainrule/nn/layers/sequential.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/nn/layer_norm.hpp>
#include <chainrule/ops/reduce/reduction.hpp>
#include <chainrule/tests/core/error_of.hpp>

using namespace chainrule;

TEST_SUITE_BEGIN("nn");

TEST_CASE("LayerNorm: the function, with parameters that are trained") {
  Generator generator(1);
  const Tensor x = randn({2, 3, 4}, generator);
  nn::LayerNorm norm(4);
  CHECK(norm.weight.to_vector<float>() == std::vector<float>(4, 1));
  CHECK(norm.bias.to_vector<float>() == std::vector<float>(4, 0));
  CHECK(norm.normalized_shape() == Shape{4});
  CHECK(norm.eps() == 1e-5);
  CHECK(norm(x).to_vector<float>() == layer_norm(x, {4}).to_vector<float>());
  norm.weight.set(tensor({1.0, 2.0, 3.0, 4.0}));
  norm.bias.set(tensor({0.0, 0.5, 0.0, -0.5}));
  CHECK(norm(x).to_vector<float>() ==
        layer_norm(x, {4}, norm.weight, norm.bias).to_vector<float>());
  sum(norm(x)).backward();
  CHECK(norm.bias.grad().to_vector<float>() == std::vector<float>(4, 6));
  CHECK(norm.weight.grad().defined());
}

TEST_CASE("LayerNorm: options") {
  const Tensor x = tensor({{1.0, 2.0}, {3.0, 5.0}}, f64);
  nn::LayerNorm matrix({2, 2}, {.eps = 0.5, .dtype = f64});
  CHECK(matrix.parameter_count() == 8);
  CHECK(matrix(x).to_vector<double>() == layer_norm(x, {2, 2}, {}, {}, 0.5).to_vector<double>());
  nn::LayerNorm plain(2, {.affine = false});
  CHECK(plain.parameter_count() == 0);
  CHECK(plain(x).to_vector<double>() == layer_norm(x, {2}).to_vector<double>());
  nn::LayerNorm scaled(2, {.bias = false});
  CHECK(scaled.parameter_count() == 2);
  CHECK(matrix.description() == "LayerNorm(2, 2)");
  CHECK(plain.description() == "LayerNorm(2, not affine)");
  CHECK(scaled.description() == "LayerNorm(2, no bias)");
  nn::Sequential model(nn::Linear(3, 4), nn::LayerNorm(4));
  CHECK(model.named_parameters()[2].name == "1.weight");
  CHECK(model(ones({5, 3})).shape() == Shape{5, 4});
}

TEST_CASE("LayerNorm: what does not fit") {
  nn::LayerNorm norm(4);
  // The message without the first line, which is layer_norm()'s.
  const auto below = [](const std::string& text) {
    CHECK(text.starts_with("layer_norm: "));
    return text.substr(text.find('\n'));
  };
  CHECK(below(error_of<ShapeError>([&] { norm(ones({4, 3})); })) ==
        "\n  in LayerNorm(4)\n  at HERE\n"
        "  hint: samples stand in rows, (batch, features): pass x.T()");
  CHECK(below(error_of<DTypeError>([&] { norm(ones({3, 4}, f64)); })) ==
        "\n  in LayerNorm(4)\n  at HERE\n"
        "  hint: convert it: to(x, f32), or make the layer with {.dtype = f64}");
  CHECK(below(error_of<DTypeError>([&] { norm(ones({3, 4}, i64)); })) ==
        "\n  in LayerNorm(4)\n  at HERE\n  hint: convert it: to(x, f32)");
  CHECK(below(error_of<ValueError>([&] {
          norm(Tensor());
        })).starts_with("\n  in LayerNorm(4)\n  at HERE\n  hint: it was default-constructed"));
  CHECK_THROWS_AS(norm(tensor(1.0)), ShapeError);
  nn::LayerNorm plain(4, {.affine = false});
  CHECK(below(error_of<DTypeError>([&] { plain(ones({3, 4}, i64)); })) ==
        "\n  in LayerNorm(4, not affine)\n  at HERE\n  hint: convert it: to(x, f32)");
  nn::Sequential model(nn::Linear(3, 5), nn::Sequential(nn::ReLU(), nn::LayerNorm(4)));
  CHECK(below(error_of<ShapeError>([&] { model(ones({2, 3})); })) ==
        "\n  in LayerNorm(4) 1.1\n  at HERE\n"
        "  hint: it is what the shape of x ends in, all of it or the last axes");
  CHECK(error_of<ShapeError>([] { nn::LayerNorm(Shape{}); }) ==
        "LayerNorm: the normalized shape has no axis\n  at HERE\n  hint: give the extents of the "
        "trailing axes: LayerNorm(features)");
  CHECK(error_of<ValueError>([] { nn::LayerNorm(0); }) ==
        "LayerNorm: the normalized shape is (0,)\n  at HERE\n  hint: all extents must be positive");
  CHECK(error_of<ValueError>([] { nn::LayerNorm(4, {.eps = -1}); }) ==
        "LayerNorm: the eps -1 is negative or not finite\n  at HERE\n  hint: it keeps the variance "
        "from 0: 1e-5 is usual");
  CHECK_THROWS_AS(nn::LayerNorm(4, {.eps = std::numeric_limits<double>::quiet_NaN()}), ValueError);
  CHECK_THROWS_AS(nn::LayerNorm(4, {.dtype = i64}), DTypeError);
}

TEST_SUITE_END();
