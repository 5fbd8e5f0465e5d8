// What a module computes with and no optimizer would train is found in the first recorded call.
#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include <chainrule/core/create.hpp>
#include <chainrule/core/recording.hpp>
#include <chainrule/nn/layers/linear.hpp>
#include <chainrule/nn/layers/sequential.hpp>
#include <chainrule/nn/module.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/linalg/matmul.hpp>
#include <chainrule/tests/core/error_of.hpp>

using namespace chainrule;

TEST_SUITE_BEGIN("nn");

namespace {

const std::string hint =
    "\n  hint: declare it with parameter(\"name\", …), or the module that it belongs to with "
    "child(\"name\", …); detach() what is not to be trained";

// The message without the place where the tensor was made, "of file:line".
std::string without_origin(std::string text) {
  const std::size_t of = text.find(" of "), that = text.find(" that requires");
  if (of == text.npos || that == text.npos || of > that) return text;
  CHECK(text.substr(of, that - of).find("unregistered_test.cpp:") != text.npos);
  return text.erase(of, that - of);
}

class Mlp : public nn::Module {
  nn::Linear fc1 = child("fc1", nn::Linear(2, 3));
  Tensor W2 = ones({3, 4}).requires_grad_().named("W2");

 public:
  Tensor forward(const Tensor& x) override { return matmul(fc1(x), W2); }
};

class Outer : public nn::Module {
  Mlp mlp = child("mlp", Mlp());

 public:
  Tensor forward(const Tensor& x) override { return mlp(x); }
};

}  // namespace

TEST_CASE("unregistered: a tensor") {
  Mlp model;
  const Tensor x = ones({1, 2});
  const std::string expected =
      "Mlp: forward uses a tensor W2 (3, 4) that requires gradients but is no registered "
      "parameter; no optimizer would train it\n  at HERE" +
      hint;
  CHECK(without_origin(error_of<GradError>([&] { model(x); })) == expected);
  // Not only once, but in every call until it is put right.
  CHECK(without_origin(error_of<GradError>([&] { model(x); })) == expected);
  Outer outer;
  CHECK(without_origin(error_of<GradError>([&] { outer(x); })).starts_with("Outer: forward uses"));
  // It does not matter without gradients, nor when nothing is trained.
  no_grad([&] { CHECK(model(x).shape() == Shape{1, 4}); });
  model.eval();
  CHECK(model(x).shape() == Shape{1, 4});
}

TEST_CASE("unregistered: a module") {
  class Forgetful : public nn::Module {
    std::vector<nn::Linear> layers;

   public:
    Forgetful() { layers.push_back(nn::Linear(2, 2)); }
    Tensor forward(const Tensor& x) override { return layers[0](x); }
  };
  Forgetful model;
  CHECK(without_origin(error_of<GradError>([&] { model(ones({1, 2})); })) ==
        "Forgetful: forward uses a tensor weight (2, 2) that requires gradients but is no "
        "registered parameter; no optimizer would train it\n  at HERE" +
            hint);
}

TEST_CASE("unregistered: a module that a later call brings") {
  nn::Sequential model(nn::Linear(2, 2));
  model(ones({1, 2}));
  class Extra : public nn::Module {
    Tensor w = ones({2}).requires_grad_();

   public:
    Tensor forward(const Tensor& x) override { return w * x; }
  };
  model.append(Extra());
  CHECK(error_of<GradError>([&] {
          model(ones({1, 2}));
        }).starts_with("Sequential: forward uses a tensor (2,) of"));
}

TEST_CASE("unregistered: what the inputs were computed from is theirs") {
  nn::Linear first(2, 2), second(2, 2);
  const Tensor x = ones({1, 2}).requires_grad_();
  CHECK(second(first(x)).requires_grad());
  CHECK(second(x * first.weight).requires_grad());
  class Residual : public nn::Module {
   public:
    nn::Linear fc = child("fc", nn::Linear(2, 2));
    Tensor forward(const Tensor& y) override { return y + fc(y) * fc.weight.detach(); }
  };
  Residual residual;
  const Tensor w = ones({2, 2}).requires_grad_();
  CHECK(residual(w).requires_grad());  // the leaf itself
  CHECK(residual(w * 2.0).requires_grad());
}

TEST_CASE("unregistered: a new module does not look at what lies behind its input") {
  Tensor x = ones({1, 2}).requires_grad_();
  for (int i = 0; i < 200'000; ++i) x = x * 1.0F;
  const auto microseconds = [](const Tensor& input) {
    using Clock = std::chrono::steady_clock;
    double least = 1e9;
    for (int i = 0; i < 5; ++i) {
      nn::Linear layer(2, 2);
      const Clock::time_point start = Clock::now();
      layer(input);
      least =
          std::min(least, std::chrono::duration<double, std::micro>(Clock::now() - start).count());
    }
    return least;
  };
  // All of it takes milliseconds.
  CHECK(microseconds(x) < 20 * microseconds(ones({1, 2}).requires_grad_()) + 200);
}

TEST_CASE("unregistered: modules of several inputs and results") {
  class Attention : public nn::Module {
   public:
    nn::Linear query = child("query", nn::Linear(2, 2));
    Tensor stray = ones({2}).requires_grad_();
    bool use_stray = false;
    using Module::forward;
    std::vector<Tensor> forward(const Tensor& a, const Tensor& b) {
      return {query(a), use_stray ? b * stray : b};
    }
    std::vector<Tensor> operator()(const Tensor& a, const Tensor& b,
                                   Where where = Where::current()) {
      return call({&a, &b}, where, [&] { return forward(a, b); });
    }
  };
  const Tensor a = ones({1, 2}).requires_grad_(), b = ones({1, 2}).requires_grad_();
  Attention good;
  CHECK(good(a, b).size() == 2);
  Attention bad;
  bad.use_stray = true;
  CHECK(error_of<GradError>([&] { bad(a, b); }).starts_with("Attention: forward uses a tensor"));
  nn::Module& base = good;
  CHECK(error_of<ValueError>([&] { base(a); }) ==
        "Attention: there is no forward(x)\n  in Attention\n  at HERE\n"
        "  hint: override Tensor forward(const Tensor& x), or call it as it is declared");
}

TEST_CASE("unregistered: an exception in forward leaves the next call as it was") {
  class Moody : public nn::Module {
   public:
    Tensor w = ones({2}).requires_grad_();
    bool fail = true;
    Tensor forward(const Tensor& x) override {
      if (fail) throw ValueError("moody");
      return x * w;
    }
  };
  Moody moody;
  CHECK_THROWS_AS(moody(ones({2})), ValueError);
  moody.fail = false;
  CHECK(error_of<GradError>([&] { moody(ones({2})); }).starts_with("Moody: forward uses"));
}

TEST_SUITE_END();
