#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include <chainrule/graph/checking/check_derivation.hpp>

/// Models with the gradients that a person derived for them on paper.
namespace mistakes {

/// A computed loss, and formulas for its gradients, from the loss backwards.
struct Derived {
  std::string model;
  chainrule::Tensor loss;
  std::vector<chainrule::Formula> formulas;
};

/// What ends a perceptron: softmax with −Σ y log p, half the squared distance, or a sigmoid with
/// the loss of two classes. All as the mean over the samples.
enum class Ending { softmax, squared, two_classes };
enum class Hidden { sigmoid, tanh, relu };

/// A perceptron with samples in columns, whose tensors are named W1, b1, z1, h1, … x, y, p.
/// Layers count from 1, h[0] is x.
struct Perceptron {
  Perceptron(const std::vector<std::int64_t>& units, std::int64_t samples, std::uint64_t seed,
             Ending ending = Ending::softmax, Hidden hidden = Hidden::sigmoid);

  int layers() const noexcept { return static_cast<int>(W.size()) - 1; }
  /// φ'(z) of the hidden layers.
  chainrule::Tensor slope(const chainrule::Tensor& z) const;
  /// What a person who goes wrong somewhere puts in the place of a formula's value; it is given the
  /// gradients so far by name.
  using Gradients = std::map<std::string, chainrule::Tensor>;
  using Change = std::function<chainrule::Tensor(const std::string& name, chainrule::Tensor right,
                                                 const Gradients& so_far)>;
  /// dz, dW, db, dh of every layer, from the last to the first, each from those before it.
  std::vector<chainrule::Formula> chain(const Change& change = {}) const;

  Ending ending;
  Hidden hidden;
  std::int64_t samples;
  std::vector<chainrule::Tensor> W{{}}, b{{}}, z{{}}, h;
  chainrule::Tensor x, y, p, loss;
};

/// Fifty right derivations: perceptrons of several depths, activations and losses, linear, ridge
/// and softmax regression, an autoencoder with shared weights, an attention head, layer
/// normalisation, and a recurrent network.
std::vector<Derived> right_derivations();

}  // namespace mistakes
