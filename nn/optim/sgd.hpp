#pragma once

#include <vector>

#include <chainrule/nn/optim/optimizer.hpp>

namespace chainrule::nn {

/// Options of SGD.
struct SGDOptions {
  double momentum = 0;      ///< μ ≥ 0
  double dampening = 0;     ///< τ
  double weight_decay = 0;  ///< λ ≥ 0
  bool nesterov = false;    ///< needs a momentum, and no dampening
  /// Leave parameters without a gradient as they are, instead of throwing.
  bool allow_missing = false;
};

/// Stochastic gradient descent, as PyTorch's SGD does it. With the gradient g of the parameter w:
///
///     g ← g + λ w
///     v ← μ v + (1 − τ) g        (v ← g in the first step)
///     w ← w − η v                (w ← w − η (g + μ v) with nesterov)
///
/// and without momentum w ← w − η g. Momentum: B. T. Polyak, USSR Comp. Math. Math. Phys. 4 (1964)
/// 1. Nesterov's in this form: I. Sutskever, J. Martens, G. Dahl, G. Hinton, "On the importance of
/// initialization and momentum in deep learning", ICML 2013, where v contains the learning rate.
class SGD : public Optimizer {
 public:
  /// Throws as Optimizer, and ValueError for options out of their range, NaN or infinite.
  SGD(std::vector<Tensor> parameters, double learning_rate, SGDOptions options = {},
      Where where = Where::current());

  const SGDOptions& options() const noexcept { return options_; }

 private:
  void prepare(std::size_t i, const Value& parameter) override;
  void update(std::size_t i, Value& parameter, const Value& gradient) override;
  bool takes_rows() const noexcept override;
  void update_rows(std::size_t i, Value& parameter, const RowGradient& gradient) override;

  SGDOptions options_;
  std::vector<Tensor> momentum_;  // v of each parameter; undefined before its first step
};

}  // namespace chainrule::nn
