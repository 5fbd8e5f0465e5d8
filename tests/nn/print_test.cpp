#include <doctest/doctest.h>
#include <fmt/core.h>

#include <sstream>
#include <string>

#include <chainrule/core/create.hpp>
#include <chainrule/core/print.hpp>
#include <chainrule/nn/layers/layer_norm.hpp>
#include <chainrule/nn/layers/linear.hpp>
#include <chainrule/nn/layers/sequential.hpp>
#include <chainrule/nn/module.hpp>
#include <chainrule/nn/print.hpp>

using namespace chainrule;

TEST_SUITE_BEGIN("nn");

TEST_CASE("print: parameters and buffers as the tensors that they are") {
  struct Scaled : nn::Module {
    nn::Parameter scale = parameter("scale", tensor({1.0, 2.5}));
    nn::Buffer mean = buffer("mean", tensor({0.125, 3.0}));
  };
  const Scaled model;
  const Tensor scale = model.scale, mean = model.mean;
  CHECK(fmt::format("{}", model.scale) == to_string(scale));
  CHECK(fmt::format("{}", model.scale).starts_with("scale = tensor([1. , 2.5]"));
  CHECK(fmt::format("{:.2f}", model.scale) == fmt::format("{:.2f}", scale));
  CHECK(fmt::format("{:.3e}", model.mean) == fmt::format("{:.3e}", mean));
  std::ostringstream out;
  out << model.scale;
  CHECK(out.str() == to_string(scale));
}

TEST_CASE("print: modules as their tree") {
  nn::Sequential model(nn::Linear(3, 2), nn::Linear(2, 1));
  CHECK(fmt::format("{}", model) == model.to_string());
  CHECK(fmt::format("{}", model[0]) == "Linear(3, 2)  8 parameters");
  const nn::Module& base = model.get<nn::Linear>(1);
  CHECK(fmt::format("layer: {}", base) == "layer: Linear(2, 1)  3 parameters");
}

TEST_CASE("print: modules that describe themselves show their parameters' shapes all the same") {
  struct Heads : nn::Module {
    nn::Parameter scale = parameter("scale", ones({4, 3}));
    nn::Buffer mask = buffer("mask", ones({5}));
    nn::Linear out = child("out", nn::Linear(3, 2));
    std::string description() const override { return "Heads of 4"; }
  };
  CHECK(fmt::format("{}", Heads()) ==
        "Heads of 4                 20 parameters\n"
        "  scale: Parameter (4, 3)  12\n"
        "  mask: Buffer (5,)\n"
        "  out: Linear(3, 2)         8");
}

TEST_CASE("print: classes derived from layers show what the layers do not say") {
  struct LowRank : nn::Linear {
    LowRank() : Linear(3, 2) {}
    nn::Parameter a = parameter("a", ones({2, 1}));
  };
  CHECK(fmt::format("{}", LowRank()) ==
        "Linear(3, 2)                10 parameters\n"
        "  weight: Parameter (2, 3)   6\n"
        "  bias: Parameter (2,)       2\n"
        "  a: Parameter (2, 1)        2");
  struct Normal : nn::LayerNorm {
    Normal() : LayerNorm(3, {.affine = false}) {}
    nn::Parameter shift = parameter("shift", ones({3}));
  };
  CHECK(fmt::format("{}", nn::Sequential(nn::LayerNorm(3), Normal())) ==
        "Sequential                     9 parameters\n"
        "  0: LayerNorm(3)              6\n"
        "  1: LayerNorm(3, not affine)  3\n"
        "    shift: Parameter (3,)      3");
}

TEST_SUITE_END();
