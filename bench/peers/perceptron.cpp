// Training steps of the perceptrons of bench/perceptron with nn against libtorch, and the peaks of
// both ones' live memory. Then products of the smallest one's Hessian with a vector. One thread.

#include <chainrule/bench/peers/compare.hpp>
#include <chainrule/bench/workloads/perceptron_nn.hpp>

namespace {

using chainrule::Tensor;
using namespace workloads;

struct Case {
  const Network& network;
  const Data& data;
  const Start& start;
  std::string label;
};

void steps(bench::Report& report, const Case& of, double target) {
  {
    WithNn program(of.network, of.data, of.start);
    peers::Perceptron peer(of.network, of.data, of.start);
    require_agreement(of.network, of.label, peer, program);
  }
  WithNn program(of.network, of.data, of.start);
  peers::Perceptron peer(of.network, of.data, of.start);
  peers::compare(report, of.label, stepper(peer), stepper(program),
                 {.seconds = 10e-3, .target = bench::at_least(target)});
}

// Peaks in steps four to eight, after the memory of both is what it stays.
void memory(bench::Report& report, const Case& of) {
  const std::int64_t before = chainrule::memory_stats().live_bytes;
  const std::int64_t peer_before = peers::libtorch_bytes().now;
  WithNn program(of.network, of.data, of.start);
  peers::Perceptron peer(of.network, of.data, of.start);
  for (std::size_t i = 0; i < 8; ++i) {
    if (i == 3) {
      chainrule::reset_peak_memory();
      peers::reset_libtorch_peak();
    }
    bench::keep(program.step(i));
    bench::keep(peer.step(i));
  }
  const auto ours = static_cast<double>(chainrule::memory_stats().peak_bytes - before);
  const auto theirs = static_cast<double>(peers::libtorch_bytes().peak - peer_before);
  report.figure(of.label + ": peak of live memory, libtorch (tensors only)", theirs / (1 << 20),
                "MiB");
  report.figure(of.label + ": peak of live memory, chainrule", ours / (1 << 20), "MiB");
  report.figure(of.label + ": peak of live memory, chainrule / libtorch", ours / theirs, "x", 1);
}

void hessian(bench::Report& report, const Case& of, std::mt19937& random) {
  WithNn program(of.network, of.data, of.start);
  peers::Perceptron peer(of.network, of.data, of.start);
  const std::vector<Tensor> parameters = program.parameters();
  std::normal_distribution<float> normal;
  std::vector<std::vector<float>> direction;
  std::vector<Tensor> seeds;
  for (const Tensor& each : parameters) {
    direction.emplace_back(static_cast<std::size_t>(each.numel()));
    for (float& number : direction.back()) number = normal(random);
    seeds.push_back(chainrule::from_vector(direction.back(), each.shape()));
  }
  peer.set_direction(direction);
  std::vector<Tensor> product;
  const auto ours = [&](std::size_t i) {
    const std::vector<Tensor> gradients =
        chainrule::grad(program.loss(i), parameters, {.create_graph = true});
    product = chainrule::grad(gradients, seeds, parameters);
  };
  ours(0);
  peer.hessian_vector(0);
  const auto want = peer.last_product();
  double worst = 0;
  for (std::size_t i = 0; i < want.size(); ++i)
    worst = std::max(worst, difference(want[i], product[i].to_vector<float>(), of.label));
  // Sums of a few hundred f32 numbers in another order, twice over.
  bench::require(worst <= 1e-4, of.label + ": the products with the Hessian differ");
  std::printf("  %s: Hessian-vector products agree to %.0e\n", of.label.c_str(), worst);
  peers::compare(
      report, of.label + ", Hessian-vector product",
      [&, i = std::size_t{0}]() mutable { peer.hessian_vector(i++ % Data::batches); },
      [&, i = std::size_t{0}]() mutable { ours(i++ % Data::batches); }, {.seconds = 5e-3});
}

void noise(bench::Report& report, const Case& of) {
  peers::Perceptron one(of.network, of.data, of.start), other(of.network, of.data, of.start);
  const auto same = bench::compare(peers::pairs, 10e-3, stepper(one), stepper(other));
  report.ratio(of.label + ": libtorch / libtorch (noise)", same.ratio);
}

}  // namespace

int main(int argc, char** argv) {
  peers::prepare();
  bench::Report report(argc, argv);
  // For each network, by the size of the batch: how many times faster than libtorch a step should
  // be.
  constexpr double faster[4][4] = {
      {25, 7.5, 3, 2.4}, {3.8, 1.8, 1.2, 1.1}, {2.9, 1.8, 1.07, 1.05}, {6, 2.6, 1.08, 1.02}};
  // Memory after all times, since libtorch's allocations are counted from then on.
  const auto each_case = [](auto&& f) {
    std::mt19937 random(20240229);
    for (std::size_t n = 0; n < networks().size(); ++n)
      for (std::size_t b = 0; b < std::size(batches); ++b) {
        const Network& network = networks()[n];
        const Data data(network, batches[b], random);
        const Start start(network, random);
        f(n, b, {network, data, start, network.name() + ", batch " + std::to_string(batches[b])},
          random);
      }
  };
  each_case([&](std::size_t n, std::size_t b, const Case& of, std::mt19937& random) {
    steps(report, of, faster[n][b]);
    if (batches[b] != 32) return;
    if (n == 0) hessian(report, of, random);
    if (n == 1) noise(report, of);
  });
  each_case([&](std::size_t, std::size_t, const Case& of, std::mt19937&) { memory(report, of); });
  peers::finish(report, "perceptrons");
}
