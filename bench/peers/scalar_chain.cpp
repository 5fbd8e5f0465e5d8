// A chain and a fan-out of 1,000,000 operations on scalars, forward + backward + freeing, against
// libtorch with 100,000: a million takes it 8 s and 18 s.

#include <chainrule/chainrule.hpp>

#include <cmath>

#include <chainrule/bench/peers/compare.hpp>

namespace {

using chainrule::Tensor;

constexpr int length = 1'000'000, peer_length = 100'000;
constexpr float factor = 1.0000001F;  // in f32 the next number above 1

struct Program {
  Tensor x = chainrule::full({}, 0.75).requires_grad_();
  Tensor w = chainrule::full({}, factor).requires_grad_();

  void zero_grad() {
    x.zero_grad();
    w.zero_grad();
  }
  void chain(int n) {
    zero_grad();
    Tensor h = x;
    for (int i = 0; i < n; ++i) h = h * w;
    h.backward();
  }
  void fan_out(int n) {
    zero_grad();
    Tensor sum = x * w;
    for (int i = 1; i < n; ++i) sum = sum + x * w;
    sum.backward();
  }
};

void check(const std::string& what, const Program& program, const peers::Program& peer) {
  peer.backward();
  const auto want = peer.gradients();
  // f32 sums of 100,000 terms, each of them the same numbers in the same order.
  const double apart =
      std::max(workloads::difference(want[0], program.x.grad().to_vector<float>(), what),
               workloads::difference(want[1], program.w.grad().to_vector<float>(), what));
  bench::require(apart <= 1e-4, what + ": the gradients differ");
  std::printf("%s: gradients agree to %.0e\n", what.c_str(), apart);
}

}  // namespace

int main(int argc, char** argv) {
  peers::prepare();
  bench::Report report(argc, argv);
  Program program;
  const auto how = [](double operations) {
    return peers::How{.seconds = 1e-3,
                      .unit = "ns/op",
                      .scale = 1e9,
                      .steps = operations * length,
                      .peer_steps = operations * peer_length};
  };
  const peers::Program chain = peers::scalar_chain(peer_length, 0.75F, factor);
  program.chain(peer_length);
  check("scalar chain", program, chain);
  peers::compare(
      report, "scalar chain, forward + backward", chain.backward, [&] { program.chain(length); },
      how(1));
  const peers::Program fan = peers::fan_out(peer_length, 0.75F, factor);
  program.fan_out(peer_length);
  check("scalar fan-out", program, fan);
  peers::compare(
      report, "scalar fan-out, forward + backward", fan.backward, [&] { program.fan_out(length); },
      how(2));
  peers::finish(report, "scalar chains");
}
