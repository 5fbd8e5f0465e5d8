#include <doctest/doctest.h>
#include <fmt/core.h>

#include <sstream>
#include <string>

#include <chainrule/core/create.hpp>
#include <chainrule/core/print.hpp>
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

TEST_SUITE_END();
