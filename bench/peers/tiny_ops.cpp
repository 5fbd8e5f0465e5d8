// The chain of bench/tiny_ops (add, mul, sigmoid, matmul in turn) on square tensors of 1 to 65,536
// elements, against libtorch: without recording, recorded, and forward + backward; all with the
// freeing of what was made.

#include <chainrule/chainrule.hpp>

#include <cmath>
#include <random>

#include <chainrule/bench/peers/compare.hpp>

namespace {

using chainrule::Tensor;

struct Chain {
  int side, rounds;
  std::vector<std::vector<float>> x;
  std::vector<float> b, m, w;
};

// As in bench/tiny_ops: w is 4 times an orthogonal matrix, which the slope of the sigmoid near 0,
// 1/4, undoes; m is near ±1; b brings h back to the middle of the sigmoid.
Chain make_chain(int side, int rounds, std::mt19937& random) {
  std::normal_distribution<double> normal;
  const auto n = static_cast<std::size_t>(side);
  std::vector<std::vector<double>> q(n, std::vector<double>(n));
  for (std::size_t i = 0; i < n; ++i) {  // Gram and Schmidt
    for (double& each : q[i]) each = normal(random);
    for (std::size_t j = 0; j < i; ++j) {
      double along = 0;
      for (std::size_t k = 0; k < n; ++k) along += q[i][k] * q[j][k];
      for (std::size_t k = 0; k < n; ++k) q[i][k] -= along * q[j][k];
    }
    double length = 0;
    for (double each : q[i]) length += each * each;
    for (double& each : q[i]) each /= std::sqrt(length);
  }
  Chain chain{side, rounds, std::vector<std::vector<float>>(8), {}, {}, {}};
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < n; ++j) {
      double column = 0;
      for (std::size_t k = 0; k < n; ++k) column += 4 * q[k][j];
      chain.w.push_back(static_cast<float>(4 * q[i][j]));
      chain.b.push_back(static_cast<float>(-0.5 * column + 0.01 * normal(random)));
      chain.m.push_back(
          static_cast<float>((normal(random) < 0 ? -1 : 1) * (1 + 0.01 * normal(random))));
      for (std::vector<float>& x : chain.x)
        x.push_back(static_cast<float>(0.5 * column + 0.5 * normal(random)));
    }
  return chain;
}

struct Program {
  int rounds;
  std::vector<Tensor> x;
  Tensor b, m, w, seed;
  std::size_t next = 0;

  explicit Program(const Chain& chain)
      : rounds(chain.rounds), seed(chainrule::ones({chain.side, chain.side})) {
    const auto tensor_of = [&](const std::vector<float>& from) {
      return chainrule::from_vector(from, {chain.side, chain.side});
    };
    for (const std::vector<float>& each : chain.x) x.push_back(tensor_of(each));
    b = tensor_of(chain.b).requires_grad_();
    m = tensor_of(chain.m).requires_grad_();
    w = tensor_of(chain.w).requires_grad_();
  }
  Tensor run() {
    Tensor h = x[next++ % x.size()];
    for (int i = 0; i < rounds; ++i) h = matmul(sigmoid((h + b) * m), w);
    return h;
  }
  void backward() {
    for (Tensor* each : {&b, &m, &w}) each->zero_grad();
    chainrule::backward(run(), seed);
  }
};

void measure(bench::Report& report, int side, int rounds, std::mt19937& random) {
  const Chain chain = make_chain(side, rounds, random);
  const peers::Program peer = peers::tiny_chain(side, rounds, chain.x, chain.b, chain.m, chain.w);
  const std::string label =
      "chain, " + std::to_string(side * side) + (side == 1 ? " element" : " elements");
  {
    Program program(chain);
    peer.backward();
    program.backward();
    const Tensor* inputs[] = {&program.b, &program.m, &program.w};
    const std::vector<std::vector<float>> want = peer.gradients();
    double worst = 0;
    for (std::size_t i = 0; i < want.size(); ++i)
      worst = std::max(worst,
                       workloads::difference(want[i], inputs[i]->grad().to_vector<float>(), label));
    // Rounding errors of f32 (6e-8) along 1,000 operations.
    bench::require(worst <= 1e-3, label + ": the gradients differ");
    std::printf("%s: gradients agree to %.0e\n", label.c_str(), worst);
  }
  Program program(chain);
  const double operations = 4.0 * rounds, seconds = 4e-3;
  const auto compare = [&](const char* what, auto&& theirs, auto&& ours,
                           const bench::Target& target) {
    peers::compare(report, label + ", " + what, theirs, ours,
                   {.seconds = seconds,
                    .target = target,
                    .unit = "ns/op",
                    .scale = 1e9,
                    .steps = operations,
                    .peer_steps = operations});
  };
  compare("without recording", peer.forward,
          [&] {
            const chainrule::NoGrad guard;
            bench::keep(program.run());
          },
          {});
  compare("recorded", peer.recorded, [&] { bench::keep(program.run()); }, {});
  compare(
      "forward + backward", peer.backward, [&] { program.backward(); },
      side <= 4 ? bench::at_least(25) : bench::Target());
}

}  // namespace

int main(int argc, char** argv) {
  peers::prepare();
  bench::Report report(argc, argv);
  std::mt19937 random(20240229);
  measure(report, 1, 250, random);
  measure(report, 4, 250, random);
  measure(report, 32, 100, random);
  measure(report, 256, 10, random);
  peers::finish(report, "chains");
}
