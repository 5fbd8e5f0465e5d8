// Errors say in which module they happened.
#include <doctest/doctest.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <chainrule/core/create.hpp>
#include <chainrule/nn/layers/activations.hpp>
#include <chainrule/nn/layers/layer_norm.hpp>
#include <chainrule/nn/layers/linear.hpp>
#include <chainrule/nn/layers/sequential.hpp>
#include <chainrule/nn/module.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/linalg/matmul.hpp>
#include <chainrule/ops/reduce/reduction.hpp>
#include <chainrule/tests/core/error_of.hpp>

using namespace chainrule;

TEST_SUITE_BEGIN("nn");

namespace {

// A module whose forward a test chooses.
template <class F>
class Calls : public nn::Module {
 public:
  explicit Calls(F f) : f_(std::move(f)) {}
  Tensor forward(const Tensor& x) override { return f_(x); }
  std::string description() const override { return "Calls"; }

 private:
  F f_;
};

class Mlp : public nn::Module {
 public:
  nn::Linear fc1 = child("fc1", nn::Linear(64, 32));
  nn::Linear fc2 = child("fc2", nn::Linear(30, 10));
  Tensor forward(const Tensor& x) override { return fc2(fc1(x)); }
};

class Encoder : public nn::Module {
 public:
  Mlp body = child("body", Mlp());
  Tensor forward(const Tensor& x) override { return sum(body(x), 5); }
};

struct OwnError : ShapeError {
  OwnError(std::string_view message, int number) : ShapeError(message), number(number) {}
  int number;
};

// The context alone.
std::string context(const std::string& text) {
  const std::size_t begin = text.find("\n  in ");
  if (begin == text.npos) return "";
  CHECK(text.find("\n  in ", begin + 1) == text.npos);  // once
  return text.substr(begin + 3, text.find('\n', begin + 1) - begin - 3);
}

const Tensor x = ones({5, 64});

}  // namespace

TEST_CASE("error in a module: the whole message") {
  Calls model([](const Tensor& in) { return matmul(in, ones({5, 64})); });
  CHECK(error_of<ShapeError>([&] {
          model(ones({2, 3}).named("in"));
        }).find("\n  in Calls\n  at ") != std::string::npos);
  nn::Sequential layers(nn::Linear(64, 32), nn::Softmax(7));
  CHECK(error_of<IndexError>([&] { layers(x); }) ==
        "softmax: axis 7 of (5, 32), which has 2 axes\n"
        "  in Softmax(7) 1\n"
        "  at HERE\n"
        "  hint: axes go from -2 to 1");
}

TEST_CASE("error in a module: the innermost one, and its path from the outermost") {
  Mlp mlp;
  CHECK(context(error_of<ShapeError>([&] { mlp(ones({5, 63})); })) == "in Linear(64, 32) fc1");
  CHECK(context(error_of<ShapeError>([&] { mlp(x); })) == "in Linear(30, 10) fc2");
  Encoder encoder;
  CHECK(context(error_of<ShapeError>([&] { encoder(x); })) == "in Linear(30, 10) body.fc2");
  nn::Sequential model{nn::Sequential(Encoder(), nn::Tanh()), nn::Identity()};
  CHECK(context(error_of<ShapeError>([&] { model(x); })) == "in Linear(30, 10) 0.0.body.fc2");
  // A part alone, and what a forward does between its modules.
  CHECK(context(error_of<ShapeError>([&] { encoder.body(x); })) == "in Linear(30, 10) body.fc2");
  class Fits : public nn::Module {
   public:
    nn::Linear fc = child("fc", nn::Linear(64, 32));
    Tensor forward(const Tensor& in) override { return fc(in) + ones({31}); }
  };
  Fits fits;
  CHECK(context(error_of<ShapeError>([&] { fits(x); })) == "in Fits");
  nn::Sequential outer{nn::Identity(), Fits()};
  CHECK(context(error_of<ShapeError>([&] { outer(x); })) == "in Fits 1");
}

TEST_CASE("error in a module: a layer and the activation behind it, which are one operation") {
  nn::Sequential model(nn::Linear(64, 32), nn::ReLU(), nn::Linear(30, 10), nn::Tanh());
  CHECK(context(error_of<ShapeError>([&] { model(x); })) == "in Linear(30, 10) 2");
}

TEST_CASE("error in a module: every class of errors keeps its type, and what it holds") {
  const auto thrown = [](auto error) {
    Calls outer([inner = std::make_unique<nn::Linear>(2, 2), &error](const Tensor&) -> Tensor {
      throw error;
    });
    return error_of<decltype(error)>([&] { outer(x); });
  };
  CHECK(thrown(Error("no")) == "no\n  in Calls");
  CHECK(thrown(ShapeError("no")) == "no\n  in Calls");
  CHECK(thrown(DTypeError("no")) == "no\n  in Calls");
  CHECK(thrown(GradError("no")) == "no\n  in Calls");
  CHECK(thrown(IndexError("no")) == "no\n  in Calls");
  CHECK(thrown(ValueError("no")) == "no\n  in Calls");
  CHECK(thrown(IoError("no")) == "no\n  in Calls");
  CHECK(thrown(MemoryError("no")) == "no\n  in Calls");
  CHECK(thrown(OwnError("no", 1)) == "no\n  in Calls");
  nn::Sequential nested(Calls([](const Tensor&) -> Tensor { throw OwnError("no", 42); }));
  try {
    nested(x);
    CHECK(false);
  } catch (const OwnError& error) {
    CHECK(error.number == 42);
    CHECK(std::string_view(error.what()) == "no\n  in Calls 0");
  }
}

TEST_CASE("error in a module: exceptions of others pass as they are") {
  nn::Sequential model(
      nn::Sequential(Calls([](const Tensor&) -> Tensor { throw std::logic_error("mine"); })));
  CHECK(error_of<std::logic_error>([&] { model(x); }) == "mine");
  nn::Sequential number(Calls([](const Tensor&) -> Tensor { throw 7; }));
  CHECK_THROWS_AS(number(x), int);
}

TEST_CASE("error in a module: several inputs and results") {
  class Pair : public nn::Module {
   public:
    nn::Linear left = child("left", nn::Linear(2, 3));
    using Module::forward;
    std::vector<Tensor> forward(const Tensor& a, const Tensor& b) { return {left(a), a + b}; }
    std::vector<Tensor> operator()(const Tensor& a, const Tensor& b,
                                   Where where = Where::current()) {
      return call({&a, &b}, where, [&] { return forward(a, b); });
    }
  };
  class Holder : public nn::Module {
   public:
    Pair pair = child("pair", Pair());
    Tensor forward(const Tensor& in) override { return pair(in, ones({3}))[1]; }
  };
  Pair pair;
  CHECK(pair(ones({1, 2}), ones({2})).size() == 2);
  CHECK(context(error_of<ShapeError>([&] { pair(ones({1, 2}), ones({3})); })) == "in Pair");
  CHECK(context(error_of<ShapeError>([&] { pair(ones({1, 3}), ones({3})); })) ==
        "in Linear(2, 3) left");
  Holder holder;
  CHECK(context(error_of<ShapeError>([&] { holder(ones({1, 2})); })) == "in Pair pair");
  nn::Module& base = pair;
  CHECK(error_of<ValueError>([&] { base(x); }) ==
        "Pair: there is no forward(x)\n"
        "  in Pair\n"
        "  at HERE\n"
        "  hint: override Tensor forward(const Tensor& x), or call it as it is declared");
}

TEST_CASE("error in a module: one that nobody registered says who called it") {
  class Forgetful : public nn::Module {
   public:
    std::vector<nn::Linear> layers;
    Forgetful() { layers.emplace_back(2, 2); }
    Tensor forward(const Tensor& in) override { return layers[0](in); }
  };
  Forgetful forgetful;
  CHECK(context(error_of<ShapeError>([&] { forgetful(x); })) ==
        "in Linear(2, 2), called in Forgetful");
  nn::Sequential model{nn::Identity(), nn::Sequential(Forgetful())};
  CHECK(context(error_of<ShapeError>([&] { model(x); })) ==
        "in Linear(2, 2), called in Forgetful 1.0");
  // Modules that call each other are named once.
  nn::Module* back = nullptr;
  int depth = 0;
  Calls there([&](const Tensor& in) { return ++depth < 10 ? (*back)(in) : sum(in, 5); });
  nn::Sequential here{Calls([&](const Tensor& in) { return there(in); })};
  back = &here;
  CHECK(context(error_of<IndexError>([&] { here(x); })) == "in Calls, called in Calls 0");
}

TEST_CASE("error in a module: one that a forward catches is another call's no more") {
  nn::Sequential model(Calls([](const Tensor& in) {
    nn::Linear probe(2, 2);
    try {
      probe(in);
    } catch (const ShapeError&) {
      return sum(in, 5);
    }
    return in;
  }));
  CHECK(context(error_of<IndexError>([&] { model(x); })) == "in Calls 0");
  // Once said it stays, also when it is handed on by another module.
  Calls hands_on([](const Tensor& in) {
    static nn::Sequential part{nn::Linear(2, 2)};
    try {
      return part(in);
    } catch (const ShapeError&) {
      throw;
    }
  });
  CHECK(context(error_of<ShapeError>([&] { hands_on(x); })) ==
        "in Linear(2, 2) 0, called in Calls");
}

TEST_CASE("error in a module: a description that fails leaves the error as it was") {
  class Odd : public nn::Module {
   public:
    Tensor forward(const Tensor& in) override { return sum(in, 5); }
    std::string description() const override { throw std::runtime_error("odd"); }
  };
  Odd odd;
  CHECK(error_of<IndexError>([&] { odd(x); }).starts_with("sum: axis 5"));
}

// Of a line of the library nobody learns anything: the user's, or none.
TEST_CASE("error in a module: forward() called instead of the module") {
  nn::Linear layer(3, 2);
  const std::string rest = " · weight (2, 3)ᵀ does not fit\n  in Linear(3, 2)\n  hint: ";
  CHECK(error_of<ShapeError>([&] {
          layer.forward(ones({4, 5}));
        }).starts_with("linear: (4, 5)" + rest));
  class Outer : public nn::Module {
   public:
    nn::Linear fc = child("fc", nn::Linear(3, 2));
    nn::Sequential head = child("head", nn::Sequential(nn::Tanh(), nn::Linear(7, 1)));
    Tensor forward(const Tensor& x) override { return head.forward(fc.forward(x)); }
    std::string description() const override { return "Outer"; }
  } outer;
  CHECK(error_of<ShapeError>([&] { outer(ones({4, 5})); })
            .starts_with("linear: (4, 5) · fc.weight (2, 3)ᵀ does not fit\n  in Linear(3, 2) fc\n"
                         "  at HERE\n  hint: "));
  CHECK(error_of<ShapeError>([&] {
          outer(ones({4, 3}));
        }).find("\n  in Linear(7, 1) head.1\n  at HERE\n  hint: ") != std::string::npos);
  const Tensor integers = zeros({2}, i64);
  const auto names_nobody = [&](nn::Module&& each) {
    const std::string text = error_of<DTypeError>([&] { each.forward(integers); });
    CAPTURE(text);
    CHECK(text.find("\n  in ") != text.npos);
    CHECK(text.find("\n  at ") == text.npos);
  };
  names_nobody(nn::Sigmoid());
  names_nobody(nn::Tanh());
  names_nobody(nn::ReLU());
  names_nobody(nn::Softplus());
  names_nobody(nn::Softmax());
  names_nobody(nn::LogSoftmax());
  names_nobody(nn::LayerNorm(2));
  names_nobody(nn::Sequential(nn::Tanh()));
}

TEST_CASE("error in a module: a layer that was moved from") {
  nn::Linear layer(2, 2);
  const nn::Linear taken(std::move(layer));
  const std::string text = error_of<ValueError>([&] { layer(x); });
  CHECK(text.starts_with("Linear: this module was moved from\n  at HERE"));
  CHECK(layer.to_string() == "Linear(moved from)  no parameters");
  nn::Sequential layers((nn::Tanh()));
  const nn::Sequential whole(std::move(layers));
  CHECK(layers.to_string() == "Sequential(moved from)  no parameters");
  CHECK(layers.append(nn::Tanh()).to_string() == "Sequential  no parameters\n  0: Tanh");
}

TEST_SUITE_END();
