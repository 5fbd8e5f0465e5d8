#pragma once

#include <algorithm>
#include <functional>
#include <span>
#include <vector>

#include <chainrule/core/tensor.hpp>

namespace chainrule::detail {

/// The nodes whose gradients were asked for. Rules may ask about each of many nodes.
class Targets {
 public:
  explicit Targets(std::span<const Tensor> tensors) : tensors_(tensors) {}
  bool contain(const Node* node) const {
    if (tensors_.size() < 16)
      return std::ranges::any_of(tensors_, [&](const Tensor& t) { return t.node() == node; });
    if (nodes_.empty()) {
      nodes_.reserve(tensors_.size());
      for (const Tensor& tensor : tensors_) nodes_.push_back(tensor.node());
      std::ranges::sort(nodes_, std::less());
    }
    return std::ranges::binary_search(nodes_, node, std::less());
  }

 private:
  std::span<const Tensor> tensors_;
  mutable std::vector<const Node*> nodes_;  // of many, in order, once asked
};

}  // namespace chainrule::detail
