#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <chainrule/bench/workloads/perceptron.hpp>

/// The workloads written with libtorch as its documentation advises, at its best settings. Inputs
/// are taken over once, without copies where the memory can be shared. There is no type of
/// libtorch's here, whose headers take the longest to compile of all that is in this project.
namespace peers {

/// The versions that were loaded, and how they are set.
std::string libtorch_settings();
/// How many threads there are. `set_libtorch_threads` first.
std::string libtorch_thread_settings();
/// How many threads libtorch may use, and the BLAS library below it.
void set_libtorch_threads(int count);
/// Whether that library has threads of its own, beside those of OpenMP.
bool blas_has_own_threads();

/// What the tensors of libtorch hold in bytes. (Not its nodes, which come from elsewhere.) From the
/// first call on, every allocation is counted, which takes some time.
struct LiveBytes {
  std::int64_t now, peak;
};
LiveBytes libtorch_bytes();
/// Makes the live bytes of now the peak.
void reset_libtorch_peak();

/// A computation with inputs that require gradients.
struct Program {
  std::function<void()> forward;   ///< without recording, in inference mode
  std::function<void()> recorded;  ///< and freed
  std::function<void()>
      backward;  ///< forward, recorded, and backward; removes the gradients before
  std::function<std::vector<float>()> result;
  /// What backward() left, of each input.
  std::function<std::vector<std::vector<float>>()> gradients;
};

/// h ← σ((h + b) ⊗ m)·w, `rounds` times, and the sum of h for backward(); all are (side, side).
/// The inputs are b, m and w; each call starts from the next of the matrices x.
Program tiny_chain(int side, int rounds, const std::vector<std::vector<float>>& x,
                   const std::vector<float>& b, const std::vector<float>& m,
                   const std::vector<float>& w);

/// start · factor · factor · …, `length` times; the inputs are both. forward is not set.
Program scalar_chain(int length, float start, float factor);
/// x·factor + x·factor + …, `width` summands; the inputs are both. forward is not set.
Program fan_out(int width, float x, float factor);

/// The function of this name in workloads/functions.hpp, of inputs of these shapes, in f64 if
/// `wide`.
Program function(const std::string& name, const std::vector<std::vector<std::int64_t>>& shapes,
                 bool wide, const std::vector<std::vector<float>>& inputs,
                 const std::vector<float>& seed);

/// A perceptron: torch::nn::Sequential, cross_entropy, and torch::optim.
class Perceptron {
 public:
  Perceptron(const workloads::Network& network, const workloads::Data& data,
             const workloads::Start& start);
  Perceptron(Perceptron&&) noexcept;
  ~Perceptron();

  float gradients(std::size_t i);
  float step(std::size_t i);
  /// Weights (inputs, units), then bias.
  std::vector<float> gradient(std::size_t layer) const;

  /// The product of the Hessian of batch i's loss with `direction` (numbers for each parameter:
  /// weight (units, inputs) and bias of each layer), without reading it.
  void hessian_vector(std::size_t i);
  void set_direction(const std::vector<std::vector<float>>& direction);
  std::vector<std::vector<float>> last_product() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Steps of an optimizer with gradients that stay as they are, for parameters of these numbers.
/// Reads parameter 0.
struct OptimizerProgram {
  std::function<void()> step;
  std::function<std::vector<float>()> parameter;
};
/// Adam, or SGD with a momentum of 0.9.
OptimizerProgram optimizer(bool adam, float rate, const std::vector<std::vector<float>>& parameters,
                           const std::vector<std::vector<float>>& gradients);

}  // namespace peers
