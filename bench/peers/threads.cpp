// Training steps of the perceptrons of bench/perceptron with nn against libtorch, both on two
// threads, by the clock on the wall.

#include <chainrule/bench/peers/compare.hpp>
#include <chainrule/bench/workloads/perceptron_nn.hpp>

namespace {

using namespace workloads;

void measure(bench::Report& report, const Network& network, int batch, std::mt19937& random) {
  const Data data(network, batch, random);
  const Start start(network, random);
  const std::string label = network.name() + ", batch " + std::to_string(batch);
  {
    WithNn program(network, data, start);
    peers::Perceptron peer(network, data, start);
    require_agreement(network, label, peer, program);
  }
  WithNn program(network, data, start);
  peers::Perceptron peer(network, data, start);
  peers::compare(report, label + ", two threads", stepper(peer), stepper(program),
                 {.seconds = 10e-3, .busy = network.sizes[1] >= 512 && batch >= 256});
}

}  // namespace

int main(int argc, char** argv) {
  peers::prepare(2);
  bench::Report report(argc, argv);
  std::mt19937 random(20240229);
  for (const Network& network : networks())
    for (int batch : batches) measure(report, network, batch, random);
  peers::finish(report, "perceptrons");
}
