#include <chainrule/bench/workloads/functions.hpp>

#include <chainrule/ops/nn/layer_norm.hpp>

namespace workloads {

using Operands = std::vector<chainrule::Tensor>;

const std::vector<Function>& elementwise() {
  static const std::vector<Function> all = {
      {"exp", 1, 0, [](const Operands& v) { return exp(v[0]); }, 2},
      {"tanh", 1, 0, [](const Operands& v) { return tanh(v[0]); }, 2},
      {"sigmoid", 1, 0, [](const Operands& v) { return sigmoid(v[0]); }, 2},
      {"mul, add", 3, 0, [](const Operands& v) { return v[0] * v[1] + v[2]; }, 6},
      {"tanh, mul, add, sigmoid", 3, 0,
       [](const Operands& v) { return sigmoid(tanh(v[0]) * v[1] + v[2]); }, 10},
  };
  return all;
}

const std::vector<Function>& along_lines() {
  static const std::vector<Function> all = {
      {"softmax over rows", 1, 0, [](const Operands& v) { return softmax(v[0], -1); }},
      {"softmax over columns", 1, 0, [](const Operands& v) { return softmax(v[0], 0); }},
      {"log_softmax over rows", 1, 0, [](const Operands& v) { return log_softmax(v[0], -1); }},
      {"layer_norm", 1, 2,
       [](const Operands& v) { return layer_norm(v[0], {v[0].size(1)}, v[1], v[2]); }},
      {"sum over rows", 1, 0, [](const Operands& v) { return sum(v[0], 1); }},
      {"sum over columns", 1, 0, [](const Operands& v) { return sum(v[0], 0); }},
      {"mean over rows", 1, 0, [](const Operands& v) { return mean(v[0], 1); }},
      {"mean over columns", 1, 0, [](const Operands& v) { return mean(v[0], 0); }},
      {"max over rows", 1, 0, [](const Operands& v) { return max(v[0], 1); }},
      {"max over columns", 1, 0, [](const Operands& v) { return max(v[0], 0); }},
  };
  return all;
}

}  // namespace workloads
