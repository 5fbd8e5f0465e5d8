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

const std::vector<Awkward>& awkward() {
  using chainrule::f32, chainrule::f64;
  constexpr std::int64_t points = 100'000;
  static const std::vector<Awkward> all = {
      {"mul (p, 3) (p, 3)",
       f64,
       {{points, 3}, {points, 3}},
       [](const Operands& v) { return v[0] * v[1]; }},
      {"mul (p, 3) (p, 1)",
       f64,
       {{points, 3}, {points, 1}},
       [](const Operands& v) { return v[0] * v[1]; }},
      {"mul (p, 1) (5)", f64, {{points, 1}, {5}}, [](const Operands& v) { return v[0] * v[1]; }},
      {"sub (300, 1, 3) (300, 3)",
       f64,
       {{300, 1, 3}, {300, 3}},
       [](const Operands& v) { return v[0] - v[1]; }},
      {"sum (p, 3) over 1", f64, {{points, 3}}, [](const Operands& v) { return sum(v[0], 1); }},
      {"sum (p, 3) over 0", f64, {{points, 3}}, [](const Operands& v) { return sum(v[0], 0); }},
      {"max (p, 3) over 1", f64, {{points, 3}}, [](const Operands& v) { return max(v[0], 1); }},
      {"where (p, 3) (p, 3) (p, 1)",
       f64,
       {{points, 3}, {points, 1}},
       [](const Operands& v) { return where(v[0] > 0, v[0], v[1]); }},
      {"softmax (p, 3) over 1",
       f64,
       {{points, 3}},
       [](const Operands& v) { return softmax(v[0], 1); }},
      {"log_softmax (p, 3) over 1",
       f64,
       {{points, 3}},
       [](const Operands& v) { return log_softmax(v[0], 1); }},
      {"logsumexp (p, 3) over 1",
       f64,
       {{points, 3}},
       [](const Operands& v) { return logsumexp(v[0], 1); }},
      {"layer_norm (p, 3)",
       f64,
       {{points, 3}, {3}, {3}},
       [](const Operands& v) { return layer_norm(v[0], {3}, v[1], v[2]); }},
      {"stack 3 at the last axis",
       f64,
       {{points}, {points}, {points}},
       [](const Operands& v) { return chainrule::stack({v[0], v[1], v[2]}, -1); }},
      {"concat (p, 1) (p, 3) at the last axis",
       f64,
       {{points, 1}, {points, 3}},
       [](const Operands& v) { return chainrule::concat({v[0], v[1]}, -1); }},
      {"sin", f64, {{points}}, [](const Operands& v) { return sin(v[0]); }},
      {"cos", f64, {{points}}, [](const Operands& v) { return cos(v[0]); }},
      {"sin", f32, {{points}}, [](const Operands& v) { return sin(v[0]); }},
      {"cos", f32, {{points}}, [](const Operands& v) { return cos(v[0]); }},
      {"erf", f64, {{points}}, [](const Operands& v) { return erf(v[0]); }},
      {"erf", f32, {{points}}, [](const Operands& v) { return erf(v[0]); }},
      {"pow", f64, {{points}, {points}}, [](const Operands& v) { return pow(v[0], v[1]); }, true},
      {"pow", f32, {{points}, {points}}, [](const Operands& v) { return pow(v[0], v[1]); }, true},
      {"pow 1.7", f64, {{points}}, [](const Operands& v) { return pow(v[0], 1.7); }, true},
      {"max (1000, 1000) over 1",
       f64,
       {{1'000, 1'000}},
       [](const Operands& v) { return max(v[0], 1); }},
      {"min (1000, 1000) over 0",
       f64,
       {{1'000, 1'000}},
       [](const Operands& v) { return min(v[0], 0); }},
      {"sum (100, 100, 100) over 2",
       f32,
       {{100, 100, 100}},
       [](const Operands& v) { return sum(v[0], 2); }},
      {"max (100, 100, 100) over 2",
       f32,
       {{100, 100, 100}},
       [](const Operands& v) { return max(v[0], 2); }},
      {"sum (100, 100, 100) over 1",
       f32,
       {{100, 100, 100}},
       [](const Operands& v) { return sum(v[0], 1); }},
      {"sum (1000, 10000) over 1",
       f32,
       {{1'000, 10'000}},
       [](const Operands& v) { return sum(v[0], 1); }},
      {"mean (1000, 10000) over 1",
       f32,
       {{1'000, 10'000}},
       [](const Operands& v) { return mean(v[0], 1); }},
      {"matmul 64",
       f64,
       {{64, 64}, {64, 64}},
       [](const Operands& v) { return matmul(v[0], v[1]); }},
      {"matmul 512",
       f64,
       {{512, 512}, {512, 512}},
       [](const Operands& v) { return matmul(v[0], v[1]); }},
  };
  return all;
}

}  // namespace workloads
