#pragma once

#include <utility>
#include <vector>

#include <chainrule/nn/optim/optimizer.hpp>

namespace chainrule::nn {

/// Options of Adam.
struct AdamOptions {
  std::pair<double, double> betas = {0.9, 0.999};  ///< β₁ and β₂, from 0 to below 1
  double eps = 1e-8;                               ///< ε ≥ 0
  double weight_decay = 0;                         ///< λ ≥ 0
  bool amsgrad = false;                            ///< divide by the largest v so far
  /// Leave parameters without a gradient as they are, instead of throwing.
  bool allow_missing = false;
};

/// Options of AdamW: as of Adam, with a decay.
struct AdamWOptions {
  std::pair<double, double> betas = {0.9, 0.999};
  double eps = 1e-8;
  double weight_decay = 0.01;
  bool amsgrad = false;
  bool allow_missing = false;
};

/// Adam, as PyTorch's does it. In the t-th update of the parameter w, with its gradient g:
///
///     g ← g + λ w
///     m ← β₁ m + (1 − β₁) g
///     v ← β₂ v + (1 − β₂) g ⊗ g
///     w ← w − η m̂ ⊘ (√v̂ + ε)    with m̂ = m / (1 − β₁ᵗ), v̂ = v / (1 − β₂ᵗ)
///
/// where m and v begin with 0. D. P. Kingma, J. Ba, "Adam: A Method for Stochastic Optimization",
/// ICLR 2015, algorithm 1. With amsgrad v̂ is made of the elementwise maximum of all v so far:
/// S. J. Reddi, S. Kale, S. Kumar, "On the Convergence of Adam and Beyond", ICLR 2018, with the
/// correction of v̂ that PyTorch keeps. A parameter without a gradient, where that is allowed, keeps
/// its m, v and t.
class Adam : public Optimizer {
 public:
  /// Throws as Optimizer, and ValueError for options out of their range, NaN or infinite.
  Adam(std::vector<Tensor> parameters, double learning_rate = 1e-3, AdamOptions options = {},
       Where where = Where::current());

  const AdamOptions& options() const noexcept { return options_; }

 protected:
  /// `decoupled` says how the weights decay: as AdamW's.
  Adam(const char* name, std::vector<Tensor> parameters, double learning_rate, AdamOptions options,
       bool decoupled, const Where& where);

 private:
  // What belongs to one parameter, in its shape; undefined before its first step.
  struct Moments {
    Tensor m, v, largest_v;
  };

  void prepare(std::size_t i, const Value& parameter) override;
  void update(std::size_t i, Value& parameter, const Value& gradient) override;

  AdamOptions options_;
  bool decoupled_;
  std::vector<Moments> moments_;
};

/// Adam with decoupled weight decay: instead of adding λ w to the gradient, every update begins
/// with w ← w − η λ w. I. Loshchilov, F. Hutter, "Decoupled Weight Decay Regularization", ICLR
/// 2019, algorithm 2, where PyTorch's learning rate η also scales the decay.
class AdamW : public Adam {
 public:
  /// Throws as Adam.
  AdamW(std::vector<Tensor> parameters, double learning_rate = 1e-3, AdamWOptions options = {},
        Where where = Where::current());
};

}  // namespace chainrule::nn
