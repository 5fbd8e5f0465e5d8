// Steps of optimizers on their own, from 10,000 to 10,000,000 parameters, against torch::optim.

#include <chainrule/bench/peers/compare.hpp>
#include <chainrule/bench/workloads/optimizers.hpp>

namespace {

using namespace workloads;

void measure(bench::Report& report, Rule rule, std::size_t total, std::mt19937& random) {
  const Parameters start(total, random);
  const std::string label = name_of(rule) + ", " + std::to_string(total) + " parameters";
  const peers::OptimizerProgram peer =
      peers::optimizer(rule == Rule::adam, rate_of(rule), start.values, start.gradients);
  OptimizerProgram program(rule, start);
  for (int i = 0; i < 5; ++i) {
    peer.step();
    program.optimizer->step();
  }
  // A few operations in another order; relative to numbers of up to 5.
  bench::require(
      difference(peer.parameter(), program.parameters[0].to_vector<float>(), label) <= 1e-5,
      label + ": the parameters differ");
  peers::compare(report, label, peer.step, [&] { program.optimizer->step(); }, {.seconds = 5e-3});
}

}  // namespace

int main(int argc, char** argv) {
  peers::prepare();
  bench::Report report(argc, argv);
  std::mt19937 random(20240229);
  for (Rule rule : {Rule::momentum, Rule::adam})
    for (std::size_t total : {10'000, 100'000, 1'000'000, 10'000'000})
      measure(report, rule, total, random);
  peers::finish(report, "optimizers");
}
