#pragma once

#include <cstdint>
#include <string>

#include <chainrule/core/random.hpp>
#include <chainrule/nn/module.hpp>
#include <chainrule/ops/nn/linear.hpp>

namespace chainrule::nn {

/// Options of Linear.
struct LinearOptions {
  bool bias = true;
  DType dtype = f32;
  Generator* generator = nullptr;  ///< for the initial values; null: default_generator()
};

/// y = x Wᵀ + b for samples in rows: x (batch, in) gives y (batch, out). Also takes one sample (in)
/// and more axes in front (…, batch, in).
///
/// The weights (out, in) and the bias (out) begin uniform in [−1/√in, 1/√in), as in PyTorch; set()
/// and nn/init/init.hpp give others.
class Linear : public Module {
 public:
  /// Throws ValueError unless both numbers of features are positive, DTypeError unless floating.
  Linear(std::int64_t in_features, std::int64_t out_features, LinearOptions options = {},
         Where where = Where::current());

  /// Throws ShapeError for another number of features, DTypeError for another dtype.
  Tensor forward(const Tensor& x) override;
  /// "Linear(64, 32)"
  std::string description() const override;

  std::int64_t in_features(Where where = Where::current()) const { return features(1, where); }
  std::int64_t out_features(Where where = Where::current()) const { return features(0, where); }

  Parameter weight;  ///< (out, in)
  Parameter bias;    ///< (out), or undefined

 protected:
  bool lists_parameters() const override;

 private:
  friend class Sequential;
  /// The call of this layer together with the activation behind it, in one operation.
  Tensor call_with(const Tensor& x, Activation activation, const Where& where);
  Tensor activated(const Tensor& x, Activation activation) const;
  std::int64_t features(int axis, const Where& where) const {
    check_not_moved(where);
    return weight.size(axis, where);
  }
};

}  // namespace chainrule::nn
