#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <chainrule/bench/floors/products.hpp>

/// The training step of a multilayer perceptron written by hand: what a program without any
/// framework does. The buffers are allocated once, products write into them without temporaries,
/// and what is elementwise is one vectorised pass.
namespace floors {

/// Of the hidden layers.
enum class Activation { sigmoid, relu };
enum class Optimizer { sgd, adam };

/// Softmax and cross-entropy at the output, mean over the batch; f32. Samples are rows, weights
/// (inputs, units), all row-major.
class Perceptron {
 public:
  /// `sizes`: inputs, units of each hidden layer, classes.
  Perceptron(std::span<const int> sizes, int batch, Activation activation, Optimizer optimizer,
             float rate, Engine engine);

  /// The formulas of the derivation for one batch x (batch, inputs), with a class for each sample:
  /// fills the gradients and returns the loss.
  float gradients(const float* x, const std::int64_t* labels);
  /// gradients(), and a step of the optimizer.
  float step(const float* x, const std::int64_t* labels);
  /// The same with SGD, where the update of a weight is part of the product that makes its
  /// gradient, which is never stored.
  float fused_step(const float* x, const std::int64_t* labels);

  std::size_t layers() const noexcept { return layers_.size(); }
  std::vector<float>& weight(std::size_t layer) { return layers_[layer].weight.value; }
  std::vector<float>& bias(std::size_t layer) { return layers_[layer].bias.value; }
  const std::vector<float>& weight_gradient(std::size_t layer) const {
    return layers_[layer].weight.gradient;
  }
  const std::vector<float>& bias_gradient(std::size_t layer) const {
    return layers_[layer].bias.gradient;
  }
  /// Of all its buffers.
  std::size_t bytes() const;

 private:
  struct Parameter {
    std::vector<float> value, gradient;
    std::vector<float> m, v;  // Adam's
  };
  struct Layer {
    int inputs, units;
    Parameter weight, bias;
    std::vector<float> h;   // (batch, units); logits less their maximum in the last layer
    std::vector<float> dz;  // (batch, units)
  };

  float forward(const float* x, const std::int64_t* labels);
  float softmax(const std::int64_t* labels);
  void slopes(std::size_t layer);
  void bias_sums(Layer& layer) const;
  const float* input_of(std::size_t layer, const float* x) const {
    return layer == 0 ? x : layers_[layer - 1].h.data();
  }

  int batch_;
  Activation activation_;
  Optimizer optimizer_;
  float rate_;
  Engine engine_;
  int steps_ = 0;
  std::vector<Layer> layers_;
};

}  // namespace floors
