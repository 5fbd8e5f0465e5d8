#pragma once

#include <cstdint>

#include <chainrule/core/random.hpp>

/// Initial values of weights, as new tensors: `layer.weight.set(nn::xavier_uniform(shape))`. A
/// weight is (out, in), or (out, in, …) with a receptive field of r elements in further axes; its
/// fans are fan_in = in·r and fan_out = out·r. All throw ShapeError for fewer than two axes,
/// ValueError for a gain that is negative or not finite, DTypeError unless floating.
namespace chainrule::nn {

/// The inputs and outputs that an element of a weight stands between.
struct Fans {
  std::int64_t in, out;
};
/// The fans of a weight of this shape.
Fans fans(const Shape& weight, Where where = Where::current());

/// Options of the Xavier initialisers.
struct XavierOptions {
  double gain = 1;
  DType dtype = f32;
  Generator* generator = nullptr;  ///< null: default_generator()
};

/// Uniform in [−a, a) with a = gain · √(6 / (fan_in + fan_out)): X. Glorot, Y. Bengio,
/// "Understanding the difficulty of training deep feedforward neural networks", AISTATS 2010,
/// eq. 16.
Tensor xavier_uniform(const Shape& weight, XavierOptions options = {},
                      Where where = Where::current());
/// Normal with mean 0 and standard deviation gain · √(2 / (fan_in + fan_out)): the variance of the
/// same paper, eq. 12.
Tensor xavier_normal(const Shape& weight, XavierOptions options = {},
                     Where where = Where::current());

/// Which variance a Kaiming initialiser keeps: that of the activations forward, or that of the
/// gradients backward.
enum class Fan : std::uint8_t { in, out };

/// Options of the Kaiming initialisers.
struct KaimingOptions {
  Fan fan = Fan::in;
  double gain = 1.4142135623730951;  ///< √2 for relu; 1 for linear layers
  DType dtype = f32;
  Generator* generator = nullptr;  ///< null: default_generator()
};

/// Uniform in [−a, a) with a = gain · √(3 / fan), whose variance is that of kaiming_normal().
Tensor kaiming_uniform(const Shape& weight, KaimingOptions options = {},
                       Where where = Where::current());
/// Normal with mean 0 and standard deviation gain / √fan: K. He, X. Zhang, S. Ren, J. Sun, "Delving
/// deep into rectifiers", ICCV 2015, eq. 10 for fan_in and eq. 14 for fan_out, with the gain √2 of
/// relu; eq. 15 has gain √(2 / (1 + a²)) for a leaky relu of slope a.
Tensor kaiming_normal(const Shape& weight, KaimingOptions options = {},
                      Where where = Where::current());

}  // namespace chainrule::nn
