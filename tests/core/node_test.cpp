#include <doctest/doctest.h>
#include <fmt/format.h>
#include <pthread.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include <chainrule/core/allocator.hpp>
#include <chainrule/core/create.hpp>
#include <chainrule/core/node.hpp>
#include <chainrule/core/op.hpp>
#include <chainrule/core/recording.hpp>
#include <chainrule/graph/backward.hpp>
#include <chainrule/tests/core/error_of.hpp>

using namespace chainrule;

TEST_SUITE_BEGIN("core");

namespace {

// Lives only as long as its test, so that it is in no list of the library's ops.
class Dummy : public Op {
 public:
  Dummy() : Op("dummy") {}
  std::vector<Sample> samples() const override { return {}; }
};

Ref<Node> node_of(const Op& op, const Value& out, std::initializer_list<Node*> inputs,
                  Node::SavedMask saved = 0, Value* value = nullptr) {
  Ref<Node> node =
      Node::make(op, static_cast<std::uint32_t>(inputs.size()), saved, {}, out, Where::current());
  node->fill([&](std::size_t i) { return inputs.begin()[i]; }, [&](std::size_t) { return value; },
             [&](std::size_t) { return value; });
  return node;
}

// Calls f on a thread with a stack of 256 KiB.
template <class F>
void on_small_stack(F f) {
  pthread_attr_t attributes;
  REQUIRE(pthread_attr_init(&attributes) == 0);
  REQUIRE(pthread_attr_setstacksize(&attributes, 256 * 1024) == 0);
  pthread_t thread;
  const auto call = [](void* what) -> void* {
    (*static_cast<F*>(what))();
    return nullptr;
  };
  REQUIRE(pthread_create(&thread, &attributes, call, &f) == 0);
  REQUIRE(pthread_join(thread, nullptr) == 0);
  pthread_attr_destroy(&attributes);
}

}  // namespace

TEST_CASE("node: what it was made of") {
  struct Parameters {
    double scale = 0;
    std::int64_t axis = 0;
  };
  const Dummy op;
  const Tensor a = zeros({2, 3}), b = zeros({3}, f64);
  const Ref<Node> leaf = Node::make_leaf(*a.value_ref(), true, Where::current());
  CHECK(leaf->is_leaf());
  CHECK(leaf->requires_grad());
  CHECK(leaf->shape() == Shape{2, 3});
  CHECK(leaf->inputs().empty());

  const Parameters parameters{2.5, 1};
  const Where here = Where::current();
  const Ref<Node> node =
      Node::make(op, 2, detail::input(1) | detail::output, parameters, *b.value_ref(), here);
  node->fill([&](std::size_t i) { return i == 0 ? leaf.get() : nullptr; },
             [&](std::size_t) { return a.value_ref().get(); },
             [&](std::size_t) { return b.value_ref().get(); });
  CHECK(node->op() == &op);
  CHECK_FALSE(node->is_leaf());
  CHECK(node->requires_grad());
  CHECK(node->dtype() == f64);
  CHECK(node->shape() == Shape{3});
  CHECK(node->same_shape(*b.value_ref()));
  CHECK_FALSE(node->same_shape(*a.value_ref()));
  CHECK(node->where().line() == here.line());
  CHECK(node->sequence() > leaf->sequence());
  REQUIRE(node->inputs().size() == 2);
  CHECK(node->inputs()[0] == leaf.get());
  CHECK(node->inputs()[1] == nullptr);
  CHECK(node->parameters<Parameters>().axis == 1);
  CHECK(node->parameters<Parameters>().scale == 2.5);
  CHECK(error_of<GradError>([&] { node->parameters<double>(); }) ==
        fmt::format(
            "dummy: asks for parameters of 8 bytes, but was applied with 16 bytes\n  at {}:{}\n"
            "  hint: hand them to apply(), and ask for them as the type that they have there",
            here.file_name(), here.line()));
  CHECK(node->saved_input(0) == nullptr);
  CHECK(node->saved_input(1) == a.value_ref().get());
  CHECK(node->saved_output() == b.value_ref().get());
  CHECK_FALSE(node->released());
  node->release_saved();
  CHECK(node->released());
  CHECK(node->saved_input(1) == nullptr);
  CHECK(node->saved_output() == nullptr);
}

TEST_CASE("node: saved values live as long as it, with the version that was saved") {
  const Dummy op;
  const std::int64_t before = memory_stats().live_bytes;
  Ref<Node> node;
  {
    Tensor x = zeros({1000});
    x.mutable_data<float>();
    node = node_of(op, *x.value_ref(), {nullptr}, detail::input(0), x.value_ref().get());
    CHECK(node->saved_version(detail::input(0)) == 1);
    x.mutable_data<float>();
    CHECK(x.version() == 2);
    CHECK(node->saved_version(detail::input(0)) == 1);
  }
  CHECK(memory_stats().live_bytes - before >= 4000);
  node = {};
  CHECK(memory_stats().live_bytes == before);
}

TEST_CASE("node: of the largest rank, with parameters") {
  const Dummy op;
  Shape shape;
  while (shape.rank() < max_rank) shape.push_back(shape.rank() < 2 ? 2 : 1);
  const std::int64_t before = memory_stats().live_bytes;
  {
    const Tensor x = zeros(shape);
    const std::int64_t parameter = 0x1234567890;
    const Ref<Node> node = Node::make(op, 1, detail::input(0) | detail::output, parameter,
                                      *x.value_ref(), Where::current());
    node->fill([](std::size_t) { return nullptr; },
               [&](std::size_t) { return x.value_ref().get(); },
               [&](std::size_t) { return x.value_ref().get(); });
    CHECK(node->shape() == shape);
    CHECK(node->parameters<std::int64_t>() == parameter);
    CHECK(node->saved_version(detail::output) == 0);
  }
  CHECK(memory_stats().live_bytes == before);
}

TEST_CASE("node: as many outputs as can be counted") {
  const Dummy op;
  const Tensor x = zeros({2});
  CHECK(Node::make(op, 0, 0, {}, *x.value_ref(), Where::current(), 127)->output_count() == 127);
  CHECK_THROWS_AS(Node::make(op, 0, 0, {}, *x.value_ref(), Where::current(), 128), ValueError);
}

TEST_CASE("node: names") {
  const Tensor x = zeros({2});
  const Ref<Node> leaf = Node::make_leaf(*x.value_ref(), false, Where::current());
  CHECK(leaf->name().empty());
  leaf->set_name("W1");
  CHECK(leaf->name() == "W1");
  const std::string longer(5000, 'n');
  leaf->set_name(longer);
  CHECK(leaf->name() == longer);
  leaf->set_name("");
  CHECK(leaf->name().empty());
}

TEST_CASE("node: counted while they live, on whichever thread they end") {
  const Dummy op;
  const Tensor x = zeros({});
  const std::int64_t before = live_nodes();
  Ref<Node> node = node_of(op, *x.value_ref(), {nullptr});
  node = node_of(op, *x.value_ref(), {node.get(), node.get()});  // one input twice
  CHECK(live_nodes() == before + 2);
  std::thread([&] { node = {}; }).join();
  CHECK(live_nodes() == before);
}

TEST_CASE("node: a chain of a million is freed on a small stack") {
  const Dummy op;
  const Tensor x = zeros({});
  const std::int64_t before = live_nodes(), bytes = memory_stats().live_bytes;
  Ref<Node> last = node_of(op, *x.value_ref(), {nullptr});
  for (int i = 1; i < 1'000'000; ++i) last = node_of(op, *x.value_ref(), {last.get()});
  CHECK(live_nodes() == before + 1'000'000);
  on_small_stack([&] { last = {}; });
  CHECK(live_nodes() == before);
  CHECK(memory_stats().live_bytes == bytes);
}

TEST_CASE("node: a ladder of diamonds is freed once") {
  const Dummy op;
  const Tensor x = zeros({});
  const std::int64_t before = live_nodes();
  Ref<Node> last = node_of(op, *x.value_ref(), {nullptr});
  for (int i = 0; i < 60; ++i) {
    const Ref<Node> left = node_of(op, *x.value_ref(), {last.get()});
    const Ref<Node> right = node_of(op, *x.value_ref(), {last.get()});
    last = node_of(op, *x.value_ref(), {left.get(), right.get()});
  }
  CHECK(live_nodes() == before + 181);
  last = {};
  CHECK(live_nodes() == before);
}

TEST_CASE("node: gradients of leaves may hold graphs as deep") {
  const Dummy op;
  const Tensor x = zeros({});
  const std::int64_t before = live_nodes();
  Ref<Node> leaf = Node::make_leaf(*x.value_ref(), true, Where::current());
  // Each leaf's gradient was recorded from the next leaf: nodes reach each other through both.
  for (int i = 0; i < 100'000; ++i) {
    Ref<Node> next = Node::make_leaf(*x.value_ref(), true, Where::current());
    next->set_grad(x.value_ref(), node_of(op, *x.value_ref(), {leaf.get()}));
    leaf = std::move(next);
  }
  on_small_stack([&] { leaf = {}; });
  CHECK(live_nodes() == before);
}

TEST_CASE("recording: on by default, scopes nest, exceptions leave them") {
  CHECK(is_recording());
  {
    const NoGrad off;
    CHECK_FALSE(is_recording());
    {
      const EnableGrad on;
      CHECK(is_recording());
    }
    CHECK_FALSE(is_recording());
    std::thread([] { CHECK(is_recording()); }).join();
  }
  CHECK(is_recording());
  CHECK(no_grad([] { return is_recording() ? 1 : 2; }) == 2);
  CHECK_THROWS_AS(no_grad([] { throw ValueError("x"); }), ValueError);
  CHECK(is_recording());
}

TEST_CASE("record: leaves a node when an input requires gradients and recording is on") {
  const Dummy op;
  const Tensor constant = zeros({2});
  const Tensor parameter = zeros({2}).requires_grad_();
  const auto apply = [&](const Tensor& a, const Tensor& b) {
    return record(op, Value::make(f32, {2}), {&a, &b}, detail::input(0) | detail::output,
                  Where::current());
  };
  CHECK(apply(constant, constant).node() == nullptr);
  CHECK(no_grad([&] { return apply(parameter, constant); }).node() == nullptr);
  const Tensor y = apply(parameter, constant);
  REQUIRE(y.node() != nullptr);
  CHECK(y.requires_grad());
  CHECK_FALSE(y.is_leaf());
  CHECK(y.node()->inputs()[0] == parameter.node());
  CHECK(y.node()->inputs()[1] == nullptr);
  CHECK(y.node()->saved_input(0) == parameter.value_ref().get());
  CHECK(y.node()->saved_output() == y.value_ref().get());
}

TEST_CASE("application: a rule reads what reads() names, of a leaf, too") {
  // In the graph the leaf's value is there all the same, to compute the op again.
  struct Forgetful final : Op {
    Forgetful() : Op("forgetful") {}
    void infer(Inference& call) const override { call.output_like(call.in(0).dtype(), call.in(0)); }
    void evaluate(Evaluation& call) const override {
      std::copy_n(call.in(0).data<double>(), call.in(0).numel(), call.out().data<double>());
    }
    void vjp(Vjp& r) const override { r.give(0, r.in(0)); }
    Tensor jvp(Jvp& r) const override { return r.in(0); }
    std::vector<Sample> samples() const override { return {}; }
  };
  const Forgetful forgetful;
  const Tensor x = tensor({1.0, 2.0}, f64).requires_grad_();
  CHECK(error_of<GradError>([&] {
          backward(apply(forgetful, {&x}, {}, Where::current()), x);
        }).find("forgetful: the gradient rule reads in(0), which the op does not save") == 0);
}

TEST_SUITE_END();
