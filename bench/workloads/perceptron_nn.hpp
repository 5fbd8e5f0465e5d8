#pragma once

#include <chainrule/chainrule.hpp>

#include <memory>
#include <vector>

#include <chainrule/bench/workloads/perceptron.hpp>

namespace workloads {

/// Data as tensors that borrow its memory.
struct Batches {
  std::vector<chainrule::Tensor> x, labels;

  explicit Batches(const Data& data);
};

/// A perceptron as a user of chainrule writes it: Sequential, CrossEntropyLoss, and an optimizer.
class WithNn {
 public:
  WithNn(const Network& network, const Data& data, const Start& start);

  float gradients(std::size_t i);
  float step(std::size_t i);
  std::vector<float> gradient(std::size_t layer) const;

  std::vector<chainrule::Tensor> parameters() const { return model_.parameters(); }
  chainrule::Tensor loss(std::size_t i) { return loss_(model_(data_.x[i]), data_.labels[i]); }

 private:
  const chainrule::nn::Linear& layer(std::size_t l) const;

  Batches data_;
  chainrule::nn::Sequential model_;
  chainrule::nn::CrossEntropyLoss loss_;
  std::unique_ptr<chainrule::nn::Optimizer> optimizer_;
};

}  // namespace workloads
