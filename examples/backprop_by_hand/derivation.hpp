#pragma once

#include <functional>
#include <string>
#include <vector>

#include <chainrule/core/tensor.hpp>
#include <chainrule/examples/backprop_by_hand/network.hpp>

namespace by_hand {

/// The tensors that a network's gradients belong to.
enum class Kind { z, W, b, h };

/// One of them: {Kind::W, 3} is W3.
struct Symbol {
  Kind kind;
  int layer;
};

/// That tensor of a network and its forward pass.
const chainrule::Tensor& tensor_of(const Network& network, const Pass& pass, Symbol of);

/// What may stand in a formula: the network's weights, what the forward pass computed, the labels,
/// and the gradients that the formulas before gave. dz[l] is the gradient of the loss for z[l].
struct Terms {
  Terms(const Network& network, const Pass& pass, const chainrule::Tensor& y);

  /// The gradient for this tensor.
  chainrule::Tensor& gradient(Symbol of);

  std::vector<chainrule::Tensor> W, z, h;
  chainrule::Tensor p, y;
  std::int64_t N;  ///< samples
  std::vector<chainrule::Tensor> dz, dh, dW, db;
};

/// One line of the derivation, as it is written on paper and as it is computed.
struct HandFormula {
  Symbol of;
  std::string gradient;  ///< "dW3"
  std::string text;      ///< "dz3·(h2)ᵀ"
  std::function<chainrule::Tensor(const Terms&)> compute;
};

/// What stands in the columns: one sample, with small letters in the formulas; or a batch and the
/// mean of its losses, with capital ones.
enum class Samples { one, batch };

/// The backward chain of a network with `layers` layers, from the output to the input: dz3, dW3,
/// db3, dh2, dz2, … dW1, db1. These are formulas that a person derived with the chain rule on
/// paper; nothing in them comes from automatic differentiation.
std::vector<HandFormula> backward_chain(int layers, Samples samples);

/// Evaluates the formulas in their order, without recording.
Terms evaluate(const std::vector<HandFormula>& chain, const Network& network, const Pass& pass,
               const chainrule::Tensor& y);

}  // namespace by_hand
