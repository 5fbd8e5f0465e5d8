// Steps of optimizers on their own, from 10,000 to 10,000,000 parameters (f32, one thread), against
// the same update written by hand (floors/optimizers.hpp).

#include <chainrule/core/threads.hpp>

#include <chainrule/bench/floors/optimizers.hpp>
#include <chainrule/bench/measure.hpp>
#include <chainrule/bench/workloads/optimizers.hpp>
#include <chainrule/bench/workloads/perceptron.hpp>

namespace {

using namespace workloads;

struct ByHand {
  Rule rule;
  std::vector<std::vector<float>> w, g, m, v;
  int t = 0;

  ByHand(Rule of, const Parameters& start)
      : rule(of), w(start.values), g(start.gradients), m(w), v(w) {
    for (auto* state : {&m, &v})
      for (std::vector<float>& each : *state) std::ranges::fill(each, 0.0F);
  }
  void step() {
    ++t;
    for (std::size_t i = 0; i < w.size(); ++i)
      if (rule == Rule::adam)
        floors::adam(w[i].data(), g[i].data(), m[i].data(), v[i].data(), w[i].size(), t,
                     rate_of(rule));
      else
        floors::sgd_momentum(w[i].data(), g[i].data(), m[i].data(), w[i].size(), rate_of(rule),
                             momentum);
  }
};

void measure(bench::Report& report, Rule rule, std::size_t total, std::mt19937& random) {
  const Parameters start(total, random);
  const std::string label = name_of(rule) + ", " + std::to_string(total) + " parameters";
  ByHand by_hand(rule, start);
  OptimizerProgram program(rule, start);
  for (int i = 0; i < 5; ++i) {
    by_hand.step();
    program.optimizer->step();
  }
  // A few operations in another order; relative to numbers of up to 5.
  bench::require(difference(by_hand.w[0], program.parameters[0].to_vector<float>(), label) <= 1e-5,
                 label + ": the parameters differ");
  const auto both =
      bench::compare(11, 5e-3, [&] { program.optimizer->step(); }, [&] { by_hand.step(); });
  report.figure(label + ": chainrule", both.a.median * 1e6, "us");
  report.figure(label + ": by hand", both.b.median * 1e6, "us");
  report.ratio(label + ": chainrule / by hand", both.ratio);
}

}  // namespace

int main(int argc, char** argv) {
  chainrule::set_num_threads(1);
  bench::Report report(argc, argv);
  std::mt19937 random(20240229);
  for (Rule rule : {Rule::momentum, Rule::adam})
    for (std::size_t total : {10'000, 100'000, 1'000'000, 10'000'000})
      measure(report, rule, total, random);
}
