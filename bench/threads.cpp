// Training steps of the perceptrons with nn on two threads against one, by the clock on the wall.

#include <chainrule/core/threads.hpp>

#include <chainrule/bench/workloads/perceptron_nn.hpp>

namespace {

using namespace workloads;

// Two programs, of which each sets the number of threads before its steps: setting it costs a
// store.
void measure(bench::Report& report, const Network& network, int batch, std::mt19937& random) {
  const Data data(network, batch, random);
  const Start start(network, random);
  const std::string label = network.name() + ", batch " + std::to_string(batch);
  {
    WithNn one(network, data, start), two(network, data, start);
    chainrule::set_num_threads(1);
    bench::keep(one.gradients(0));
    chainrule::set_num_threads(2);
    bench::keep(two.gradients(0));
    // The same numbers summed in another order.
    for (std::size_t l = 0; l < network.layers(); ++l)
      bench::require(difference(one.gradient(l), two.gradient(l), label) <= 1e-5,
                     label + ": the gradients of one and two threads differ");
  }
  WithNn one(network, data, start), two(network, data, start);
  const auto on = [](int threads, WithNn& program) {
    return [threads, step = stepper(program)]() mutable {
      chainrule::set_num_threads(threads);
      step();
    };
  };
  const auto both = bench::compare(11, 10e-3, on(1, one), on(2, two), bench::Clock::wall);
  report.figure(label + ": one thread", both.a.median * 1e6, "us");
  report.figure(label + ": two threads", both.b.median * 1e6, "us");
  const bool largest = network.sizes.size() == 5 && batch == 1024;
  // Two threads should never be slower; what is too small for them takes the same time but for
  // noise.
  report.ratio(label + ": one thread / two threads", both.ratio,
               bench::at_least(largest ? 1.8 : 0.97));
}

}  // namespace

int main(int argc, char** argv) {
  bench::Report report(argc, argv);
  std::mt19937 random(20240229);
  for (const Network& network : networks())
    for (int batch : batches) measure(report, network, batch, random);
}
