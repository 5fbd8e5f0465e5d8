#pragma once

#include <string>

#include <chainrule/nn/module.hpp>

/// Functions without parameters as modules, for Sequential. See the function of the same name for
/// formula and gradient.
namespace chainrule::nn {

/// 1 / (1 + exp(−x)), elementwise.
class Sigmoid : public Module {
 public:
  Tensor forward(const Tensor& x) override;
};

/// tanh x, elementwise.
class Tanh : public Module {
 public:
  Tensor forward(const Tensor& x) override;
};

/// max(x, 0), elementwise.
class ReLU : public Module {
 public:
  Tensor forward(const Tensor& x) override;
};

/// log(1 + exp x), elementwise.
class Softplus : public Module {
 public:
  Tensor forward(const Tensor& x) override;
};

/// exp(xᵢ) / Σⱼ exp(xⱼ) along one axis, the last one by default. Not for the end of a model that is
/// trained with CrossEntropyLoss, which computes it itself.
class Softmax : public Module {
 public:
  explicit Softmax(int axis = -1) noexcept : axis_(axis) {}
  Tensor forward(const Tensor& x) override;
  std::string description() const override;

 private:
  int axis_;
};

/// xᵢ − log Σⱼ exp(xⱼ) along one axis, the last one by default.
class LogSoftmax : public Module {
 public:
  explicit LogSoftmax(int axis = -1) noexcept : axis_(axis) {}
  Tensor forward(const Tensor& x) override;
  std::string description() const override;

 private:
  int axis_;
};

/// Axes start … end merged into one: by default (batch, …) gives (batch, features).
class Flatten : public Module {
 public:
  explicit Flatten(int start = 1, int end = -1) noexcept : start_(start), end_(end) {}
  Tensor forward(const Tensor& x) override;
  std::string description() const override;

 private:
  int start_, end_;
};

/// x itself.
class Identity : public Module {
 public:
  Tensor forward(const Tensor& x) override;
};

}  // namespace chainrule::nn
