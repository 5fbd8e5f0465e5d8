#include <doctest/doctest.h>
#include <fmt/core.h>

#include <string>
#include <vector>

#include <chainrule/core/create.hpp>
#include <chainrule/nn/layers/linear.hpp>
#include <chainrule/nn/layers/sequential.hpp>
#include <chainrule/nn/print.hpp>
#include <chainrule/tests/core/error_of.hpp>
#include <chainrule/tests/nn/no_rtti.hpp>

using namespace chainrule;

TEST_SUITE_BEGIN("nn");

TEST_CASE("no rtti: a module of a program without it computes, prints and reports") {
  const auto model = doubled();
  CHECK((*model)(tensor({1.0, 2.0})).to_vector<float>() == std::vector<float>{3, 5});
  CHECK(model->description() == "Module");
  CHECK(fmt::format("{}", *model) ==
        "Module                   3 parameters\n"
        "  shift: Parameter (1,)  1\n"
        "  inner: Linear(1, 1)    2");
}

TEST_CASE("no rtti: in a Sequential, whose layers ask for their neighbours' classes") {
  nn::Sequential model(nn::Linear(2, 2));
  model.append(doubled());
  model.append(nn::Linear(2, 1));
  CHECK(model(ones({1, 2})).shape() == Shape{1, 1});
  CHECK(error_of<ValueError>([&] { model.get<nn::Linear>(1); }) ==
        "Sequential: module 1 is Module, not Linear\n  at HERE\n  hint: get<>() names the class of "
        "the module at this place");
}

TEST_CASE("no rtti: an error is caught by its class there") {
  CHECK(message_of_wrong_features().find("in Linear(3, 2) 1") != std::string::npos);
}

TEST_SUITE_END();
