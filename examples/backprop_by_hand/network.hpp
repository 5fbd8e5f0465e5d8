#pragma once

#include <cstdint>
#include <vector>

#include <chainrule/core/random.hpp>
#include <chainrule/core/tensor.hpp>

/// The network of the derivation in tensor operations, in the column convention: one sample is a
/// column (n, 1), a batch of N samples is (n, N), and W[l] has one row for each unit of layer l.
/// Layers are numbered as in the formulas: 1 … L are hidden, L + 1 is the output layer.
namespace by_hand {

struct Network {
  std::vector<chainrule::Tensor> W;  ///< W[l] (units of l, units of l − 1); W[0] is not used
  std::vector<chainrule::Tensor> b;  ///< b[l] (units of l, 1); b[0] is not used

  /// The number of the output layer.
  int layers() const { return static_cast<int>(W.size()) - 1; }
  chainrule::DType dtype() const { return W[1].dtype(); }
  /// W1, b1, W2, b2, …
  std::vector<chainrule::Tensor> parameters() const;
  /// Puts other values in their place: W1, b1, W2, b2, … Each becomes a parameter with its name.
  void set_parameters(const std::vector<chainrule::Tensor>& values);
  /// The same weights in another dtype, as parameters of a network of its own.
  Network converted(chainrule::DType dtype) const;
};

/// A network with `units` in each layer, from the pixels to the classes. The weights are uniform in
/// [−a, a) with a = 4 √(6 / (units before + units)) in the hidden layers (X. Glorot, Y. Bengio,
/// AISTATS 2010, eq. 16, times 4, the inverse of the sigmoid's slope at 0), and without the 4 in
/// the output layer; the biases are 0. f32 has the rounded weights of f64.
Network random_network(const std::vector<std::int64_t>& units, chainrule::DType dtype,
                       chainrule::Generator& generator);

/// What a forward pass computes.
struct Pass {
  std::vector<chainrule::Tensor> z;  ///< z[l] = W[l]·h[l − 1] + b[l]; z[0] is not used
  std::vector<chainrule::Tensor> h;  ///< h[0] = x, h[l] = σ(z[l])
  chainrule::Tensor p;               ///< softmax(z[L + 1]), a probability for each class
};
Pass forward(const Network& network, const chainrule::Tensor& x);

/// p for samples x without a record of what led to it.
chainrule::Tensor predict(const Network& network, const chainrule::Tensor& x);

/// −yᵀ log p for one sample, where y is 1 for the right class and else 0; the mean for a batch.
chainrule::Tensor loss(const chainrule::Tensor& p, const chainrule::Tensor& y);

/// The forward pass from a layer's z or h on, without what comes before: p.
chainrule::Tensor from_z(const Network& network, int layer, chainrule::Tensor z);
chainrule::Tensor from_h(const Network& network, int layer, chainrule::Tensor h);

}  // namespace by_hand
