#pragma once

#include <cstdint>
#include <string>

#include <chainrule/nn/module.hpp>

namespace chainrule::nn {

/// Options of LayerNorm.
struct LayerNormOptions {
  double eps = 1e-5;
  bool affine = true;  ///< with a weight, and a bias
  bool bias = true;    ///< false: with a weight alone
  DType dtype = f32;
};

/// layer_norm() over the trailing axes of x (…, normalized_shape): to mean 0 and variance 1, then
/// times a weight, which begins with ones, plus a bias, which begins with zeros.
class LayerNorm : public Module {
 public:
  /// Throws ShapeError for a shape without axes, ValueError unless all extents are positive and for
  /// an eps that is negative or not finite, DTypeError unless floating.
  explicit LayerNorm(const Shape& normalized_shape, LayerNormOptions options = {},
                     Where where = Where::current());
  /// Over the last axis: x (…, features).
  explicit LayerNorm(std::int64_t features, LayerNormOptions options = {},
                     Where where = Where::current())
      : LayerNorm(Shape{features}, options, where) {}

  /// Throws as layer_norm().
  Tensor forward(const Tensor& x) override;
  /// "LayerNorm(64)"
  std::string description() const override;

  const Shape& normalized_shape() const noexcept { return shape_; }
  double eps() const noexcept { return eps_; }

 protected:
  bool lists_parameters() const override;

 private:
  Shape shape_;
  double eps_;

 public:
  Parameter weight;  ///< in the normalized shape, or undefined
  Parameter bias;    ///< the same
};

}  // namespace chainrule::nn
