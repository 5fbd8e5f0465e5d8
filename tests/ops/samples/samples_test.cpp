#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cstring>
#include <set>
#include <string>

#include <chainrule/core/node.hpp>
#include <chainrule/core/recording.hpp>
#include <chainrule/tests/ops/samples/samples.hpp>

// The values of all ops on their own samples. The derivatives stand in sample_gradients_test.cpp.

using namespace chainrule;
using namespace samples;

TEST_SUITE_BEGIN("ops");

namespace {

// f64 results are within some units in the last place (2e-16) of the exact ones; sums of up to a
// hundred terms lose some more. f32 has 6e-8, and elementary functions of it are allowed more.
constexpr Real f64_tolerance = 1e-13L, f32_tolerance = 4e-6L;

bool holds_op(const Node* node, const Op& op) {
  if (!node) return false;
  if (node->op() == &op) return true;
  for (const Node* input : node->inputs())
    if (holds_op(input, op)) return true;
  return false;
}

Real tolerance_of(std::span<const Tensor> inputs, const Tensor& out) {
  bool single = out.dtype() == f32;
  for (const Tensor& x : inputs) single |= x.dtype() == f32;
  return single ? f32_tolerance : f64_tolerance;
}

std::string bits_of(const Tensor& x) {
  const Array elements = array_of(x);
  std::string bits = to_string(x.shape());
  visit(x.dtype(), [&](auto zero) {
    for (const Real element : elements.v) {
      const auto exact = static_cast<decltype(zero)>(element);
      bits.append(reinterpret_cast<const char*>(&exact), sizeof(exact));
    }
  });
  return bits;
}

}  // namespace

TEST_CASE("samples: every op has some, under names of their own") {
  std::set<std::string> names;
  for (const Op* op : all_ops()) {
    CAPTURE(std::string(op->name()));
    CHECK(names.insert(op->name()).second);
    const std::vector<Sample> samples = op->samples();
    CHECK(!samples.empty());
    std::set<std::string> labels;
    bool used = false;
    for (const Sample& sample : samples) {
      CAPTURE(sample.label);
      CHECK(labels.insert(sample.label).second);
      used |= holds_op(sample.apply(leaves_of(sample.inputs)).node(), *op);
    }
    CHECK_MESSAGE((used || !op->differentiable()), "the op is in the graph of no sample");
  }
}

TEST_CASE("samples: values are those of the references") {
  for_each([](const Op& op, const Sample& sample) {
    const Tensor out = sample.apply(sample.inputs);
    return compare("the value", out, value_of(op, sample, arrays_of(sample.inputs)),
                   tolerance_of(sample.inputs, out));
  });
}

TEST_CASE("samples: values are the same, bit for bit, recorded and not") {
  for_each([](const Op& op, const Sample& sample) -> std::string {
    const std::string bits = bits_of(sample.apply(sample.inputs));
    const Tensors leaves = leaves_of(sample.inputs);
    const Tensor recorded = sample.apply(leaves);
    if (bits_of(recorded) != bits) return "another value when recorded";
    const Tensor silent = no_grad([&] { return sample.apply(leaves); });
    if (bits_of(silent) != bits) return "another value under no_grad";
    if (silent.requires_grad() && op.differentiable()) {
      // A view or x itself may be handed on; nothing may be recorded.
      bool handed_on = false;
      for (const Tensor& x : leaves) handed_on |= x.node() == silent.node();
      if (!handed_on) return "recorded under no_grad";
    }
    if (!op.differentiable() && recorded.requires_grad()) return "recorded without a gradient";
    return "";
  });
}

TEST_CASE("samples: views as inputs give the same values") {
  for_each([](const Op& op, const Sample& sample) -> std::string {
    const Array want = value_of(op, sample, arrays_of(sample.inputs));
    for (const Layout& layout : layouts()) {
      Tensors views;
      for (const Tensor& x : sample.inputs) views.push_back(layout.apply(x));
      const Tensor out = sample.apply(views);
      std::string problem = compare(fmt::format("the value for inputs {}", layout.name), out, want,
                                    tolerance_of(views, out));
      if (!problem.empty()) return problem;
    }
    return "";
  });
}

TEST_CASE("samples: values in f32 are those in f64, rounded") {
  for_each([](const Op& op, const Sample& sample) -> std::string {
    Tensors rounded;
    bool any = false;
    for (const Tensor& x : sample.inputs) {
      any |= x.dtype() == f64;
      rounded.push_back(x.dtype() == f64 ? tensor_of(array_of(x), f32) : x);
    }
    if (!any || std::strcmp(op.name(), "to") == 0) return "";
    const Tensor out = sample.apply(rounded);
    if (is_floating(out.dtype()) && out.dtype() != f32) return "f32 gave f64";
    return compare("the value in f32", out, value_of(op, sample, arrays_of(rounded)),
                   f32_tolerance);
  });
}
