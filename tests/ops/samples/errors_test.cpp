#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include <chainrule/core/create.hpp>
#include <chainrule/core/op.hpp>

// Every op, by its samples, with each operand in turn that cannot be: what the error says.

using namespace chainrule;

TEST_SUITE_BEGIN("ops");

namespace {

// The error of an application, or nothing where it takes the operands.
std::optional<std::string> error_from(const Sample& sample, const std::vector<Tensor>& inputs) {
  try {
    sample.apply(inputs);
    return {};
  } catch (const Error& error) {
    return error.what();
  }
}

// What is missing of "op: … the operand …, at a line, hint: …"; "" if nothing.
std::string missing_in(const std::string& message, const std::string& operand) {
  const std::size_t colon = message.find(": "), line = message.find('\n');
  if (colon == std::string::npos || colon > line || message.find(' ') < colon) return "the op";
  if (message.substr(0, line).find(operand) == std::string::npos) return "the operand";
  if (message.find("\n  at ") == std::string::npos) return "the line";
  if (message.find("\n  hint: ") == std::string::npos) return "a hint";
  return "";
}

template <class F>
void for_operands(F f) {
  for (const Op* op : all_ops())
    for (const Sample& sample : op->samples())
      for (std::size_t i = 0; i < sample.inputs.size(); ++i) f(*op, sample, i);
}

}  // namespace

TEST_CASE("samples: an operand that is undefined is named, with its op, the line and a hint") {
  for_operands([](const Op& op, const Sample& sample, std::size_t i) {
    std::vector<Tensor> inputs = sample.inputs;
    inputs[i] = Tensor();
    const auto error = error_from(sample, inputs);
    if (!error) return;  // an operand that may be left out
    const std::string missing = missing_in(*error, "undefined");
    INFO(fmt::format("{}, {}, operand {}: {}", op.name(), sample.label, i, *error));
    CHECK(missing == "");
  });
}

TEST_CASE("samples: an operand of a dtype that an op does not take is named, with a hint") {
  for_operands([](const Op& op, const Sample& sample, std::size_t i) {
    for (const DType dtype : {f32, f64, i64, boolean}) {
      std::vector<Tensor> inputs = sample.inputs;
      if (inputs[i].dtype() == dtype) continue;
      // Of an index or a mask, as zeros; of numbers beyond i64 there are no integers.
      inputs[i] = zeros(inputs[i].shape(), dtype).named("the_operand");
      const auto error = error_from(sample, inputs);
      if (!error) continue;
      const std::string missing = missing_in(*error, "the_operand");
      INFO(fmt::format("{}, {}, operand {}: {}", op.name(), sample.label, i, *error));
      CHECK(missing == "");
    }
  });
}

TEST_SUITE_END();
