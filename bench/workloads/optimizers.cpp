#include <chainrule/bench/workloads/optimizers.hpp>

#include <chainrule/nn/optim/adam.hpp>

namespace workloads {

namespace nn = chainrule::nn;

std::string name_of(Rule rule) { return rule == Rule::adam ? "Adam" : "SGD with momentum"; }

Parameters::Parameters(std::size_t total, std::mt19937& random) {
  std::normal_distribution<float> normal;
  for (int part = 0; part < 4; ++part) {
    values.emplace_back(total / 4);
    gradients.emplace_back(total / 4);
    for (float& each : values.back()) each = normal(random);
    for (float& each : gradients.back()) each = normal(random);
  }
}

OptimizerProgram::OptimizerProgram(Rule rule, const Parameters& start) {
  for (std::size_t i = 0; i < start.values.size(); ++i) {
    parameters.push_back(chainrule::from_vector(start.values[i]).requires_grad_());
    parameters.back().set_grad(chainrule::from_vector(start.gradients[i]));
  }
  const double rate = static_cast<double>(rate_of(rule));
  if (rule == Rule::adam)
    optimizer = std::make_unique<nn::Adam>(parameters, rate);
  else
    optimizer = std::make_unique<nn::SGD>(
        parameters, rate, nn::SGDOptions{.momentum = static_cast<double>(momentum)});
}

}  // namespace workloads
