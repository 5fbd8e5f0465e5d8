#pragma once

#include <chainrule/chainrule.hpp>

#include <memory>
#include <random>
#include <string>
#include <vector>

/// Optimizers on their own: parameters of four equal parts, with gradients that stay.
namespace workloads {

enum class Rule { momentum, adam };
inline constexpr float momentum = 0.9F;
inline constexpr float rate_of(Rule rule) { return rule == Rule::adam ? 1e-3F : 1e-4F; }
/// "SGD with momentum" or "Adam".
std::string name_of(Rule rule);

/// Numbers of each parameter and its gradient.
struct Parameters {
  std::vector<std::vector<float>> values, gradients;

  Parameters(std::size_t total, std::mt19937& random);
};

/// The library's optimizer for them.
struct OptimizerProgram {
  std::vector<chainrule::Tensor> parameters;
  std::unique_ptr<chainrule::nn::Optimizer> optimizer;

  OptimizerProgram(Rule rule, const Parameters& start);
};

}  // namespace workloads
