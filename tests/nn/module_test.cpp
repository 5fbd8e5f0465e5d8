#include <doctest/doctest.h>

#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <chainrule/core/create.hpp>
#include <chainrule/core/recording.hpp>
#include <chainrule/graph/backward.hpp>
#include <chainrule/nn/layers/activations.hpp>
#include <chainrule/nn/layers/linear.hpp>
#include <chainrule/nn/layers/sequential.hpp>
#include <chainrule/nn/module.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/reduce/reduction.hpp>
#include <chainrule/ops/shape/manipulation.hpp>
#include <chainrule/tests/core/count_malloc.hpp>
#include <chainrule/tests/core/error_of.hpp>

using namespace chainrule;

TEST_SUITE_BEGIN("nn");

namespace {

class Block : public nn::Module {
 public:
  nn::Linear fc = child("fc", nn::Linear(3, 3));
  nn::Parameter scale = parameter("scale", ones({3}));
  Tensor forward(const Tensor& x) override { return scale * fc(x); }
};

class Model : public nn::Module {
 public:
  nn::Parameter offset = parameter("offset", zeros({3}));
  Block first = child("first", Block());
  nn::Buffer mean = buffer("mean", zeros({3}));
  Block second = child("second", Block());
  Tensor forward(const Tensor& x) override { return second(first(x - mean)) + offset; }
};

std::vector<std::string> names(const std::vector<nn::NamedTensor>& tensors) {
  std::vector<std::string> all;
  for (const nn::NamedTensor& entry : tensors) all.push_back(entry.name);
  return all;
}

std::vector<std::string> names(const std::vector<nn::NamedModule>& modules) {
  std::vector<std::string> all;
  for (const nn::NamedModule& entry : modules) all.push_back(entry.name);
  return all;
}

using Names = std::vector<std::string>;
const Names model_names = {"offset",       "first.scale",      "first.fc.weight", "first.fc.bias",
                           "second.scale", "second.fc.weight", "second.fc.bias"};

}  // namespace

static_assert(std::is_move_constructible_v<Model> && !std::is_copy_constructible_v<Model>);
static_assert(std::is_nothrow_move_constructible_v<Model>);
static_assert(!std::is_move_assignable_v<Model> && !std::is_copy_assignable_v<Model>);
// A parameter cannot be replaced by another tensor, nor made from one without its module.
static_assert(!std::is_assignable_v<nn::Parameter&, Tensor>);
static_assert(!std::is_assignable_v<nn::Parameter&, nn::Parameter>);
static_assert(!std::is_constructible_v<nn::Parameter, Tensor>);
static_assert(std::is_convertible_v<nn::Parameter, Tensor>);

TEST_CASE("module: what is declared is registered, in order") {
  Model model;
  CHECK(names(model.named_parameters()) == model_names);
  CHECK(names(model.named_buffers()) == Names{"mean"});
  CHECK(names(model.children()) == Names{"first", "second"});
  CHECK(names(model.named_modules()) == Names{"", "first", "first.fc", "second", "second.fc"});
  CHECK(model.named_modules()[0].module == &model);
  CHECK(model.named_modules()[4].module == &model.second.fc);
  CHECK(model.parameters().size() == 7);
  CHECK(model.parameters()[2].node() == model.first.fc.weight.node());
  CHECK(model.parameter_count() == 3 + 2 * (3 + 9 + 3));
  CHECK(model.path() == "");
  CHECK(model.second.fc.path() == "second.fc");
  for (const nn::NamedTensor& entry : model.named_parameters()) {
    CHECK(entry.tensor.requires_grad());
    CHECK(entry.tensor.is_leaf());
    CHECK(entry.tensor.name() == entry.name);
  }
  CHECK_FALSE(model.mean.requires_grad());
  CHECK(model.mean.name() == "mean");
}

namespace {

Model make_model() {
  Model model;
  Model moved = std::move(model);
  return moved;
}

}  // namespace

TEST_CASE("module: moved, it keeps its parts and their places") {
  const auto check = [](Model& model) {
    CHECK(names(model.named_parameters()) == model_names);
    CHECK(model.named_modules()[1].module == &model.first);
    CHECK(model.named_modules()[2].module == &model.first.fc);
    CHECK(model.named_modules()[4].module == &model.second.fc);
    CHECK(model.second.fc.path() == "second.fc");
    CHECK(model.parameters()[6].node() == model.second.fc.bias.node());
    model.eval();
    CHECK_FALSE(model.second.fc.is_training());
  };
  Model model = make_model();
  check(model);
  std::vector<Model> several;
  several.push_back(std::move(model));
  for (int i = 0; i < 5; ++i) several.emplace_back();  // moves the first when it grows
  for (Model& each : several) check(each);
  const auto pointer = std::make_unique<Model>(std::move(several[3]));
  check(*pointer);
  CHECK_THROWS_AS(several[3].parameters(), ValueError);
  CHECK_THROWS_AS(several[3].children(), ValueError);
}

TEST_CASE("module: members in containers and pointers are registered, too") {
  class Tower : public nn::Module {
   public:
    std::vector<nn::Linear> floors;
    std::optional<nn::Linear> roof;
    std::unique_ptr<nn::Module> cellar = child("cellar", std::make_unique<nn::Linear>(2, 2));
    Tower() {
      for (int i = 0; i < 4; ++i) floors.push_back(child("floor" + std::to_string(i), {2, 2}));
      roof.emplace(child("roof", nn::Linear(2, 1)));
    }

   private:
    nn::Linear child(const std::string& name, std::pair<int, int> size) {
      return Module::child(name, nn::Linear(size.first, size.second));
    }
    using Module::child;
  };
  const Names expected = {"cellar", "floor0", "floor1", "floor2", "floor3", "roof"};
  Tower tower;
  CHECK(names(tower.children()) == expected);
  Tower moved = std::move(tower);
  CHECK(names(moved.children()) == expected);
  CHECK(moved.children()[0].module == moved.cellar.get());
  for (std::size_t i = 0; i < 4; ++i) CHECK(moved.children()[i + 1].module == &moved.floors[i]);
  CHECK(moved.children()[5].module == &*moved.roof);
  moved.roof.reset();  // a module that is gone is no child
  moved.floors.pop_back();
  CHECK(names(moved.children()) == Names{"cellar", "floor0", "floor1", "floor2"});
}

TEST_CASE("module: a child that outlives its parent stands alone") {
  class Holder : public nn::Module {
   public:
    explicit Holder(std::unique_ptr<nn::Linear>& held) {
      held = child("held", std::make_unique<nn::Linear>(2, 2));
    }
  };
  std::unique_ptr<nn::Linear> held;
  {
    const Holder holder(held);
    CHECK(held->path() == "held");
  }
  CHECK(held->path() == "");
  CHECK(held->parameters().size() == 2);
}

TEST_CASE("module: shared parameters are given once, under their first name") {
  class Tied : public nn::Module {
   public:
    nn::Linear encoder = child("encoder", nn::Linear(3, 3));
    class Decoder : public nn::Module {
     public:
      explicit Decoder(const Tensor& shared) : weight(parameter("weight", shared)) {}
      nn::Parameter weight;
    };
    Decoder decoder = child("decoder", Decoder(encoder.weight));
  };
  const Tied model;
  CHECK(names(model.named_parameters()) == Names{"encoder.weight", "encoder.bias"});
  CHECK(model.decoder.weight.node() == model.encoder.weight.node());
  CHECK(model.decoder.weight.name() == "encoder.weight");
  CHECK(model.parameter_count() == 12);
}

TEST_CASE("module: parameters made from one tensor do not share its elements") {
  class Pair : public nn::Module {
   public:
    explicit Pair(const Tensor& initial)
        : a(parameter("a", initial)), b(parameter("b", initial)), c(buffer("c", initial)) {}
    nn::Parameter a, b;
    nn::Buffer c;
  };
  const Tensor initial = tensor({{1.0, 2.0}, {3.0, 4.0}});
  Pair pair(initial.T());
  pair.a.set(zeros({2, 2}));
  CHECK(pair.a.to_vector<float>() == std::vector<float>{0, 0, 0, 0});
  CHECK(pair.b.to_vector<float>() == std::vector<float>{1, 3, 2, 4});
  CHECK(pair.c.to_vector<float>() == std::vector<float>{1, 3, 2, 4});
  CHECK(initial.to_vector<float>() == std::vector<float>{1, 2, 3, 4});
  CHECK(pair.b.is_contiguous());
}

TEST_CASE("module: values are set in place, with checks") {
  nn::Linear layer(3, 2);
  const Tensor handle = layer.parameters()[0];
  const auto version = layer.weight.version();
  layer.weight.set(tensor({{1.0, 4.0}, {2.0, 5.0}, {3.0, 6.0}}).T());
  CHECK(handle.to_vector<float>() == std::vector<float>{1, 2, 3, 4, 5, 6});
  CHECK(layer.weight.version() == version + 1);
  CHECK(layer.weight.requires_grad());

  nn::Linear square(2, 2);
  square.weight.set(tensor({{1.0, 2.0}, {3.0, 4.0}}));
  square.weight.set(square.weight.T());
  CHECK(square.weight.to_vector<float>() == std::vector<float>{1, 3, 2, 4});

  CHECK(error_of<ShapeError>([&] { layer.weight.set(zeros({3, 2})); }) ==
        "set: the shapes differ: weight (2, 3) from values (3, 2)\n"
        "  at HERE\n"
        "  hint: the values fit transposed: set(values.T())");
  CHECK(error_of<ShapeError>([&] {
          layer.weight.set(zeros({6}));
        }).ends_with("  hint: reshape() gives the values that shape"));
  CHECK(error_of<ShapeError>([&] {
          layer.weight.set(zeros({4, 3}));
        }).ends_with("  hint: a layer keeps the sizes that it was made with"));
  CHECK(error_of<DTypeError>([&] { layer.weight.set(zeros({2, 3}, f64)); }) ==
        "set: weight (2, 3) is f32, but the values are f64\n"
        "  at HERE\n"
        "  hint: convert them: to(values, f32)");
  CHECK(
      error_of<ValueError>([&] { layer.weight.set(Tensor()); }).starts_with("set: the operand is"));
  nn::Parameter none;
  CHECK(error_of<ValueError>([&] { none.set(zeros({2})); }).starts_with("set: the tensor is"));
}

TEST_CASE("module: a graph that saved a parameter sees that it was set") {
  nn::Linear layer(2, 2);
  const Tensor x = ones({1, 2}).requires_grad_();
  const Tensor y = layer(x);
  layer.weight.set(zeros({2, 2}));
  CHECK(error_of<GradError>([&] { backward(y, ones({1, 2})); }).find("saved at version") !=
        std::string::npos);
}

namespace {

// A module whose registrations a test chooses.
struct Any : nn::Module {
  using Module::buffer;
  using Module::child;
  using Module::parameter;
};

}  // namespace

TEST_CASE("module: names that cannot be") {
  Any any;
  any.parameter("a", ones({1}));
  any.buffer("b", ones({1}));
  const nn::Linear c = any.child("c", nn::Linear(1, 1));
  for (const char* name : {"a", "b", "c"}) {
    const std::string expected = "Any: the name \"" + std::string(name) +
                                 "\" is used twice\n  at HERE\n  hint: parameters, buffers and "
                                 "modules of one module have different names";
    CHECK(error_of<ValueError>([&] { any.parameter(name, ones({1})); }) == expected);
    CHECK(error_of<ValueError>([&] { any.buffer(name, ones({1})); }) == expected);
    CHECK(error_of<ValueError>([&] { any.child(name, nn::Linear(1, 1)); }) == expected);
  }
  CHECK(error_of<ValueError>([&] { any.parameter("", ones({1})); }) ==
        "Any: a name is empty\n"
        "  at HERE\n"
        "  hint: parameters and modules are found by their names, as in \"fc1.weight\"");
  CHECK(error_of<ValueError>([&] { any.child("x.y", nn::Linear(1, 1)); }) ==
        "Any: the name \"x.y\" has a '.'\n"
        "  at HERE\n"
        "  hint: a '.' stands between the names of modules, as in \"fc1.weight\"");
  CHECK(any.children().size() == 1);
  CHECK(any.parameters().size() == 3);
}

TEST_CASE("module: initial values that cannot be") {
  Any any;
  CHECK(error_of<DTypeError>([&] { any.parameter("w", ones({2}, i64)); }) ==
        "Any: parameter \"w\" holds i64, but f32 or f64 is needed\n"
        "  at HERE\n"
        "  hint: convert it with to(x, f32), or keep it as a buffer(\"name\", …)");
  CHECK(error_of<ValueError>([&] { any.parameter("w", Tensor()); }) ==
        "Any: parameter \"w\": the initial value is an undefined tensor\n  at HERE\n  hint: give "
        "it its first elements: zeros(shape), randn(shape), nn/init/init.hpp");
  CHECK(error_of<ValueError>([&] { any.buffer("w", Tensor()); }) ==
        "Any: buffer \"w\": the initial value is an undefined tensor\n  at HERE\n  hint: give it "
        "its first elements: zeros(shape)");
  const Tensor leaf = ones({2}).requires_grad_();
  CHECK(error_of<GradError>([&] { any.parameter("w", leaf * 0.1); }) ==
        "Any: parameter \"w\": the initial value (2,) is the result of a recorded operation\n"
        "  at HERE\n"
        "  hint: take its elements alone: detach()");
  CHECK(error_of<GradError>([&] {
          any.buffer("w", leaf);
        }).starts_with("Any: buffer \"w\": (2,) requires gradients\n  at HERE"));
  const Tensor view = expand(ones({1, 2}), {3, 2}).requires_grad_();
  CHECK(error_of<ValueError>([&] {
          any.parameter("w", view);
        }).starts_with("Any: parameter \"w\": (3, 2), which is to be shared, is a view"));
  CHECK(error_of<ValueError>([&] { any.child("m", std::unique_ptr<nn::Linear>()); })
            .starts_with("Any: child \"m\": there is no module\n  at HERE\n  hint: the pointer is "
                         "null: was it moved from?"));
  CHECK(any.parameters().empty());
  CHECK(any.buffer("labels", ones({2}, i64)).dtype() == i64);
}

TEST_CASE("module: training and evaluation reach all below") {
  Model model;
  CHECK(model.is_training());
  CHECK(model.first.fc.is_training());
  model.eval();
  for (const nn::NamedModule& entry : model.named_modules())
    CHECK_FALSE(entry.module->is_training());
  model.first.train();
  CHECK(model.first.fc.is_training());
  CHECK_FALSE(model.second.fc.is_training());
  nn::Sequential sequential;
  sequential.eval();
  sequential.append(nn::Linear(1, 1));
  CHECK_FALSE(sequential[0].is_training());
}

TEST_CASE("module: zero_grad removes all gradients") {
  Model model;
  sum(model(ones({2, 3}))).backward();
  for (const Tensor& parameter : model.parameters()) CHECK(parameter.grad().defined());
  model.zero_grad();
  for (const Tensor& parameter : model.parameters()) CHECK_FALSE(parameter.grad().defined());
}

TEST_CASE("module: printed as a tree") {
  std::ostringstream out;
  out << Model();
  CHECK(out.str() ==
        "Model                      33 parameters\n"
        "  offset: Parameter (3,)    3\n"
        "  mean: Buffer (3,)\n"
        "  first: Block             15\n"
        "    scale: Parameter (3,)   3\n"
        "    fc: Linear(3, 3)       12\n"
        "  second: Block            15\n"
        "    scale: Parameter (3,)   3\n"
        "    fc: Linear(3, 3)       12");
  CHECK(Any().to_string() == "Any  no parameters");
}

TEST_CASE("module: children that move and go leave the others as they are") {
  std::vector<std::unique_ptr<nn::Identity>> parts;
  struct Any : nn::Module {
    using nn::Module::child;
  } any;
  for (int i = 0; i < 5; ++i)
    parts.push_back(
        any.child(std::string(1, static_cast<char>('a' + i)), std::make_unique<nn::Identity>()));
  const auto names = [&] {
    std::string all;
    for (const nn::NamedModule& each : any.children()) {
      CHECK(each.module->path() == each.name);
      all += each.name;
    }
    return all;
  };
  CHECK(names() == "abcde");
  parts[2] = std::make_unique<nn::Identity>(std::move(*parts[2]));  // in its place
  CHECK(names() == "abcde");
  parts[0] = std::make_unique<nn::Identity>(std::move(*parts[0]));
  parts[4] = std::make_unique<nn::Identity>(std::move(*parts[4]));
  CHECK(names() == "abcde");
  parts[1].reset();
  CHECK(names() == "acde");
  CHECK(error_of<ValueError>([&] {
          any.child("c", nn::Identity());
        }).starts_with("Any: the name \"c\" is used twice"));
  parts[4].reset();
  parts[0].reset();
  CHECK(names() == "cd");
  const nn::Identity again = any.child("a", nn::Identity());  // the name is free again
  CHECK(names() == "cda");
  {
    Any other = std::move(any);
    CHECK(other.children().size() == 3);
    CHECK_THROWS_AS(any.children(), ValueError);  // NOLINT(bugprone-use-after-move)
  }
  CHECK(parts[2]->path().empty());  // outlives the one that it was in
}

TEST_CASE("sequential: appending asks for as much memory among many modules as among few") {
  if (!CountMalloc::available) return;
  nn::Sequential model;
  const auto calls_for = [&](int count) {
    const CountMalloc calls;
    for (int i = 0; i < count; ++i) model.append(nn::Tanh());
    return calls.calls();
  };
  const std::int64_t few = calls_for(200);
  calls_for(1800);
  CHECK(calls_for(200) <= few);
}

TEST_SUITE_END();
