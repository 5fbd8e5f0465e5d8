#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <random>
#include <string>
#include <vector>

#include <chainrule/bench/measure.hpp>

/// The perceptrons that are trained, with data that all programs read from the same memory.
namespace workloads {

/// Sigmoid or relu in the hidden layers, softmax cross-entropy, mean over the batch; SGD or Adam.
struct Network {
  std::vector<int> sizes;  ///< inputs, units of each hidden layer, classes
  bool relu;
  bool adam;

  std::size_t layers() const noexcept { return sizes.size() - 1; }
  float rate() const noexcept { return adam ? 1e-3F : 1e-2F; }
  /// "64-32-32-10 sigmoid SGD"
  std::string name() const;
};

/// From small to large.
const std::vector<Network>& networks();
/// Samples in a batch.
inline constexpr int batches[] = {1, 32, 256, 1024};

/// Random batches.
struct Data {
  static constexpr std::size_t batches = 8;
  int batch, inputs;
  std::vector<float> x;              // (batches, batch, inputs)
  std::vector<std::int64_t> labels;  // (batches, batch)

  Data(const Network& network, int rows, std::mt19937& random);
  const float* x_at(std::size_t i) const {
    return x.data() + i * static_cast<std::size_t>(batch) * static_cast<std::size_t>(inputs);
  }
  const std::int64_t* labels_at(std::size_t i) const {
    return labels.data() + i * static_cast<std::size_t>(batch);
  }
};

/// What training begins with: weights (inputs, units) and biases of each layer, row-major.
struct Start {
  std::vector<std::vector<float>> weights, biases;

  Start(const Network& network, std::mt19937& random);
};

// The programs that train a network have: gradients(i) for batch i, which leaves them behind and
// returns the loss; step(i), a whole training step; and gradient(l), weights (inputs, units) then
// bias.

/// ‖a − b‖ / ‖a‖ in the Euclidean norm. Ends the program if there is nothing but zeros or something
/// that is no number.
double difference(const std::vector<float>& a, const std::vector<float>& b,
                  const std::string& what);

/// Ends the program unless two of them give the same gradients for one batch, and then nearly the
/// same losses in some steps. Both must be new.
template <class A, class B>
void require_agreement(const Network& network, const std::string& what, A& a, B& b) {
  const float want = a.gradients(0), got = b.gradients(0);
  bench::require(std::abs(want - got) <= 1e-5F * std::abs(want), what + ": the loss differs");
  double worst = 0;
  for (std::size_t l = 0; l < network.layers(); ++l)
    worst = std::max(worst, difference(a.gradient(l), b.gradient(l), what));
  // Sums of up to 1,024 f32 numbers in another order, and other approximations of exp. With relu,
  // among a million units one may be zero but for rounding, on in one program and off in the other:
  // one of the 500,000 derivatives that are not 0 in its layer, 1/√500,000 of their norm.
  bench::require(worst <= (network.relu ? 1e-2 : 1e-5), what + ": the gradients differ");
  double apart = 0;
  for (std::size_t i = 0; i < 4; ++i) {
    const float one = a.step(i), other = b.step(i);
    apart = std::max(apart, static_cast<double>(std::abs(one - other) / std::abs(one)));
  }
  // Adam's first steps are ±rate in each parameter, also where the gradient is as good as zero and
  // its sign a matter of rounding.
  bench::require(apart <= (network.adam ? 1e-2 : 1e-4), what + ": the losses differ");
  std::printf("  %s: gradients agree to %.0e, the losses of 4 steps to %.0e\n", what.c_str(), worst,
              apart);
}

/// A step on the next batch, whose loss is used.
template <class Program>
auto stepper(Program& program) {
  return [&program, next = std::size_t{0}]() mutable {
    bench::keep(program.step(next++ % Data::batches));
  };
}

}  // namespace workloads
