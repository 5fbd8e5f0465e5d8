#pragma once

#include <Eigen/Core>
#include <cstdint>
#include <span>
#include <vector>

/// The training step of a multilayer perceptron written by hand with Eigen: what a program without
/// any framework does. The buffers are allocated once, products write into them without
/// temporaries, and what is elementwise is one vectorised pass.
namespace floors {

/// Sigmoid layers, softmax and cross-entropy, mean over the batch, SGD; f32. Samples are columns:
/// a column-major (features, batch) of Eigen is a row-major (batch, features) in memory.
class Perceptron {
 public:
  /// `sizes`: inputs, units of each hidden layer, classes.
  Perceptron(std::span<const int> sizes, int batch);

  /// The formulas of the derivation for one batch x (features, batch), with a class for each
  /// sample: fills the gradients and returns the loss.
  float gradients(const float* x, const std::int64_t* labels);
  /// W ← W − rate dW, b ← b − rate db.
  void update(float rate);
  /// Both, with the update of W as part of the product that makes dW, which is never stored. Faster
  /// or slower than the two above, as the batch may be.
  float fused_step(const float* x, const std::int64_t* labels, float rate);

  std::size_t layers() const noexcept { return weights_.size(); }
  /// (units, inputs), column-major.
  Eigen::MatrixXf& weight(std::size_t layer) { return weights_[layer]; }
  Eigen::VectorXf& bias(std::size_t layer) { return biases_[layer]; }
  const Eigen::MatrixXf& weight_gradient(std::size_t layer) const {
    return weight_gradients_[layer];
  }
  const Eigen::VectorXf& bias_gradient(std::size_t layer) const { return bias_gradients_[layer]; }

 private:
  using Input = Eigen::Map<const Eigen::MatrixXf>;
  float forward(const Input& x, const std::int64_t* labels);
  template <class H>
  void multiply(std::size_t layer, const H& input, float scale, Eigen::MatrixXf& to);
  void slopes(std::size_t layer);
  void bias_sums(std::size_t layer);

  int batch_;
  std::vector<Eigen::MatrixXf> weights_, weight_gradients_;
  std::vector<Eigen::VectorXf> biases_, bias_gradients_;
  std::vector<Eigen::MatrixXf> h_;   // of each layer; softmax in the last
  std::vector<Eigen::MatrixXf> dz_;  // (units, batch) of each layer
};

}  // namespace floors
