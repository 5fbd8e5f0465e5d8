#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <utility>

#include <chainrule/core/create.hpp>
#include <chainrule/nn/layers/activations.hpp>
#include <chainrule/nn/layers/layer_norm.hpp>
#include <chainrule/nn/layers/linear.hpp>
#include <chainrule/nn/layers/sequential.hpp>
#include <chainrule/nn/module.hpp>
#include <chainrule/tests/core/error_of.hpp>

// Modules that were moved from: they are used here all the same.
// NOLINTBEGIN(bugprone-use-after-move)

using namespace chainrule;

TEST_SUITE_BEGIN("nn");

TEST_CASE("module: one that was moved from says so") {
  nn::LayerNorm norm(2);
  const nn::LayerNorm kept = std::move(norm);
  CHECK(error_of<ValueError>([&] { norm(ones({1, 2})); }) ==
        "LayerNorm: this module was moved from\n  at HERE\n  hint: use the one that it was moved "
        "to; std::move(module) leaves nothing to compute with");
  nn::Sequential layers(nn::Linear(2, 2), nn::Tanh());
  nn::Sequential moved = std::move(layers);
  CHECK_THROWS_AS(layers(ones({1, 2})), ValueError);
  CHECK(moved(ones({1, 2})).shape() == Shape{1, 2});
  nn::Linear linear(2, 2);
  const nn::Linear taken = std::move(linear);
  CHECK_THROWS_AS(linear(ones({1, 2})), ValueError);
}

// forward() is public, and of a module as of a base all that there is to call.
TEST_CASE("module: forward() of one that was moved from says so, too") {
  const auto check = [](auto layer) {
    const Tensor x = ones({1, 2});
    nn::Module& before = layer;
    const Tensor y = before.forward(x);
    auto taken = std::move(layer);
    const Tensor again = taken.forward(x);
    CHECK(again.to_vector<float>() == y.to_vector<float>());
    const std::string text = error_of<ValueError>([&] { before.forward(x); });
    CHECK(text.find(": this module was moved from\n  hint: use the one") != text.npos);
  };
  check(nn::Linear(2, 2));
  check(nn::LayerNorm(2));
  check(nn::LayerNorm(2, {.affine = false}));
  check(nn::Sequential(nn::Linear(2, 2), nn::Tanh()));
  check(nn::Sigmoid());
  check(nn::Tanh());
  check(nn::ReLU());
  check(nn::Softplus());
  check(nn::Softmax());
  check(nn::LogSoftmax());
  check(nn::Flatten());
  check(nn::Identity());
}

TEST_CASE("module: what is made of one that was moved from says so, too") {
  const std::string moved = ": this module was moved from\n  at HERE";
  const Tensor x = ones({1, 2});
  nn::LayerNorm norm(2);
  const nn::LayerNorm kept = std::move(norm);
  nn::LayerNorm again = std::move(norm);
  CHECK(error_of<ValueError>([&] { again(x); }).starts_with("LayerNorm" + moved));
  const auto held = std::make_unique<nn::LayerNorm>(std::move(again));
  CHECK(error_of<ValueError>([&] { (*held)(x); }).starts_with("LayerNorm" + moved));
  nn::Linear linear(2, 2);
  const nn::Linear taken = std::move(linear);
  nn::Linear twice = std::move(linear);
  CHECK(error_of<ValueError>([&] { twice(x); }).starts_with("Linear" + moved));
  nn::Sequential layers((nn::Tanh()));
  const nn::Sequential others = std::move(layers);
  nn::Sequential empty = std::move(layers);
  CHECK(error_of<ValueError>([&] { empty(x); }).starts_with("Sequential" + moved));
  CHECK(error_of<ValueError>([&] {
          empty.append(std::move(norm));
        }).starts_with("LayerNorm" + moved));
  CHECK_THROWS_AS(empty(x), ValueError);
}

TEST_CASE("module: one that was moved from has nothing to list, train or clear") {
  nn::Sequential layers(nn::Linear(1, 1));
  auto kept = std::make_unique<nn::Sequential>(std::move(layers));
  const std::string moved =
      "Sequential: this module was moved from\n  at HERE\n  hint: use the one that it was moved "
      "to; "
      "std::move(module) leaves nothing to compute with";
  CHECK(error_of<ValueError>([&] { layers.zero_grad(); }) == moved);
  CHECK(error_of<ValueError>([&] { layers.train(); }) == moved);
  CHECK(error_of<ValueError>([&] { layers.eval(); }) == moved);
  CHECK(error_of<ValueError>([&] { layers.parameters(); }) == moved);
  CHECK(error_of<ValueError>([&] { layers.named_parameters(); }) == moved);
  CHECK(error_of<ValueError>([&] { layers.named_buffers(); }) == moved);
  CHECK(error_of<ValueError>([&] { layers.children(); }) == moved);
  CHECK(error_of<ValueError>([&] { layers.named_modules(); }) == moved);
  CHECK(error_of<ValueError>([&] { layers.parameter_count(); }) == moved);
  CHECK(error_of<ValueError>([&] { layers.path(); }) == moved);
  CHECK(kept->parameter_count() == 2);
  layers.append(nn::Linear(1, 2));
  layers.zero_grad();
  layers.eval();
  CHECK(layers.parameter_count() == 4);
  CHECK(layers.children().size() == 1);
  // One without parameters is whole, and one whose parts have moved on lists them where they are.
  nn::Tanh none;
  none.zero_grad();
  none.train();
  CHECK(none.parameters().empty());
  CHECK(none.parameter_count() == 0);
  struct Model : nn::Module {
    nn::Linear part = child("part", nn::Linear(1, 1));
  } model;
  const auto part = std::make_unique<nn::Linear>(std::move(model.part));
  CHECK(model.named_modules()[1].module == part.get());
  CHECK(model.parameter_count() == 2);
  CHECK_THROWS_AS(model.part.parameters(), ValueError);
}

TEST_CASE("module: what is asked of one that was moved from names the layer and the line") {
  nn::Linear linear(2, 3);
  const nn::Linear taken = std::move(linear);
  const char* moved =
      ": this module was moved from\n  at HERE\n  hint: use the one that it was moved to; "
      "std::move(module) leaves nothing to compute with";
  CHECK(error_of<ValueError>([&] { linear.in_features(); }) == std::string("Linear") + moved);
  CHECK(error_of<ValueError>([&] { linear.out_features(); }) == std::string("Linear") + moved);
  CHECK(taken.in_features() == 2);
  CHECK(taken.out_features() == 3);
  CHECK(linear.description() == "Linear(moved from)");
  nn::LayerNorm norm(2);
  const nn::LayerNorm kept = std::move(norm);
  CHECK(norm.description() == "LayerNorm(moved from)");
  nn::Sequential layers(nn::Linear(2, 2), nn::Tanh());
  const nn::Sequential held = std::move(layers);
  CHECK(error_of<ValueError>([&] { layers[0]; }) == std::string("Sequential") + moved);
  CHECK(error_of<ValueError>([&] { layers.get<nn::Tanh>(1); }) ==
        std::string("Sequential") + moved);
  layers.append(nn::Tanh());  // fills it again
  CHECK(layers.get<nn::Tanh>(0).path() == "0");
}

// NOLINTEND(bugprone-use-after-move)
TEST_SUITE_END();
